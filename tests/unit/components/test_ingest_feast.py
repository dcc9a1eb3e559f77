"""What was looked up in a Feast repository is taken in as any other table, with a word of what was read."""

from pathlib import Path

import msgspec
import pandas as pd
import pytest

from perennial.contracts.request import FEAST_FOLDER, FEAST_ROWS, FEAST_SEEN, FeastSource, RunRequest, Target
from perennial.contracts.result import FeastSeen, SeenView
from perennial_components.failure import RunError
from perennial_components.ingest.core import ingest
from tests.unit.components.support import request

SEEN = FeastSeen("clinic", ("patients:chol",), (SeenView("patients", "a" * 64, "2026-05-31T12:00:00Z", 2),))


def asked() -> RunRequest:
    source = FeastSource(secret="feast", key="feature_store.yaml", image="feast:1", features=SEEN.features)
    return request(source="", feast=source, target=Target("num"), numeric=("chol",), categorical=(), slices=())


def test_the_table_is_the_same_as_from_a_file(tmp_path: Path) -> None:
    rows = pd.DataFrame({"num": ["0", "1"], "chol": [233.5, None], "event_timestamp": ["2026-05-01", "2026-05-02"]})
    rows.to_parquet(tmp_path / FEAST_ROWS)
    rows.to_csv(tmp_path / "rows.csv", index=False)
    (tmp_path / FEAST_SEEN).write_bytes(msgspec.json.encode(SEEN))
    table, found = ingest(asked(), {FEAST_FOLDER: str(tmp_path)})
    plain, alike = ingest(msgspec.structs.replace(asked(), feast=None, source=f"file://{tmp_path}/rows.csv"), {})
    assert table.equals(plain)
    assert (found.sha256, found.files, found.feast) == (alike.sha256, 0, SEEN)
    with pytest.raises(RunError, match="column 'bmi' is not in the data") as error:
        ingest(msgspec.structs.replace(asked(), numeric=("bmi",)), {FEAST_FOLDER: str(tmp_path)})
    assert error.value.reason == "DataRejected"


def test_where_nobody_looked_features_up_it_says_which_engine_does() -> None:
    with pytest.raises(RunError, match=r"data.source.feast: .* use spec.engine type Embedded") as error:
        ingest(asked(), {})
    assert error.value.reason == "SourceInvalid"
