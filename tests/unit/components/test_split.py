"""A row once held out stays held out: champion and challenger meet on rows that neither was trained on."""

import numpy as np
import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as st

from perennial.contracts.request import Split
from perennial_components.ingest.core import ingest
from perennial_components.split.hashing import held_out, row_hashes
from tests.unit.components.support import DATA, prepared, request, text_table

CELLS = st.one_of(st.none(), st.integers(-5, 99).map(str), st.sampled_from(["a", "b", "1.5", "x y"]))
ROWS = st.lists(st.tuples(CELLS, CELLS, CELLS), min_size=1, max_size=30)


def table_of(rows: list[tuple[str | None, ...]]) -> pd.DataFrame:
    return text_table(**{name: [row[i] for row in rows] for i, name in enumerate(("a", "b", "c"))})


def sides(table: pd.DataFrame) -> list[bool]:
    return [bool(side) for side in held_out(table, test=0.4, seed=7)]


@settings(max_examples=40, deadline=None)
@given(ROWS, ROWS)
def test_rows_that_join_move_no_row(
    before: list[tuple[str | None, ...]], joining: list[tuple[str | None, ...]]
) -> None:
    assert sides(table_of(before + joining))[: len(before)] == sides(table_of(before))


@settings(max_examples=40, deadline=None)
@given(ROWS, st.randoms())
def test_neither_order_nor_new_empty_columns_matter(rows: list[tuple[str | None, ...]], random: object) -> None:
    table = table_of(rows)
    assert sides(table[["c", "a", "b"]]) == sides(table)
    assert sides(table.assign(later=pd.array([None] * len(table), dtype="str"))) == sides(table)


def test_a_number_hashes_alike_however_it_is_written() -> None:
    written = text_table(age=["63", "63.0", "6.3e1", "063"], thal=["-0", "0", "0.0", "0"])
    assert len(set(row_hashes(written))) == 1


def test_different_rows_hash_differently() -> None:
    assert len(set(row_hashes(text_table(a=["1", "2", None, None, "x"], b=["2", "1", "1", "2", None])))) == 5


def test_the_hash_is_the_same_for_good() -> None:
    """A change of these values would mix rows a champion learned from into those it is measured on."""
    assert row_hashes(text_table(a=["1", "x", None])).tolist() == [4754243523422720323, 80417009059588282, 0]


def test_hospitals_that_join_move_no_patient() -> None:
    alone, _ = ingest(request(), {})
    everyone, _ = ingest(request(source=f"file://{DATA}/*.csv"), {})
    held_before = set(row_hashes(alone)[held_out(alone, test=0.25, seed=7)])
    cleveland = np.isin(row_hashes(everyone), row_hashes(alone))
    held_after = set(row_hashes(everyone)[cleveland & held_out(everyone, test=0.25, seed=7)])
    assert held_before == held_after


def test_rows_with_one_key_stay_together() -> None:
    table = text_table(patient=[str(i % 40) for i in range(400)], value=[str(i) for i in range(400)])
    held = held_out(table, test=0.3, seed=1, key=("patient",))
    assert all(len(set(held[i::40])) == 1 for i in range(40))
    assert 0.1 < held.mean() < 0.5


def test_the_share_is_the_one_asked_for_and_the_seed_changes_the_rows() -> None:
    table = text_table(a=[str(i) for i in range(20_000)])
    first, second = (held_out(table, test=0.25, seed=seed) for seed in (1, 2))
    assert abs(first.mean() - 0.25) < 0.015
    assert abs((first & second).mean() - 0.0625) < 0.01


def test_both_sides_hold_every_class() -> None:
    _, rows, signature = prepared(request(split=Split(0.2, 3)))
    assert signature.classes == ("0", "1")
    assert set(rows.target[rows.held]) == set(rows.target[~rows.held]) == {0, 1}
