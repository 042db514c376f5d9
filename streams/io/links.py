"""Where a person who is told of an alarm can look: the model's dashboard, around the alarm."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from seawall.monitor import HOUR_US

#: Uid of the dashboard of one model, as `dashboards` builds it.
MODEL_UID = "seawall-model"
#: How much before and after an alarm is shown at least.
AROUND_US = 6 * HOUR_US

Step = Mapping[str, Any]


def dashboard_url(step: Step, root: str) -> str:
    """Return the address of the model's dashboard around an alarm or a rollback, in the Grafana at `root`.

    Without a root there is none: an empty string.
    """
    if not root:
        return ""
    chosen = {"var-model": step["model"]}
    if "rollback_id" in step:
        first_us = last_us = int(step["ts"])
        around_us = AROUND_US
    else:
        # Silence and volume are the model's: any version will do, so none is chosen.
        chosen |= {"var-version": step["version"]} if step["version"] else {}
        chosen |= {"var-source": _source_of(step), "var-segment": step["segment"] or "(all)"}
        began_us = step["opened_us"] if step["onset_us"] is None else step["onset_us"]
        first_us, last_us = min(began_us, step["opened_us"]), step["updated_us"]
        around_us = max(AROUND_US, step["horizon_us"])
    span = {"from": (first_us - around_us) // 1000, "to": (last_us + around_us) // 1000}
    return f"{root.rstrip('/')}/d/{MODEL_UID}?{urlencode(span | chosen, errors='replace')}"


def _source_of(alarm: Step) -> str:
    """Return the stream whose windows an alarm is about: of losses that is labels, of skew feature events."""
    is_of_labels = any(f["role"] in {"loss", "promise"} for f in alarm["features"][:1])
    if is_of_labels or alarm["kind"] in {"loss", "promise"}:
        return "labels"
    return "features" if alarm["kind"] == "skew" else "predictions"
