"""A pod overlay may add to a predictor's pod; what would loosen its security is refused with the field's name."""

import pytest
import yaml

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


ALLOWED = [
    "spec: {}",
    "metadata: {labels: {team: cardiology}, annotations: {sidecar.istio.io/inject: 'true'}}",
    f"spec: {{containers: [{{name: agent, image: 'agent:1', {GOOD_SIDE}}}]}}",
    f"spec: {{initContainers: [{{name: warm, image: 'warm:1', {GOOD_SIDE}}}]}}",
    "spec: {volumes: [{name: extra, configMap: {name: extra}}, {name: tmp, emptyDir: {sizeLimit: 1Gi}}]}",
    "spec: {runtimeClassName: gvisor, schedulerName: mine, dnsPolicy: None, terminationGracePeriodSeconds: 60}",
    "spec: {serviceAccountName: heart, affinity: {podAntiAffinity: {}}}",
    "spec: {securityContext: {runAsUser: 1000, fsGroupChangePolicy: OnRootMismatch, seLinuxOptions: {level: 's0:c1'}}}",
    "spec: {securityContext: {sysctls: [{name: net.ipv4.tcp_syncookies, value: '1'}]}}",
    in_predictor("env: [{name: OMP_NUM_THREADS, value: '2'}]"),
    in_predictor("volumeMounts: [{name: tmp, mountPath: /var/cache}]"),
    in_predictor("resources: {limits: {cpu: 2}}, ports: [{containerPort: 9999}]"),
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
    ("metadata: null", "metadata.labels[perennial.dev/deployment] cannot be changed"),
    ("spec: null", "spec.containers[predictor] cannot be removed"),
]


@pytest.mark.parametrize("patch", ALLOWED)
def test_what_adds_and_loosens_nothing_is_allowed(patch: str) -> None:
    assert judged(patch) == []


@pytest.mark.parametrize(("patch", "message"), REFUSED)
def test_what_loosens_security_is_refused_with_the_fields_name(patch: str, message: str) -> None:
    assert any(each.startswith(message) for each in judged(patch)), judged(patch)


@pytest.mark.parametrize(
    "value", ["1", "[1]", "{a: 1}", "text", "[{name: x}]", "null"], ids=lambda value: yaml.safe_dump(value).strip()
)
@pytest.mark.parametrize("field", sorted(a_template()["spec"]))
def test_a_field_of_the_wrong_type_is_judged_without_an_error(field: str, value: str) -> None:
    template = a_template()
    violations(template, {**template, "spec": {**template["spec"], field: yaml.safe_load(value)}})
