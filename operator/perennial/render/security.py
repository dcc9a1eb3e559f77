"""What a pod overlay may not do: loosen the restricted Pod Security Standard, or undo what makes the predictor safe.

The rules are those of https://kubernetes.io/docs/concepts/security/pod-security-standards/ (restricted, v1.34), but for
the pod as a whole where the Standard would also take it from every container. What has not even the right type is
passed over: the API server refuses it.
"""

from collections.abc import Iterator
from typing import Any

Json = dict[str, Any]

CONTAINER_LISTS = ("initContainers", "containers", "ephemeralContainers")
_VOLUMES = frozenset({
    "configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "image", "persistentVolumeClaim", "projected", "secret",
})  # fmt: skip
_SYSCTLS = frozenset({
    "kernel.shm_rmid_forced", "net.ipv4.ip_local_port_range", "net.ipv4.ip_unprivileged_port_start",
    "net.ipv4.tcp_syncookies", "net.ipv4.ping_group_range", "net.ipv4.ip_local_reserved_ports",
    "net.ipv4.tcp_keepalive_time", "net.ipv4.tcp_fin_timeout", "net.ipv4.tcp_keepalive_intvl",
    "net.ipv4.tcp_keepalive_probes", "net.ipv4.tcp_rmem", "net.ipv4.tcp_wmem",
})  # fmt: skip
_SELINUX_TYPES = frozenset({"", "container_t", "container_init_t", "container_kvm_t", "container_engine_t"})
_PROFILES = frozenset({"RuntimeDefault", "Localhost"})
_APPARMOR = "container.apparmor.security.beta.kubernetes.io/"
_PROBES = ("livenessProbe", "readinessProbe", "startupProbe")
_FIXED = ("image", "command", "args", "workingDir")
_OURS = ("/etc/perennial", "/model")


def violations(rendered: Json, merged: Json) -> list[str]:
    """Why ``merged`` (a pod template) may not take the place of ``rendered``: each names the field. Empty: it may."""
    return [*standard(merged), *_changed(rendered, merged)]


def standard(template: Json) -> Iterator[str]:
    """Where a pod template breaks the restricted Pod Security Standard, or gives a service account's token."""
    spec = _object(template.get("spec"))
    for key in ("hostNetwork", "hostPID", "hostIPC"):
        if spec.get(key):
            yield f"spec.{key} must not be true"
    if spec.get("automountServiceAccountToken") is not False:
        yield "spec.automountServiceAccountToken must be false"
    for key, value in _object(_object(template.get("metadata")).get("annotations")).items():
        if key.startswith(_APPARMOR) and value != "runtime/default" and not str(value).startswith("localhost/"):
            yield f"metadata.annotations[{key}] must be runtime/default or localhost/…"
    yield from _pod_context(_object(spec.get("securityContext")))
    for volume in _items(spec.get("volumes")):
        yield from _volume(volume)
    for path, container in containers(spec):
        yield from _container(path, container)


def containers(spec: Json) -> Iterator[tuple[str, Json]]:
    """(path, container) of every container of a pod."""
    for key in CONTAINER_LISTS:
        for each in _items(spec.get(key)):
            yield f"spec.{key}[{each.get('name')}]", each


def _pod_context(context: Json) -> Iterator[str]:
    path = "spec.securityContext"
    if context.get("runAsNonRoot") is not True:
        yield f"{path}.runAsNonRoot must be true"
    if _object(context.get("seccompProfile")).get("type") not in _PROFILES:
        yield f"{path}.seccompProfile.type must be RuntimeDefault or Localhost"
    for each in _items(context.get("sysctls")):
        if each.get("name") not in _SYSCTLS:
            yield f"{path}.sysctls[{each.get('name')}] is not a safe one"
    yield from _common_context(path, context)


def _common_context(path: str, context: Json) -> Iterator[str]:
    """What holds for the pod's security context and a container's alike."""
    if context.get("runAsUser") == 0:
        yield f"{path}.runAsUser must not be 0"
    if _object(context.get("windowsOptions")).get("hostProcess"):
        yield f"{path}.windowsOptions.hostProcess must not be true"
    if _object(context.get("appArmorProfile")).get("type", "RuntimeDefault") not in _PROFILES:
        yield f"{path}.appArmorProfile.type must be RuntimeDefault or Localhost"
    selinux = _object(context.get("seLinuxOptions"))
    if selinux.get("type", "") not in _SELINUX_TYPES:
        yield f"{path}.seLinuxOptions.type must be a container's"
    for key in ("user", "role"):
        if selinux.get(key):
            yield f"{path}.seLinuxOptions.{key} must not be set"


def _container(path: str, container: Json) -> Iterator[str]:
    context = _object(container.get("securityContext"))
    yield from _container_context(f"{path}.securityContext", context)
    yield from _common_context(f"{path}.securityContext", context)
    for port in _items(container.get("ports")):
        if port.get("hostPort"):
            yield f"{path}.ports[{port.get('containerPort')}].hostPort must not be set"
    lifecycle = _object(container.get("lifecycle"))
    handlers = {name: container.get(name) for name in _PROBES}
    handlers |= {f"lifecycle.{name}": lifecycle.get(name) for name in ("postStart", "preStop")}
    for name, handler in handlers.items():
        for kind in ("httpGet", "tcpSocket"):
            if _object(_object(handler).get(kind)).get("host"):
                yield f"{path}.{name}.{kind}.host must not be set"


def _container_context(path: str, context: Json) -> Iterator[str]:
    if context.get("privileged"):
        yield f"{path}.privileged must not be true"
    if context.get("allowPrivilegeEscalation") is not False:
        yield f"{path}.allowPrivilegeEscalation must be false"
    if context.get("runAsNonRoot") is False:
        yield f"{path}.runAsNonRoot must not be false"
    if context.get("procMount", "Default") != "Default":
        yield f"{path}.procMount must be Default"
    if _object(context.get("seccompProfile")).get("type", "RuntimeDefault") not in _PROFILES:
        yield f"{path}.seccompProfile.type must be RuntimeDefault or Localhost"
    capabilities = _object(context.get("capabilities"))
    if "ALL" not in _list(capabilities.get("drop")):
        yield f"{path}.capabilities.drop must contain ALL"
    if added := [each for each in _list(capabilities.get("add")) if each != "NET_BIND_SERVICE"]:
        yield f"{path}.capabilities.add must not contain {added[0]}"


def _volume(volume: Json) -> Iterator[str]:
    path = f"spec.volumes[{volume.get('name')}]"
    for key in volume:
        if key != "name" and key not in _VOLUMES:
            yield f"{path}.{key} is not a volume that restricted pods may have"
    for number, source in enumerate(_items(_object(volume.get("projected")).get("sources"))):
        if "serviceAccountToken" in source:
            yield f"{path}.projected.sources[{number}].serviceAccountToken: the pods get no token"


def _changed(rendered: Json, merged: Json) -> Iterator[str]:
    """What of the predictor's own must stay as it is."""
    own, found = rendered["metadata"]["labels"], _object(_object(merged.get("metadata")).get("labels"))
    yield from (f"metadata.labels[{key}] cannot be changed" for key in own if found.get(key) != own[key])
    spec = _object(merged.get("spec"))
    volumes = {each.get("name"): each for each in _items(spec.get("volumes"))}
    for volume in rendered["spec"]["volumes"]:
        now = volumes.get(volume["name"], {})
        if now != volume and not ("emptyDir" in volume and "emptyDir" in now):
            yield f"spec.volumes[{volume['name']}] cannot be changed"
    ours, there = dict(containers(rendered["spec"])), dict(containers(spec))
    for path, container in ours.items():
        if path in there:
            yield from _changed_container(path, container, there[path])
        else:
            yield f"{path} cannot be removed"


def _changed_container(path: str, own: Json, now: Json) -> Iterator[str]:
    yield from (f"{path}.{key} cannot be changed" for key in _FIXED if now.get(key) != own.get(key))
    yield from _kept(f"{path}.env", "name", own.get("env"), now.get("env"))
    yield from _kept(f"{path}.volumeMounts", "mountPath", own.get("volumeMounts"), now.get("volumeMounts"))
    yield from _kept(f"{path}.ports", "containerPort", own.get("ports"), now.get("ports"))
    taken = {each["mountPath"] for each in own["volumeMounts"]}
    for mount in _items(now.get("volumeMounts")):
        place = str(mount.get("mountPath")).rstrip("/")
        if place not in taken and any(f"{place}/".startswith(f"{folder}/") for folder in _OURS):
            yield f"{path}.volumeMounts[{place}] is the predictor's own place"
    if _object(now.get("securityContext")).get("readOnlyRootFilesystem") is not True:
        yield f"{path}.securityContext.readOnlyRootFilesystem must be true"
    for probe in _PROBES:
        if probe in own and _object(now.get(probe)).get("httpGet") != own[probe]["httpGet"]:
            yield f"{path}.{probe}.httpGet cannot be changed"


def _kept(path: str, key: str, own: Any, now: Any) -> Iterator[str]:
    """Items that are ours stay; others may come."""
    found = {each.get(key): each for each in _items(now)}
    return (f"{path}[{each[key]}] cannot be changed" for each in own or () if found.get(each[key]) != each)


def _object(value: Any) -> Json:
    return value if isinstance(value, dict) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _items(value: Any) -> list[Json]:
    return [each for each in _list(value) if isinstance(each, dict)]
