"""What Seawall would have paged: the code path of ``seawall backtest``, at one default setting.

The rows go through frames, chunks, summaries, windows, verdicts and alarms, as they would in a worker. Where a stream
is of errors, they come as label events that say what was predicted, and Seawall works the errors out.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.detection.known_faults.cases import Case
from benchmarks.detection.known_faults.flips import ERROR
from benchmarks.detection.known_faults.streams import Stream
from seawall.baseline import Baseline
from seawall.frames import Categorical, Columns
from seawall.monitor import DAY_US, HOUR_US, MonitorSpec
from streams.core.alarm_steps import Culprit
from streams.core.backtest import Backtest, Setting
from streams.core.build_baseline import build_baseline

#: Midnight of a Monday, and the same hour of the week for what follows the reference.
T0_US = 20_454 * DAY_US
#: The defaults, on hourly panes.
SPEC = MonitorSpec("m", pane_us=HOUR_US, horizons_us=(HOUR_US, 6 * HOUR_US, DAY_US))


def columns_of(case: Case, rows: Stream, first_hour: int) -> Columns:
    """Turn a stream into events, spread evenly over each hour."""
    n = np.bincount(rows.hour, minlength=rows.hours)
    place = np.arange(len(rows.hour)) - np.repeat(np.cumsum(n) - n, n)
    within = (place + 0.5) / np.maximum(n[rows.hour], 1)
    ts = T0_US + (first_hour + rows.hour) * HOUR_US + (within * HOUR_US).astype(np.int64)
    if case.protocol.of_labels:
        predicted = Categorical(np.zeros(len(ts), np.int32), ["yes"])
        return Columns("labels", "m", "v1", ts, label=truth_of(rows), predicted=predicted)
    return Columns(
        "predictions",
        "m",
        "v1",
        ts,
        numeric=dict(rows.numeric),
        categorical={n: Categorical(c, [*case.words[n], "a new word"]) for n, c in rows.categorical.items()},
    )


def truth_of(errors: Stream) -> Categorical:
    """Return what the truth was where all predictions say yes."""
    return Categorical(errors.numeric[ERROR].astype(np.int32), ["yes", "no"])


def baseline_of(case: Case) -> Baseline:
    """Build the baseline of a case's reference."""
    events = columns_of(case, case.reference, 0)
    if not case.protocol.of_labels:
        return build_baseline(events, model="m", version="v1", now_us=0)
    predictions = Columns("predictions", "m", "v1", events.ts, label=events.predicted)
    return build_baseline(
        predictions,
        model="m",
        version="v1",
        labels=truth_of(case.reference),
        task="binary_classification",
        now_us=0,
    )


def named(culprit: Culprit) -> list[str]:
    """Columns that a culprit names: a relation names both of its own."""
    return culprit.name.split(" and ") if culprit.role == "relation" else [culprit.name]


def pages(case: Case, rows: Stream, baseline: Baseline) -> list[dict[str, Any]]:
    """Return the pages of a stream that follows the reference: the hour that had to end, and the culprits."""
    events = columns_of(case, rows, case.reference.hours)
    test = Backtest([Setting("default", SPEC)], [baseline], sources=[events.source])
    test.feed(events)
    (outcome,) = test.finish()
    start_us = T0_US + case.reference.hours * HOUR_US
    return [
        {
            "hour": (page.paged_us - start_us) // HOUR_US - 1,
            "closed": page.resolved_us and (page.resolved_us - start_us) // HOUR_US - 1,
            "culprits": [*(name for c in page.culprits for name in named(c)), *page.near],
            "statistic": page.culprits[0].statistic if page.culprits else "",
            "kind": page.kind,
        }
        for page in outcome.pages
    ]


def play(case: Case, path: Path) -> None:
    """Write the pages of the quiet stream and of every fault."""
    baseline = baseline_of(case)
    found = {
        "quiet": pages(case, case.live, baseline),
        "faults": [pages(case, case.faulty(i), baseline) for i in range(len(case.hits))],
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    part.write_text(json.dumps(found))
    part.replace(path)
