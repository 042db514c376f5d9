"""What an owner should know of a monitor that is not wrong."""

from __future__ import annotations

from seawall.baseline import Baseline, BaselineColumn
from seawall.monitor import MonitorSpec
from seawall.monitor_yaml.traffic import identifiers


def notes_on(spec: MonitorSpec, baseline: Baseline | None) -> list[str]:
    """Say what the monitor should not watch, and what its baseline cannot know."""
    if baseline is None:
        return []
    return [
        *broken_promises(spec, baseline),
        *watched_identifiers(spec, baseline),
        *short_horizons(spec, baseline),
    ]


def broken_promises(spec: MonitorSpec, baseline: Baseline) -> list[str]:
    """Say which promises the reference itself would have broken, how often, and which it would have kept."""
    from streams.core.reference_promises import broken_in, in_words, scatter_in

    broken = broken_in(baseline, spec)
    return in_words(broken, spec, scatter_in(baseline, spec)) if broken else []


def watched_identifiers(spec: MonitorSpec, baseline: Baseline) -> list[str]:
    """Say which features look like identifiers and are watched all the same."""
    ignored = {name for name, rule in spec.columns.items() if rule.ignore}
    return [identifier_said(c) for c in identifiers(baseline) if c.name not in ignored]


def identifier_said(column: BaselineColumn) -> str:
    """Say why a column is taken for an identifier, and what follows.

    Examples
    --------
    >>> identifier_said(BaselineColumn("id", "feature", "numeric", count=60_000, distinct=60_000))
    'columns.id: 60,000 different values in 60,000 rows look like an identifier; ignore: true leaves it unwatched'
    """
    return (
        f"columns.{column.name}: {column.distinct:,} different values in {column.count:,} rows look like an "
        "identifier; ignore: true leaves it unwatched"
    )


def short_horizons(spec: MonitorSpec, baseline: Baseline) -> list[str]:
    """Say of which horizons the limits are guesswork."""
    from streams.core.learning import too_short

    return too_short(baseline, spec)
