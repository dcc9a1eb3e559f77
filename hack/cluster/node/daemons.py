"""What the node runs: each daemon's command line and its configuration files, as plain values."""

import dataclasses
import hashlib
import json
import resource
import subprocess
from pathlib import Path

NAME = "perennial"
IP = "192.0.2.10"  # TEST-NET-1: nobody's address
POD_RANGE, POD_CIDR = "10.244.0.0/16", "10.244.0.0/24"
SERVICE_CIDR, SERVICE_IP = "10.96.0.0/16", "10.96.0.1"
PAUSE_IMAGE = "localhost/pause:1"
API = "https://127.0.0.1:6443"


@dataclasses.dataclass(frozen=True)
class Daemon:
    """One program of the node. `files` (path: text) are written before it starts; when they or the command line differ
    from what a running one was started with, it is started again."""

    name: str
    argv: tuple[str, ...]
    files: dict[Path, str] = dataclasses.field(default_factory=dict)

    @property
    def program(self) -> str:
        return Path(self.argv[0]).name

    @property
    def digest(self) -> str:
        described = json.dumps([self.argv, sorted((str(path), text) for path, text in self.files.items())])
        return hashlib.sha256(described.encode()).hexdigest()[:12]


def etcd(state: Path, programs: Path) -> Daemon:
    client, peer = "http://127.0.0.1:2379", "http://127.0.0.1:2380"
    flags = (f"--data-dir={state}/etcd", f"--listen-client-urls={client}", f"--advertise-client-urls={client}")
    # The node's state never outlives its init process, so nothing has to survive a power cut.
    return Daemon("etcd", (f"{programs}/etcd", *flags, f"--listen-peer-urls={peer}", "--unsafe-no-fsync"))


def apiserver(state: Path, programs: Path) -> Daemon:
    pki, front = state / "pki", state / "front-proxy"
    return Daemon(
        "kube-apiserver",
        (
            f"{programs}/kube-apiserver",
            "--etcd-servers=http://127.0.0.1:2379",
            f"--advertise-address={IP}",
            f"--service-cluster-ip-range={SERVICE_CIDR}",
            f"--tls-cert-file={pki}/apiserver.crt",
            f"--tls-private-key-file={pki}/apiserver.key",
            f"--client-ca-file={pki}/ca.crt",
            f"--service-account-key-file={pki}/sa.pub",
            f"--service-account-signing-key-file={pki}/sa.key",
            "--service-account-issuer=https://kubernetes.default.svc",
            "--authorization-mode=Node,RBAC",
            "--enable-admission-plugins=NodeRestriction",
            "--allow-privileged",
            "--kubelet-preferred-address-types=InternalIP",
            f"--kubelet-certificate-authority={pki}/ca.crt",
            f"--kubelet-client-certificate={pki}/apiserver-kubelet.crt",
            f"--kubelet-client-key={pki}/apiserver-kubelet.key",
            f"--requestheader-client-ca-file={front}/ca.crt",
            "--requestheader-allowed-names=front-proxy-client",
            "--requestheader-username-headers=X-Remote-User",
            "--requestheader-group-headers=X-Remote-Group",
            "--requestheader-extra-headers-prefix=X-Remote-Extra-",
            f"--proxy-client-cert-file={front}/client.crt",
            f"--proxy-client-key-file={front}/client.key",
        ),
    )


def controllers(state: Path, programs: Path) -> list[Daemon]:
    pki = state / "pki"
    own = {
        "kube-controller-manager": (
            f"--service-account-private-key-file={pki}/sa.key",
            f"--root-ca-file={pki}/ca.crt",
            f"--cluster-signing-cert-file={pki}/ca.crt",
            f"--cluster-signing-key-file={pki}/ca.key",
            "--use-service-account-credentials",
            "--allocate-node-cidrs",
            f"--cluster-cidr={POD_RANGE}",
            f"--service-cluster-ip-range={SERVICE_CIDR}",
        ),
        "kube-scheduler": (),
    }
    daemons = []
    for name, flags in own.items():
        config = f"{state}/{name}.kubeconfig"
        access = (
            f"--kubeconfig={config}",
            f"--authentication-kubeconfig={config}",
            f"--authorization-kubeconfig={config}",
        )
        common = ("--leader-elect=false", "--bind-address=127.0.0.1")
        daemons.append(Daemon(name, (f"{programs}/{name}", *access, *common, *flags)))
    return daemons


def _base_spec() -> str:
    # Machines without CAP_SYS_RESOURCE cannot raise limits nor lower an OOM score: what runc is asked for stays within.
    spec = json.loads(subprocess.run(["ctr", "oci", "spec"], check=True, capture_output=True, text=True).stdout)
    hard = min(resource.getrlimit(resource.RLIMIT_NOFILE)[1], 65536)
    spec["process"].pop("oomScoreAdj", None)
    spec["process"]["rlimits"] = [{"type": "RLIMIT_NOFILE", "hard": hard, "soft": min(hard, 1024)}]
    return json.dumps(spec)


def containerd(state: Path, program: str) -> Daemon:
    config, spec, network = state / "containerd.toml", state / "base-spec.json", state / "cni" / "10-pods.conflist"
    # ptp, not bridge: every packet between pods is routed, so Services work without the br_netfilter module.
    ipam = {
        "type": "host-local",
        "dataDir": f"{state}/cni-addresses",
        "ranges": [[{"subnet": POD_CIDR}]],
        "routes": [{"dst": "0.0.0.0/0"}],
    }
    plugins = [
        {"type": "ptp", "ipMasq": False, "ipam": ipam},
        {"type": "portmap", "capabilities": {"portMappings": True}},
    ]
    text = f"""version = 2
root = "{state}/containerd"
state = "{state}/run/containerd"
disabled_plugins = {json.dumps([f"io.containerd.snapshotter.v1.{name}" for name in ("btrfs", "devmapper", "zfs")])}
[grpc]
  address = "{state}/run/containerd.sock"
[plugins."io.containerd.internal.v1.opt"]
  path = "{state}/containerd/opt"
[plugins."io.containerd.grpc.v1.cri"]
  restrict_oom_score_adj = true
  netns_mounts_under_state_dir = true
  sandbox_image = "{PAUSE_IMAGE}"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "{state}/cni"
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
    base_runtime_spec = "{spec}"
"""
    files = {
        config: text,
        spec: _base_spec(),
        network: json.dumps({"cniVersion": "0.4.0", "name": "pods", "plugins": plugins}),
    }
    return Daemon("containerd", (program, "--config", str(config)), files)


def kubelet(state: Path, programs: Path, cgroup: str) -> Daemon:
    config, resolv = state / "kubelet.yaml", state / "resolv.conf"
    settings = {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": f"{state}/pki/ca.crt"},
        },
        "authorization": {"mode": "Webhook"},
        "address": IP,
        "tlsCertFile": f"{state}/pki/kubelet.crt",
        "tlsPrivateKeyFile": f"{state}/pki/kubelet.key",
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": f"/{cgroup}",
        "failSwapOn": False,
        "clusterDNS": [IP],
        "clusterDomain": "cluster.local",
        "resolvConf": str(resolv),
        "containerRuntimeEndpoint": f"unix://{state}/run/containerd.sock",
        "podLogsDir": f"{state}/pod-logs",
        "volumePluginDir": f"{state}/kubelet/volume-plugins",
        "evictionHard": {"memory.available": "100Mi", "nodefs.available": "1%", "imagefs.available": "1%"},
        "imageGCHighThresholdPercent": 100,
        "maxPods": 200,
    }
    files = {config: json.dumps(settings, indent=1), resolv: f"nameserver {IP}\n"}
    flags = (f"--config={config}", f"--kubeconfig={state}/kubelet.kubeconfig", f"--root-dir={state}/kubelet")
    return Daemon("kubelet", (f"{programs}/kubelet", *flags, f"--hostname-override={NAME}", f"--node-ip={IP}"), files)


def proxy(state: Path, programs: Path) -> Daemon:
    config = state / "kube-proxy.yaml"
    settings = {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "clientConnection": {"kubeconfig": f"{state}/kube-proxy.kubeconfig"},
        "mode": "iptables",
        "clusterCIDR": POD_RANGE,
        "hostnameOverride": NAME,
        "conntrack": {"maxPerCore": 0, "min": 0},
        # Endpoints that change must be in the rules before a terminating pod stops listening.
        "iptables": {"minSyncPeriod": "100ms"},
    }
    return Daemon(
        "kube-proxy", (f"{programs}/kube-proxy", f"--config={config}"), {config: json.dumps(settings, indent=1)}
    )


def coredns(state: Path, programs: Path) -> Daemon:
    config = state / "Corefile"
    text = f"""cluster.local:53 {{
  bind {IP}
  errors
  kubernetes cluster.local {{
    kubeconfig {state}/coredns.kubeconfig
    ttl 5
  }}
  cache 5
}}
"""
    return Daemon("coredns", (f"{programs}/coredns", "-conf", str(config)), {config: text})
