"""Where a page leads."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from dashboards import panels
from dashboards.build import committed
from seawall.monitor import HOUR_US
from streams.io.links import MODEL_UID, dashboard_url
from tests.contract.samples import alarm, feature, rollback


def test_a_page_leads_to_the_models_dashboard_at_the_time_that_it_is_about() -> None:
    step = alarm(model="late arrival", segment="origin=JFK", kind="promise")
    url = urlsplit(dashboard_url(step, "https://grafana.example/"))
    assert MODEL_UID == panels.MODEL_UID
    assert (url.netloc, url.path) == ("grafana.example", f"/d/{MODEL_UID}")
    chosen = {name: value for name, (value,) in parse_qs(url.query).items()}
    assert chosen.pop("from") == str((step["onset_us"] - 6 * HOUR_US) // 1000)
    assert chosen.pop("to") == str((step["updated_us"] + 6 * HOUR_US) // 1000)
    variables = {v["name"] for v in committed()["model.json"]["templating"]["list"]}
    assert {name.removeprefix("var-") for name in chosen} <= variables
    assert chosen == {
        "var-model": "late arrival", "var-version": "3", "var-source": "labels", "var-segment": "origin=JFK"
    }  # fmt: skip


def test_a_rollback_leads_to_its_model_and_without_a_grafana_there_is_nowhere_to_look() -> None:
    of_model = dashboard_url(rollback(), "https://g/grafana")
    assert of_model.startswith(f"https://g/grafana/d/{MODEL_UID}?from=")
    assert of_model.endswith(f"&var-model={rollback()['model']}")
    assert dashboard_url(alarm(), "") == ""


@pytest.mark.parametrize(
    ("changes", "source"),
    [
        ({}, "predictions"),
        ({"kind": "skew"}, "features"),
        ({"kind": "loss", "features": []}, "labels"),
        ({"kind": "classic", "features": [feature(role="loss")]}, "labels"),
    ],
)
def test_a_page_leads_to_the_stream_that_it_is_about(changes: dict[str, Any], source: str) -> None:
    assert f"var-source={source}&" in dashboard_url(alarm(**changes), "https://g")
