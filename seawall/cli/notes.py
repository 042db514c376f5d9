"""What an owner should know of a monitor that is not wrong."""

from __future__ import annotations

from seawall.baseline import Baseline
from seawall.monitor import MonitorSpec


def notes_on(spec: MonitorSpec, baseline: Baseline | None) -> list[str]:
    """Say what the monitor asks for and nobody does, and which limits its baseline is too short to know."""
    notes = []
    if spec.performance:
        notes.append(f"promise.performance ({', '.join(spec.performance)}): recorded, not watched yet")
    return notes + (short_horizons(spec, baseline) if baseline is not None else [])


def short_horizons(spec: MonitorSpec, baseline: Baseline) -> list[str]:
    """Say of which horizons the limits are guesswork."""
    from streams.core.learning import too_short

    return too_short(baseline, spec)
