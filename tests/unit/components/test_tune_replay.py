"""The same rows give the same files, however they lie; a recorded winner is fitted again without a search."""

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import skops.io

from perennial.contracts import objects
from perennial.contracts.request import Artifact, Candidate, Replay, RunRequest
from perennial.contracts.result import CandidateScore
from perennial.contracts.signature import category_of
from perennial_components.failure import RunError
from perennial_components.records import Tuned
from perennial_components.storage import Encoded
from perennial_components.tune.core import tune
from perennial_components.tune.file import canonical
from perennial_components.tune.replay import reproduction, require_same_data, words
from tests.unit.components.support import BOOSTING, DATA, LOGISTIC, export_of, prepared, request

FORESTS = Candidate("ExtraTrees", {"n_estimators": 8})


def made(asked: RunRequest, order: int | None = None) -> tuple[dict[str, bytes], Tuned]:
    """The model's files, and the account of the search; ``order`` shuffles the rows before."""
    _, rows, signature = prepared(asked)
    if order is not None:
        places = np.random.default_rng(order).permutation(len(rows.target))
        rows = Encoded(rows.features[places], rows.target[places], rows.held[places])
    model, tuned, _ = tune(asked, signature, rows)
    onnx, _ = export_of(model, rows.features)
    assert onnx is not None
    return {"model.onnx": onnx, "model.skops": canonical(skops.io.dumps(model))}, tuned


def shuffled(folder: Path) -> str:
    """All hospitals' rows in other files, under other names, in another order."""
    texts = [(DATA / f"{name}.csv").read_text().split() for name in ("cleveland", "hungarian", "switzerland", "va")]
    rows = np.random.default_rng(5).permutation([row for text in texts for row in text[1:]])
    for name, part in zip(("z", "a"), np.array_split(rows, 2), strict=True):
        (folder / f"{name}.csv").write_text("\n".join([texts[0][0], *part]))
    return f"file://{folder}/*.csv"


def replay_of(files: dict[str, bytes], winner: CandidateScore, **changes: Any) -> Replay:
    """What a ModelVersion records of this winner."""
    texts = {k: str(v).lower() if isinstance(v, bool) else str(v) for k, v in winner.parameters.items()}
    base = Replay("heart-v1", winner.algorithm, texts, "d" * 64, objects.sha256(files["model.onnx"]))
    return msgspec.structs.replace(base, **changes)


@pytest.mark.parametrize("imbalance", ["ClassWeight", "Oversample"])
@pytest.mark.parametrize("candidate", [LOGISTIC, BOOSTING, FORESTS], ids=lambda each: each.algorithm)
def test_other_files_and_another_order_give_the_same_bytes(
    tmp_path: Path, candidate: Candidate, imbalance: Any
) -> None:
    asked = request(source=f"file://{DATA}/*.csv", candidates=(candidate,), imbalance=imbalance, trials=2)
    first, tuned = made(asked)
    second, again = made(msgspec.structs.replace(asked, source=shuffled(tmp_path)), order=1)
    assert first == second
    assert [trial.folds for trial in tuned.trials] == [trial.folds for trial in again.trials]


def test_a_replay_fits_the_winner_alone_and_gives_its_file(tmp_path: Path) -> None:
    asked = request(candidates=(LOGISTIC, BOOSTING), trials=5)
    files, tuned = made(asked)
    winner = tuned.candidates[tuned.winner]
    again, replayed = made(msgspec.structs.replace(asked, replay=replay_of(files, winner), timeout=1e-9))
    assert again == files
    assert [trial.parameters for trial in replayed.trials] == [winner.parameters]
    assert replayed.candidates[0].score == winner.score


def test_a_replay_of_what_is_no_candidate_says_so() -> None:
    _, rows, signature = prepared(request())
    with pytest.raises(RunError, match="heart-v1 is a TorchNet, which is not among the candidates"):
        tune(request(replay=Replay("heart-v1", "TorchNet", {}, "a" * 64, "b" * 64)), signature, rows)


def test_whether_the_model_is_the_recorded_one_is_said_with_both_digests() -> None:
    files = {"model.onnx": b"one"}
    artifacts = {name: Artifact(f"s3://a/{name}", objects.sha256(data)) for name, data in files.items()}
    replay = replay_of(files, CandidateScore("Dummy", {}, 0.5, 0.0, 1))
    same = reproduction(request(replay=replay), artifacts)
    assert same is not None
    assert same.identical
    assert words(same) == f"heart-v1 is reproduced: its model has the same SHA-256, {objects.sha256(b'one')}"
    other = reproduction(request(replay=msgspec.structs.replace(replay, model_sha256="e" * 64)), artifacts)
    assert other is not None
    assert not other.identical
    assert "e" * 64 in words(other)
    assert objects.sha256(b"one") in words(other)
    assert reproduction(request(), artifacts) is None


def test_other_data_is_refused_before_anything_is_fitted() -> None:
    replay = Replay("heart-v1", "Dummy", {}, "a" * 64, "b" * 64)
    require_same_data(request(replay=replay), "a" * 64)
    require_same_data(request(), "c" * 64)
    with pytest.raises(RunError, match="the data has changed since heart-v1 was trained") as error:
        require_same_data(request(replay=replay), "c" * 64)
    assert error.value.reason == "DataRejected"


@pytest.mark.parametrize("value", [True, 1, 1.0, "1", "1.0", "true", "True", " TRUE "])
def test_truth_is_one_category_however_it_is_written(value: object) -> None:
    assert category_of(value) == "1"
    assert category_of("False") == category_of(False) == "0"
    assert category_of("truest") == "truest"
