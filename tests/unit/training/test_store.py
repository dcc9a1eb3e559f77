"""The store's reader, on files: verified, remembered, and silent about secrets."""

import asyncio
import base64
import threading
from pathlib import Path
from typing import Any

import pytest

from perennial.adapters.store import LARGEST_BYTES, Store, StoreSecretMissing, StoreUnavailable
from perennial.contracts import objects
from perennial.contracts.objects import DigestMismatch, sha256
from perennial.contracts.request import Artifact


class Secrets:
    """Answers for the one Secret; counts how often it is asked."""

    def __init__(self, values: dict[str, str] | None) -> None:
        self.values = values
        self.asked = 0

    async def get(self, *_place: str) -> dict[str, Any] | None:
        self.asked += 1
        if self.values is None:
            return None
        return {"data": {key: base64.b64encode(value.encode("latin-1")).decode() for key, value in self.values.items()}}


def store(values: dict[str, str] | None) -> tuple[Store, Secrets]:
    """A store whose namespace has these credentials."""
    secrets = Secrets(values)
    return Store(secrets, clock=lambda: 1000.0), secrets  # type: ignore[arg-type]


async def test_bytes_are_verified_and_remembered(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"one")
    reader, secrets = store({"PERENNIAL_STORE_ROOT": f"file://{tmp_path}/"})
    artifact = Artifact(f"file://{tmp_path}/a", sha256(b"one"), 3)
    assert await reader.read("ns", artifact) == b"one"
    (tmp_path / "a").unlink()
    assert await reader.read("ns", artifact) == b"one"
    assert secrets.asked == 1
    assert await reader.root("ns") == f"file://{tmp_path}"


async def test_other_bytes_and_no_bytes_are_told_apart(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"two")
    reader, _ = store({"PERENNIAL_STORE_ROOT": f"file://{tmp_path}"})
    with pytest.raises(DigestMismatch):
        await reader.read("ns", Artifact(f"file://{tmp_path}/a", sha256(b"one")))
    with pytest.raises(FileNotFoundError):
        await reader.read("ns", Artifact(f"file://{tmp_path}/b", sha256(b"one")))
    assert await reader.find("ns", f"file://{tmp_path}/b") is None
    assert await reader.find("ns", f"file://{tmp_path}/a") == b"two"


async def test_the_highest_run_is_found_by_its_files(tmp_path: Path) -> None:
    reader, _ = store({"PERENNIAL_STORE_ROOT": f"file://{tmp_path}"})
    assert await reader.highest_run("ns", "heart") == 0
    for run in ("2", "10", "notes"):
        (tmp_path / "ns" / "heart" / run).mkdir(parents=True)
        (tmp_path / "ns" / "heart" / run / "model.onnx").write_bytes(b"")
    (tmp_path / "ns" / "heart-2" / "99").mkdir(parents=True)
    (tmp_path / "ns" / "heart-2" / "99" / "model.onnx").write_bytes(b"")
    assert await reader.highest_run("ns", "heart") == 10


async def test_a_missing_secret_says_what_to_create() -> None:
    reader, _ = store(None)
    with pytest.raises(StoreSecretMissing, match="in namespace ns with the keys PERENNIAL_STORE_ROOT"):
        await reader.root("ns")
    reader, _ = store({"AWS_REGION": "x"})
    with pytest.raises(StoreSecretMissing, match="lacks the key PERENNIAL_STORE_ROOT"):
        await reader.root("ns")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"PERENNIAL_STORE_ROOT": "s3://a", "AWS_REGION": "\xff"}, "its entry AWS_REGION is no text in UTF-8"),
        ({"PERENNIAL_STORE_ROOT": "s3://me:hidden@bucket/a"}, "without a password in it"),
        ({"PERENNIAL_STORE_ROOT": "s3://[bucket"}, "is to be an address such as s3://artifacts"),
    ],
)
async def test_a_secret_that_cannot_be_right_says_what_to_change(values: dict[str, str], message: str) -> None:
    reader, _ = store(values)
    with pytest.raises(StoreSecretMissing) as caught:
        await reader.read("ns", Artifact("s3://a/b", "0" * 64))
    assert message in str(caught.value)
    assert "hidden" not in str(caught.value)


async def test_what_is_larger_than_the_operator_reads_is_not_read(tmp_path: Path) -> None:
    """Whatever size is claimed: another one writes into the store."""
    reader, _ = store({"PERENNIAL_STORE_ROOT": f"file://{tmp_path}"})
    with (tmp_path / "a").open("wb") as file:
        file.truncate(LARGEST_BYTES + 1)
    claimed = Artifact(f"file://{tmp_path}/a", "0" * 64, 5)
    for reading in (reader.read("ns", claimed), reader.find("ns", claimed.uri), reader.find("ns", claimed.uri, 10)):
        with pytest.raises(StoreUnavailable, match=rf"a has {LARGEST_BYTES + 1} bytes; \d+ are read at most"):
            await reading


async def test_a_store_that_never_answers_keeps_no_other_from_being_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "good").write_bytes(b"here")
    answers, read = threading.Event(), objects.read

    def slow(uri: str, *more: Any) -> bytes:
        if uri.endswith("away"):
            answers.wait()
        return read(uri.removesuffix("/away"), *more)

    monkeypatch.setattr(objects, "read", slow)
    monkeypatch.setattr("perennial.adapters.store.TIMEOUT_SECONDS", 0.05)
    reader, _ = store({"PERENNIAL_STORE_ROOT": f"file://{tmp_path}"})
    good = f"file://{tmp_path}/good"
    hung = [reader.find("hangs", f"{good}/away") for _ in range(40)]
    said = await asyncio.gather(*hung, return_exceptions=True)
    assert {type(each) for each in said} == {StoreUnavailable}
    assert await reader.find("works", good) == b"here"
    answers.set()
    monkeypatch.setattr("perennial.adapters.store.TIMEOUT_SECONDS", 20)
    assert await reader.find("hangs", good) == b"here", "it has its turn again once the threads are back"


async def test_a_store_that_is_away_is_named_without_secrets() -> None:
    reader, _ = store({
        "PERENNIAL_STORE_ROOT": "s3://SECRETVALUE", "AWS_ENDPOINT_URL": "http://127.0.0.1:9", "AWS_REGION": "x",
        "AWS_ACCESS_KEY_ID": "AKID", "AWS_SECRET_ACCESS_KEY": "SECRETVALUE", "AWS_ALLOW_HTTP": "true",
    })  # fmt: skip
    with pytest.raises(StoreUnavailable) as caught:
        await reader.read("ns", Artifact("s3://bucket/SECRETVALUE", "0" * 64))
    assert "\n" not in str(caught.value)
    assert "127.0.0.1:9" in str(caught.value)
    assert "bucket/SECRETVALUE" not in str(caught.value)
