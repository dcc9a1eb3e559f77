"""The shadow's mirror: what is copied, how answers are compared, and that nobody waits for it."""

import json
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
import trustme
from hypothesis import given
from hypothesis import strategies as st

from perennial_serving.mirror import Allowance
from perennial_serving.mirror_counts import Incomparable, ShadowCounts, exposition
from perennial_serving.model import Prediction
from tests.unit.serving.mounted import client_context, mount, secret
from tests.unit.serving.support import CLIENT, MODEL, PATIENT, Server, named, outputs, samples, serving, total, until

SHADOW = "heart-disease-v2"
REQUESTS, ROWS = "perennial_shadow_requests_total", "perennial_shadow_rows_total"
DIFFERENCE = "perennial_shadow_score_difference"
NUMBER = b"""{"model_name":"","model_version":"","outputs":[
    {"name":"prediction","shape":[1],"datatype":"FP64","data":[150.5]}]}"""
"""A Regression's answer."""


def settings(target: str, share: float = 100, version: str = SHADOW) -> dict[str, bytes]:
    return {"mirror.json": json.dumps({"target": target, "share": share, "version": version}).encode()}


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("keys")
    (folder / "current").write_bytes(b"a key that signs")
    return str(folder)


@pytest.fixture(scope="module")
def shadow(tmp_path_factory: pytest.TempPathFactory, keys: str) -> Iterator[Server]:
    """The other version; it watches the same settings as the stable one."""
    folder = tmp_path_factory.mktemp("shadow")
    watched = folder.parent / "settings"
    mount(watched, {})
    with serving(
        folder, PERENNIAL_VERSION=SHADOW, PERENNIAL_FEEDBACK_KEYS=keys, PERENNIAL_WATCHED_DIR=str(watched)
    ) as server:
        yield server


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.getbasetemp() / "settings"


@pytest.fixture(scope="module")
def stable(tmp_path_factory: pytest.TempPathFactory, shadow: Server, watched: Path, keys: str) -> Iterator[Server]:
    del shadow
    folder = tmp_path_factory.mktemp("stable")
    with serving(folder, PERENNIAL_WATCHED_DIR=str(watched), PERENNIAL_FEEDBACK_KEYS=keys) as server:
        yield server


def told(server: Server, message: str) -> int:
    return server.log.read_text().count(message)


@contextmanager
def mirrored(stable: Server, watched: Path, files: dict[str, bytes]) -> Iterator[None]:
    """The setting in force, and out of force again."""
    on, off = told(stable, "are mirrored to"), told(stable, "the mirror is off")
    mount(watched, files)
    until(lambda: told(stable, "are mirrored to") > on)
    yield
    mount(watched, {})
    until(lambda: told(stable, "the mirror is off") > off)


def counted(server: Server, name: str, **labels: str) -> float:
    found = [
        value for (series, own), value in samples(server.metrics()).items() if series == name and own >= labels.items()
    ]
    return sum(found)


def test_the_share_is_exact_and_the_answers_agree(stable: Server, shadow: Server, watched: Path) -> None:
    before = total(shadow.metrics(), "perennial_requests_total", code="200")
    with mirrored(stable, watched, settings(shadow.url, share=30)):
        compared = counted(stable, REQUESTS, result="compared")
        for _ in range(20):
            assert outputs(stable.infer(named(PATIENT, PATIENT)))["feedback_token"]
        until(lambda: counted(stable, REQUESTS, result="compared") == compared + 6)
    assert total(shadow.metrics(), "perennial_requests_total", code="200") == before + 6
    text = stable.metrics()
    labels = {"deployment": "heart/heart-disease", "version": "heart-disease-v1", "shadow": SHADOW}
    assert total(text, ROWS, result="agree", **labels) == total(text, f"{DIFFERENCE}_count", **labels) == 12
    assert total(text, ROWS, result="differ", **labels) == 0
    assert total(text, f"{DIFFERENCE}_bucket", le="0.001", **labels) == 12
    stable.infer(named(PATIENT))
    assert total(shadow.metrics(), "perennial_requests_total", code="200") == before + 6, "it is off again"


def test_every_way_to_ask_is_mirrored_by_what_it_asks(stable: Server, shadow: Server, watched: Path) -> None:
    ways: list[tuple[str, Any]] = [
        (f"/v2/models/{MODEL}/infer", named(PATIENT)),
        (f"/v2/models/{MODEL}/versions/heart-disease-v1/infer", named(PATIENT)),
        (f"/v2/models/{MODEL}/infer", {**named(PATIENT), "outputs": [{"name": "feedback_token"}]}),
        (f"/v1/models/{MODEL}:predict", {"instances": [PATIENT]}),
    ]
    with mirrored(stable, watched, settings(shadow.url)):
        before, rows = counted(stable, REQUESTS, result="compared"), counted(stable, ROWS, result="agree")
        for path, body in ways:
            assert CLIENT.post(stable.url + path, json=body).status_code == 200
        until(lambda: counted(stable, REQUESTS, result="compared") == before + len(ways))
        assert counted(stable, ROWS, result="agree") == rows + len(ways)
        assert stable.infer({"inputs": []}).status_code == 400
        stable.infer(named(PATIENT))
        until(lambda: counted(stable, REQUESTS, result="compared") == before + len(ways) + 1)
    assert counted(stable, REQUESTS, result="failed") == 0, "what was refused here is not asked there"


def test_a_copy_gets_no_token_and_is_not_copied(stable: Server, shadow: Server, watched: Path) -> None:
    copy = {"x-perennial-shadow": "some-version"}
    with mirrored(stable, watched, settings(shadow.url)):
        before = counted(stable, REQUESTS)
        answered = outputs(CLIENT.post(stable.infer_url, json=named(PATIENT), headers=copy))
        asked = {**named(PATIENT), "outputs": [{"name": "probability"}, {"name": "feedback_token"}]}
        assert outputs(CLIENT.post(stable.infer_url, json=asked, headers=copy)).keys() == {"probability"}
        assert answered.keys() == {"predicted", "probability"}
        assert counted(stable, REQUESTS) == before
        # The shadow watches the same file, which names itself.
        assert shadow.infer(named(PATIENT)).status_code == 200
        assert REQUESTS not in shadow.metrics()


@pytest.mark.parametrize(
    "content",
    [b"{}", b"", b"[1]", *(settings("http://127.0.0.1:1", share=share)["mirror.json"] for share in (0, -1, 101)),
     settings("ftp://shadow")["mirror.json"], settings("http://")["mirror.json"], settings("")["mirror.json"],
     settings("http://127.0.0.1:1", version="")["mirror.json"],
     settings("http://127.0.0.1:1", version="heart-disease-v1")["mirror.json"]],
)  # fmt: skip
async def test_a_setting_that_says_nothing_sensible_is_off(content: bytes, tmp_path: Path) -> None:
    mirror = _mirror(mount(tmp_path / "settings", {"mirror.json": content}))
    mirror.look()
    assert mirror.stream is None


async def test_a_new_setting_replaces_the_old_one(tmp_path: Path) -> None:
    folder = mount(tmp_path / "settings", settings("http://127.0.0.1:1"))
    mirror = _mirror(folder)
    mirror.look()
    first = mirror.stream
    mirror.look()
    assert mirror.stream is first is not None
    mount(folder, settings("http://127.0.0.1:1", version="heart-disease-v3"))
    mirror.look()
    assert mirror.stream not in {None, first}
    for number in range(4, 20):
        mount(folder, settings("http://127.0.0.1:1", version=f"heart-disease-v{number}"))
        mirror.look()
    shadows = {dict(labels)["shadow"] for _, labels in samples(mirror.render(scraper=False).decode())}
    assert shadows == {f"heart-disease-v{number}" for number in range(16, 20)}, "a pod's series are bounded"
    mount(folder, {})
    mirror.look()
    assert mirror.stream is None


@pytest.mark.parametrize(("revision", "on"), [("abc", False), ("def", True)])
async def test_two_configurations_of_one_version_are_told_apart(revision: str, on: bool, tmp_path: Path) -> None:
    setting = {"target": "http://127.0.0.1:1", "share": 5, "version": "heart-disease-v1", "revision": revision}
    folder = mount(tmp_path / "settings", {"mirror.json": json.dumps(setting).encode()})
    mirror = _mirror(folder, revision="abc")
    mirror.look()
    assert (mirror.stream is not None) is on


def _mirror(folder: Path, revision: str = "") -> Any:
    from perennial_serving.mirror import Mirror
    from perennial_serving.settings import Settings

    return Mirror(
        settings=Settings(
            artifacts=(),
            model=MODEL,
            version="heart-disease-v1",
            revision=revision,
            deployment="heart/x",
            watched_dir=str(folder),
        ),
        classes=("0", "1"),
        tls=None,
    )


class Target:
    """Something else than a predictor to mirror to. ``answer`` writes an answer; ``seen`` are the copies' headers."""

    def __init__(self, answer: Any) -> None:
        self.seen: list[dict[str, str]] = []
        target = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                target.seen.append({name.lower(): value for name, value in self.headers.items()})
                answer(self, body)

            def log_message(self, *_: object) -> None: ...

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"


@contextmanager
def target(answer: Any) -> Iterator[Target]:
    made = Target(answer)
    thread = threading.Thread(target=made.server.serve_forever, args=(0.01,))
    thread.start()
    yield made
    made.server.shutdown()
    thread.join()
    made.server.server_close()


def reply(handler: BaseHTTPRequestHandler, body: bytes, status: int = 200) -> None:
    handler.send_response(status)
    handler.send_header("content-length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body)


def other_version(handler: BaseHTTPRequestHandler, _: bytes) -> None:
    """Another class, 0.3 beside the fixture's probability for this patient."""
    answer = {
        "model_name": MODEL, "model_version": SHADOW,
        "outputs": [
            {"name": "predicted", "shape": [1], "datatype": "BYTES", "data": ["1"]},
            {"name": "probability", "shape": [1], "datatype": "FP64", "data": [0.3723 + 0.3]},
        ],
    }  # fmt: skip
    reply(handler, json.dumps(answer).encode())


def test_differences_are_counted(stable: Server, watched: Path) -> None:
    with target(other_version) as other, mirrored(stable, watched, settings(other.url, version="another")):
        headers = {"authorization": "Bearer of-the-caller"}
        CLIENT.post(stable.infer_url, json=named(PATIENT), headers=headers)
        until(lambda: counted(stable, ROWS, shadow="another", result="differ") == 1)
        text = stable.metrics()
        assert total(text, f"{DIFFERENCE}_bucket", shadow="another", le="0.2") == 0
        assert total(text, f"{DIFFERENCE}_bucket", shadow="another", le="0.5") == 1
        assert total(text, f"{DIFFERENCE}_sum", shadow="another") == pytest.approx(0.3, abs=1e-3)
        assert other.seen[0]["x-perennial-shadow"] == "heart-disease-v1"
        assert other.seen[0]["authorization"] == "Bearer of-the-caller"


def _closes(handler: BaseHTTPRequestHandler, _: bytes) -> None:
    handler.close_connection = True


def _nonsense(handler: BaseHTTPRequestHandler, _: bytes) -> None:
    handler.wfile.write(b"this is no HTTP\r\n\r\n")
    handler.close_connection = True


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (lambda handler, _: reply(handler, b'{"error": "x"}', 400), "it answered 400"),
        (lambda handler, _: reply(handler, b"{}"), "cannot be compared"),
        (lambda handler, _: reply(handler, b'{"model_name":"","model_version":"","outputs":[]}'), "cannot be compared"),
        (lambda handler, _: reply(handler, NUMBER), "cannot be compared"),
        (_closes, "the connection was closed"),
        (_nonsense, "no HTTP answer"),
    ],
)
def test_a_target_that_fails_is_counted_and_told_once(answer: Any, why: str, stable: Server, watched: Path) -> None:
    with target(answer) as other, mirrored(stable, watched, settings(other.url, version="failing")):
        before, messages = counted(stable, REQUESTS, shadow="failing", result="failed"), told(stable, why)
        for _ in range(5):
            assert stable.infer(named(PATIENT)).status_code == 200
        until(lambda: counted(stable, REQUESTS, shadow="failing", result="failed") == before + 5)
        assert told(stable, why) == messages + 1


def test_a_connection_that_its_server_has_closed_is_made_anew(stable: Server, watched: Path) -> None:
    def once(handler: BaseHTTPRequestHandler, body: bytes) -> None:
        # Says that the connection stays, and closes it.
        other_version(handler, body)
        handler.close_connection = True

    with target(once) as other, mirrored(stable, watched, settings(other.url, version="closing")):
        for number in range(1, 6):
            assert stable.infer(named(PATIENT)).status_code == 200
            until(lambda told=number: counted(stable, REQUESTS, shadow="closing", result="compared") == told)
        assert counted(stable, REQUESTS, shadow="closing", result="failed") == 0


def test_nobody_waits_for_a_target_that_hangs(stable: Server, watched: Path) -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=16) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with mirrored(stable, watched, settings(url, version="hanging")):
            began = time.monotonic()
            assert Counter(stable.infer(named(PATIENT)).status_code for _ in range(150)) == {200: 150}
            assert (
                counted(stable, REQUESTS, shadow="hanging", result="dropped") >= 150 - 64 - 8
                or time.monotonic() - began > 2
            )
            until(lambda: counted(stable, REQUESTS, shadow="hanging", result="failed") >= 4)
    # Every copy came to some end.
    assert counted(stable, REQUESTS, shadow="hanging") == 150


def test_what_is_large_is_not_copied(stable: Server, shadow: Server, watched: Path) -> None:
    with mirrored(stable, watched, settings(shadow.url)):
        dropped, compared = (counted(stable, REQUESTS, result=result) for result in ("dropped", "compared"))
        for body in (named(*[PATIENT] * 8000), named(PATIENT) | {"id": "x" * 300_000}):
            assert len(answered := stable.infer(body).request.content) > 256 * 1024, len(answered)
        assert counted(stable, REQUESTS, result="dropped") == dropped + 2
        stable.infer(named(PATIENT))
        until(lambda: counted(stable, REQUESTS, result="compared") == compared + 1)


async def test_what_waits_is_bounded_in_bytes(tmp_path: Path) -> None:
    mirror = _mirror(mount(tmp_path / "settings", settings("http://127.0.0.1:1")))
    mirror.look()
    stream, body = mirror.stream, b" " * 200 * 1024
    for _ in range(12):
        stream.offer(body, Prediction([0], [0.1], [0.1]), (), len(body))
    stream.offer(b"", Prediction([0], [0.1], [0.1]), (), 200)
    text = mirror.render(scraper=False).decode()
    assert total(text, REQUESTS, result="dropped") == 12 - 5
    stream.stop()
    assert total(mirror.render(scraper=False).decode(), REQUESTS, result="dropped") == 13


def test_what_is_in_the_queue_is_sent_before_it_leaves(tmp_path: Path) -> None:
    release = threading.Event()

    def slow(handler: BaseHTTPRequestHandler, body: bytes) -> None:
        release.wait(10)
        other_version(handler, body)

    folder = tmp_path / "settings"
    with target(slow) as other:
        mount(folder, settings(other.url))
        with serving(tmp_path, PERENNIAL_WATCHED_DIR=str(folder), PERENNIAL_DRAIN_SECONDS="0.1") as server:
            until(lambda: told(server, "are mirrored to"))
            for _ in range(10):
                assert server.infer(named(PATIENT)).status_code == 200
            server.terminate()
            until(lambda: told(server, "leaving"))
            release.set()
            assert server.process.wait(10) == 0
        assert len(other.seen) == 10


@given(
    st.lists(st.tuples(st.floats(0, 0.01), st.floats(0, 0.002)), max_size=200),
    st.floats(0.01, 0.5),
    st.floats(1e-4, 0.01),
)
def test_copies_take_no_more_than_their_part_of_the_time(
    course: list[tuple[float, float]], part: float, ahead: float
) -> None:
    allowance, now, spent, dearest = Allowance(part, ahead, 0.0), 0.0, 0.0, 0.0
    for passed, cost in course:
        now += passed
        if allowance.has(now):
            allowance.spend(cost)
            spent, dearest = spent + cost, max(dearest, cost)
    assert spent <= part * now + ahead + dearest + 1e-9


def test_prometheus_sees_every_series_at_0_first() -> None:
    counts = ShadowCounts()
    counts.requests["compared"] = 3
    counts.shown = False

    def value(*, scraper: bool) -> float:
        text = exposition({"version": "v1"}, {"v2": counts}, scraper=scraper).decode()
        return total(text, REQUESTS, result="compared", shadow="v2", version="v1")

    assert [value(scraper=False), value(scraper=True), value(scraper=True)] == [3, 0, 3]


@pytest.mark.parametrize(
    "columns",
    [
        {},
        {"predicted": ["0"]},
        {"predicted": ["0"], "probability": [0.1]},
        {"predicted": ["0", "1"], "probability": ["a", "b"]},
    ],
)
def test_answers_about_other_rows_are_not_compared(columns: dict[str, Any]) -> None:
    counts = ShadowCounts()
    tensors = [{"name": name, "shape": [2], "datatype": "X", "data": data} for name, data in columns.items()]
    answer = json.dumps({"model_name": "", "model_version": "", "outputs": tensors}).encode()
    with pytest.raises(Incomparable):
        counts.compare(["0", "1"], [0.1, 0.2], answer)
    assert sum(counts.rows.values()) == sum(counts.differences) == 0


@pytest.mark.parametrize("client_auth", ["None", "Required"])
def test_the_deployments_own_certificate_is_known_and_its_renewal(client_auth: str, tmp_path: Path) -> None:
    ca = trustme.CA()
    another = ca if client_auth == "Required" else trustme.CA()
    tls, watched, other = mount(tmp_path / "tls", secret(ca, ca)), tmp_path / "settings", tmp_path / "other"
    other.mkdir()
    protected = {
        "PERENNIAL_TLS_DIR": str(tls),
        "PERENNIAL_TLS_CLIENT_AUTH": client_auth,
        "PERENNIAL_CONNECTION_MAX_AGE": "0.001",
    }
    with serving(other, PERENNIAL_VERSION=SHADOW, **protected) as shadow:
        # The certificate names 127.0.0.1 alone.
        mount(watched, settings(f"https://localhost:{shadow.port}"))
        with serving(tmp_path, PERENNIAL_WATCHED_DIR=str(watched), **protected) as server:
            until(lambda: told(server, "are mirrored to"))
            url = server.infer_url.replace("http:", "https:")
            assert httpx.post(url, json=named(PATIENT), verify=client_context(ca, ca)).status_code == 200
            until(lambda: counted(server, REQUESTS, result="compared") == 1)
            mount(tls, secret(another, ca))
            until(lambda: all(told(each, "a renewed certificate is in use") for each in (server, shadow)))
            assert httpx.post(url, json=named(PATIENT), verify=client_context(another, ca)).status_code == 200
            until(lambda: counted(server, REQUESTS, result="compared") == 2)
            assert counted(server, REQUESTS, result="failed") == 0
