"""The page at /docs: the OpenAPI document for people. It needs nothing from elsewhere, and may load nothing."""

import base64
import hashlib
import json
from collections.abc import Iterator
from html import escape
from pathlib import Path
from string import Template
from typing import Any

from starlette.responses import HTMLResponse

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
# Each in a block: the second page is written into the document of the first.
_SCRIPT = """
{
const form = document.forms[0], answer = document.getElementById("answer"), link = document.querySelector("a");
const token = () => form.token ? {Authorization: "Bearer " + form.token.value} : {};
const show = async reply => {
  const text = await reply.text();
  answer.hidden = false;
  try { answer.textContent = reply.status + "\\n" + JSON.stringify(JSON.parse(text), null, 2); }
  catch { answer.textContent = reply.status + "\\n" + text; }
};
const choose = () => { form.body.value = form.path.selectedOptions[0].dataset.example; };
form.path.onchange = choose; choose();
form.onsubmit = async event => {
  event.preventDefault();
  const headers = {"Content-Type": "application/json", ...token()};
  show(await fetch(form.path.value, {method: "POST", headers, body: form.body.value}));
};
if (form.token) link.onclick = async event => {
  event.preventDefault();
  show(await fetch(link.href, {headers: token()}));
};
}
"""
_DOOR_SCRIPT = """
{
const form = document.forms[0], answer = document.getElementById("answer");
form.onsubmit = async event => {
  event.preventDefault();
  const token = form.token.value;
  const reply = await fetch(location.href, {headers: {Authorization: "Bearer " + token}});
  const text = await reply.text();
  if (!reply.ok) { answer.hidden = false; answer.textContent = reply.status + "\\n" + text; return; }
  document.open(); document.write(text); document.close();
  document.forms[0].token.value = token;
};
}
"""
_ASKED = '<input name="token" type="password" placeholder="Bearer token" autocomplete="off">'
_DOOR = f"""<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>A token is needed</title>
<style>{_STYLE}</style>
<h1>A token is needed</h1>
<p>What is served here is shown to those who may use it. The token stays in this page.
<form>{_ASKED}<button>Show the documentation</button></form>
<pre id="answer" hidden></pre>
<script>{_DOOR_SCRIPT}</script>
"""


def _hash(source: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(source.encode()).digest()).decode()}'"


POLICY = (
    f"default-src 'none'; style-src {_hash(_STYLE)}; script-src {_hash(_SCRIPT)} {_hash(_DOOR_SCRIPT)}; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""The pages' Content-Security-Policy: their own style and scripts, their own server, nothing else."""


def door() -> HTMLResponse:
    """The page that asks for the token which the other one is fetched by; it says nothing of what is served."""
    return _html(_DOOR)


def _html(text: str) -> HTMLResponse:
    return HTMLResponse(text, headers={"content-security-policy": POLICY, "cache-control": "no-store"})


def page(document: dict[str, Any], inputs: tuple[Input, ...]) -> HTMLResponse:
    """The page of ``document`` for a model of ``inputs``."""
    guarded = "securitySchemes" in document["components"]
    text = _TEMPLATE.substitute(
        title=escape(document["info"]["title"]),
        version=escape(document["info"]["version"]),
        about=escape(document["info"]["description"]),
        inputs="\n".join(map(_row, inputs)),
        choices="".join(_choices(document)),
        token=_ASKED if guarded else "",
        routes="\n".join(_routes(document)),
        style=_STYLE,
        script=_SCRIPT,
    )
    return _html(text)


def _row(item: Input) -> str:
    kind = {"Categorical": "category", "Datetime": "date", "Text": "text"}.get(item.kind, "number")
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
