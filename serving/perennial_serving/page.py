"""The page at /docs: the OpenAPI document for people. It needs nothing from elsewhere, and may load nothing."""

import base64
import hashlib
import json
from collections.abc import Iterator
from html import escape
from pathlib import Path
from string import Template
from typing import Any

from perennial.contracts.signature import Input

_TEMPLATE = Template((Path(__file__).parent / "page.html").read_text())
_STYLE = """
:root { color-scheme: light dark; font: 15px/1.5 system-ui, sans-serif; }
body { max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
small, .summary { opacity: .7; font-weight: normal; }
table { border-collapse: collapse; } th, td { text-align: left; padding: .15rem 1.5rem .15rem 0; vertical-align: top; }
pre, textarea { font: 13px/1.45 ui-monospace, monospace; background: #8881; border: 1px solid #8884; }
pre { padding: .6rem; white-space: pre-wrap; overflow-wrap: anywhere; }
textarea, input { box-sizing: border-box; width: 100%; margin: .4rem 0; }
summary { cursor: pointer; } code { font-family: ui-monospace, monospace; }
"""
_SCRIPT = """
const form = document.forms[0], answer = document.getElementById("answer");
const choose = () => { form.body.value = form.path.selectedOptions[0].dataset.example; };
form.path.onchange = choose; choose();
form.onsubmit = async event => {
  event.preventDefault();
  const headers = {"Content-Type": "application/json"};
  if (form.token) headers.Authorization = "Bearer " + form.token.value;
  const reply = await fetch(form.path.value, {method: "POST", headers, body: form.body.value});
  const text = await reply.text();
  answer.hidden = false;
  try { answer.textContent = reply.status + "\\n" + JSON.stringify(JSON.parse(text), null, 2); }
  catch { answer.textContent = reply.status + "\\n" + text; }
};
"""


def _hash(source: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(source.encode()).digest()).decode()}'"


POLICY = (
    f"default-src 'none'; style-src {_hash(_STYLE)}; script-src {_hash(_SCRIPT)}; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""The page's Content-Security-Policy: its own style and script, its own server, nothing else."""


def render(document: dict[str, Any], inputs: tuple[Input, ...]) -> str:
    """The page of ``document`` for a model of ``inputs``."""
    guarded = "securitySchemes" in document["components"]
    return _TEMPLATE.substitute(
        title=escape(document["info"]["title"]),
        version=escape(document["info"]["version"]),
        about=escape(document["info"]["description"]),
        inputs="\n".join(map(_row, inputs)),
        choices="".join(_choices(document)),
        token='<input name="token" type="password" placeholder="Bearer token" autocomplete="off">' if guarded else "",
        routes="\n".join(_routes(document)),
        style=_STYLE,
        script=_SCRIPT,
    )


def _row(item: Input) -> str:
    kind = "category" if item.kind == "Categorical" else "number"
    allowed = ", ".join(item.categories) if item.categories else ""
    cells = (item.name, kind, allowed, "" if item.example is None else str(item.example))
    return "<tr>" + "".join(f"<td>{escape(cell)}" for cell in cells)


def _operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, item in document["paths"].items():
        for method, operation in item.items():
            yield path, method.upper(), operation


def _choices(document: dict[str, Any]) -> Iterator[str]:
    for path, _, operation in _operations(document):
        content = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
        if "example" in content:
            body = escape(json.dumps(content["example"], ensure_ascii=False, indent=1))
            yield f'<option data-example="{body}">{escape(path)}</option>'


def _routes(document: dict[str, Any]) -> Iterator[str]:
    for path, method, operation in _operations(document):
        codes = "".join(
            f"<tr><td>{code}<td>{escape(answer['description'])}"
            for code, answer in sorted(operation["responses"].items())
        )
        samples = "".join(f"<pre>{escape(sample['source'])}</pre>" for sample in operation.get("x-codeSamples", []))
        yield (
            f"<details><summary><code>{method} {escape(path)}</code> "
            f'<span class="summary">{escape(operation["summary"])}</span></summary>'
            f"{samples}<table>{codes}</table></details>"
        )
