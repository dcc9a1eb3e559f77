"""Random pod overlays: what is not refused leaves the pod restricted, and ours as we rendered it.

What holds is said here once more, by what a container sees in the end and not by the rules that are tested.
"""

import json
import posixpath
from collections.abc import Iterator
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from perennial.render.overlay import OverlayError, merge
from perennial.render.security import violations
from tests.unit.render.support import a_template

Json = dict[str, Any]

TEMPLATE = a_template({"tls": {"secret": "heart-tls"}, "bearer": {"secret": "tokens"}, "grpc": True})
GUARDED = ("perennial-store", "heart-tls", "tokens", "heart-feedback")
SEEN = (
    "/", "/model/model.onnx", "/tmp/x", "/etc/perennial/bearer/tokens", "/etc/perennial/tls/ca.crt",
    "/etc/perennial/feedback/current", "/etc/perennial/settings/mirror.json", "/etc/ld.so.preload", "/etc/ssl/certs/ca",
    "/opt/perennial/bin/python", "/opt/app/perennial_serving/bearer.py", "/perennial_serving/__main__.py", "/json.py",
    "/usr/lib/libc.so", "/lib/ld-linux.so", "/bin/sh", "/proc/self/environ",
)  # fmt: skip
OUR_ENVIRONMENT = ("PERENNIAL_", "PYTHON", "LD_", "PATH", "AWS_", "SSL_")


def some(fields: dict[str, st.SearchStrategy[Any]], **always: Any) -> st.SearchStrategy[Json]:
    """One or two of ``fields``: more are refused for one of them, and say nothing about the others."""
    chosen = st.lists(st.sampled_from(sorted(fields)), min_size=1, max_size=2, unique=True)
    fixed = {key: st.just(value) for key, value in always.items()}
    return chosen.flatmap(lambda keys: st.fixed_dictionaries({**fixed, **{key: fields[key] for key in keys}}))


def one(*values: Any) -> st.SearchStrategy[Any]:
    return st.sampled_from(values)


FLAG = one(True, False, None)
REPLACE = {"$patch": "replace"}
SECRET = one("mine", *GUARDED, "perennial-store-read")
WORD = one("/", "//", "/./", "/../", "etc", "perennial", "bearer", "tls", "mnt", "var", "opt", "app", "usr", "json.py")
PLACE = st.lists(WORD, min_size=1, max_size=7).map("".join)
SOURCE = st.one_of(
    SECRET.map(lambda name: {"secret": {"secretName": name}}),
    SECRET.map(lambda name: {"projected": {"sources": [{"secret": {"name": name}}]}}),
    SECRET.map(lambda name: {"csi": {"driver": "d", "nodePublishSecretRef": {"name": name}}}),
    one(
        {"configMap": {"name": "c"}}, {"emptyDir": {"medium": "Memory"}}, {"hostPath": {"path": "/"}},
        {"projected": {"sources": [{"serviceAccountToken": {"path": "t"}}]}}, {"$patch": "delete"},
    ),
)  # fmt: skip
VOLUME = st.tuples(one("new", "model", "tmp", "bearer", "tls", "settings"), SOURCE).map(
    lambda v: {"name": v[0], **v[1]}
)
VARIABLE = st.one_of(
    st.tuples(
        one("OMP_NUM_THREADS", "TZ", "PYTHONPATH", "LD_PRELOAD", "PATH", "PERENNIAL_BEARER_DIR", "AWS_ENDPOINT_URL"),
        one({"value": "1"}, {"$patch": "delete"}) | SECRET.map(lambda s: {"valueFrom": {"secretKeyRef": {"name": s}}}),
    ).map(lambda v: {"name": v[0], **v[1]}),
    st.just(REPLACE),
)  # fmt: skip
MOUNT = st.tuples(
    one("new", "tmp", "model", "bearer", "tls", "settings"), PLACE | one(*SEEN),
    one({}, {"readOnly": True}, {"subPath": "x"}),
).map(lambda v: {"name": v[0], "mountPath": v[1], **v[2]}) | st.just(REPLACE)  # fmt: skip
HANDLER = one({"exec": {"command": ["sh"]}}, {"sleep": {"seconds": 1}}, {"httpGet": {"port": 1}}, {"$patch": "delete"})
CONTEXT = some({
    "privileged": FLAG, "allowPrivilegeEscalation": FLAG, "runAsNonRoot": FLAG, "readOnlyRootFilesystem": FLAG,
    "runAsUser": one(0, 1000), "capabilities": one({"drop": ["ALL"]}, {"drop": []}, {"add": ["SYS_ADMIN"]}, None),
    "seccompProfile": one({"type": "Unconfined"}, {"type": "RuntimeDefault"}, None),
})  # fmt: skip
SAFE = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
FIELDS: dict[str, st.SearchStrategy[Any]] = {
    "image": one("evil", None), "command": one(["sh"], None), "args": one(["x"]), "workingDir": one("/mnt"),
    "env": st.lists(VARIABLE, max_size=2), "volumeMounts": st.lists(MOUNT, max_size=2),
    "envFrom": SECRET.map(lambda name: [{"secretRef": {"name": name}}]) | one([], None),
    "ports": one([{"name": "http", "containerPort": 7777}], [{"containerPort": 8080, "hostPort": 1}], [REPLACE]),
    "lifecycle": st.dictionaries(one("postStart", "preStop"), HANDLER, max_size=1),
    "readinessProbe": one({"periodSeconds": 9}, None) | HANDLER, "startupProbe": HANDLER,
    "restartPolicy": one("Always"), "terminationMessagePath": one("/opt/app/x"), "securityContext": CONTEXT,
    "resources": one({"limits": {"cpu": 1}}), "volumeDevices": one([{"name": "new", "devicePath": "/usr"}]),
}  # fmt: skip
CONTAINER = (
    some(FIELDS, name="predictor") | some(FIELDS, name="fetch")
    | some(FIELDS, name="side", image="side") | some(FIELDS, name="side", securityContext=SAFE)
)  # fmt: skip
CONTAINERS = st.lists(CONTAINER | one(REPLACE, {"name": "predictor", "$patch": "delete"}), max_size=2)
POD = some({
    **dict.fromkeys(("hostNetwork", "hostPID", "hostIPC", "hostUsers", "shareProcessNamespace"), FLAG),
    **dict.fromkeys(("automountServiceAccountToken", "enableServiceLinks"), FLAG),
    "serviceAccountName": one("admin"), "serviceAccount": one("admin"), "nodeSelector": one({"disk": "ssd"}),
    "hostAliases": one([{"ip": "10.0.0.1", "hostnames": ["store"]}]),
    "dnsConfig": one({"nameservers": ["10.0.0.1"]}, {"searches": ["evil"]}, {"options": [{"name": "ndots"}]}),
    "securityContext": CONTEXT, "volumes": st.lists(VOLUME, max_size=2),
    "containers": CONTAINERS, "initContainers": CONTAINERS,
})  # fmt: skip
OURS = st.one_of(
    *(st.builds(lambda key, each: {key: [each]}, st.just(key), some(FIELDS, name=name))
      for key, name in (("containers", "predictor"), ("initContainers", "fetch")))
)  # fmt: skip


def every(spec: Json) -> Iterator[Json]:
    for key in ("initContainers", "containers"):
        yield from spec.get(key, ())


def named(spec: Json, name: str) -> Any:
    """One of ours. The API server takes no second container of that name, wherever it stands."""
    (found,) = [
        each for each in spec["containers" if name == "predictor" else "initContainers"] if each["name"] == name
    ]
    return found


def restricted(spec: Json) -> Iterator[bool]:
    """The Pod Security Standard, as far as the patches can break it."""
    yield not any(spec.get(key) for key in ("hostNetwork", "hostPID", "hostIPC", "shareProcessNamespace"))
    yield not any("hostPath" in each for each in spec["volumes"])
    yield spec["securityContext"]["runAsNonRoot"] is True
    yield spec["securityContext"]["seccompProfile"]["type"] == "RuntimeDefault"
    for context in (spec["securityContext"], *(each["securityContext"] for each in every(spec))):
        yield context.get("runAsUser") != 0
        yield context.get("runAsNonRoot") is not False
        yield context.get("seccompProfile", {"type": "RuntimeDefault"})["type"] == "RuntimeDefault"
    for each in every(spec):
        context = each["securityContext"]
        yield not context.get("privileged")
        yield context["allowPrivilegeEscalation"] is False
        yield context["capabilities"]["drop"] == ["ALL"] and "add" not in context["capabilities"]
        yield not any("hostPort" in port for port in each.get("ports", ()))


def nobody(spec: Json) -> Iterator[bool]:
    """No identity in the cluster, and known names lead where they led."""
    yield spec["automountServiceAccountToken"] is False
    yield "serviceAccountToken" not in json.dumps(spec)
    yield not {"serviceAccountName", "serviceAccount", "hostAliases"} & spec.keys()
    yield not {"nameservers", "searches"} & spec.get("dnsConfig", {}).keys()


def seen(container: Json, volumes: Json, path: str) -> Any:
    """What stands at ``path``: the volume of the deepest mount above it. None: the image."""
    best: tuple[int, Any] = (-1, None)
    for mount in container.get("volumeMounts", ()):
        place = posixpath.normpath("/" + mount["mountPath"].lstrip("/"))
        above = "/" if place == "/" else f"{place}/"
        if f"{path}/".startswith(above) and len(place) > best[0]:
            source = volumes[mount["name"]] if "emptyDir" not in volumes[mount["name"]] else mount["name"]
            best = len(place), (source, mount.get("subPath"))
    return best[1]


def ours(spec: Json) -> Json:
    """What our containers run, are told and see, and what the kubelet does in them."""
    volumes = {each["name"]: each for each in spec["volumes"]} | {"new": {"configMap": "new"}}
    found: Json = {}
    for name in ("predictor", "fetch"):
        each = named(spec, name)
        fixed = (
            "image",
            "command",
            "args",
            "workingDir",
            "envFrom",
            "restartPolicy",
            "terminationMessagePath",
            "volumeDevices",
        )
        found[name] = {key: each.get(key) for key in fixed}
        found[name]["env"] = [v for v in each.get("env", ()) if v["name"].startswith(OUR_ENVIRONMENT)]
        found[name]["seen"] = {path: seen(each, volumes, path) for path in SEEN}
        found[name]["handlers"] = {
            (key, kind): each.get(key, {}).get(kind)
            for key in ("startupProbe", "readinessProbe", "livenessProbe")
            for kind in ("exec", "httpGet")
        }
        found[name]["hooks"] = [h for hook in each.get("lifecycle", {}).values() for h in hook if h != "sleep"]
        found[name]["immutable"] = each["securityContext"]["readOnlyRootFilesystem"]
    found["ports"] = [port for each in every(spec) for port in each.get("ports", ()) if port.get("name")]
    return found


def strangers(spec: Json) -> Iterator[bool]:
    """Nobody else has the Secrets that ours have, by name or by a volume."""
    mine = {json.dumps(each, sort_keys=True) for each in TEMPLATE["spec"]["volumes"]}
    secret = {each["name"] for each in spec["volumes"] if "secret" in each and each["name"] != "new"}
    for volume in spec["volumes"]:
        text = json.dumps(volume, sort_keys=True)
        yield text in mine or not any(each in text for each in GUARDED)
    for each in every(spec):
        if each not in (named(spec, "predictor"), named(spec, "fetch")):
            yield not any(name in json.dumps([each.get("env"), each.get("envFrom")]) for name in GUARDED)
            yield not {mount["name"] for mount in each.get("volumeMounts", ())} & secret
    yield not any(name in json.dumps(named(spec, "predictor").get("env")) for name in GUARDED)


BEFORE = ours(TEMPLATE["spec"])


@settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(POD | OURS)
def test_what_is_not_refused_is_restricted_and_leaves_ours_alone(patch: Json) -> None:
    try:
        merged = merge(TEMPLATE, {"spec": patch})
    except OverlayError:
        return
    if violations(TEMPLATE, merged):
        return
    spec = merged["spec"]
    assert all(restricted(spec))
    assert all(nobody(spec))
    assert all(strangers(spec))
    assert ours(spec) == BEFORE
