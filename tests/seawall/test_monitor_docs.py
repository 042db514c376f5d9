"""docs/monitor.md is true: its examples can be read, and the first one holds every key with its default."""

import re
from dataclasses import replace
from pathlib import Path

import yaml

from seawall.monitor import MonitorSpec
from seawall.monitor_yaml import parse_monitor, rules

PAGE = (Path(__file__).parents[2] / "docs" / "monitor.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)


def test_the_first_example_is_what_holds_without_it() -> None:
    assert parse_monitor(BLOCKS[0]) == parse_monitor("model: late-arrival")
    assert parse_monitor(BLOCKS[0]) == replace(MonitorSpec("late-arrival"), task="")


def test_the_first_example_has_every_key() -> None:
    written = yaml.safe_load(BLOCKS[0])
    assert set(written) == set(rules.KEYS)
    assert set(written["windows"]) == set(rules.WINDOW_KEYS)
    assert set(written["effect"]) == set(rules.EFFECTS)
    assert set(written["alarm"]) == set(rules.ALARM_KEYS)
    assert set(written["rollback"]) == set(rules.ROLLBACK_KEYS)


def test_the_second_example_has_what_has_no_default() -> None:
    written = yaml.safe_load(BLOCKS[1])
    parse_monitor(BLOCKS[1])
    assert set(written["promise"]) == set(rules.PROMISE_KEYS)
    assert {key for column in written["columns"].values() for key in column} == set(rules.COLUMN_KEYS)
    assert {receiver.split(":")[0] for receiver in written["notify"]} == set(rules.RECEIVERS)


def test_every_metric_bound_and_number_of_the_page_is_the_codes() -> None:
    for name in (*rules.METRICS, *rules.COLUMN_EFFECTS):
        assert f"`{name}`" in PAGE
    assert f"at most {rules.MOST_PANES_IN_HORIZON} panes" in PAGE
    assert f"1 to {rules.MOST_HORIZONS}, ascending" in PAGE
