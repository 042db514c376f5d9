"""Charts as SVG text. Colours come from the page's style sheet, so that light and dark both look right."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape
from zoneinfo import ZoneInfo

from examples.flights.data import DAY_US, NEW_YORK

WIDTH = 1000.0
LEFT, RIGHT, TOP, BOTTOM = 118.0, 14.0, 14.0, 24.0
Points = Sequence[tuple[float, float]]


@dataclass
class Scale:
    """Maps ``[low, high]`` onto pixels."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        """Pixel of a value."""
        return self.start + (value - self.low) / ((self.high - self.low) or 1.0) * (self.end - self.start)


@dataclass
class Chart:
    """A plot of something over time. `parts` are drawn in order."""

    start_us: int
    end_us: int
    height: float
    low: float = 0.0
    high: float = 1.0
    label: str = ""
    left: float = LEFT
    parts: list[str] = field(default_factory=list)

    @property
    def x(self) -> Scale:
        """Event time to pixels."""
        return Scale(self.start_us, self.end_us, self.left, WIDTH - RIGHT)

    @property
    def y(self) -> Scale:
        """Values to pixels, upwards."""
        return Scale(self.low, self.high, self.height - BOTTOM, TOP)

    def draw(self, part: str) -> None:
        """Add a piece of SVG."""
        self.parts.append(part)

    def line(self, points: Points, style: str) -> None:
        """Join points by a line."""
        if points:
            x, y = self.x, self.y
            path = " ".join(f"{x(t):.1f},{y(v):.1f}" for t, v in points)
            self.draw(f'<polyline class="line {style}" points="{path}"/>')

    def band(self, lower: Points, upper: Points, style: str) -> None:
        """Fill what lies between two lines of the same times."""
        if lower:
            x, y = self.x, self.y
            path = " ".join(f"{x(t):.1f},{y(v):.1f}" for t, v in [*upper, *reversed(lower)])
            self.draw(f'<polygon class="band {style}" points="{path}"/>')

    def dots(self, points: Sequence[tuple[float, float, str]], style: str) -> None:
        """Mark points, each with words that show when one points at it."""
        for t, v, words in points:
            self.draw(
                f'<circle class="dot {style}" cx="{self.x(t):.1f}" cy="{self.y(v):.1f}" r="4">'
                f"<title>{escape(words)}</title></circle>"
            )

    def bars(self, points: Points, width_us: int, style: str, base: Sequence[float] | None = None) -> None:
        """Stand bars on the axis, or on `base`."""
        path = []
        for i, (t, v) in enumerate(points):
            ground = base[i] if base else self.low
            left, right = self.x(t), self.x(t + width_us)
            path.append(
                f"M{left:.1f} {self.y(ground):.1f}V{self.y(ground + v):.1f}H{right - 0.4:.1f}V{self.y(ground):.1f}Z"
            )
        self.draw(f'<path class="bar {style}" d="{"".join(path)}"/>')

    def marker(self, at_us: int, words: str, style: str, row: int = 0, *, to_left: bool = False) -> None:
        """Draw a vertical line with words at its head."""
        x = self.x(at_us)
        y = TOP + 10 + row * 15
        place = f'x="{x - 5:.1f}" text-anchor="end"' if to_left else f'x="{x + 5:.1f}"'
        self.draw(
            f'<line class="marker {style}" x1="{x:.1f}" x2="{x:.1f}" y1="{TOP}" y2="{self.height - BOTTOM}"/>'
        )
        self.draw(f'<text class="marker-text {style}" {place} y="{y:.1f}">{escape(words)}</text>')

    def block(self, start_us: int, end_us: int, y: float, height: float, style: str, words: str) -> None:
        """Lay a bar along time at a height of one's own, with words that show when one points at it."""
        left, right = self.x(start_us), self.x(end_us)
        self.draw(
            f'<rect class="bar {style}" x="{left:.1f}" y="{y:.1f}" width="{max(right - left, 3):.1f}" '
            f'height="{height:g}" rx="2"><title>{escape(words)}</title></rect>'
        )

    def grid(self, values: Sequence[float], form: str = "{:g}") -> None:
        """Draw horizontal lines and their values."""
        for value in values:
            y = self.y(value)
            self.draw(f'<line class="grid" x1="{self.left}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
            self.draw(
                f'<text class="tick" x="{self.left - 8}" y="{y + 4:.1f}" text-anchor="end">{form.format(value)}</text>'
            )

    def svg(self, alt: str) -> str:
        """Return the picture."""
        label = ""
        if self.label:
            middle = (TOP + self.height - BOTTOM) / 2
            place = f"translate(16 {middle:.0f}) rotate(-90)"
            label = f'<text class="axis" transform="{place}" text-anchor="middle">{escape(self.label)}</text>'
        body = "".join([*self._time_axis(), *self.parts, label])
        return picture(body, self.height, alt)

    def _time_axis(self) -> list[str]:
        out, bottom = [], self.height - BOTTOM
        for at_us, words in ticks(self.start_us, self.end_us):
            x = self.x(at_us)
            out.append(f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="{TOP}" y2="{bottom}"/>')
            out.append(f'<text class="tick" x="{x + 3:.1f}" y="{bottom + 15}">{words}</text>')
        return out


def picture(body: str, height: float, alt: str) -> str:
    """Wrap SVG parts."""
    return f'<svg viewBox="0 0 {WIDTH:g} {height:g}" role="img" aria-label="{escape(alt)}">{body}</svg>'


def ticks(start_us: int, end_us: int) -> list[tuple[int, str]]:
    """Months of a long stretch, days of a short one, hours of a very short one; on New York's clock."""
    zone, out = ZoneInfo(NEW_YORK), []
    at = dt.datetime.fromtimestamp(start_us / 1e6, tz=zone).replace(minute=0, second=0, microsecond=0)
    span_us = end_us - start_us
    step = dt.timedelta(hours=3) if span_us <= 3 * DAY_US else dt.timedelta(days=1)
    at = at.replace(hour=0)
    while (at_us := round(at.timestamp()) * 1_000_000) < end_us:
        if at_us >= start_us:
            if span_us > 40 * DAY_US:
                if at.day == 1:
                    out.append((at_us, at.strftime("%b")))
            else:
                out.append((at_us, at.strftime("%-d %b") if at.hour == 0 else at.strftime("%H:%M")))
        at = (
            (at + step)
            if span_us > 3 * DAY_US or at.hour < 21
            else (at + dt.timedelta(days=1)).replace(hour=0)
        )
    return out


def heat_map(
    rows: Sequence[tuple[str, Sequence[tuple[int, float]]]],
    start_us: int,
    end_us: int,
    cell_us: int,
    alt: str,
) -> str:
    """Draw one row per column: the fuller the colour, the further from its baseline. 1 is the limit."""
    row_height = 15.0
    chart = Chart(start_us, end_us, len(rows) * row_height + TOP + BOTTOM)
    width = chart.x(start_us + cell_us) - chart.x(start_us)
    for i, (name, cells) in enumerate(rows):
        y = TOP + i * row_height
        chart.draw(
            f'<text class="tick" x="{LEFT - 8}" y="{y + 11:.1f}" text-anchor="end">{escape(name)}</text>'
        )
        paths: dict[int, list[str]] = {}
        for at_us, ratio in cells:
            if not start_us - cell_us / 2 <= at_us < end_us:
                continue
            paths.setdefault(_heat(ratio), []).append(
                f"M{max(chart.x(at_us), LEFT):.1f} {y:.0f}h{width:.2f}v{row_height - 1:.0f}h-{width:.2f}z"
            )
        for level, path in sorted(paths.items()):
            chart.draw(f'<path class="heat{level}" d="{"".join(path)}"/>')
    return chart.svg(alt)


def _heat(ratio: float) -> int:
    return next((i for i, top in enumerate((0.4, 0.7, 1.0, 1.5, 3.0)) if ratio < top), 5)


def histogram(
    labels: Sequence[str], series: Sequence[tuple[str, str, Sequence[float]]], alt: str, axis: str
) -> str:
    """Draw shares in common bins side by side; `series` are (name, style, shares)."""
    height, top_share = 260.0, max(max(shares) for _, _, shares in series)
    y = Scale(0, top_share * 1.05, height - 44, TOP)
    slot = (WIDTH - RIGHT - 60) / len(labels)
    bar = slot * 0.84 / len(series)
    out = []
    for share in (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8):
        if share <= top_share:
            out.append(
                f'<line class="grid" x1="60" x2="{WIDTH - RIGHT}" y1="{y(share):.1f}" y2="{y(share):.1f}"/>'
            )
            out.append(
                f'<text class="tick" x="52" y="{y(share) + 4:.1f}" text-anchor="end">{share:.0%}</text>'
            )
    for i, words in enumerate(labels):
        middle = 60 + (i + 0.46) * slot
        at = f'x="{middle:.1f}" y="{height - 28}" text-anchor="middle"'
        out.append(f'<text class="tick" {at}>{escape(words)}</text>')
        for j, (name, style, shares) in enumerate(series):
            left, top = 60 + i * slot + j * bar, y(shares[i])
            size = f'width="{bar - 1:.1f}" height="{max(y(0) - top, 0):.1f}"'
            out.append(
                f'<rect class="bar {style}" x="{left:.1f}" y="{top:.1f}" {size}>'
                f"<title>{escape(name)}: {shares[i]:.1%}</title></rect>"
            )
    out.append(
        f'<text class="axis" x="{WIDTH / 2}" y="{height - 8}" text-anchor="middle">{escape(axis)}</text>'
    )
    return picture("".join(out), height, alt)
