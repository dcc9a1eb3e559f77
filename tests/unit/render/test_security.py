"""A pod overlay may add to a predictor's pod; what would loosen its security is refused with the field's name."""

from typing import Any

import pytest

from perennial.render.overlay import merge, parse
from perennial.render.security import violations
from tests.unit.render.support import a_template

PREDICTOR = {"tls": {"secret": "heart-tls"}, "bearer": {"secret": "tokens"}}
GOOD_SIDE = "securityContext: {allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}"


def judged(text: str) -> list[str]:
    template = a_template(PREDICTOR)
    return violations(template, merge(template, parse(text)))


def in_predictor(fields: str) -> str:
    return f"spec: {{containers: [{{name: predictor, {fields}}}]}}"


def in_context(fields: str) -> str:
    return in_predictor(f"securityContext: {{{fields}}}")


def beside(fields: str) -> str:
    """A container of somebody else."""
    return f"spec: {{containers: [{{name: side, image: i, {GOOD_SIDE}, {fields}}}]}}"


def mounted(place: str) -> str:
    return in_predictor(f"volumeMounts: [{{name: tmp, mountPath: {place}}}]")


def in_fetch(fields: str) -> str:
    return f"spec: {{initContainers: [{{name: fetch, {fields}}}]}}"


ALLOWED = [
    "spec: {}",
    "metadata: {labels: {team: cardiology}, annotations: {sidecar.istio.io/inject: 'true'}}",
    f"spec: {{containers: [{{name: agent, image: 'agent:1', {GOOD_SIDE}}}]}}",
    f"spec: {{initContainers: [{{name: warm, image: 'warm:1', {GOOD_SIDE}}}]}}",
    "spec: {volumes: [{name: extra, configMap: {name: extra}}, {name: tmp, emptyDir: {sizeLimit: 1Gi}}]}",
    "spec: {runtimeClassName: gvisor, schedulerName: mine, dnsPolicy: None, terminationGracePeriodSeconds: 60}",
    "spec: {affinity: {podAntiAffinity: {}}, hostUsers: false, dnsConfig: {options: [{name: ndots, value: '1'}]}}",
    "spec: {securityContext: {runAsUser: 1000, fsGroupChangePolicy: OnRootMismatch, seLinuxOptions: {level: 's0:c1'}}}",
    "spec: {securityContext: {sysctls: [{name: net.ipv4.tcp_syncookies, value: '1'}]}}",
    in_predictor("env: [{name: OMP_NUM_THREADS, value: '2'}]"),
    in_predictor("env: [{name: OMP_NUM_THREADS, valueFrom: {resourceFieldRef: {resource: limits.cpu}}}]"),
    in_predictor("env: [{name: OTEL_EXPORTER_OTLP_HEADERS, valueFrom: {secretKeyRef: {name: mine, key: k}}}]"),
    in_predictor("volumeMounts: [{name: tmp, mountPath: /var/cache}]"),
    in_predictor("volumeMounts: [{name: tmp, mountPath: mnt//x/./y/}, {name: tmp, mountPath: /dev/shm}]"),
    in_predictor("resources: {limits: {cpu: 2}}, ports: [{containerPort: 9999}]"),
    beside("env: [{name: PYTHONPATH, value: /x}, {name: K, valueFrom: {secretKeyRef: {name: mine, key: k}}}]"),
    beside("envFrom: [{secretRef: {name: mine}}], ports: [{name: mine, containerPort: 8080}]"),
    beside("volumeMounts: [{name: model, mountPath: /usr, readOnly: true}], lifecycle: {preStop: {exec: {}}}"),
    "spec: {volumes: [{name: mine, secret: {secretName: mine}}]}",
    in_predictor("readinessProbe: {periodSeconds: 30}, lifecycle: {preStop: {sleep: {seconds: 3}}}"),
    in_context("capabilities: {add: [NET_BIND_SERVICE]}"),
    in_context("seccompProfile: {type: Localhost, localhostProfile: p.json}"),
]

POD, CONTAINER = "spec.securityContext", "spec.containers[predictor].securityContext"
REFUSED = [
    ("spec: {hostNetwork: true}", "spec.hostNetwork must not be true"),
    ("spec: {hostPID: true}", "spec.hostPID must not be true"),
    ("spec: {hostIPC: true}", "spec.hostIPC must not be true"),
    ("spec: {automountServiceAccountToken: true}", "spec.automountServiceAccountToken must be false"),
    ("spec: {automountServiceAccountToken: null}", "spec.automountServiceAccountToken must be false"),
    (
        "spec: {volumes: [{name: t, projected: {sources: [{serviceAccountToken: {path: t}}]}}]}",
        "spec.volumes[t].projected.sources[0].serviceAccountToken: the pods get no token",
    ),
    ("spec: {securityContext: null}", f"{POD}.runAsNonRoot must be true"),
    ("spec: {securityContext: {runAsNonRoot: false}}", f"{POD}.runAsNonRoot must be true"),
    ("spec: {securityContext: {runAsUser: 0}}", f"{POD}.runAsUser must not be 0"),
    (
        "spec: {securityContext: {seccompProfile: null}}",
        f"{POD}.seccompProfile.type must be RuntimeDefault or Localhost",
    ),
    ("spec: {securityContext: {seccompProfile: {type: Unconfined}}}", f"{POD}.seccompProfile.type must be"),
    ("spec: {securityContext: {sysctls: [{name: kernel.msgmax, value: '1'}]}}", f"{POD}.sysctls[kernel.msgmax] is not"),
    ("spec: {securityContext: {windowsOptions: {hostProcess: true}}}", f"{POD}.windowsOptions.hostProcess must not"),
    ("spec: {securityContext: {appArmorProfile: {type: Unconfined}}}", f"{POD}.appArmorProfile.type must be"),
    ("spec: {securityContext: {seLinuxOptions: {type: spc_t}}}", f"{POD}.seLinuxOptions.type must be a container's"),
    ("spec: {securityContext: {seLinuxOptions: {user: u}}}", f"{POD}.seLinuxOptions.user must not be set"),
    ("spec: {volumes: [{name: h, hostPath: {path: /}}]}", "spec.volumes[h].hostPath is not a volume that restricted"),
    ("spec: {volumes: [{name: h, nfs: {server: s, path: /}}]}", "spec.volumes[h].nfs is not a volume that restricted"),
    (
        "metadata: {annotations: {container.apparmor.security.beta.kubernetes.io/predictor: unconfined}}",
        "metadata.annotations[container.apparmor.security.beta.kubernetes.io/predictor] must be runtime/default",
    ),
    (in_context("privileged: true"), f"{CONTAINER}.privileged must not be true"),
    (in_context("allowPrivilegeEscalation: true"), f"{CONTAINER}.allowPrivilegeEscalation must be false"),
    (in_context("allowPrivilegeEscalation: null"), f"{CONTAINER}.allowPrivilegeEscalation must be false"),
    (in_context("runAsNonRoot: false"), f"{CONTAINER}.runAsNonRoot must not be false"),
    (in_context("runAsUser: 0"), f"{CONTAINER}.runAsUser must not be 0"),
    (in_context("procMount: Unmasked"), f"{CONTAINER}.procMount must be Default"),
    (in_context("seccompProfile: {type: Unconfined}"), f"{CONTAINER}.seccompProfile.type must be RuntimeDefault"),
    (in_context("capabilities: {drop: [KILL]}"), f"{CONTAINER}.capabilities.drop must contain ALL"),
    (in_context("capabilities: {add: [CHOWN]}"), f"{CONTAINER}.capabilities.add must not contain CHOWN"),
    (in_context("readOnlyRootFilesystem: false"), f"{CONTAINER}.readOnlyRootFilesystem must be true"),
    (
        in_predictor("ports: [{containerPort: 8080, hostPort: 80}]"),
        "spec.containers[predictor].ports[8080].hostPort must",
    ),
    (
        in_predictor("lifecycle: {preStop: {httpGet: {host: evil, port: 80}}}"),
        "spec.containers[predictor].lifecycle.preStop.httpGet.host must not be set",
    ),
    (
        in_predictor("livenessProbe: {tcpSocket: {host: evil, port: 80}}"),
        "spec.containers[predictor].livenessProbe.tcpSocket.host must not be set",
    ),
    (
        "spec: {containers: [{name: side, image: i}]}",
        "spec.containers[side].securityContext.allowPrivilegeEscalation must be false",
    ),
    (
        "spec: {initContainers: [{name: side, image: i}]}",
        "spec.initContainers[side].securityContext.capabilities.drop must contain ALL",
    ),
    (in_predictor("image: other"), "spec.containers[predictor].image cannot be changed"),
    (in_predictor("command: [sh]"), "spec.containers[predictor].command cannot be changed"),
    (in_predictor("args: [x]"), "spec.containers[predictor].args cannot be changed"),
    (in_predictor("workingDir: /tmp"), "spec.containers[predictor].workingDir cannot be changed"),
    ("spec: {initContainers: [{name: fetch, image: i}]}", "spec.initContainers[fetch].image cannot be changed"),
    ("spec: {initContainers: [{name: fetch, $patch: delete}]}", "spec.initContainers[fetch] cannot be removed"),
    ("spec: {containers: [{name: predictor, $patch: delete}]}", "spec.containers[predictor] cannot be removed"),
    (
        "spec: {initContainers: [{name: fetch, env: [{name: PERENNIAL_ARTIFACTS, $patch: delete}]}]}",
        "spec.initContainers[fetch].env[PERENNIAL_ARTIFACTS] cannot be changed",
    ),
    (
        in_predictor("env: [{name: PERENNIAL_ARTIFACTS, value: '[]'}]"),
        "spec.containers[predictor].env[PERENNIAL_ARTIFACTS] cannot be changed",
    ),
    (
        in_predictor("env: [{name: PERENNIAL_BEARER_DIR, value: ''}]"),
        "spec.containers[predictor].env[PERENNIAL_BEARER_DIR] cannot be changed",
    ),
    (
        in_predictor("volumeMounts: [{mountPath: /etc/perennial/bearer, name: tmp}]"),
        "spec.containers[predictor].volumeMounts[/etc/perennial/bearer] cannot be changed",
    ),
    (
        in_predictor("volumeMounts: [{mountPath: /etc/perennial/bearer/mine, name: tmp}]"),
        "spec.containers[predictor].volumeMounts[/etc/perennial/bearer/mine] is the predictor's own place",
    ),
    (
        in_predictor("volumeMounts: [{mountPath: /etc/perennial/, name: tmp}]"),
        "spec.containers[predictor].volumeMounts[/etc/perennial] is the predictor's own place",
    ),
    (
        in_predictor("readinessProbe: {$patch: replace, exec: {command: ['true']}}"),
        "spec.containers[predictor].readinessProbe.httpGet cannot be changed",
    ),
    (in_predictor("ports: [{$patch: replace}]"), "spec.containers[predictor].ports[8080] cannot be changed"),
    ("spec: {volumes: [{name: tls, secret: {secretName: other}}]}", "spec.volumes[tls] cannot be changed"),
    (
        "spec: {volumes: [{name: model, $patch: replace, persistentVolumeClaim: {claimName: c}}]}",
        "spec.volumes[model] cannot be changed",
    ),
    ("spec: {volumes: [{$patch: replace}]}", "spec.volumes[feedback] cannot be changed"),
    (
        "metadata: {labels: {perennial.dev/revision: other}}",
        "metadata.labels[perennial.dev/revision] cannot be changed",
    ),
    *(
        (mounted(place), f"spec.containers[predictor].volumeMounts[{named}] is the predictor's own place")
        for place, named in {
            "//etc/perennial/bearer": "/etc/perennial/bearer",
            "/etc/./perennial/tls": "/etc/perennial/tls",
            "/etc/perennial/./tls/": "/etc/perennial/tls",
            "///etc//perennial/x": "/etc/perennial/x",
            "etc/perennial/bearer": "/etc/perennial/bearer",
            "/mnt/../etc/perennial/bearer": "/etc/perennial/bearer",
            "/etc/perennial/x/../bearer": "/etc/perennial/bearer",
            "/etc": "/etc",
            "/": "/",
            "/model/x": "/model/x",
        }.items()
    ),
    *(
        (mounted(place), f"spec.containers[predictor].volumeMounts[{place}] must be in /data, /dev/shm, /mnt, /run")
        for place in (
            "/opt/app",
            "/opt/perennial/lib",
            "/usr",
            "/usr/local/lib/python3.11",
            "/bin",
            "/lib",
            "/etc/ld.so.preload",
            "/etc/ssl/certs",
            "/perennial_serving",
            "/json.py",
            "/proc/self",
            "/dev",
            "/various",
            "/var/run/../lib",
        )
    ),
    (
        in_predictor("volumeMounts: [{name: bearer, mountPath: /mnt/x}]"),
        "spec.containers[predictor].volumeMounts[/mnt/x] must not be the volume bearer",
    ),
    *(
        (build("envFrom: [{secretRef: {name: perennial-store}}]"), f"spec.{path}.envFrom cannot be changed")
        for build, path in ((in_predictor, "containers[predictor]"), (in_fetch, "initContainers[fetch]"))
    ),
    (in_fetch("envFrom: [{$patch: replace}]"), "spec.initContainers[fetch].envFrom cannot be changed"),
    (in_fetch("envFrom: []"), "spec.initContainers[fetch].envFrom cannot be changed"),
    (in_predictor("envFrom: [{configMapRef: {name: c}}]"), "spec.containers[predictor].envFrom cannot be changed"),
    (
        in_predictor("env: [{name: OTEL_X, valueFrom: {secretKeyRef: {name: perennial-store-read, key: k}}}]"),
        "spec.containers[predictor].env[OTEL_X] must not hold the Secret perennial-store-read",
    ),
    *(
        (build(f"env: [{{name: {name}, value: x}}]"), f"spec.{path}.env[{name}] is no variable that it may be given")
        for build, path in ((in_predictor, "containers[predictor]"), (in_fetch, "initContainers[fetch]"))
        for name in (
            "PYTHONPATH",
            "PYTHONHOME",
            "LD_PRELOAD",
            "PERENNIAL_PORT",
            "PATH",
            "HOME",
            "HTTPS_PROXY",
            "AWS_ENDPOINT_URL",
            "SSL_CERT_FILE",
            "GCONV_PATH",
            "OPENSSL_CONF",
        )
    ),
    (
        beside("envFrom: [{prefix: A_, secretRef: {name: perennial-store}}]"),
        "spec.containers[side].envFrom[0] must not",
    ),
    (
        beside("env: [{name: K, valueFrom: {secretKeyRef: {name: heart-tls, key: tls.key}}}]"),
        "spec.containers[side].env[K] must not hold the Secret heart-tls",
    ),
    *(
        (f"spec: {{volumes: [{{name: v, {source}}}]}}", f"spec.volumes[v] must not hold the Secret {secret}")
        for source, secret in (
            ("secret: {secretName: perennial-store}", "perennial-store"),
            ("secret: {secretName: heart-feedback}", "heart-feedback"),
            ("projected: {sources: [{secret: {name: tokens}}]}", "tokens"),
            ("csi: {driver: d, nodePublishSecretRef: {name: perennial-store-read}}", "perennial-store-read"),
        )
    ),
    *(
        (
            beside(f"volumeMounts: [{{name: {volume}, mountPath: /x}}]"),
            f"spec.containers[side].volumeMounts[/x] must not be the predictor's volume {volume}",
        )
        for volume in ("bearer", "tls", "feedback", "tmp", "model")
    ),
    (
        beside("ports: [{name: http, containerPort: 7777}]"),
        "spec.containers[side].ports[http] is the predictor's own name",
    ),
    (
        in_predictor("ports: [{name: http, containerPort: 7777}]"),
        "spec.containers[predictor].ports[http] is the predictor's own name",
    ),
    ("spec: {shareProcessNamespace: true}", "spec.shareProcessNamespace must not be true"),
    ("spec: {hostUsers: true}", "spec.hostUsers must not be true"),
    ("spec: {enableServiceLinks: null}", "spec.enableServiceLinks must be false"),
    ("spec: {serviceAccountName: heart}", "spec.serviceAccountName must not be set"),
    ("spec: {serviceAccount: heart}", "spec.serviceAccount must not be set"),
    ("spec: {hostAliases: [{ip: 10.0.0.1, hostnames: [store]}]}", "spec.hostAliases must not be set"),
    ("spec: {dnsPolicy: None, dnsConfig: {nameservers: [10.0.0.1]}}", "spec.dnsConfig.nameservers must not be set"),
    ("spec: {dnsConfig: {searches: [evil.example]}}", "spec.dnsConfig.searches must not be set"),
    (
        f"spec: {{ephemeralContainers: [{{name: e, image: i, {GOOD_SIDE}}}]}}",
        "spec.ephemeralContainers must not be set",
    ),
    (
        "spec: {volumes: [{name: t, projected: {sources: [{podCertificate: {signerName: a/b, keyType: ED25519}}]}}]}",
        "spec.volumes[t].projected.sources[0].podCertificate: the pods get no identity",
    ),
    *(
        (
            in_predictor(f"lifecycle: {{{hook}: {{exec: {{command: [sh]}}}}}}"),
            f"spec.containers[predictor].lifecycle.{hook}.exec",
        )
        for hook in ("postStart", "preStop")
    ),
    (
        in_fetch("restartPolicy: Always, startupProbe: {exec: {command: [sh]}}"),
        "spec.initContainers[fetch].startupProbe.exec cannot be changed",
    ),
    (in_fetch("restartPolicy: Always"), "spec.initContainers[fetch].restartPolicy cannot be changed"),
    (in_predictor("terminationMessagePath: /opt/app/x"), "spec.containers[predictor].terminationMessagePath cannot be"),
    (
        in_predictor("volumeDevices: [{name: v, devicePath: /usr}]"),
        "spec.containers[predictor].volumeDevices cannot be",
    ),
    (
        "metadata: {labels: {perennial.dev/training: t}}",
        "metadata.labels[perennial.dev/training] is the operator's own",
    ),
    ("metadata: null", "metadata.labels[perennial.dev/deployment] cannot be changed"),
    ("spec: null", "spec.containers[predictor] cannot be removed"),
]


@pytest.mark.parametrize("patch", ALLOWED)
def test_what_adds_and_loosens_nothing_is_allowed(patch: str) -> None:
    assert judged(patch) == []


@pytest.mark.parametrize(("patch", "message"), REFUSED)
def test_what_loosens_security_is_refused_with_the_fields_name(patch: str, message: str) -> None:
    assert any(each.startswith(message) for each in judged(patch)), judged(patch)


ODD: list[Any] = [1, [1], {"a": 1}, "text", [{"name": "x"}], None, [{"name": {"a": 1}}], {"type": []}]


@pytest.mark.parametrize("value", ODD, ids=str)
@pytest.mark.parametrize("field", sorted(a_template()["spec"]))
def test_a_field_of_the_wrong_type_is_judged_without_an_error(field: str, value: Any) -> None:
    template = a_template()
    violations(template, {**template, "spec": {**template["spec"], field: value}})


@pytest.mark.parametrize("value", ODD, ids=str)
@pytest.mark.parametrize(
    "field", ["env", "envFrom", "lifecycle", "ports", "securityContext", "startupProbe", "volumeMounts"]
)
def test_a_containers_field_of_the_wrong_type_is_judged_without_an_error(field: str, value: Any) -> None:
    template = a_template()
    (predictor,) = template["spec"]["containers"]
    added = [{**predictor, field: value}, {"name": "side", field: value}]
    violations(template, {**template, "spec": {**template["spec"], "containers": added}})
