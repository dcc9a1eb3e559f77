"""Where rows come from: files of an object store, a web server, a database."""

import asyncio
import subprocess
from pathlib import Path
from typing import Any

from hack.demo import patients
from hack.demo.patients import ROOT
from tests.api.process import free_port
from tests.training.neighbours import PASSWORD, node_address, postgres, web
from tests.training.ward import PATIENCE, School, Training, run_of, said

HALVES = """
import sys, pandas as pd
table = pd.read_csv(sys.argv[1])
table[:150].to_parquet(sys.argv[2])
table[150:].to_parquet(sys.argv[3])
"""
WRONG = "not-the-password-7"
Json = dict[str, Any]


async def the_same_rows_train_the_same_model_wherever_they_come_from(school: School) -> None:
    """CSV from the store, Parquet in two files, and a database's query; the last one's model serves."""
    folder = f"{school.data}/parquet"
    for name, content in (await asyncio.to_thread(_halves, school.folder)).items():
        await school.stage.upload(name, content, folder=folder.removeprefix("s3://data/"))
    await school.stage.upload("notes.txt", b"no table", folder=folder.removeprefix("s3://data/"))
    files, parts, rows = school.story(), school.story(), school.story()
    async with postgres() as url:
        await _secret(school, rows, url(PASSWORD))
        await files.apply()
        await parts.apply(data={"source": {"uri": f"{folder}/*.parquet", "format": "Parquet"}})
        await rows.apply(data=_query(rows, "SELECT * FROM patients ORDER BY chol"))
        made = [(await each.registered())["spec"]["record"] for each in (files, parts, rows)]
    assert {each["data"]["rows"] for each in made} == {303}
    assert len({each["data"]["sha256"] for each in made}) == 1, [each["data"] for each in made]
    # The other file, model.onnx, names its model.
    assert len({each["artifacts"]["model.skops"]["sha256"] for each in made}) == 1
    async with rows.served() as served:
        [answer] = await served.answers(_known(school))
        assert answer["predicted"] in {"0", "1"}


async def a_database_that_refuses_is_named_without_its_password_and_asked_again(school: School) -> None:
    """No Secret at first, then one with a wrong password, then the right one: the run that was let down goes on."""
    mine = school.story()
    async with postgres() as url:
        await mine.apply(data=_query(mine, "SELECT * FROM patients"), retry={"backoff": "2s", "limit": 8})
        missing = said(await mine.until(lambda status: said(status).get("reason") == "SourceSecretMissing"))
        assert f"{mine.name}-db" in missing["message"]
        await _secret(school, mine, url(WRONG))
        status = await mine.until(lambda status: status.get("phase") == "Retrying")
        assert run_of(status, 1)["outcome"] == said(status)["reason"] == "DataUnavailable"
        assert "password authentication failed" in run_of(status, 1)["message"]
        told = await _all_that_is_told(mine)
        assert WRONG not in told
        assert "password authentication failed" in told, "the log was read"
        await _secret(school, mine, url(PASSWORD))
        await mine.registered()
        assert run_of(await mine.until(bool), 1)["attempt"] > 1
        assert PASSWORD not in await _all_that_is_told(mine)


async def a_web_server_that_is_away_is_waited_for(school: School) -> None:
    """The first attempt finds nobody there; the server comes, and a further attempt of the same run ends well."""
    mine, folder, port = school.story(), school.folder / "web", free_port()
    folder.mkdir()
    (folder / "cleveland.csv").write_bytes(patients.table("cleveland"))
    address = f"http://{await node_address()}:{port}/cleveland.csv"
    await mine.apply(data={"source": {"uri": address}}, retry={"backoff": "2s", "limit": 8})
    status = await mine.until(lambda status: status.get("phase") == "Retrying")
    found = run_of(status, 1)
    assert (found["outcome"], said(status)["reason"]) == ("DataUnavailable", "DataUnavailable")
    assert address in found["message"]
    assert "attempt 1 of 9" in found["message"]
    async with web(folder, port):
        made = await mine.registered()
    assert made["spec"]["record"]["data"]["rows"] == 303
    status = await mine.until(lambda status: status.get("phase") == "Succeeded", PATIENCE)
    assert (status["runCounter"], run_of(status, 1)["attempt"] > 1) == (1, True)


def _query(mine: Training, query: str) -> Json:
    return {"source": {"sql": {"connectionSecret": {"name": f"{mine.name}-db"}, "query": query}}}


async def _secret(school: School, mine: Training, url: str) -> None:
    metadata = {"name": f"{mine.name}-db"}
    await school.apply({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": {"url": url}})


async def _all_that_is_told(mine: Training) -> str:
    """Status, events, Jobs, pods and all that they have logged."""
    mark = f"perennial.dev/training={mine.name}"
    seen = [
        await mine.kubectl("get", "mt", mine.name, "-o", "yaml"),
        await mine.kubectl("get", "events", "-o", "yaml"),
        await mine.kubectl("get", "jobs,pods,configmaps", "--selector", mark, "-o", "yaml"),
        await mine.kubectl("logs", "--selector", mark, "--tail=-1", "--ignore-errors"),
    ]
    return "\n".join(seen)


def _halves(folder: Path) -> dict[str, bytes]:
    """Cleveland's rows as two Parquet files, by pandas."""
    names = ("part-0.parquet", "part-1.parquet")
    python, table = ROOT / ".venvs/components/bin/python", ROOT / "examples/data/cleveland.csv"
    subprocess.run([python, "-c", HALVES, table, *(folder / name for name in names)], check=True)
    return {name: (folder / name).read_bytes() for name in names}


def _known(school: School) -> Json:
    patient = next(each for each in school.everybody if each.hospital == "cleveland")
    return {name: patient.features[name] for name in ("age", "chol", "thalach", "sex", "cp")}
