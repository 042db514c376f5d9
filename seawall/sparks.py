"""Two histograms as two short lines of text, for a terminal or a chat message."""

from __future__ import annotations

from collections.abc import Sequence

BLOCKS = "▁▂▃▄▅▆▇█"
#: Bars beyond this many are joined in pairs.
MAX_BARS = 16


def spark_pair(before: Sequence[float], after: Sequence[float]) -> tuple[str, str]:
    """Draw both sides on one scale, as block characters; a bin without anything is a blank.

    Examples
    --------
    >>> spark_pair([0.5, 0.5, 0.0], [0.0, 0.25, 0.75])
    ('▆▆ ', ' ▃█')
    """
    most = max((*before, *after), default=0.0)

    def draw(heights: Sequence[float]) -> str:
        if most <= 0.0:
            return ""
        return "".join(" " if h <= 0 else BLOCKS[round(h / most * (len(BLOCKS) - 1))] for h in heights)

    return draw(_narrow(before)), draw(_narrow(after))


def _narrow(heights: Sequence[float]) -> Sequence[float]:
    """Join pairs of neighbours when there are too many; the open ends stay as they are."""
    if len(heights) <= MAX_BARS:
        return heights
    inner = heights[1:-1]
    return (heights[0], *(max(inner[i : i + 2]) for i in range(0, len(inner), 2)), heights[-1])
