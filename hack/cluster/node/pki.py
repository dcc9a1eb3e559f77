"""The cluster's certificates and kubeconfigs, made once by openssl."""

import base64
import contextlib
import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
DAYS = "365"


def _openssl(folder: Path, *arguments: str) -> None:
    subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)


def _certificate(folder: Path, name: str, subject: str, names: str) -> None:
    _openssl(folder, "req", *KEY, "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", subject)
    (folder / f"{name}.ext").write_text(f"subjectAltName={names}\nextendedKeyUsage=serverAuth,clientAuth\n")
    signing = ("-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial", "-days", DAYS, "-extfile", f"{name}.ext")
    _openssl(folder, "x509", "-req", "-in", f"{name}.csr", "-out", f"{name}.crt", *signing)


@contextlib.contextmanager
def _made_whole(target: Path, authority: str) -> Iterator[Path]:
    """A new folder with an authority in it, put in place at the end: a kill leaves no half of it."""
    part = target.with_name(f".{target.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(mode=0o700, parents=True)
    _openssl(
        part, "req", "-x509", *KEY, "-keyout", "ca.key", "-out", "ca.crt", "-days", DAYS, "-subj", f"/CN={authority}"
    )
    yield part
    part.rename(target)


def create(target: Path, *, node: str, node_ip: str, service_ip: str) -> None:
    """Makes the cluster's authority and all its certificates, unless they are there."""
    if target.exists():
        return
    with _made_whole(target, "perennial-node-ca") as part:
        server = "DNS:localhost,DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc,IP:127.0.0.1"
        _certificate(part, "apiserver", "/CN=kube-apiserver", f"{server},IP:{service_ip},IP:{node_ip}")
        _certificate(part, "kubelet", f"/O=system:nodes/CN=system:node:{node}", f"DNS:{node},IP:{node_ip}")
        for client in ("apiserver-kubelet", "admin"):
            _certificate(part, client, f"/O=system:masters/CN={client}", f"DNS:{client}")
        for client in ("kube-controller-manager", "kube-scheduler", "kube-proxy", "coredns"):
            _certificate(part, client, f"/CN=system:{client}", f"DNS:{client}")
        _openssl(part, "genrsa", "-out", "sa.key", "2048")
        _openssl(part, "rsa", "-in", "sa.key", "-pubout", "-out", "sa.pub")


def create_front_proxy(target: Path) -> None:
    """Makes what the API server shows to API servers behind it, unless it is there. The authority is another than the
    cluster's: whoever has a certificate of it is believed when it says on whose behalf it asks."""
    if target.exists():
        return
    with _made_whole(target, "perennial-front-proxy-ca") as part:
        _certificate(part, "client", "/CN=front-proxy-client", "DNS:front-proxy-client")


def kubeconfig(pki: Path, user: str, server: str) -> str:
    """A kubeconfig (JSON is YAML) with the user's certificate in it."""

    def embedded(name: str) -> str:
        return base64.b64encode((pki / name).read_bytes()).decode()

    name = "perennial"
    cluster = {"server": server, "certificate-authority-data": embedded("ca.crt")}
    proof = {"client-certificate-data": embedded(f"{user}.crt"), "client-key-data": embedded(f"{user}.key")}
    return json.dumps(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": name, "cluster": cluster}],
            "users": [{"name": user, "user": proof}],
            "contexts": [{"name": name, "context": {"cluster": name, "user": user}}],
            "current-context": name,
        },
        indent=1,
    )
