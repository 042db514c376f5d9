"""A decider that is killed anywhere, and starts again from what it saved, decides the same."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from seawall.wire import decode, encode
from streams.core.chunks import PartitionChunker
from streams.core.engine import PartitionEngine
from streams.core.layouts import Control, LayoutBook
from streams.core.registry import RegistryView
from streams.core.reports import window_rows
from streams.core.state import claim_of, restore, save
from streams.core.watermark import Watermarks
from tests.streams.core.builders import MINUTE, NOW, T0, cut_after, records, single
from tests.streams.core.folding import SPEC, engine, outcome, run, schedules, summaries, whole


@settings(max_examples=12, deadline=None)
@given(schedules, st.data())
def test_a_restart_from_saved_state_changes_nothing(schedule, data):
    log = summaries(schedule, message_bytes=data.draw(st.sampled_from([1, 1 << 20])))
    largest = data.draw(st.sampled_from([300, 2000, 1 << 20]))
    stored: dict[bytes, bytes | None] = {}
    committed, saved, offset, effects, starts = 0, -1, 0, [], 1
    current = engine()
    while offset < len(log):
        effects.append(current.on_record(log[offset], offset, T0 + offset))
        event = data.draw(st.sampled_from(["go", "go", "save", "torn save", "kill"]))
        if event in ("save", "torn save"):
            parts = [
                part
                for stage in save(current, offset, claim_of(starts, "a"), largest=largest)
                for part in stage
            ]
            written = len(parts) if event == "save" else data.draw(st.integers(0, len(parts) - 1))
            stored.update(parts[:written])
            # What comes after the partition's own record only tidies up.
            if any(key.endswith(b"\tpartition") for key, _ in parts[:written]):
                saved = max(saved, offset)  # of two whole states the one that reaches further is taken
            if event == "save":
                committed = offset + 1
            else:
                event = "kill"
        if event == "kill":
            current = engine()
            starts += 1
            through = restore(current, whole(stored))
            assert through in (-1, saved)
            offset = committed
            continue
        offset += 1
        if len(effects) > 4 * len(log) + 50:  # enough killing
            break
    effects += [current.on_record(log[rest], rest, T0 + rest) for rest in range(offset, len(log))]
    assert outcome(effects) == run(log)


def test_a_state_that_lost_a_part_is_no_state():
    e, log = engine(), summaries([(0, [0, 1, 2, 3, 4, 5, 6, 7], 0.0)])
    for offset, summary in enumerate(log):
        e.on_record(summary, offset, T0)
    parts = {k: v for stage in save(e, len(log) - 1, "1-a") for k, v in stage if v}
    assert restore(engine(), parts) == len(log) - 1
    for key in parts:
        assert restore(engine(), {k: v for k, v in parts.items() if k != key}) == -1, key


def test_a_state_in_slices_that_lost_one_is_no_state():
    e, log = engine(), summaries([(0, [0, 1, 2, 3, 4, 5, 6, 7], 0.0)])
    for offset, summary in enumerate(log):
        e.on_record(summary, offset, T0)
    parts = {k: v for stage in save(e, len(log) - 1, "1-a", largest=500) for k, v in stage if v}
    assert [k for k in parts if b"slice" in k]
    assert max(len(v) for k, v in parts.items() if not k.endswith(b"\tpartition")) < 600
    for key in parts:
        assert restore(engine(), {k: v for k, v in parts.items() if k != key}) == -1, key


def test_what_no_record_names_any_more_is_deleted():
    e, stored, sizes = engine(), {}, []
    for offset, summary in enumerate(summaries([(0, [m] * 3, 0.0) for m in range(30)])):
        e.on_record(summary, offset, T0)
        largest = 1 << 20 if offset > 60 else 300 if offset % 7 < 3 else 900
        stored.update(part for stage in save(e, offset, "1-a", largest=largest) for part in stage)
        again = engine()
        assert restore(again, whole(stored)) == offset
        slices = [k.rpartition(b"\tslice ") for k in whole(stored) if b"\tslice " in k]
        sizes.append(len(slices))
        for head, _, number in slices:
            record = decode(stored[head] or b"", ("model_state",))[1]
            assert (record["kind"], int(number) < int(record["json"])) == ("sliced", True), (head, number)
    assert max(sizes) > 10
    assert not [k for k in whole(stored) if b"\trest\t" in k]


def test_revisions_are_saved_for_as_long_as_a_window_may_be_revised_again():
    """They were kept for a day, each as a line of text: of a hundred segments more than a broker takes."""
    spec = replace(SPEC, horizons_us=(5 * MINUTE, 300 * MINUTE), grace_us=30 * MINUTE)
    control = Control()
    control.set_monitor(spec)
    chunker = PartitionChunker("predictions", 0, "predictions", LayoutBook(control), cut_after(1))
    e = PartitionEngine(control, RegistryView(), Watermarks({"predictions": "predictions"}, replay=True))
    offset = 0
    for m in range(200):
        # Every event of a minute, and one that is twenty minutes late.
        for ts in (T0 + m * MINUTE, T0 + (m - 20) * MINUTE):
            for cut in chunker.feed(records([single(ts, 1.0)], chunker.next_offset)):
                for summary in cut.summaries:
                    progress = {**summary, "model": "", "blocks": [], "pane_us": 0, "sealed": False}
                    for record in (summary, progress):
                        e.on_record(record, offset, NOW + offset)
                        offset += 1
    merge = e.models["m"].merge
    windows = {(key, width, end) for key, width, end in merge.revisions}
    assert min(end for *_, end in windows) > merge.final_us["predictions"]
    assert 0 < len(windows) <= 3 * 31 * len(merge.series)
    again = PartitionEngine(control, RegistryView(), Watermarks({"predictions": "predictions"}, replay=True))
    parts = {k: v for stage in save(e, offset, "1-a") for k, v in stage if v}
    assert restore(again, parts) == offset
    assert again.models["m"].merge.revisions == merge.revisions
    assert len(parts[b"1-a\tmodel\tm"]) < 20_000


def test_a_drift_opens_an_alarm_and_its_end_resolves_it():
    minutes = [[m] * 8 for m in range(40)]
    log = summaries([(m[0] % 2, m, 6.0 if 10 <= m[0] < 20 else 0.0) for m in minutes])
    alarms = run(log)[2]
    assert next(state for state, *_ in alarms.values()) == "open"
    assert [state for state, *_ in alarms.values()][-1] == "resolved"
    assert any("x" in summary for _, _, summary, *_ in alarms.values())


def test_what_did_not_change_is_not_saved_again():
    e = engine()
    log = summaries([(0, [0, 1, 2], 0.0)])
    for offset, summary in enumerate(log):
        e.on_record(summary, offset, T0)
    assert sum(len(stage) for stage in save(e, len(log) - 1, "1-a")) > 1
    assert [len(stage) for stage in save(e, len(log) - 1, "1-a")] == [0, 0, 1]


def test_a_version_that_serves_no_more_is_forgotten_and_may_come_back():
    """Names that somebody made up once would be kept for ever, in memory and on the bus."""
    control = Control()
    control.set_monitor(replace(SPEC, segments=()))
    chunker = PartitionChunker("predictions", 0, "predictions", LayoutBook(control), cut_after(1))
    made = [
        ("once", 0),
        *(("v1", m) for m in range(1, 40)),
        ("once", 40),
        *(("v1", m) for m in range(41, 80)),
    ]
    values = [single(T0 + m * MINUTE, 1.0, version=version) for version, m in made]
    log = [s for cut in chunker.feed(records(values)) for s in cut.summaries]

    def fresh() -> PartitionEngine:
        marks = Watermarks({"predictions": "predictions"}, 30_000_000, replay=True)
        return PartitionEngine(control, RegistryView(), marks)

    def versions(e: PartitionEngine) -> set[str]:
        return {key[0] for key in e.models["m"].merge.series}

    stored: dict[bytes, bytes | None] = {}
    live, offset, seen, reports = fresh(), 0, [], []
    for summary in log:
        progress = {**summary, "model": "", "blocks": [], "pane_us": 0, "caught_up": True, "sealed": False}
        for record in (summary, progress):
            reports += live.on_record(record, offset, NOW + offset).reports
            stored.update(part for stage in save(live, offset, "1-a") for part in stage)
            offset += 1
        seen.append(versions(live))
        again = fresh()
        assert restore(again, whole(stored)) == offset - 1
        assert versions(again) == versions(live)
    assert "once" in seen[2]
    assert "once" not in seen[35]
    assert "once" in seen[42]
    assert "once" not in seen[-1]
    panes = [window_rows(r) for r in reports if r["horizon_us"] == MINUTE and r["version"] == "once"]
    assert sum(int(p["rows"].sum()) for p in panes) == 2
    assert not [k for k, v in stored.items() if v is not None and b"\tonce\t" in k]


def by_pane_numbers(parts: dict[bytes, bytes], pane_us: int) -> dict[bytes, bytes]:
    """A state as it was saved when panes had numbers in place of times."""
    out = {}
    for key, value in parts.items():
        record = decode(value, ("model_state",))[1]
        for block in record["blocks"]:
            panes = np.frombuffer(block["panes"], dtype="<i8")
            block["panes"] = (panes // pane_us).astype("<i8").tobytes()
        if record["kind"] == "model":
            body = json.loads(record["json"])
            for name in ("pane_us", "forgotten_us"):
                del body[name]
            for old in ("closed", "final"):
                body[old] = {source: at // pane_us for source, at in body.pop(f"{old}_us").items()}
            body["first_pane"] = [[*of, at // pane_us] for *of, at in body.pop("first_us")]
            body["revisions"] = [
                [*of, horizon // pane_us, end // pane_us + w, n]
                for *of, horizon, found in body.pop("revised")
                for end, windows, n in zip(found[::3], found[1::3], found[2::3], strict=True)
                for w in range(windows)
            ]
            body["dirty"] = [[*of, [at // pane_us for at in starts]] for *of, starts in body["dirty"]]
            body["parts"] = [
                [*part, [[*of, at // pane_us, rows] for *of, at, rows in frozen]]
                for *part, frozen, _begins, _told_as, _told, _widths, _refused, _wide in body["parts"]
            ]
            record["json"] = json.dumps(body)
        out[key] = encode("model_state", record)
    return out


@settings(max_examples=10, deadline=None)
@given(schedules, st.data())
def test_a_state_that_was_saved_by_pane_numbers_is_read_as_before(schedule, data):
    log = summaries(schedule)
    half = data.draw(st.integers(1, len(log)))
    first, second = engine(), engine()
    effects = [first.on_record(summary, offset, T0 + offset) for offset, summary in enumerate(log[:half])]
    parts = {k: v for stage in save(first, half - 1, "1-a") for k, v in stage if v}
    assert restore(second, by_pane_numbers(parts, SPEC.pane_us)) == half - 1
    effects += [second.on_record(log[at], at, T0 + at) for at in range(half, len(log))]
    assert outcome(effects) == run(log)
