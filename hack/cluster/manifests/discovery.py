"""Tells Prometheus which pods to scrape: those with the annotation prometheus.io/scrape, as a file of targets.

Debian builds Prometheus without its Kubernetes discovery. This watches the pods in its place and replaces the file
whenever the targets change; Prometheus notices by itself.
"""

import http.client
import json
import os
import ssl
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
API = f"https://{os.environ['KUBERNETES_SERVICE_HOST']}:{os.environ['KUBERNETES_SERVICE_PORT']}/api/v1/pods"
TARGETS = Path(sys.argv[1])
WATCH_SECONDS = 300
RUNNING = "status.phase!=Succeeded,status.phase!=Failed"
"""Pods that have ended stay, Kubeflow's by hundreds and with their whole programs: megabytes that nobody reads."""
TRUST = ssl.create_default_context(cafile=str(ACCOUNT / "ca.crt"))


def request(**parameters: str) -> http.client.HTTPResponse:
    """Reads the pods of all namespaces; the token is read anew, because the kubelet replaces it."""
    headers = {"Authorization": f"Bearer {(ACCOUNT / 'token').read_text()}"}
    url = f"{API}?{urllib.parse.urlencode({'fieldSelector': RUNNING, **parameters})}"
    return urllib.request.urlopen(
        urllib.request.Request(url, headers=headers), context=TRUST, timeout=WATCH_SECONDS + 10
    )


def target(pod: dict) -> dict | None:
    """Where to scrape the pod, with the labels that say where a sample comes from; None if it is not to be scraped.

    The pod's own labels stay out: `deployment` and `version` are the predictor's own words."""
    metadata, status = pod["metadata"], pod.get("status", {})
    annotations = metadata.get("annotations", {})
    if annotations.get("prometheus.io/scrape") != "true" or not status.get("podIP"):
        return None
    return {
        "targets": [f"{status['podIP']}:{annotations.get('prometheus.io/port', '80')}"],
        "labels": {
            "namespace": metadata["namespace"],
            "pod": metadata["name"],
            "__metrics_path__": annotations.get("prometheus.io/path", "/metrics"),
        },
    }


def publish(pods: dict[str, dict]) -> None:
    """Replaces the file as a whole, where it differs."""
    text = json.dumps([pods[key] for key in sorted(pods)], indent=1)
    if not TARGETS.exists() or TARGETS.read_text() != text:
        part = TARGETS.with_suffix(".part")
        part.write_text(text)
        part.rename(TARGETS)


def follow() -> None:
    """One list and one watch, until the watch ends."""
    with request() as answer:
        listed = json.load(answer)
    pods = {pod["metadata"]["uid"]: found for pod in listed["items"] if (found := target(pod))}
    publish(pods)
    version = listed["metadata"]["resourceVersion"]
    with request(watch="true", resourceVersion=version, timeoutSeconds=str(WATCH_SECONDS)) as events:
        for line in events:
            event = json.loads(line)
            if event["type"] == "ERROR":  # the version is too old by now: list again
                return
            found = target(event["object"])
            key = event["object"]["metadata"]["uid"]
            if found and event["type"] != "DELETED":
                pods[key] = found
            else:
                pods.pop(key, None)
            publish(pods)


while True:
    try:
        follow()
    except (OSError, ValueError, http.client.HTTPException) as error:
        print(f"pods cannot be watched, trying again: {error}", file=sys.stderr, flush=True)
        time.sleep(1)
