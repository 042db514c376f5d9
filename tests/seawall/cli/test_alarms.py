"""`seawall alarms`, on a real store that holds what the sink wrote."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest

from seawall.cli import main
from seawall.settings import Settings
from seawall.wire import encode
from streams.agents.results import _MAKERS
from streams.io.clickhouse import Store
from tests.contract.samples import alarm, feature


def put(settings: Settings, *steps: dict[str, object]) -> None:
    store = Store(settings)
    for n, step in enumerate(steps):
        record = SimpleNamespace(value=encode("alarm", step), key=b"", offset=n)
        for table, rows in _MAKERS["alarms"](None, record):  # type: ignore[arg-type]
            store.insert(table, rows, f"test|{step['alarm_id']}|{step['revision']}")


@pytest.fixture
def stored(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Settings:
    for name in ("broker", "store_url", "store_database"):
        monkeypatch.setenv(f"SEAWALL_{name.upper()}", getattr(settings, name))
    put(
        settings,
        alarm(alarm_id="aa11", incident_id="aa11"),
        alarm(alarm_id="aa11", incident_id="aa11", revision=1, state="updated", features=[feature(value=0.5)]),
        alarm(alarm_id="aa22", incident_id="aa11", kind="skew", summary="predictions and feature events differ"),
        alarm(alarm_id="bb33", incident_id="bb33", summary="over and done"),
        alarm(alarm_id="bb33", incident_id="bb33", revision=1, state="resolved", resolved_us=alarm()["updated_us"]),
    )  # fmt: skip
    return settings


def test_a_list_shows_what_is_open_each_incident_with_its_alarms_below(
    stored: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["alarms", "list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines if line.startswith(("aa", "bb"))] == ["aa11"]
    assert any(line.startswith("└ aa22") for line in lines)
    assert main(["alarms", "list", "--all", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert {a["alarm_id"]: a["state"] for a in found} == {
        "aa11": "updated",
        "aa22": "open",
        "bb33": "resolved",
    }
    assert main(["alarms", "list", "--model", "nobody"]) == 0
    assert "no alarm is open" in capsys.readouterr().out


def test_showing_one_tells_its_story_and_draws_before_and_after(
    stored: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["alarms", "show", "aa1"]) == 0
    out = capsys.readouterr().out
    assert alarm()["story"] in out
    assert "▂█▃▂" in out
    assert "release: the release of 3" in out
    assert "speaks for late-arrival/3/all/volume/1700000000 open: volume" in out
    assert out.count("dep_delay has moved") >= 3  # the head and the two steps
    assert main(["alarms", "show", "aa11", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [s["revision"] for s in told["steps"]] == [0, 1]
    assert told["steps"][1]["features"][0]["value"] == 0.5
    assert told["steps"][0]["onset"] == "2023-11-14T22:11:20+00:00"
    assert told["steps"][0]["context"]["beside"]["sees"] == "no"


def test_numbers_are_told_in_full_on_a_narrow_screen(
    stored: Settings, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    wide = feature(
        name="airport_delay_min", statistic="out_of_range_share", value=0.46925, limit=0.068512, chance=0.00754,
        detail="out of range 46.9%, usually 0.0%", before=[0.1] * 12, after=[0.1] * 12,
    )  # fmt: skip
    put(stored, alarm(alarm_id="dd55", incident_id="dd55", features=[wide]))
    assert main(["alarms", "show", "dd55"]) == 0
    out = capsys.readouterr().out
    assert (
        "airport_delay_min: out_of_range_share 0.469 (limit 0.0685, chance 0.00754), importance 0.4\n" in out
    )
    assert "  out of range 46.9%, usually 0.0%\n" in out
    assert f"  {'█' * 12} → {'█' * 12}\n" in out


@pytest.mark.parametrize(("asked", "said"), [("zz", "none begins so"), ("aa", "these do: aa11, aa22")])
def test_an_id_that_is_not_one_alarm_is_refused(
    stored: Settings, capsys: pytest.CaptureFixture[str], asked: str, said: str
) -> None:
    assert main(["alarms", "show", asked]) == 1
    assert said in capsys.readouterr().err


def test_a_silence_is_shown_in_words_and_not_in_seconds(
    stored: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    silence = feature(
        name="freshness", statistic="silent_seconds", value=2520.0, limit=600.0, chance=180.0,
        detail="none for 42 min", before=[], after=[],
    )  # fmt: skip
    put(stored, alarm(alarm_id="cc44", incident_id="cc44", kind="freshness", features=[silence]))
    assert main(["alarms", "show", "cc44"]) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "silent_seconds" not in out
    assert "2.52e+03" not in out
    assert "freshness: no predictions for 42 min, usually at most 3 min (limit 10 min)" in out
    assert main(["alarms", "show", "cc44", "--json"]) == 0
    (step,) = json.loads(capsys.readouterr().out)["steps"]
    assert step["features"][0]["value"] == 2520.0, "a program wants the number"
