"""The init container at a store whose certificate is by a private authority."""

import json
from pathlib import Path

import trustme

from tests.unit.serving.support import FIXTURE, artifacts, environment, run
from tests.unit.training.tls_server import https_files


def test_it_fetches_by_the_authority_in_the_secret(tmp_path: Path) -> None:
    ca = trustme.CA()
    with https_files(FIXTURE, ca) as address:
        asked = [{**item, "uri": f"{address}/{item['file']}"} for item in artifacts()]
        settings = {"PERENNIAL_ARTIFACTS": json.dumps(asked), "PERENNIAL_MODEL_DIR": str(tmp_path / "model")}
        authority = ca.cert_pem.bytes().decode()
        ran = run("perennial_serving.fetch", environment(tmp_path, **settings, PERENNIAL_STORE_CA=authority))
        assert ran.returncode == 0, ran.stderr
        assert {path.name for path in (tmp_path / "model").iterdir()} == {item["file"] for item in artifacts()}
        settings["PERENNIAL_MODEL_DIR"] = str(tmp_path / "other")
        assert run("perennial_serving.fetch", environment(tmp_path, **settings)).returncode == 1
        told = (tmp_path / "termination-log").read_text()
        assert "the certificate of its server is refused (UnknownIssuer)" in told
        assert "PERENNIAL_STORE_CA" in told
