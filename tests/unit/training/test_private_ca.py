"""A store whose certificate is by a private authority: named in the Secret, trusted; not named, said so."""

import base64
from pathlib import Path
from typing import Any

import pytest
import trustme

from perennial.adapters.store import Store, StoreUnavailable
from perennial.contracts import objects
from perennial.contracts.request import Artifact
from tests.unit.training.tls_server import https_files


def pem(*authorities: trustme.CA) -> str:
    return "\n".join(each.cert_pem.bytes().decode() for each in authorities)


@pytest.fixture
def ca() -> trustme.CA:
    return trustme.CA()


def test_a_private_authority_is_trusted_beside_others(ca: trustme.CA, tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"one")
    with https_files(tmp_path, ca) as address:
        where = f"{address}/model.onnx"
        assert objects.read(where, {"PERENNIAL_STORE_CA": pem(ca)}) == b"one"
        assert objects.read(where, {"PERENNIAL_STORE_CA": pem(trustme.CA(), ca)}) == b"one"
        s3 = {"AWS_ENDPOINT_URL": address, "AWS_REGION": "x", "AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"}
        for trusted, told in (({}, "refused"), ({"PERENNIAL_STORE_CA": pem(trustme.CA())}, "UnknownIssuer")):
            with pytest.raises(objects.StoreNotTrusted, match=told):
                objects.read(where, trusted)
            with pytest.raises(objects.StoreNotTrusted, match="PERENNIAL_STORE_CA"):
                objects.read("s3://bucket/model.onnx", {**s3, **trusted})


@pytest.mark.parametrize("authority", ["nonsense", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----"])
def test_what_is_no_certificate_is_refused(authority: str) -> None:
    with pytest.raises(ValueError, match="PERENNIAL_STORE_CA is no PEM certificate"):
        objects.read("https://127.0.0.1:1/x", {"PERENNIAL_STORE_CA": authority})


async def test_the_operator_reads_by_the_authority_in_the_secret(ca: trustme.CA, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"one")
    with https_files(tmp_path, ca) as address:
        artifact = Artifact(f"{address}/a", objects.sha256(b"one"), 3)

        def reader(**more: str) -> Store:
            values = {"PERENNIAL_STORE_ROOT": address, **more}
            data = {key: base64.b64encode(value.encode()).decode() for key, value in values.items()}

            class Secrets:
                async def get(self, *_place: str) -> dict[str, Any]:
                    return {"data": data}

            return Store(Secrets())  # type: ignore[arg-type]

        assert await reader(PERENNIAL_STORE_CA=pem(ca)).read("ns", artifact) == b"one"
        with pytest.raises(StoreUnavailable, match=r"the certificate of its server is refused \(UnknownIssuer\)"):
            await reader().read("ns", artifact)
        with pytest.raises(StoreUnavailable, match="PERENNIAL_STORE_CA is no PEM certificate"):
            await reader(PERENNIAL_STORE_CA="x").read("ns", artifact)
