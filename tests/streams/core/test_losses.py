"""What a prediction cost is a number of its label event alone, however events are batched and encoded."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seawall.frames import Categorical, Columns, to_record
from seawall.monitor import MonitorSpec
from seawall.wire import encode
from streams.core.build_baseline import build_baseline
from streams.core.chunks import ChunkRule, PartitionChunker, read_block
from streams.core.decode import Record, decode_record, gather, shape
from streams.core.layouts import Control, LayoutBook
from streams.core.losses import LossRule, losses_of, rule_for
from tests.streams.core.builders import MINUTE, NOW, T0, records

ALL = frozenset(("error", "brier", "log_loss", "absolute_error", "residual", "squared_error"))
BINARY = LossRule(ALL, is_binary=True, positive="late")
CLASSES = LossRule(ALL, is_binary=False)

finite = st.floats(-1e6, 1e6)
words = st.sampled_from(["late", "on time", "lost", None])
probabilities = st.one_of(st.floats(0, 1), st.sampled_from([0.0, 1.0, 0.5, -0.1, 1.5, math.nan]))


def event(**fields: Any) -> dict[str, Any]:
    made = {
        "event_id": "e", "model": "m", "version": "v1", "ts": T0, "entity_id": None, "value": None, "label": None,
        "segments": [], "weight": 1.0, "scores": [], "predicted": None,
    }  # fmt: skip
    return made | fields


def named(scores: dict[str, float]) -> list[dict[str, Any]]:
    return [{"name": name, "value": value} for name, value in scores.items()]


def spelt(event: dict[str, Any]) -> str | None:
    """The truth as a class."""
    if event["label"] is not None:
        return str(event["label"])
    value = event["value"]
    if value is None or not math.isfinite(value):
        return None
    return str(int(value)) if value == int(value) else repr(value)


def naive(event: dict[str, Any], rule: LossRule) -> dict[str, float]:
    """Losses of one event, as one would write them for one event."""
    truth, said = spelt(event), event["predicted"]
    scores = {s["name"]: math.nan if s["value"] is None else s["value"] for s in event["scores"]}
    out: dict[str, float] = {}
    if said is not None and truth is not None:
        out["error"] = float(said != truth)
    if truth is not None and rule.is_binary and scores:
        p = scores.get(rule.positive, next(iter(scores.values())) if len(scores) == 1 else math.nan)
        if 0 <= p <= 1:
            given = p if truth == rule.positive else 1 - p
            out["log_loss"] = -math.log(min(max(given, 1e-15), 1.0))
            out["brier"] = (p - (truth == rule.positive)) ** 2
    are_shares = all(p >= 0 for p in scores.values()) and abs(sum(scores.values()) - 1) <= 1e-4
    if not rule.is_binary and truth in scores and are_shares:
        out["log_loss"] = -math.log(min(max(scores[truth], 1e-15), 1.0))
        out["brier"] = sum((p - (name == truth)) ** 2 for name, p in scores.items())
    if event["value"] is not None and len(scores) == 1:
        off = next(iter(scores.values())) - event["value"]
        out |= {"residual": off, "absolute_error": abs(off), "squared_error": off * off}
    return {name: value for name, value in out.items() if not math.isnan(value)}


@st.composite
def labels(draw: st.DrawFn) -> dict[str, Any]:
    kind = draw(st.sampled_from(["binary", "classes", "numbers", "bare"]))
    truth = (
        {"label": draw(words)} if draw(st.booleans()) else {"value": draw(st.none() | finite | st.just(1.0))}
    )
    if kind == "bare":
        return event(**truth)
    if kind == "numbers":
        return event(value=draw(finite), scores=named({"score": draw(finite)}))
    if kind == "binary":
        name = draw(st.sampled_from(["score", "late"]))
        return event(**truth, scores=named({name: draw(probabilities)}), predicted=draw(words))
    shares = draw(st.lists(st.floats(0, 1), min_size=3, max_size=3))
    total = sum(shares) if draw(st.booleans()) and sum(shares) else 1.0
    scores = dict(zip(["late", "on time", "lost"], (s / total for s in shares), strict=True))
    return event(**truth, scores=named(scores), predicted=draw(words))


@pytest.mark.parametrize("rule", [BINARY, CLASSES])
@given(st.lists(labels(), min_size=1, max_size=8))
def test_losses_of_many_rows_are_those_of_each_row(rule: LossRule, events: list[dict[str, Any]]) -> None:
    for of_shape in by_shape(events):
        (columns,) = gather("labels", of_shape)
        found = losses_of(columns, rule)
        for row, each in enumerate(of_shape):
            alone = {n: float(v[row]) for n, v in found.items() if not math.isnan(v[row])}
            assert _alike(alone, naive(each, rule)), (alone, naive(each, rule))


def by_shape(events: list[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    shapes = dict.fromkeys(shape("labels", e) for e in events)
    return [[e for e in events if shape("labels", e) == each] for each in shapes]


def _alike(found: dict[str, float], wanted: dict[str, float]) -> bool:
    return found.keys() == wanted.keys() and all(
        math.isclose(found[n], wanted[n], rel_tol=1e-9, abs_tol=1e-9) for n in found
    )


def reference() -> Columns:
    score = np.linspace(0.02, 0.98, 500)
    return Columns(
        "predictions", "m", "v1", T0 + np.arange(500) * MINUTE, scores={"score": score},
        label=Categorical.of(["late" if s > 0.5 else "on time" for s in score]),
    )  # fmt: skip


def truths() -> Categorical:
    return Categorical.of(["late" if i % 7 < i / 72 else "on time" for i in range(500)])


def test_a_baseline_learns_what_predictions_cost() -> None:
    baseline = build_baseline(
        reference(), model="m", version="v1", labels=truths(), positive="late", now_us=0
    )
    means = {c.name: c.mean for c in baseline.columns if c.role == "loss"}
    assert set(means) == {"error", "brier", "log_loss"}
    assert baseline.positive == "late"
    assert 1 - means["error"] == pytest.approx(baseline.performance["accuracy"])
    assert means["brier"] == pytest.approx(baseline.performance["brier"])
    assert means["log_loss"] == pytest.approx(baseline.performance["log_loss"])


def test_scores_that_are_no_probabilities_have_no_brier_score() -> None:
    rows = reference()
    rows.scores = {"score": rows.scores["score"] * 3}
    baseline = build_baseline(rows, model="m", version="v1", labels=truths(), positive="late", now_us=0)
    assert [c.name for c in baseline.columns if c.role == "loss"] == ["error"]
    assert baseline.positive == "late"


def counted(values: list[bytes], spec: MonitorSpec | None = None) -> dict[str, Any]:
    """What a chunk of these records holds, over the layout that a baseline gives."""
    control = Control()
    control.set_baseline(
        build_baseline(reference(), model="m", version="v1", labels=truths(), positive="late", now_us=0)
    )
    control.set_monitor(spec or MonitorSpec("m"))
    chunker = PartitionChunker("labels", 0, "labels", LayoutBook(control), ChunkRule())
    chunker.start_at(0)
    assert list(chunker.feed(records(values))) == []
    assert chunker.dead == []
    (summary,) = chunker.provisional(caught_up=True)
    (record,) = summary["blocks"]
    block = read_block(record)
    means = {
        block.layout.columns[i].key: block.moments[0, k].tolist() for k, i in enumerate(block.layout.numeric)
    }
    return {"rows": block.rows.tolist(), "counts": block.counts.tolist(), "moments": means}


def some_events() -> list[dict[str, Any]]:
    rng = np.random.default_rng(3)
    return [
        event(
            event_id=f"e{i}",
            label=str(rng.choice(["late", "on time"])),
            scores=named({"score": float(rng.random())}),
            predicted=str(rng.choice(["late", "on time"])),
        )
        for i in range(40)
    ]


def test_losses_are_counted_alike_in_avro_json_and_frames() -> None:
    events = some_events()
    columns = replace(gather("labels", events)[0], frame_id="f")
    at_once = counted([encode("label", e) for e in events])
    one_by_one = counted([encode("label", e) for e in events[:5]] + [encode("label", e) for e in events[5:]])
    in_json = counted([json.dumps(e).encode() for e in events])
    in_frames = counted([encode("label_frame", to_record(columns))])
    assert at_once == one_by_one == in_json == in_frames
    wanted = np.mean([naive(e, BINARY)["brier"] for e in events])
    assert at_once["moments"]["loss/brier"][0] == pytest.approx(wanted)


def test_labels_without_a_prediction_are_counted_beside_those_with_one() -> None:
    events = [*some_events(), *(event(label="late") for _ in range(20))]
    found = counted([encode("label", e) for e in events])
    assert found["rows"] == [60]
    wanted = np.mean([naive(e, BINARY)["error"] for e in some_events()])
    assert found["moments"]["loss/error"][0] == pytest.approx(wanted)


def test_without_a_baseline_the_task_or_a_promise_says_what_is_counted() -> None:
    spec = MonitorSpec("m", task="regression", performance={"rmse": ("<=", 2.0)})
    rule = rule_for(spec, None)
    assert rule.names == {"absolute_error", "residual", "squared_error"}
    (columns,) = gather("labels", [event(value=3.0, scores=named({"score": 5.0}))])
    assert {n: v.tolist() for n, v in losses_of(columns, rule).items()} == {
        "absolute_error": [2.0], "residual": [2.0], "squared_error": [4.0],
    }  # fmt: skip
    assert rule_for(MonitorSpec("m"), None).names == frozenset()


def test_a_score_named_twice_is_a_dead_letter() -> None:
    twice = event(label="late", scores=[*named({"score": 0.5}), *named({"score": 0.5})])
    (letter,) = decode_record("labels", Record(0, NOW, encode("label", twice))).dead
    assert (letter.reason, letter.detail) == ("duplicate_column", "scores names 'score' more than once")
