"""Show a baseline to a person (a table with a sparkline per column) or to a program (JSON)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from seawall.baseline import Baseline, BaselineColumn
from seawall.durations import format_duration
from seawall.values import printable

if TYPE_CHECKING:
    from rich.console import Console

_BLOCKS = "▁▂▃▄▅▆▇█"
_WIDTH = 16
#: A longer name would leave no room for the rest of its line.
_LONGEST_NAME = 40
#: … of which a screen narrower than this has half.
_WIDE = 100
#: … and so would a text as a value.
_LONGEST_VALUE = 24


def show_baseline(baseline: Baseline, console: Console) -> None:
    """Print a summary: what it is of, its performance and lineage, and a line per column."""
    from rich.markup import escape
    from rich.table import Table

    console.print(
        f"[bold]{escape(baseline.model)}[/] {escape(baseline.version)}  "
        f"[dim]{baseline.baseline_id}[/]  {baseline.rows:,} rows  {baseline.task or 'no task'}"
    )
    console.print(escape(period_in_words(baseline)))
    if baseline.performance:
        console.print("  ".join(f"{escape(n)} [bold]{v:.4g}[/]" for n, v in baseline.performance.items()))
    for name, value in sorted(baseline.lineage.items()):
        console.print(f"[dim]{escape(name)}[/] {escape(value)}", soft_wrap=True)
    longest = _LONGEST_NAME if console.width >= _WIDE else _LONGEST_NAME // 2
    table = Table(box=None, pad_edge=False, header_style="dim")
    is_weighed = any(c.importance is not None for c in baseline.columns)
    weight = ("importance",) if is_weighed else ()
    for title in ("column", "role", *weight, "distribution", "missing", "values"):
        right = title in {"missing", "importance"}
        table.add_column(title, justify="right" if right else "left", no_wrap=title != "values")
    for column, counts in zip(baseline.columns, _counts(baseline), strict=True):
        share = column.missing / max(baseline.rows, 1)
        table.add_row(
            escape(shortened(printable(column.name), longest)),
            column.role,
            *(
                (f"{column.importance:.3g}" if column.importance is not None else "[dim]–[/]",)
                if is_weighed
                else ()
            ),
            f"[cyan]{sparkline(shape_of(column, counts))}[/]",
            f"[yellow]{share:.1%}[/]" if share else "[dim]–[/]",
            escape(_values(column, counts)),
        )
    console.print(table)


def summary_of(baseline: Baseline) -> dict[str, Any]:
    """Return what the table shows, and more, as JSON-ready values. Pane counts are summed over panes."""
    return {
        "model": baseline.model,
        "version": baseline.version,
        "baseline_id": baseline.baseline_id,
        "task": baseline.task,
        "rows": baseline.rows,
        "created_us": baseline.created_us,
        "pane_us": baseline.pane_us,
        "panes": len(baseline.pane_starts),
        "start_us": int(baseline.pane_starts[0]) if baseline.pane_us else None,
        "end_us": int(baseline.pane_starts[-1]) + baseline.pane_us if baseline.pane_us else None,
        "performance": dict(baseline.performance),
        "lineage": dict(baseline.lineage),
        "columns": [
            {**vars(column), "slot_counts": counts.tolist()}
            for column, counts in zip(baseline.columns, _counts(baseline), strict=True)
        ],
    }


def period_in_words(baseline: Baseline) -> str:
    """Say which period the reference covers, and in panes of what width."""
    if not baseline.pane_us:
        return "no event times: one pane, no seasonal pattern"
    start, end = int(baseline.pane_starts[0]), int(baseline.pane_starts[-1]) + baseline.pane_us
    return (
        f"{time_in_words(start)} to {time_in_words(end)}, "
        f"{len(baseline.pane_starts):,} panes of {format_duration(baseline.pane_us)}"
    )


def time_in_words(time_us: int) -> str:
    """Write microseconds UTC to the minute; a time beyond the calendar is left a number."""
    try:
        return datetime.fromtimestamp(time_us // 1_000_000, tz=UTC).strftime("%Y-%m-%d %H:%M")
    except (OverflowError, OSError, ValueError):
        return f"{time_us} µs"


def _counts(baseline: Baseline) -> list[npt.NDArray[np.int64]]:
    """Add up every column's slots over all panes."""
    totals = baseline.pane_counts.sum(axis=0, dtype=np.int64)
    widths = [
        max(len(c.edges) - 1, 1) + 4 if c.kind == "numeric" else len(c.categories) + 2
        for c in baseline.columns
    ]
    return np.split(totals, np.cumsum(widths)[:-1])


def shape_of(column: BaselineColumn, counts: npt.NDArray[np.int64]) -> Sequence[float]:
    """Heights to draw: a histogram in equal steps, or the frequencies of the most frequent values."""
    if not column.count:
        return []
    if column.kind == "categorical":
        return [float(n) for n in counts[2 : 2 + _WIDTH]]
    edges = np.asarray(column.edges)
    cumulative = np.concatenate(([0.0], np.cumsum(counts[3:-1])))
    # Bins of equal mass would draw a flat line; equal steps between the 1 % tails show the shape.
    low, high = (column.quantiles[0], column.quantiles[-1]) if column.quantiles else (edges[0], edges[-1])
    if not low < high:
        low, high = edges[0], edges[-1]
    steps = np.linspace(low, high, _WIDTH + 1)
    return [float(n) for n in np.diff(np.interp(steps, edges, cumulative))]


def sparkline(heights: Sequence[float]) -> str:
    """Draw heights as block characters, the greatest full.

    Examples
    --------
    >>> sparkline([0, 1, 2, 4])
    '▁▃▅█'
    """
    most = max(heights, default=0.0)
    if most <= 0:
        return ""
    top = len(_BLOCKS) - 1
    return "".join(_BLOCKS[round(max(h, 0.0) / most * top)] for h in heights)


def shortened(text: str, most: int) -> str:
    """Leave out the middle of a text that is longer than `most` characters, for names differ at both ends.

    Examples
    --------
    >>> shortened("days_since_the_last_order", 11)
    'days_…order'
    """
    if len(text) <= most:
        return text
    return f"{text[: most // 2]}…{text[-((most - 1) // 2) :]}"


def number_in_words(value: float) -> str:
    """Write a number to four digits, but what is in thousands to the unit.

    Examples
    --------
    >>> [number_in_words(x) for x in (0.00538306, -0.0, 51801.0, 1697.4, 1.5e9)]
    ['0.005383', '0', '51801', '1697', '1.5e+09']
    """
    # A logarithm of 1 may be -0, which says nothing to anybody.
    return f"{value:.0f}" if 1e3 <= abs(value) < 1e7 else f"{value + 0.0:.4g}"


def _values(column: BaselineColumn, counts: npt.NDArray[np.int64]) -> str:
    if not column.count:
        return "nothing but missing values"
    if column.kind == "numeric":
        if column.minimum == column.maximum:
            return f"always {number_in_words(column.minimum)}"
        middle = column.quantiles[len(column.quantiles) // 2]
        return " … ".join(map(number_in_words, (column.minimum, middle, column.maximum)))
    shares = [
        f"{shortened(printable(name), _LONGEST_VALUE)} {n / column.count:.0%}"
        for name, n in zip(column.categories[:3], counts[2:5], strict=False)
    ]
    more = column.distinct - len(shares)
    return ", ".join(shares) + (f" and {more} more" if more > 0 else "")
