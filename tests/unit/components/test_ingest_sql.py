"""The rows of a query, of a real PostgreSQL: what they become, and what is said where they cannot be had."""

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import msgspec
import pandas as pd
import psycopg
import pytest

from perennial.contracts.request import SQL_URL, RunRequest, SqlSource
from perennial.contracts.result import RunOutcome
from perennial_components import poll
from perennial_components.failure import RunError
from perennial_components.ingest.core import ingest
from tests.unit.components.postgres import PASSWORD, USER, postgres
from tests.unit.components.support import DATA, request

NAMED = "data.source.sql (Secret warehouse, key url)"
PATIENTS = "SELECT * FROM patients"


@pytest.fixture(scope="module")
def database() -> Iterator[str]:
    with postgres() as connection:
        yield connection


@pytest.fixture(scope="module")
def url(database: str) -> str:
    folder = psycopg.conninfo.conninfo_to_dict(database)["host"]
    with psycopg.connect(database) as connection:
        table = pd.read_csv(DATA / "cleveland.csv")
        columns = ", ".join(f"{name} double precision" for name in table.columns)
        connection.execute(f"CREATE TABLE patients ({columns})")
        with connection.cursor().copy("COPY patients FROM STDIN WITH (FORMAT csv, HEADER true)") as copy:
            copy.write((DATA / "cleveland.csv").read_bytes())
        connection.execute(
            "CREATE TABLE kinds AS SELECT * FROM (VALUES (1, 9007199254740993, 1.50::numeric, 0.1::real, 1e-7::float8,"
            " true, date '2026-05-31', timestamp '2026-05-31 12:00', timestamptz '2026-05-31 12:00+02', ' x '::text,"
            " 'NA'::text, null::text)) AS v (small, big, money, short, tiny, yes, day, at, moment, word, gone, none)"
        )
    return f"postgresql://{USER}:{quote(PASSWORD, safe='')}@/postgres?host={folder}"


def asked(query: str, **changes: object) -> RunRequest:
    return request(source="", sql=SqlSource("warehouse", "url", query), **changes)


def refused(query: str, url: str) -> tuple[str, str]:
    with pytest.raises(RunError) as error:
        ingest(asked(query), {SQL_URL: url})
    assert PASSWORD not in error.value.message
    assert quote(PASSWORD, safe="") not in error.value.message
    assert error.value.message.startswith(NAMED)
    return error.value.reason, error.value.message.removeprefix(f"{NAMED}: ")


def test_a_query_is_the_same_data_as_the_file_that_it_came_from(url: str) -> None:
    _, of_file = ingest(request(), {})
    table, of_query = ingest(asked(PATIENTS + ";\n"), {SQL_URL: url})
    assert (of_query.sha256, of_query.rows, of_query.types) == (of_file.sha256, of_file.rows, of_file.types)
    assert of_query.files == 0
    assert table["ca"].isna().sum() == pd.read_csv(DATA / "cleveland.csv")["ca"].isna().sum()


def test_the_order_in_which_rows_come_means_nothing(url: str) -> None:
    one, first = ingest(asked(PATIENTS + " ORDER BY age, chol"), {SQL_URL: url})
    two, second = ingest(asked(PATIENTS + " ORDER BY thalach DESC"), {SQL_URL: url})
    assert first == second
    assert one.equals(two)


def test_what_becomes_of_each_type(url: str) -> None:
    everything = asked("SELECT kinds.*, 0 AS num FROM kinds", numeric=("small",), categorical=(), slices=())
    table, found = ingest(everything, {SQL_URL: url.replace("postgresql://", "postgres://")})
    cells = {name: None if pd.isna(cell) else cell for name, cell in table.iloc[0].items()}
    assert cells == {
        "at": "2026-05-31 12:00:00",
        "big": "9007199254740993",
        "day": "2026-05-31",
        "gone": None,
        "moment": "2026-05-31 10:00:00+00:00",
        "money": "1.50",
        "none": None,
        "num": "0",
        "short": "0.1",
        "small": "1",
        "tiny": "1e-07",
        "word": "x",
        "yes": "True",
    }
    told = dict(zip(found.columns, found.types, strict=True))
    assert (told["at"], told["moment"], told["yes"], told["money"], told["small"], told["none"]) == (
        *("Datetime", "Datetime", "Boolean", "Number", "Integer", "Empty"),
    )


def test_a_query_with_signs_that_drivers_give_a_meaning(url: str) -> None:
    _, found = ingest(asked(PATIENTS + " WHERE '100% :a' LIKE '%:a'"), {SQL_URL: url})
    assert found.rows == 303


def test_a_query_that_is_none(url: str) -> None:
    reason, message = refused("SELECT * FROM patient", url)
    assert reason == "DataRejected"
    assert message.startswith('the query is refused: relation "patient" does not exist')
    assert refused("SELECT 1 AS a, 2 AS a", url) == (
        "DataRejected",
        "more than one column is called 'a': give each a name of its own",
    )
    assert refused("SELECT ARRAY[1, 2] AS a", url) == (
        "DataRejected",
        "column 'a' holds list, which is no value of one cell: cast it in the query, such as CAST(a AS text)",
    )
    with pytest.raises(RunError, match=r"there are no rows in data\.source\.sql"):
        ingest(asked(PATIENTS + " WHERE age > 200"), {SQL_URL: url})


@pytest.mark.parametrize(
    "query", ["DELETE FROM patients", "WITH gone AS (DELETE FROM patients RETURNING *) SELECT * FROM gone"]
)
def test_a_query_cannot_write(url: str, query: str) -> None:
    reason, _ = refused(query, url)
    assert reason in {"DataRejected", "DataUnavailable"}
    assert ingest(asked(PATIENTS), {SQL_URL: url})[1].rows == 303


def test_a_database_that_cannot_be_had(url: str, tmp_path: Path) -> None:
    wrong = url.replace(quote(PASSWORD, safe=""), "not-the-password")
    reason, message = refused(PATIENTS, wrong)
    assert reason == "DataUnavailable"
    assert "password authentication failed" in message
    assert "not-the-password" not in message
    assert refused(PATIENTS, f"postgresql://u:{quote(PASSWORD, safe='')}@/x?host={tmp_path}")[0] == "DataUnavailable"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "the entry is empty: it is to hold the database's URL"),
        ("hunter22", "the entry is no SQLAlchemy URL, such as postgresql://user:password@host:5432/database"),
        ("mysql+pymysql://u:hunter22@h/d", "mysql+pymysql:// needs the driver 'pymysql', which the image"),
        ("snow://u:hunter22@h/d", "snow:// needs a SQLAlchemy dialect, which the image of the components lacks"),
    ],
)
def test_an_entry_that_leads_nowhere(text: str, said: str) -> None:
    reason, message = refused(PATIENTS, text)
    assert reason == "SourceInvalid"
    assert message.startswith(said)
    assert "hunter22" not in message


def test_a_password_that_the_database_repeats_is_not_told(url: str) -> None:
    reason, message = refused(f"SELECT CAST('{PASSWORD}' AS integer) AS a", url)
    assert reason == "DataRejected"
    assert 'invalid input syntax for type integer: "***"' in message


def test_a_poll_tells_it_without_the_password(url: str, tmp_path: Path) -> None:
    (tmp_path / "request.json").write_bytes(msgspec.json.encode(asked("SELECT * FROM patient")))
    log = tmp_path / "termination-log"
    files = {"PERENNIAL_REQUEST_FILE": str(tmp_path / "request.json"), "PERENNIAL_TERMINATION_LOG": str(log)}
    assert poll.main({**files, SQL_URL: url}) == 1
    outcome = msgspec.json.decode(log.read_bytes(), type=RunOutcome)
    assert (outcome.component, outcome.reason) == ("poll", "DataRejected")
    assert PASSWORD.encode() not in log.read_bytes()
