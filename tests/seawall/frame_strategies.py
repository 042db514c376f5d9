"""Strategies for columns, and a comparison that sees NaN and the sign of zero."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st

from seawall.frames import Categorical, Columns, Source

names = st.text(max_size=8)
floats = st.floats(allow_nan=True, allow_infinity=True, width=64)
times = st.integers(-(2**63), 2**63 - 1)


def numeric_columns(rows: int) -> st.SearchStrategy[dict[str, Any]]:
    column = st.lists(floats, min_size=rows, max_size=rows).map(lambda v: np.array(v, dtype=np.float64))
    return st.dictionaries(names, column, max_size=3)


def categoricals(rows: int) -> st.SearchStrategy[Categorical]:
    return st.lists(st.none() | st.text(max_size=6), min_size=rows, max_size=rows).map(Categorical.of)


def ids(rows: int) -> st.SearchStrategy[list[str] | None]:
    return st.none() | st.lists(st.text(max_size=9), min_size=rows, max_size=rows)


@st.composite
def columns(draw: st.DrawFn, max_rows: int = 12) -> Columns:
    source: Source = draw(st.sampled_from(["predictions", "features", "labels"]))
    rows = draw(st.integers(0, max_rows))
    ts = np.array(draw(st.lists(times, min_size=rows, max_size=rows)), dtype=np.int64)
    made = Columns(
        source, draw(names), draw(names), ts, weight=draw(st.floats(1.0, 1e6)), frame_id=draw(names)
    )
    made.segments = draw(st.dictionaries(names, categoricals(rows), max_size=2))
    made.event_ids, made.entity_ids = draw(ids(rows)), draw(ids(rows))
    if source == "labels":
        values = draw(st.none() | st.lists(floats, min_size=rows, max_size=rows))
        made.numeric = {} if values is None else {"label": np.array(values, dtype=np.float64)}
    else:
        made.numeric = draw(numeric_columns(rows))
        made.categorical = draw(st.dictionaries(names, categoricals(rows), max_size=3))
    if source == "labels":
        made.predicted = draw(st.none() | categoricals(rows))
    if source != "features":
        made.scores = draw(numeric_columns(rows))
    if source != "features":
        made.label = draw(st.none() | categoricals(rows))
    return made


def content(made: Columns) -> dict[str, Any]:
    """Everything that columns hold, in values that `==` compares bit by bit."""
    return {
        "about": (made.source, made.model, made.version, made.weight, made.frame_id, made.rows),
        "ts": made.ts.tolist(),
        "numeric": {n: np.asarray(v, "<f8").tobytes() for n, v in made.numeric.items()},
        "scores": {n: np.asarray(v, "<f8").tobytes() for n, v in made.scores.items()},
        "categorical": {n: (c.codes.tolist(), c.dictionary) for n, c in made.categorical.items()},
        "segments": {n: (c.codes.tolist(), c.dictionary) for n, c in made.segments.items()},
        "label": None if made.label is None else (made.label.codes.tolist(), made.label.dictionary),
        "predicted": None
        if made.predicted is None
        else (made.predicted.codes.tolist(), made.predicted.dictionary),
        "ids": (made.event_ids, made.entity_ids),
    }


def words(column: Categorical | None) -> list[str | None]:
    """A categorical column's values."""
    assert column is not None
    return [None if code < 0 else column.dictionary[code] for code in column.codes.tolist()]
