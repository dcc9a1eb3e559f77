"""What a pod overlay may not do: loosen security.

It does where afterwards

- the pod breaks https://kubernetes.io/docs/concepts/security/pod-security-standards/ (restricted, v1.34; for the pod as
  a whole where the Standard would also take it from every container), or is somebody: has a token or a service account;
- anybody but the fetch container has the store's credentials, or anybody but the predictor the Secrets that protect its
  endpoint or sign its feedback tokens;
- our two containers run anything but our image's own code, or are told, see or look up anything else than was rendered
  for them. They may be given what changes none of that: resources, security contexts, threads, places of their own.

Containers that it adds may do what any restricted pod of the namespace may: run their own image with their own Secrets.
They share the pod's addresses with ours; they share neither its processes nor what our containers write.

What has not even the right type is passed over: the API server refuses it.
"""

import posixpath
import re
from collections.abc import Collection, Iterator
from typing import Any

from perennial.contracts.names import GROUP, STORE_READ_SECRET, STORE_SECRET

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
_HOOKS = ("postStart", "preStop")
_HANDLERS = ("exec", "grpc", "httpGet", "tcpSocket")
_FREE = frozenset({
    "imagePullPolicy", "resources", "resizePolicy",
    # Each of these has rules of its own.
    "env", "lifecycle", "ports", "securityContext", "volumeMounts", *_PROBES,
})  # fmt: skip
_VARIABLES = re.compile(
    r"(OMP|OPENBLAS|MKL)_NUM_THREADS|OMP_(DYNAMIC|PLACES|PROC_BIND|THREAD_LIMIT|WAIT_POLICY)|MALLOC_\w+|OTEL_\w+"
    r"|TZ|LANG|LC_[A-Z]+"
)
"""What our containers may be given. Others load code, lead elsewhere or change settings: nobody can list which."""
_OURS = ("/etc/perennial", "/model", "/tmp")  # noqa: S108 - an emptyDir of the pod's own
_PLACES = ("/data", "/dev/shm", "/mnt", "/run", "/srv", "/var")  # noqa: S108 - folders of a container
"""Where our containers may have more mounts: the image keeps no code there. Python also looks for modules in /."""
_SHARED = ("model", "settings")


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
    if not _among(_PROFILES, _object(context.get("seccompProfile")).get("type")):
        yield f"{path}.seccompProfile.type must be RuntimeDefault or Localhost"
    for each in _items(context.get("sysctls")):
        if not _among(_SYSCTLS, each.get("name")):
            yield f"{path}.sysctls[{each.get('name')}] is not a safe one"
    yield from _common_context(path, context)


def _common_context(path: str, context: Json) -> Iterator[str]:
    """What holds for the pod's security context and a container's alike."""
    if context.get("runAsUser") == 0:
        yield f"{path}.runAsUser must not be 0"
    if _object(context.get("windowsOptions")).get("hostProcess"):
        yield f"{path}.windowsOptions.hostProcess must not be true"
    if not _among(_PROFILES, _object(context.get("appArmorProfile")).get("type", "RuntimeDefault")):
        yield f"{path}.appArmorProfile.type must be RuntimeDefault or Localhost"
    selinux = _object(context.get("seLinuxOptions"))
    if not _among(_SELINUX_TYPES, selinux.get("type", "")):
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
    handlers |= {f"lifecycle.{name}": lifecycle.get(name) for name in _HOOKS}
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
    if not _among(_PROFILES, _object(context.get("seccompProfile")).get("type", "RuntimeDefault")):
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
        if "podCertificate" in source:
            yield f"{path}.projected.sources[{number}].podCertificate: the pods get no identity"


def _changed(rendered: Json, merged: Json) -> Iterator[str]:
    """What of the predictor's own must stay as it is."""
    own, found = rendered["metadata"]["labels"], _object(_object(merged.get("metadata")).get("labels"))
    yield from (f"metadata.labels[{key}] cannot be changed" for key in own if found.get(key) != own[key])
    for key in found:
        if key not in own and key.startswith(f"{GROUP}/"):
            yield f"metadata.labels[{key}] is the operator's own"
    spec = _object(merged.get("spec"))
    yield from _changed_pod(spec)
    yield from _changed_volumes(rendered["spec"]["volumes"], _items(spec.get("volumes")))
    guarded = {STORE_SECRET, STORE_READ_SECRET, *_secrets(rendered["spec"])}
    yield from _new_volumes(rendered["spec"]["volumes"], _items(spec.get("volumes")), guarded)
    ours, there = dict(containers(rendered["spec"])), dict(containers(spec))
    names = {port["name"] for container in ours.values() for port in container.get("ports", ())}
    yield from (f"{path} cannot be removed" for path in ours if path not in there)
    for path, container in containers(spec):
        own_one = ours.get(path, {})
        yield from _credentials(path, own_one, container, guarded)
        yield from (
            f"{path}.ports[{port['name']}] is the predictor's own name"
            for port in _items(container.get("ports"))
            # Services find their ports by name.
            if port not in (own_one.get("ports") or ()) and _among(names, port.get("name"))
        )
        if own_one:
            yield from _changed_container(path, own_one, container)
            yield from _more_mounted(f"{path}.volumeMounts", rendered["spec"]["volumes"], own_one, container)
        else:
            yield from _added_container(path, rendered["spec"], container)


def _changed_pod(spec: Json) -> Iterator[str]:
    """What the Standard lets pass: other processes' memory, another identity, other addresses for known names."""
    for key in ("shareProcessNamespace", "hostUsers"):
        if spec.get(key):
            yield f"spec.{key} must not be true"
    if spec.get("enableServiceLinks") is not False:
        # Services would set variables of our containers by their names.
        yield "spec.enableServiceLinks must be false"
    for key in ("serviceAccountName", "serviceAccount", "hostAliases", "ephemeralContainers"):
        if spec.get(key):
            yield f"spec.{key} must not be set"
    for key in ("nameservers", "searches"):
        if _object(spec.get("dnsConfig")).get(key):
            yield f"spec.dnsConfig.{key} must not be set"


def _changed_volumes(own: list[Json], now: list[Json]) -> Iterator[str]:
    for volume in own:
        found = [each for each in now if each.get("name") == volume["name"]]
        sized = len(found) == 1 and "emptyDir" in volume and found[0].keys() == volume.keys()
        if found != [volume] and not sized:
            yield f"spec.volumes[{volume['name']}] cannot be changed"


def _new_volumes(own: list[Json], now: list[Json], guarded: set[str]) -> Iterator[str]:
    for volume in now:
        if volume not in own:
            for secret in _secrets(volume):
                if secret in guarded:
                    yield f"spec.volumes[{volume.get('name')}] must not hold the Secret {secret}"


def _credentials(path: str, own: Json, now: Json, guarded: set[str]) -> Iterator[str]:
    """Secrets of the store, the endpoint and the tokens in a container that was not rendered with them."""
    for key in ("env", "envFrom"):
        for number, each in enumerate(_items(now.get(key))):
            if each not in (own.get(key) or ()):
                for secret in _secrets(each):
                    if secret in guarded:
                        yield f"{path}.{key}[{each.get('name', number)}] must not hold the Secret {secret}"


def _secrets(value: Any) -> Iterator[str]:
    """The names of the Secrets that a pod's volumes or containers refer to; those for pulling images do not count."""
    if isinstance(value, dict):
        for key, each in value.items():
            if isinstance(each, dict) and (key in {"secret", "secretKeyRef"} or key.lower().endswith("secretref")):
                yield from (name for name in (each.get("secretName"), each.get("name")) if isinstance(name, str))
            yield from _secrets(each)
    elif isinstance(value, list):
        for each in value:
            yield from _secrets(each)


def _changed_container(path: str, own: Json, now: Json) -> Iterator[str]:
    for key in sorted({*own, *now} - _FREE):
        if now.get(key) != own.get(key):
            yield f"{path}.{key} cannot be changed"
    yield from _kept(f"{path}.env", "name", own.get("env"), now.get("env"))
    yield from _kept(f"{path}.volumeMounts", "mountPath", own.get("volumeMounts"), now.get("volumeMounts"))
    yield from _kept(f"{path}.ports", "containerPort", own.get("ports"), now.get("ports"))
    names = {each["name"] for each in own.get("env", ())}
    for variable in _items(now.get("env")):
        name = variable.get("name")
        if not (isinstance(name, str) and (name in names or _VARIABLES.fullmatch(name))):
            yield f"{path}.env[{name}] is no variable that it may be given"
    if _object(now.get("securityContext")).get("readOnlyRootFilesystem") is not True:
        yield f"{path}.securityContext.readOnlyRootFilesystem must be true"
    yield from _called(path, own, now)


def _more_mounted(path: str, volumes: list[Json], own: Json, now: Json) -> Iterator[str]:
    """What one of our containers sees more: it hides nothing of its own, and nothing of its image."""
    kept, secret = (
        [each["mountPath"] for each in own["volumeMounts"]],
        [each["name"] for each in volumes if "secret" in each],
    )
    for mount in _items(now.get("volumeMounts")):
        given = mount.get("mountPath")
        if given in kept:
            continue
        # As the kubelet reads it: a path that does not begin with / begins there.
        place = posixpath.normpath(f"/{str(given).lstrip('/')}")
        if any(_inside(place, folder) or _inside(folder, place) for folder in _OURS):
            yield f"{path}[{place}] is the predictor's own place"
        elif ".." in str(given).split("/") or not any(_inside(place, folder) for folder in _PLACES):
            # Where a folder of the image is a link, .. leads elsewhere than it seems.
            yield f"{path}[{given}] must be in {', '.join(_PLACES)}"
        if _among(secret, mount.get("name")):
            yield f"{path}[{given}] must not be the volume {mount['name']}"


def _inside(place: str, folder: str) -> bool:
    return f"{place.rstrip('/')}/".startswith(f"{folder.rstrip('/')}/")


def _called(path: str, own: Json, now: Json) -> Iterator[str]:
    """What the kubelet runs or calls in one of our containers."""
    for probe in _PROBES:
        for kind in _HANDLERS:
            if _object(now.get(probe)).get(kind) != _object(own.get(probe)).get(kind):
                yield f"{path}.{probe}.{kind} cannot be changed"
    for hook in _HOOKS:
        for kind in _object(_object(now.get("lifecycle")).get(hook)):
            if kind != "sleep":
                yield f"{path}.lifecycle.{hook}.{kind} must not be set"


def _added_container(path: str, rendered: Json, added: Json) -> Iterator[str]:
    """What our containers write, and the Secrets that they are given, are theirs."""
    volumes = {each["name"] for each in rendered["volumes"]}
    for mount in _items(added.get("volumeMounts")):
        read = mount.get("readOnly") is True and _among(_SHARED, mount.get("name"))
        if _among(volumes, mount.get("name")) and not read:
            yield (
                f"{path}.volumeMounts[{mount.get('mountPath')}] must not be the predictor's volume {mount['name']}"
                " (model and settings may be mounted with readOnly: true)"
            )


def _kept(path: str, key: str, own: Any, now: Any) -> Iterator[str]:
    """Items that are ours stay, each once; others may come."""
    for each in own or ():
        if [found for found in _items(now) if found.get(key) == each[key]] != [each]:
            yield f"{path}[{each[key]}] cannot be changed"


def _among(allowed: Collection[str], value: Any) -> bool:
    """Whether it is one of these texts; it may be of any type."""
    return isinstance(value, str) and value in allowed


def _object(value: Any) -> Json:
    return value if isinstance(value, dict) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _items(value: Any) -> list[Json]:
    return [each for each in _list(value) if isinstance(each, dict)]
