"""What the recount calls stored twice is in the store twice, at one moment."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from seawall.frames import Categorical, Columns
from seawall.settings import Settings
from streams.io.clickhouse import Store, arrow_rows
from tests.chaos.recount import Found, Truth, differences, losses_sent, stored
from tests.chaos.traffic import MINUTE

END = 1_700_000_040_000_000


def window(layout_id: str, ver: int = 1, rows: int = 3) -> pa.Table:
    row = {"model": "ads", "version": "a", "source": "predictions", "segment": "", "layout_id": layout_id}
    row |= {"horizon_us": MINUTE, "start": END - MINUTE, "end": END, "rows": rows, "ver": ver}
    table = arrow_rows([row])
    counts = pa.array([[0, 0, rows]], pa.list_(pa.uint32()))
    return table.append_column("counts", counts)


def layout(layout_id: str, name: str) -> pa.Table:
    row = {
        "layout_id": layout_id,
        "column_index": 0,
        "name": name,
        "role": "prediction",
        "kind": "categorical",
    }
    return arrow_rows([{**row, "first_slot": 0, "slots": 3}])


@dataclass
class Busy(Store):
    """The real store, and a worker that stores a layout and then its window when the windows are asked for."""

    given: Settings
    asked: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__(self.given)

    def query(self, sql: str, parameters: dict[str, Any] | None = None) -> list[dict[str, Any]]:
        if "FROM windows FINAL WHERE" in sql:
            self.insert("layouts", layout("of-labels", "label"), "late")
            self.insert("windows", window("of-labels"), "late")
        return super().query(sql, parameters)


def test_a_window_whose_layout_is_stored_meanwhile_is_no_second_copy(store: Settings) -> None:
    busy = Busy(store)
    busy.insert("layouts", layout("plain", "word"), "1")
    busy.insert("windows", window("plain"), "1")
    found, _, _ = stored(busy)
    assert (found.doubles, found.strays) == ([], [])
    assert len(found.windows) == 2


def test_a_window_in_a_layout_that_is_not_stored_is_named(store: Settings) -> None:
    client = Store(store)
    client.insert("windows", window("nowhere"), "1")
    found, _, _ = stored(client)
    assert found.doubles == []
    assert found.strays == ["a window of ads a is in layout nowhere, which is not stored"]


def test_a_window_in_a_second_layout_of_its_flow_is_named(store: Settings) -> None:
    client = Store(store)
    for name in ("first", "second"):
        client.insert("layouts", layout(name, "word"), name)
        client.insert("windows", window(name), name)
    found, _, _ = stored(client)
    assert found.doubles == []
    (told,) = found.strays
    assert "is in a second layout" in told
    assert "with 3 rows" in told


def test_a_row_that_replaces_another_is_there_once_and_one_that_does_not_is_there_twice(
    store: Settings,
) -> None:
    client = Store(store)
    client.insert("layouts", layout("plain", "word"), "1")
    for ver in (1, 2):
        client.insert("windows", window("plain", ver), str(ver))
    assert stored(client)[0].doubles == []
    # A table whose key is too long keeps both: what is reported then is the window's own key.
    (shown,) = client.query("SHOW CREATE TABLE windows")
    client.client.command("DROP TABLE windows")
    client.client.command(shown["statement"].replace("end, layout_id)", "end, layout_id, ver)"))
    for ver in (1, 2):
        client.insert("windows", window("plain", ver), f"again {ver}")
    (told,) = stored(client)[0].doubles
    assert told.startswith("windows has ('ads', 'a', 'predictions'")
    assert told.endswith("2 times")


def test_losses_are_made_of_each_row_and_of_nothing_that_is_missing_or_no_probability() -> None:
    labels = Columns(
        "labels", "loans", "v2", np.zeros(5, dtype=np.int64),
        label=Categorical.of(["good", "bad", None, "good", "good"]),
        predicted=Categorical.of(["good", "good", "bad", None, "bad"]),
        scores={"good": np.array([0.75, 0.25, 0.5, 1.5, 0.0])},
    )  # fmt: skip
    found = losses_sent(labels)
    nan = math.nan
    for name, wanted in {
        "error": [0.0, 1.0, nan, nan, 1.0],
        "brier": [0.0625, 0.0625, nan, nan, 1.0],
        "log_loss": [-math.log(0.75), -math.log(0.75), nan, nan, -math.log(1e-15)],
    }.items():
        assert np.array_equal(found[name], wanted, equal_nan=True), name


def test_what_is_there_twice_is_a_difference() -> None:
    assert differences(Truth(), Found(doubles=["a key"], strays=["a window"]), END) == [
        "twice under FINAL: a key",
        "a window",
    ]
