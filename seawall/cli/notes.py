"""What an owner should know of a monitor that is not wrong."""

from __future__ import annotations

from seawall.baseline import Baseline
from seawall.monitor import MonitorSpec
from seawall.monitor_yaml.rules import METRICS


def notes_on(spec: MonitorSpec, baseline: Baseline | None) -> list[str]:
    """Say what the monitor asks for and nobody does, and which limits its baseline is too short to know."""
    notes = []
    unwatched = [metric for metric in spec.performance if not METRICS[metric].loss]
    if unwatched:
        notes.append(
            f"promise.performance ({', '.join(unwatched)}): recorded, not watched: no mean over single predictions"
        )
    return notes + (short_horizons(spec, baseline) if baseline is not None else [])


def short_horizons(spec: MonitorSpec, baseline: Baseline) -> list[str]:
    """Say of which horizons the limits are guesswork."""
    from streams.core.learning import too_short

    return too_short(baseline, spec)
