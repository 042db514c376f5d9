"""The offline recount: what must be stored, computed from what was sent, with nothing of the stream's own code.

Only the bins' edges and categories are read from the store, since a count means nothing without them.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from seawall.frames import Columns
from streams.io.clickhouse import Store
from tests.chaos.traffic import DEAD, FLOWS, GOOD, HORIZONS, LATE, MINUTE, POSITIVE, Flow, Sent

#: (model, version, source, segment, has a label, panes of the horizon, end in microseconds)
WindowKey = tuple[str, str, str, str, bool, int, int]


@dataclass
class Truth:
    """What must be found."""

    windows: dict[WindowKey, tuple[int, dict[str, list[int]]]] = field(default_factory=dict)
    """Rows, and slots by ``role/name``."""
    late: Counter[tuple[str, str, str, int]] = field(default_factory=Counter)
    dead: dict[tuple[str, int, int], int] = field(default_factory=dict)
    """Events by topic, partition and offset."""
    good: int = 0


@dataclass
class Found:
    """What is stored."""

    windows: dict[WindowKey, tuple[int, dict[str, list[int]]]] = field(default_factory=dict)
    late: Counter[tuple[str, str, str, int]] = field(default_factory=Counter)
    dead: Counter[tuple[str, int, int]] = field(default_factory=Counter)
    doubles: list[str] = field(default_factory=list)
    """Keys that a table has more than once under ``FINAL``, in one reading of the table."""
    strays: list[str] = field(default_factory=list)
    """Windows in a second layout of their flow, or in one that is not stored."""


#: What labels that carry predictions of two classes are counted by.
LOSSES = ("loss/error", "loss/brier", "loss/log_loss")
#: Columns that make a row of each table unique.
KEYS = {
    "windows": "model, version, source, segment, horizon_us, end, layout_id",
    "window_columns": "model, version, source, segment, horizon_us, column, role, end, layout_id",
}


class Layouts:
    """Columns by layout id, as the store has them."""

    def __init__(self, store: Store) -> None:
        rows = store.query("SELECT * FROM layouts FINAL ORDER BY layout_id, column_index")
        self.columns: dict[str, list[dict[str, Any]]] = defaultdict(list)
        for row in rows:
            self.columns[row["layout_id"]].append(row)

    def is_labelled(self, layout_id: str) -> bool:
        return any(c["name"] == "label" for c in self.columns[layout_id])

    def split(self, layout_id: str, counts: Iterable[int]) -> dict[str, list[int]]:
        listed = list(counts)
        return {
            f"{c['role']}/{c['name']}": listed[c["first_slot"] : c["first_slot"] + c["slots"]]
            for c in self.columns[layout_id]
        }

    def of(
        self, flow: Flow, layout_ids: Mapping[tuple[str, str, str], set[str]]
    ) -> list[dict[str, Any]] | None:
        """Columns of the layout in which a flow is counted; None while no window of it is stored."""
        for layout_id in layout_ids.get((flow.model, flow.version, flow.source), ()):
            if self.is_labelled(layout_id) == flow.labelled:
                return self.columns[layout_id]
        return None


def stored(store: Store) -> tuple[Found, Layouts, dict[tuple[str, str, str], set[str]]]:
    """Read everything that the recount is compared with."""
    found = Found()
    ids: dict[tuple[str, str, str], set[str]] = defaultdict(set)
    windows = store.query(
        "SELECT model, version, source, segment, layout_id, horizon_us, toUnixTimestamp64Micro(end) AS e, rows, counts "
        "FROM windows FINAL WHERE rows > 0"
    )
    # After the windows, which are written later than their layouts: read first, a layout that is stored between the two
    # would be missing, and its windows would pass for a second copy of those without a label.
    layouts = Layouts(store)
    for r in windows:
        if r["layout_id"] not in layouts.columns:
            found.strays.append(
                f"a window of {r['model']} {r['version']} is in layout {r['layout_id']}, which is not stored"
            )
            continue
        ids[r["model"], r["version"], r["source"]].add(r["layout_id"])
        labelled = layouts.is_labelled(r["layout_id"])
        key = (
            r["model"],
            r["version"],
            r["source"],
            r["segment"],
            labelled,
            r["horizon_us"] // MINUTE,
            r["e"],
        )
        if key in found.windows:
            found.strays.append(
                f"window {key} is in a second layout, {r['layout_id']}, with {r['rows']} rows"
            )
        found.windows[key] = (r["rows"], layouts.split(r["layout_id"], r["counts"]))
    for r in store.query("SELECT *, toUnixTimestamp64Micro(pane_start) AS p FROM late_events FINAL"):
        found.late[r["model"], r["version"], r["source"], r["p"]] += r["rows"]
    for r in store.query("SELECT topic, partition, offset, events FROM dead_letters FINAL"):
        found.dead[r["topic"], r["partition"], r["offset"]] += r["events"]
    for table, key in KEYS.items():
        # One query, and so one state of the table, however many rows are written meanwhile.
        rows = store.query(
            f"SELECT {key}, count() AS n FROM {table} FINAL GROUP BY {key} HAVING n > 1 ORDER BY {key}"
        )
        found.doubles += [f"{table} has {tuple(r.values())[:-1]} {r['n']} times" for r in rows]
    return found, layouts, ids


def recount(
    sent: Iterable[Sent],
    layouts: Layouts,
    ids: Mapping[tuple[str, str, str], set[str]],
    start_us: int,
    end_us: int,
) -> Truth:
    """Count everything that is known to be in the log."""
    truth = Truth()
    by_flow: dict[Flow, list[Sent]] = defaultdict(list)
    for s in sent:
        if s.offset is None or s.is_closing:
            continue
        dead = int((s.fate == DEAD).sum())
        if dead:
            truth.dead[s.source, s.partition, s.offset] = dead
        if s.flow is not None and s.columns is not None:
            by_flow[s.flow].append(s)
            for ts in s.columns.ts[s.fate == LATE].tolist():
                truth.late[s.flow.model, s.flow.version, s.flow.source, ts // MINUTE * MINUTE] += 1
    for flow in FLOWS:
        _count_flow(truth, flow, by_flow[flow], layouts.of(flow, ids), start_us, end_us)
    return truth


def _count_flow(
    truth: Truth,
    flow: Flow,
    sent: list[Sent],
    columns: list[dict[str, Any]] | None,
    start_us: int,
    end_us: int,
) -> None:
    def gather(pick: Any) -> Any:
        return np.concatenate([np.asarray(pick(s.columns))[s.fate == GOOD] for s in sent])

    ts = gather(lambda c: c.ts)
    truth.good += len(ts)
    values: dict[str, Any] = {}
    for c in columns or ():
        key, name = f"{c['role']}/{c['name']}", c["name"]
        if c["role"] == "score":
            values[key] = gather(lambda x, name=name: x.scores[name])
        elif c["role"] == "loss":
            values[key] = gather(lambda x, name=name: losses_sent(x)[name])
        elif c["role"] == "feature" and c["kind"] == "numeric":
            values[key] = gather(lambda x, name=name: x.numeric[name])
        elif c["role"] == "feature":
            values[key] = gather(lambda x, name=name: _words(x.categorical[name]))
        else:
            values[key] = gather(lambda x: _words(x.label))
    # Losses that a layout lacks are wanted all the same: no bins are equal to none.
    wanted = [key for key in LOSSES if flow.score and key not in values and columns]
    segments: dict[str, Any] = {"": np.ones(len(ts), dtype=bool)}
    if flow.model == "loans":
        origin = gather(lambda x: _words((x.segments or x.categorical)["origin"]))
        segments |= {f"origin={o}": origin == o for o in set(origin.tolist()) - {None}}
    widths = (1, HORIZONS[flow.model])
    for segment, inside in segments.items():
        order = np.flatnonzero(inside)[np.argsort(ts[inside], kind="stable")]
        sorted_ts = ts[order]
        for width in widths:
            for end in range(start_us + MINUTE, end_us + 1, MINUTE):
                a, b = np.searchsorted(sorted_ts, [end - width * MINUTE, end])
                if a == b:
                    continue
                at = order[a:b]
                slots = {
                    f"{c['role']}/{c['name']}": _slots(c, values[f"{c['role']}/{c['name']}"][at])
                    for c in columns or ()
                }
                slots |= {key: [] for key in wanted}
                window = (flow.model, flow.version, flow.source, segment, flow.labelled, width, end)
                truth.windows[window] = (int(b - a), slots)


def losses_sent(labels: Columns) -> dict[str, list[float]]:
    """Say row by row what predictions cost: NaN where the truth or the prediction is missing, or no probability."""
    found: dict[str, list[float]] = {"error": [], "brier": [], "log_loss": []}
    (scores,) = labels.scores.values()
    for truth, said, score in zip(
        _words(labels.label), _words(labels.predicted), scores.tolist(), strict=True
    ):
        is_known = truth is not None and 0 <= score <= 1
        off = score - (truth == POSITIVE)
        given = score if truth == POSITIVE else 1 - score
        found["error"].append(math.nan if truth is None or said is None else float(said != truth))
        found["brier"].append(off * off if is_known else math.nan)
        found["log_loss"].append(-math.log(max(given, 1e-15)) if is_known else math.nan)
    return found


def _words(c: Any) -> Any:
    return np.array([*c.dictionary, None], dtype=object)[c.codes]


def _slots(column: Mapping[str, Any], values: Any) -> list[int]:
    if column["kind"] == "categorical":
        known = list(column["categories"])
        other = sum(1 for v in values if v is not None and v not in known)
        return [sum(v is None for v in values), other, *(int((values == k).sum()) for k in known)]
    edges = np.array(column["edges"])
    finite = values[np.isfinite(values)]
    return [
        int(np.isnan(values).sum()),
        int(np.isinf(values).sum()),
        int((finite < edges[0]).sum()),
        *np.histogram(finite, edges)[0].tolist(),
        int((finite > edges[-1]).sum()),
    ]


def differences(truth: Truth, found: Found, end_us: int) -> list[str]:
    """Say what is not equal, the most telling first; empty when everything is."""
    out = []
    counted = sum(rows for (_, _, _, segment, _, width, end), (rows, _) in found.windows.items()
                  if not segment and width == 1 and end <= end_us)  # fmt: skip
    late, dead = sum(found.late.values()), sum(found.dead.values())
    expected = (truth.good, sum(truth.late.values()), sum(truth.dead.values()))
    if (counted, late, dead) != expected:
        out.append(
            f"totals: counted, late, dead letters are {(counted, late, dead)}, acknowledged were {expected}"
        )
    out += [f"twice under FINAL: {text}" for text in found.doubles]
    out += found.strays
    out += [
        f"late {key}: stored {found.late[key]}, sent {truth.late[key]}"
        for key in sorted(set(truth.late) | set(found.late))
        if truth.late[key] != found.late[key]
    ]
    out += [
        f"dead letter {where}: stored {found.dead[where]}, sent {truth.dead.get(where, 0)}"
        for where in sorted(set(truth.dead) | set(found.dead))
        if truth.dead.get(where, 0) != found.dead[where]
    ]
    kept = {k: v for k, v in found.windows.items() if k[6] <= end_us}
    for at in sorted(set(truth.windows) | set(kept), key=lambda k: (k[5], k[3], k)):
        want, have = truth.windows.get(at), kept.get(at)
        if want == have:
            continue
        if want is None or have is None or want[0] != have[0]:
            out.append(
                f"window {at}: {have[0] if have else 'no'} rows stored, {want[0] if want else 'no'} sent"
            )
        else:
            bad = [name for name in want[1] if want[1][name] != have[1].get(name)]
            out.append(f"window {at}: bins of {', '.join(bad)} differ")
    return out


__all__ = ["Found", "Layouts", "Truth", "differences", "losses_sent", "recount", "stored"]
