"""The OpenAPI document: what it says is so, and the commands in it work."""

import base64
import hashlib
import json
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from perennial_serving.model import Model
from tests.unit.serving.support import CLIENT, MODEL, PATIENT, VERSION, Server, serving

FEW = settings(max_examples=12, deadline=None, database=None, suppress_health_check=list(HealthCheck))


@pytest.fixture(scope="session")
def document(server: Server) -> dict[str, Any]:
    found: dict[str, Any] = CLIENT.get(f"{server.url}/openapi.json").raise_for_status().json()
    return found


@pytest.mark.parametrize(
    ("operations", "which", "unchecked"),
    [
        # The routes of the version are the same ones.
        (12, ["--exclude-path-regex", "/versions/|/infer$|:predict$"], ""),
        # A category has more spellings than the document names: 1, 1.0, true and " 1 " are "1".
        (1, ["--include-path-regex", ":predict$"], "negative_data_rejection"),
        # Nor can a schema say that all columns are of one length, and what bytes are tensors.
        (
            1,
            ["--include-path-regex", f"/models/{MODEL}/infer$"],
            "negative_data_rejection,positive_data_acceptance",
        ),
    ],
)
def test_whatever_is_asked_the_answer_is_as_documented(
    server: Server, tmp_path: Path, operations: int, which: list[str], unchecked: str
) -> None:
    """By schemathesis. Which predictions are taken and which are not, as far as it cannot know, is tested below."""
    command = [Path(sys.executable).parent / "schemathesis", "run", f"{server.url}/openapi.json", *which]
    command += ["--phases", "coverage,examples,fuzzing", "--max-examples", "10", "--generation-deterministic"]
    command += ["--no-color", *(["--exclude-checks", unchecked] if unchecked else [])]
    ended = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=280, check=False)
    assert ended.returncode == 0, ended.stdout
    assert f"Tested: {operations}" in ended.stdout


def schema(document: dict[str, Any], name: str) -> Any:
    """A validator of the component ``name``."""
    return jsonschema_rs.validator_for(
        {"$ref": f"#/components/schemas/{name}", "components": document["components"]}
    )  # fmt: skip


def values(model: Model) -> st.SearchStrategy[list[Any]]:
    """Rows that the signature allows."""
    numbers = st.one_of(st.none(), st.integers(-(10**6), 10**6), st.floats(-1e6, 1e6))
    return st.tuples(
        *(
            st.sampled_from([*item.categories, None]) if item.kind == "Categorical" else numbers
            for item in model.signature.inputs
        )
    ).map(list)


@FEW
@given(st.data())
def test_whatever_the_signature_allows_is_documented_and_scored(
    server: Server, model: Model, document: dict[str, Any], data: st.DataObject
) -> None:
    rows = data.draw(st.lists(values(model), min_size=1, max_size=5))
    names = [item.name for item in model.signature.inputs]
    columns = [
        {
            "name": name,
            "shape": [len(rows)],
            "datatype": "BYTES" if isinstance(PATIENT[name], str) else "FP64",
            "data": row,
        }
        for name, row in zip(names, (list(column) for column in zip(*rows, strict=True)), strict=True)
    ]
    objects = [dict(zip(names, row, strict=True)) for row in rows]
    for path, body, asked, answered in (
        (f"/v2/models/{MODEL}/infer", {"inputs": columns}, "Inference", "Prediction"),
        (f"/v1/models/{MODEL}:predict", {"instances": objects}, "Instances", "Predictions"),
        (f"/v1/models/{MODEL}:predict", {"instances": rows}, "Instances", "Predictions"),
    ):
        schema(document, asked).validate(body)
        response = CLIENT.post(server.url + path, json=body)
        assert response.status_code == 200, response.text
        schema(document, answered).validate(response.json())


@pytest.mark.parametrize(
    "change",
    [
        {"data": ["old"]},
        {"data": []},
        {"datatype": "BYTES"},
        {"shape": [0]},
        {"name": "years"},
    ],
)
def test_what_is_not_documented_is_refused(server: Server, document: dict[str, Any], change: dict[str, Any]) -> None:
    path = f"/v2/models/{MODEL}/infer"
    body = document["paths"][path]["post"]["requestBody"]["content"]["application/json"]["example"]
    broken = {"inputs": [body["inputs"][0] | change, *body["inputs"][1:]]}
    assert not schema(document, "Inference").is_valid(broken)
    assert CLIENT.post(server.url + path, json=broken).status_code == 400


def test_names_and_categories_are_the_signatures(document: dict[str, Any]) -> None:
    row = document["components"]["schemas"]["Instances"]["properties"]["instances"]["anyOf"][0]["items"]
    assert list(row["properties"]) == row["required"] == list(PATIENT)
    assert row["properties"]["cp"] == {"enum": ["1", "2", "3", "4", None]}
    assert row["properties"]["age"]["type"] == ["number", "null"]
    assert (document["info"]["title"], document["info"]["version"]) == (MODEL, VERSION)


def commands(document: dict[str, Any]) -> list[str]:
    return [
        sample["source"]
        for item in document["paths"].values()
        for operation in item.values()
        for sample in operation.get("x-codeSamples", [])
        if "feedback" not in sample["source"]
    ]


def test_its_commands_work_as_they_are_pasted(document: dict[str, Any]) -> None:
    assert len(commands(document)) == 3
    for command in commands(document):
        ended = subprocess.run(["bash", "-c", command], capture_output=True, check=True, timeout=20)
        answer = json.loads(ended.stdout)
        assert answer.get("model_name") == MODEL or answer["predictions"][0]["predicted"] in {"0", "1"}


class _Page(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.links, self.text = list[str](), ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.links += [value or "" for name, value in attrs if name in {"src", "href"}]

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_page_shows_it_and_loads_nothing(server: Server, document: dict[str, Any]) -> None:
    response = CLIENT.get(f"{server.url}/docs", headers={"Host": '"><script>evil()</script>'})
    assert "default-src 'none'" in response.headers["content-security-policy"]
    assert "<script>evil" not in response.text
    page = _Page()
    page.feed(CLIENT.get(f"{server.url}/docs").text)
    assert page.links == ["openapi.json"]
    for shown in (*PATIENT, *document["paths"], *commands(document)):
        assert shown in page.text


def test_a_protected_predictor_says_so(tmp_path: Path) -> None:
    (tmp_path / "clinic").write_text("a token")
    with serving(tmp_path, PERENNIAL_BEARER_DIR=str(tmp_path)) as server:
        token = {"Authorization": "Bearer a token"}
        assert CLIENT.get(f"{server.url}/openapi.json").status_code == 401
        found = CLIENT.get(f"{server.url}/openapi.json", headers=token).json()
        infer = found["paths"][f"/v2/models/{MODEL}/infer"]["post"]
        assert infer["security"] == [{"bearer": []}]
        assert "401" in infer["responses"]
        assert found["paths"]["/v2/health/ready"]["get"]["security"] == []
        for command in commands(found):
            bash = ["bash", "-c", f"TOKEN='a token'; {command}"]
            assert b"probability" in subprocess.run(bash, capture_output=True, check=True, timeout=20).stdout
        page = CLIENT.get(f"{server.url}/docs", headers=token).text
        assert 'type="password"' in page
        assert all(feature in page for feature in PATIENT)


def test_a_browser_is_asked_for_the_token_and_told_nothing_before(tmp_path: Path) -> None:
    (tmp_path / "clinic").write_text("a token")
    with serving(tmp_path, PERENNIAL_BEARER_DIR=str(tmp_path)) as server:
        door = CLIENT.get(f"{server.url}/docs")
        assert (door.status_code, door.headers["content-type"]) == (200, "text/html; charset=utf-8")
        assert 'type="password"' in door.text
        assert not [told for told in (MODEL, VERSION, "trestbps", "predict") if told in door.text.lower()]
        for source in re.findall(r"<(?:style|script)>(.*?)</", door.text, re.DOTALL):
            hashed = base64.b64encode(hashlib.sha256(source.encode()).digest()).decode()
            assert f"'sha256-{hashed}'" in door.headers["content-security-policy"]
        wrong = CLIENT.get(f"{server.url}/docs", headers={"Authorization": "Bearer another"})
        assert wrong.status_code == 401
        assert CLIENT.post(f"{server.url}/docs").status_code == 401
        assert CLIENT.get(f"{server.url}/openapi.json").status_code == 401


@pytest.mark.parametrize(
    ("forwarded", "scheme"), [("https", "https"), ("https, http", "https"), ("", "http"), ("javascript", "http")]
)
def test_its_commands_have_the_scheme_that_the_caller_used(server: Server, forwarded: str, scheme: str) -> None:
    headers = {"Host": "models.example.com", **({"X-Forwarded-Proto": forwarded} if forwarded else {})}
    found = CLIENT.get(f"{server.url}/openapi.json", headers=headers).json()
    assert all(f"{scheme}://models.example.com/v" in command for command in commands(found))
