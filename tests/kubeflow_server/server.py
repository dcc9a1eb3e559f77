"""``python -m tests.kubeflow_server.server``: prints its port, and serves until its standard input ends.

Runs do what they are told by ``/control``: nothing executes them. What breaks the contract is answered with 400 and
told under ``/control``, where a test looks at its end.
"""

import json
import sys
import threading
import time
import uuid
from collections import Counter
from datetime import UTC, datetime
from email import message_from_bytes
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from tests.kubeflow_server.contract import Violation, check, check_query, find, routes

Json = dict[str, Any]
INVALID, NOT_FOUND, EXISTS, UNAUTHENTICATED, FORBIDDEN = (3, 400), (5, 404), (6, 409), (16, 401), (7, 403)
ENDED = {"SUCCEEDED", "SKIPPED", "FAILED", "CANCELED"}


class Refusal(Exception):
    """What the API answers with an error."""

    def __init__(self, kind: tuple[int, int], message: str) -> None:
        super().__init__(message)
        self.code, self.status = kind


class State:
    """All that the server holds. ``old``: it behaves as 2.0.5 where that differs from 2.17."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.reset({})

    def reset(self, given: Json) -> None:
        """Forgets everything; ``given`` may name a ``token`` that is asked for, ``prefix``, ``multi_user``, ``old``."""
        self.experiments: dict[str, Json] = {}
        self.pipelines: dict[str, Json] = {}
        self.versions: dict[str, Json] = {}
        self.runs: dict[str, Json] = {}
        self.faults: list[Json] = []
        self.calls: Counter[str] = Counter()
        self.filtered: Counter[str] = Counter()
        self.violations: list[str] = []
        self.token: str = given.get("token", "")
        self.prefix: str = given.get("prefix", "")
        self.multi_user: bool = given.get("multi_user", False)
        self.old: bool = given.get("old", False)

    # --- what the API does ------------------------------------------------------------------------------------------

    def listed(self, kind: str, found: list[Json], query: dict[str, str]) -> Json:
        """A page of what the filter lets through."""
        for predicate in json.loads(query.get("filter") or "{}").get("predicates", ()):
            key, wanted = predicate["key"], predicate.get("string_values", {}).get("values")
            wanted = set(wanted if predicate["operation"] == "IN" else [predicate.get("string_value")])
            self.filtered[f"{kind} by {key}"] += 1
            found = [each for each in found if each.get(key) in wanted]
        size, start = int(query.get("page_size") or 20), int(query.get("page_token") or 0)
        page: Json = {kind: found[start : start + size], "total_size": len(found)}
        if start + size < len(found):
            page["next_page_token"] = str(start + size)
        return page

    def experiments_in(self, query: dict[str, str]) -> Json:
        if self.multi_user and not query.get("namespace"):
            raise Refusal(INVALID, "In multi-user mode, ListExperiments must filter by namespace")
        found = [each for each in self.experiments.values() if each["namespace"] == query.get("namespace", "")]
        return self.listed("experiments", found, query)

    def new_experiment(self, body: Json) -> Json:
        namespace, name = body.get("namespace", ""), body["display_name"]
        if any((each["display_name"], each["namespace"]) == (name, namespace) for each in self.experiments.values()):
            raise Refusal(EXISTS, f"Already exist error: Failed to create experiment {name}")
        made = {**body, "namespace": namespace, "experiment_id": str(uuid.uuid4()), "created_at": now()}
        self.experiments[made["experiment_id"]] = made
        return made

    def pipelines_in(self, query: dict[str, str]) -> Json:
        found = [each for each in self.pipelines.values() if each["namespace"] == query.get("namespace", "")]
        return self.listed("pipelines", found, query)

    def new_pipeline(self, body: Json) -> Json:
        namespace, name = body.get("namespace", ""), body["display_name"]
        if any((each["display_name"], each["namespace"]) == (name, namespace) for each in self.pipelines.values()):
            raise Refusal(EXISTS, f"Already exist error: The name {name} already exist")
        made = {**body, "name": name, "namespace": namespace, "pipeline_id": str(uuid.uuid4()), "created_at": now()}
        self.pipelines[made["pipeline_id"]] = made
        return made

    def versions_of(self, pipeline: str, query: dict[str, str]) -> Json:
        if pipeline not in self.pipelines:
            raise Refusal(NOT_FOUND, f"Pipeline {pipeline} not found")
        found = [each for each in self.versions.values() if each["pipeline_id"] == pipeline]
        return self.listed("pipeline_versions", found, query)

    def new_version(self, query: dict[str, str], content: bytes) -> Json:
        pipeline, name = query.get("pipelineid", ""), query.get("name", "")
        if pipeline not in self.pipelines or not content:
            raise Refusal(INVALID, "Failed to create a pipeline version")
        if any(each["pipeline_id"] == pipeline and each["name"] == name for each in self.versions.values()):
            raise Refusal(EXISTS, f"Already exist error: version {name}")
        made = {
            "pipeline_id": pipeline, "pipeline_version_id": str(uuid.uuid4()), "display_name": name, "name": name,
            "created_at": now(),
        }  # fmt: skip
        self.versions[made["pipeline_version_id"]] = made
        return made

    def runs_in(self, query: dict[str, str]) -> Json:
        if self.multi_user and not query.get("namespace"):
            raise Refusal(INVALID, "In multi-user mode, ListRuns must filter by namespace or experiment")
        where = {key: each["namespace"] for key, each in self.experiments.items()}
        found = [
            each for each in self.runs.values() if where.get(each["experiment_id"], "") == query.get("namespace", "")
        ]
        return self.listed("runs", found, query)

    def new_run(self, body: Json) -> Json:
        reference = body.get("pipeline_version_reference", {})
        if reference.get("pipeline_version_id") not in self.versions:
            raise Refusal(NOT_FOUND, "Failed to fetch a pipeline version: ResourceNotFoundError: PipelineVersion")
        if body.get("experiment_id") not in self.experiments:
            raise Refusal(NOT_FOUND, "Failed to find the experiment")
        made = {
            **body, "run_id": str(uuid.uuid4()), "state": "PENDING", "storage_state": "AVAILABLE", "created_at": now(),
            "scheduled_at": now(), "finished_at": "1970-01-01T00:00:00Z",
            "state_history": [{"update_time": now(), "state": "PENDING"}],
        }  # fmt: skip
        self.runs[made["run_id"]] = made
        return made

    def run(self, run: str) -> Json:
        if run not in self.runs:
            raise Refusal(NOT_FOUND, f"Failed to get a run: ResourceNotFoundError: Run {run} not found")
        return self.runs[run]

    def terminate(self, run: str) -> Json:
        found = self.run(run)
        if found["state"] in ENDED:
            raise Refusal(INVALID, f"Failed to terminate run {run}: Row not found")
        self.advance(found, "CANCELING")
        self.advance(found, "FAILED" if self.old else "CANCELED")
        return {}

    def advance(self, run: Json, state: str, given: Json | None = None) -> None:
        """Takes a run to ``state``."""
        run["state"] = state
        run["state_history"] = [*run["state_history"], {"update_time": now(), "state": state}]
        if state in ENDED:
            run["finished_at"] = now()
        run.update(given or {})


def now() -> str:
    """This moment, as the API writes it."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class Handler(BaseHTTPRequestHandler):
    """One request."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = 65536
    state = State()
    known = routes()

    def do_GET(self) -> None:
        """Answers."""
        self._serve()

    def do_POST(self) -> None:
        """Answers."""
        self._serve()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - its name in the standard library
        """Says nothing."""

    def _serve(self) -> None:
        content = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        parts, state = urlsplit(self.path), self.state
        if parts.path.startswith("/control"):
            with state.lock:
                self._answer(200, self._control(parts.path, json.loads(content or b"{}")))
            return
        path = parts.path.removeprefix(state.prefix) if parts.path.startswith(state.prefix + "/apis") else ""
        called = f"{self.command} {path.removeprefix('/apis/v2beta1')}"
        with state.lock:
            state.calls[called.split(":", maxsplit=1)[0] if called.count("/") == 1 else _generic(called)] += 1
            fault = next((each for each in state.faults if each["times"] > 0 and called.startswith(each["call"])), None)
            if fault:
                fault["times"] -= 1
        if fault and self._before(fault):
            return
        status, body = self._api(path, dict(parse_qsl(parts.query)), content)
        if fault and fault["kind"] == "lost":
            self.close_connection = True
            self.connection.close()
        elif fault and fault["kind"] == "half":
            text = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text[: len(text) // 2])
            self.wfile.flush()
            self.close_connection = True
            self.connection.close()
        else:
            self._answer(status, body)

    def _before(self, fault: Json) -> bool:
        """Whether the fault is all that is answered."""
        match fault["kind"]:
            case "status":
                headers = {"Retry-After": str(fault["after"])} if "after" in fault else {}
                self._answer(fault["status"], fault.get("body", {"code": 14, "message": "told to fail"}), headers)
                return True
            case "page":
                self._send(200, b"<html>please log in</html>", "text/html", {})
                return True
            case "redirect":
                self._send(302, b"", "text/html", {"Location": "http://127.0.0.1:9/login"})
                return True
            case "refused":
                self.close_connection = True
                self.connection.close()
                return True
            case "slow":
                time.sleep(fault["seconds"])
        return False

    def _api(self, path: str, query: dict[str, str], content: bytes) -> tuple[int, Json]:
        state = self.state
        if not path:
            return 404, {"message": "page not found"}
        if state.token and self.headers.get("Authorization") != f"Bearer {state.token}":
            return 401, {
                "code": 16,
                "message": "Unauthenticated: Request header error: there is no user identity header",
            }
        try:
            with state.lock:
                route, names = find(self.known, self.command, path)
                check_query(route, query)
                body = self._body(route, content)
                found = self._do(route.template, names, query, body)
            if route.answer and route.answer != "object":
                check(route.answer, found, "answer")
        except Refusal as refusal:
            return refusal.status, {"code": refusal.code, "message": str(refusal), "details": []}
        except (Violation, ValueError, KeyError) as violation:
            state.violations.append(f"{self.command} {path}: {type(violation).__name__}: {violation}")
            return 400, {"code": 3, "message": f"contract: {violation}"}
        return 200, found

    def _body(self, route: Any, content: bytes) -> Any:
        if route.files:
            kind = self.headers.get("Content-Type", "")
            message = message_from_bytes(f"Content-Type: {kind}\r\n\r\n".encode() + content)
            parts = {part.get_param("name", header="content-disposition"): part for part in message.walk()}
            if not route.files <= set(parts):
                raise Violation(f"{route.template} lacks the files {sorted(route.files)}")
            return parts[next(iter(route.files))].get_payload(decode=True)
        given = json.loads(content or b"{}")
        if route.body:
            check(route.body, given, "body")
        elif given:
            raise Violation(f"{route.method} {route.template} has no body")
        return given

    def _do(  # noqa: C901 - one case a route
        self, template: str, names: dict[str, str], query: dict[str, str], body: Any
    ) -> Json:
        state = self.state
        match self.command, template.removeprefix("/apis/v2beta1"):
            case "GET", "/healthz":
                return {"multi_user": state.multi_user}
            case "GET", "/experiments":
                return state.experiments_in(query)
            case "POST", "/experiments":
                return state.new_experiment(body)
            case "GET", "/pipelines":
                return state.pipelines_in(query)
            case "POST", "/pipelines":
                return state.new_pipeline(body)
            case "GET", "/pipelines/{pipeline_id}/versions":
                return state.versions_of(names["pipeline_id"], query)
            case "POST", "/pipelines/upload_version":
                return state.new_version(query, body)
            case "GET", "/runs":
                return state.runs_in(query)
            case "POST", "/runs":
                return state.new_run(body)
            case "GET", "/runs/{run_id}":
                return state.run(names["run_id"])
            case "POST", "/runs/{run_id}:terminate":
                return state.terminate(names["run_id"])
        raise Violation(f"the test server does not serve {self.command} {template}")

    def _control(self, path: str, given: Json) -> Json:
        state = self.state
        match path:
            case "/control/reset":
                state.reset(given)
            case "/control/fault":
                state.faults.append(given)
            case "/control/run":
                for run in state.runs.values():
                    if run["display_name"] == given["name"] and run["state"] not in ENDED:
                        state.advance(run, given["state"], given.get("fields"))
            case "/control/forget":
                state.runs = {key: run for key, run in state.runs.items() if run["display_name"] != given["name"]}
            case "/control/set":
                for key, value in given.items():
                    setattr(state, key, value)
        if "states" in given:  # of thousands of runs, those alone that somebody has to do something about
            runs = [run for run in state.runs.values() if run["state"] in given["states"]]
            counted = {"calls": dict(state.calls), "filtered": dict(state.filtered)}
            return {"runs": runs, **counted, "violations": state.violations}
        return {
            "runs": list(state.runs.values()), "pipelines": list(state.pipelines.values()),
            "versions": list(state.versions.values()), "experiments": list(state.experiments.values()),
            "calls": dict(state.calls), "violations": state.violations,
        }  # fmt: skip

    def _answer(self, status: int, body: Json, headers: dict[str, str] | None = None) -> None:
        self._send(status, json.dumps(body).encode(), "application/json", headers or {})

    def _send(self, status: int, content: bytes, kind: str, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": kind, "Content-Length": str(len(content)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)


def _generic(called: str) -> str:
    parts = called.split("/")
    ids = [part if len(part.split(":")[0]) != 36 else "{id}" + part[36:] for part in parts]
    return "/".join(ids)


def main() -> None:
    """Serves."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    print(server.server_address[1], flush=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    sys.stdin.read()


if __name__ == "__main__":
    main()
