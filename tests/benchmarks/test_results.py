"""What benchmarks leave on disk, and how a run of all of them ends."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks import plots, results
from benchmarks.__main__ import Ending, exit_code, play
from benchmarks.latency import after_end, of_events
from benchmarks.parts import PARTS, SKIPPED, Part


def part(module: str, figure: str = "7") -> Part:
    return Part("p", "a part", module, lambda _: [("measured", figure)])


def ending(code: int) -> Ending:
    return Ending(part("m"), code, 1.0, "", [])


def test_a_benchmark_leaves_the_contenders_that_others_have_written(tmp_path: Path) -> None:
    results.merge(tmp_path, {"seawall_demo_year": results.rate([1.0, 3.0, 2.0])})
    results.merge(tmp_path, {"bytewax": results.rate([5.0])})
    found = json.loads((tmp_path / "bench.json").read_text())
    assert found["seawall_demo_year"]["events_per_second"] == 2.0
    assert found["bytewax"] == {"events_per_second": 5.0, "runs": [5.0]}


def test_what_an_older_edition_left_among_the_contenders_goes(tmp_path: Path) -> None:
    older = {"loop": results.rate([1.0]), "exact": True, "machine": {"cpus": 2}, "ingest": [{"features": 5}]}
    (tmp_path / "bench.json").write_text(json.dumps(older))
    results.merge(tmp_path, {"bytewax": results.rate([5.0])})
    assert json.loads((tmp_path / "bench.json").read_text()).keys() == {"loop", "bytewax"}


def test_what_is_no_contender_is_refused_by_its_name(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="exact: True is no contender, expected events_per_second and runs"):
        results.merge(tmp_path, {"exact": True})  # type: ignore[dict-item]
    assert not (tmp_path / "bench.json").exists()


def test_every_other_file_says_how_it_was_made_and_on_what(tmp_path: Path) -> None:
    results.write(tmp_path, "recovery", {"sent": 7})
    found = json.loads((tmp_path / "bench" / "recovery.json").read_text())
    assert found["sent"] == 7
    assert found["command"].startswith("python ")
    assert found["machine"].keys() == {"cpus", "memory_gib", "python", "numpy", "load"}
    assert results.read(tmp_path, "recovery") == found
    assert results.read(tmp_path, "ingest") == {}


def test_a_part_that_ends_well_has_its_figures_and_its_output_is_kept(tmp_path: Path) -> None:
    (tmp_path / "bench").mkdir()
    ended = play(part("json.tool"), ("--help",), tmp_path, lambda _: None)
    assert (ended.code, ended.figures) == (0, [("measured", "7")])
    assert "json.tool" in (tmp_path / "bench" / "p.log").read_text()


def test_a_part_that_fails_says_its_last_words_and_has_no_figures(tmp_path: Path) -> None:
    ended = play(part("benchmarks.there_is_none"), (), tmp_path, lambda _: None)
    assert ended.figures == []
    assert ended.words == f"failed (1): {sys.executable}: No module named benchmarks.there_is_none"


def test_without_java_the_part_that_needs_kafka_is_skipped_and_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    (gaps,) = (p for p in PARTS if p.name == "gaps")
    ended = play(gaps, (), tmp_path, lambda _: None)
    assert ended.code == SKIPPED
    assert "Java 17" in (tmp_path / "bench" / "gaps.log").read_text()
    assert ended.words.startswith("skipped: ")


@pytest.mark.parametrize(
    ("codes", "whole"), [((0, 0), 0), ((0, SKIPPED, 0), 3), ((0, SKIPPED, 2), 1), ((-9, 0), 1), ((), 0)]
)
def test_the_exit_code_tells_whether_a_part_failed_or_something_was_missing(
    codes: tuple[int, ...], whole: int
) -> None:
    assert exit_code([ending(code) for code in codes]) == whole


def test_an_event_waits_for_the_end_of_its_pane_and_then_for_the_store() -> None:
    waits = [1.0, 2.0]
    assert after_end(waits) == pytest.approx({"median": 1.5, "p99": 1.99, "max": 2.0})
    # Between 1 and 12 seconds, and as often below 6.5 as above.
    assert of_events(waits, 10.0) == pytest.approx({"median": 6.5, "p99": 11.8, "max": 12.0}, rel=1e-3)


#: As little as each benchmark may have found.
FOUND: dict[str, dict[str, Any]] = {
    "ingest": {
        "cases": [
            {
                "features": features,
                "models": models,
                "segments": segments,
                "single_events": results.rate([1e5 / features]),
                "frames": results.rate([1e6 / features]),
            }
            for features, models, segments in ((5, 1, 0), (20, 1, 0), (20, 10, 0), (20, 1, 100))
        ]
    },
    "open_windows": {
        "cases": [
            {
                "models": models,
                "segments": 0,
                "panes": 60,
                "cells": 60 * models,
                "resident_bytes": models << 20,
                "bytes_a_cell": 17_000.0,
            }
            for models in (1, 100)
        ]
    },
    "recovery": {
        "rate": 20_000.0,
        **{step: {"median_s": 2.0, "runs_s": [1.0, 2.0, 4.0]} for step in ("answers", "counts", "window", "caught_up")},
    },
    "latency": {
        "pane_s": 10,
        "cases": [
            {"rate": rate, "after_pane_end_s": after_end([1.2, 1.4]), "windows": [[10.0, 1.2], [20.0, 1.4]]}
            for rate in (1000, 20_000)
        ],
    },
    "soak": {
        "rate": 1000.0,
        "minutes": 1.0,
        "series": {
            name: [[0.0, 1.0], [30.0, 2.0]] for name in ("memory_mib", "lag_records", "window_after_pane_end_s")
        },
    },
}  # fmt: skip


def test_a_plot_is_drawn_from_the_files_alone_where_its_figures_are(tmp_path: Path) -> None:
    results.merge(tmp_path, {"seawall_demo_year": results.rate([5.0])})
    assert plots.draw(tmp_path, tmp_path / "images") == {}, (
        "the demo's year did not run on the contenders' topic"
    )
    for name, found in FOUND.items():
        results.write(tmp_path, name, found)
    results.merge(tmp_path, {"bytewax": results.rate([5.0]), "seawall_frames": results.rate([100.0, 120.0])})
    drawn = plots.draw(tmp_path, tmp_path / "images")
    assert drawn.keys() == plots.PLOTS.keys()
    for image in drawn.values():
        assert image.read_bytes().startswith(b"\x89PNG")


def test_the_table_at_the_end_tells_of_the_loads_that_were_played(tmp_path: Path) -> None:
    for name, found in FOUND.items():
        results.write(tmp_path, name, found)
    by_name = {p.name: p for p in PARTS}
    assert by_name["latency"].figures(tmp_path)[1] == (
        "window stored after its pane's end, 20,000 events/s",
        "median 1.30 s, p99 1.40 s",
    )
    assert by_name["ingest"].figures(tmp_path)[0] == (
        "taking in, 20 features",
        "200 µs a single event, 20 µs a row of a frame",
    )
    assert by_name["open_windows"].figures(tmp_path) == [("an open window of 20 numbers", "17 to 17 KiB")]
