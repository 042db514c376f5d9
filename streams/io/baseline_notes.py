"""Which limits the baselines of serving versions are too short to teach, for whoever asks how it stands."""

from __future__ import annotations

import base64
import time
from collections.abc import Iterable, Mapping

from clickhouse_connect.driver.client import Client

from streams.core.control import apply_control
from streams.core.holds import HoldBook
from streams.core.layouts import Control
from streams.core.learning import too_short
from streams.core.registry import RegistryView

#: Learning from a baseline of 25 columns takes a second; whoever asks waits about so long for all of them.
PATIENCE_S = 5.0
_CONTROL = """
SELECT topic, key, payload FROM control FINAL
WHERE topic = 'monitors' AND key IN {models:Array(String)} OR topic = 'baselines' AND key IN {baselines:Array(String)}
ORDER BY topic DESC
"""


class _Known:
    """Where control records are folded into."""

    def __init__(self) -> None:
        self.control = Control()
        self.registry = RegistryView()
        self.rollback_steps: list[dict[str, object]] = []
        self.holds = HoldBook()


def baseline_notes(
    client: Client, serving: Mapping[str, str], *, patience_s: float = PATIENCE_S
) -> list[str]:
    """Say of each model's serving version which horizons its baseline is too short for, as `seawall check` does.

    Parameters
    ----------
    serving
        Version by model; a version without a baseline is passed over.
    patience_s
        No further baseline is looked at after this long; the last line says how many were not.
    """
    known = _Known()
    keys = {f"{model}/{version}": model for model, version in serving.items()}
    found = client.query(
        _CONTROL, parameters={"models": list(serving), "baselines": list(keys)}
    ).named_results()
    for row in found:
        apply_control(known, row["topic"], row["key"].encode(), base64.b64decode(row["payload"]) or None)
    return list(_notes(known.control, patience_s))


def _notes(control: Control, patience_s: float) -> Iterable[str]:
    until_s = time.monotonic() + patience_s
    left = sorted(control.baselines)
    while left and time.monotonic() < until_s:
        model, version = left.pop(0)
        for said in too_short(control.baselines[model, version], control.monitor(model)):
            yield f"{model} {version}: {said}"
    if left:
        yield f"{len(left)} baselines more were not looked at; `seawall check --baseline` says it of each"


__all__ = ["PATIENCE_S", "baseline_notes"]
