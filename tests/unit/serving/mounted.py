"""Folders as the kubelet mounts Secrets and ConfigMaps, and certificates to put into them."""

import itertools
import shutil
import ssl
from pathlib import Path

import trustme

_ages = itertools.count()


def mount(folder: Path, files: dict[str, bytes]) -> Path:
    """Puts ``files`` in place of what is mounted at ``folder``: a new folder, to which the link ``..data`` is moved."""
    folder.mkdir(exist_ok=True)
    new = folder / f"..age{next(_ages)}"
    new.mkdir()
    for name, content in files.items():
        (new / name).write_bytes(content)
    data = folder / "..data"
    old = data.resolve() if data.is_symlink() else None
    (folder / "..data_tmp").symlink_to(new.name)
    (folder / "..data_tmp").rename(data)
    for name in files:
        if not (folder / name).is_symlink():
            (folder / name).symlink_to(f"..data/{name}")
    for path in folder.iterdir():
        if not path.name.startswith("..") and path.name not in files:
            path.unlink()
    if old is not None:
        shutil.rmtree(old)
    return folder


def secret(ca: trustme.CA, clients: trustme.CA | None = None) -> dict[str, bytes]:
    """A TLS Secret's entries: a certificate by ``ca``, and the authority of the clients."""
    pair = ca.issue_cert("predictor", "127.0.0.1")
    files = {
        "tls.crt": b"".join(blob.bytes() for blob in pair.cert_chain_pems),
        "tls.key": pair.private_key_pem.bytes(),
    }
    return files | ({"ca.crt": clients.cert_pem.bytes()} if clients else {})


def client_context(ca: trustme.CA, own: trustme.CA | None = None) -> ssl.SSLContext:
    """A client that trusts ``ca`` alone, with a certificate by ``own``."""
    context = ssl.create_default_context(cadata=ca.cert_pem.bytes().decode())
    if own:
        own.issue_cert("caller").configure_cert(context)
    return context
