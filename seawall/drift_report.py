"""The one-off drift report: two tables, or a baseline and a table, compared once.

    report = seawall.compare(reference, current, ts="ts", scores="p")
    report            # a table, in a notebook with histograms
    report.verdict    # "stable", "warning", "drift" or "not_enough_data"

Both sides are counted by the code that counts live traffic. That needs the service extra, imported when called.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seawall.baseline import Baseline
from seawall.build import Reference, build_from, read_reference
from seawall.embeddings import names_of
from seawall.errors import ConfigError, ContractError
from seawall.frames import Categorical, Columns
from seawall.monitor import Effects, MonitorSpec
from seawall.monitor_yaml.problems import any_of, did_you_mean
from seawall.monitor_yaml.rules import EFFECTS
from seawall.sparks import spark_pair
from seawall.tables import column_names
from seawall.values import clean, printable

if TYPE_CHECKING:
    from streams.core.one_off import ColumnFinding, OneOff
    from streams.core.verdicts import ColumnVerdict

STATISTICS_SAID = {
    "js": "distribution",
    "missing_share": "missing",
    "unseen_share": "never seen",
    "out_of_range_share": "out of range",
}
SMALL = "small, but not chance"
RELATIONS_SAID = {
    "correlation": "go together differently",
    "reconstruction": "go together differently",
    "mmd": "go together differently",
}


@dataclass(frozen=True, slots=True)
class DriftReport:
    """What `compare` found; `found` holds everything, the columns that drifted first, and of these what moved most."""

    found: OneOff
    reference_name: str = "reference"
    current_name: str = "current"

    @property
    def verdict(self) -> str:
        """``stable``, ``warning``, ``drift`` or ``not_enough_data``: the worst of any column."""
        return self.found.verdict.name.lower()

    @property
    def drifted(self) -> list[str]:
        """Names of the drifted columns, the furthest beyond its limit first."""
        return [c.name for c in self.found.columns if c.verdict.name == "DRIFT"]

    @property
    def names(self) -> dict[str, str]:
        """What columns are called, by ``role/name``: by name, and where two share one by their role as well."""
        many = Counter(c.name for c in self.found.columns)
        return {
            c.key: f"{printable(c.name)} ({c.role})" if many[c.name] > 1 else printable(c.name)
            for c in self.found.columns
        }

    def to_dict(self) -> dict[str, Any]:
        """Return everything as JSON-ready values; what is not defined is None."""
        columns = []
        for finding in self.found.columns:
            record = asdict(finding)
            record["verdict"] = finding.verdict.name.lower()
            columns.append(_plain(record))
        return {
            "verdict": self.verdict,
            "reference": self.reference_name,
            "current": self.current_name,
            "reference_rows": self.found.reference_rows,
            "current_rows": self.found.current_rows,
            "drifted": self.drifted,
            "columns": columns,
            "relations": [
                _plain({**asdict(r), "verdict": r.verdict.name.lower()}) for r in self.found.relations
            ],
            "notes": list(self.found.notes),
        }

    def to_html(self, path: str | Path) -> None:
        """Write the report as one self-contained HTML file."""
        from seawall.drift_html import page  # noqa: PLC0415

        Path(path).write_text(page(self), encoding="utf-8")

    def _repr_html_(self) -> str:
        from seawall.drift_html import fragment  # noqa: PLC0415

        return fragment(self)

    def __repr__(self) -> str:
        lines = [self.headline()]
        names = self.names
        width = max(map(len, names.values()), default=0)
        for c in self.found.columns:
            before, after = sparklines(c)
            lines.append(
                f"  {c.verdict.name.lower().replace('_', ' '):<15} {names[c.key]:<{width}}  {before} → {after}  "
                f"{numbers_said(c)}{'; ' + c.detail if c.detail else ''}"
                f"{f'; {SMALL}' if is_small(c) else ''}"
            )
        lines += [f"  {r.verdict.name.lower():<15} {relation_said(r)}" for r in self.found.relations]
        return "\n".join([*lines, *(f"  note: {note}" for note in self.found.notes)])

    def headline(self) -> str:
        """Say the result in one line."""
        many = len(self.found.columns)
        rows = f"{self.found.current_rows:,} rows against {self.found.reference_rows:,}"
        related = sum(r.verdict.name == "DRIFT" for r in self.found.relations)
        across = f", {related} relation{'s' if related > 1 else ''} changed" if related else ""
        return f"{self.verdict.replace('_', ' ')}: {len(self.drifted)} of {many} columns drifted{across} ({rows})"


def compare(
    reference: Any,
    current: Any,
    *,
    columns: Collection[str] | None = None,
    ts: Any = None,
    time_unit: str = "us",
    scores: Any = None,
    labels: Any = None,
    truths: Any = None,
    categorical: Collection[str] = (),
    effect: float | Mapping[str, float] = 0.1,
    min_rows: int = 30,
) -> DriftReport:
    """Compare two tables, or a baseline and a table, column by column.

    Parameters
    ----------
    reference
        A pandas or polars DataFrame, a mapping of columns, or a `Baseline`.
    current
        A table with the same columns.
    columns
        Names of the columns to compare; all of the reference by default.
    ts, time_unit, scores, labels, truths, categorical
        As in `build_baseline`, by name and for both tables. With `ts` the report knows how far quiet periods of the
        reference wander, and asks for more than that.
    effect
        Smallest Jensen-Shannon distance that is drift, above 0 and at most 1; or smallest changes by statistic: ``js``,
        ``missing``, ``unseen``, ``out_of_range``, ``correlation``, ``mmd``, ``reconstruction``.
    min_rows
        Fewer values than this, in either table, are not enough data.

    Returns
    -------
    DriftReport
        With a verdict, a text and an HTML form.

    Raises
    ------
    ContractError
        Naming the column that cannot be read.
    ConfigError
        When a parameter is wrong, or the service extra is not installed.
    """
    distance, others = _effects(effect)
    if min_rows < 1:
        msg = f"min_rows: {min_rows!r}: expected at least 1"
        raise ConfigError(msg)
    try:
        from streams.core.one_off import compare_once  # noqa: PLC0415
    except ImportError as error:
        msg = f"comparing needs {error.name}: pip install 'seawall[service]'"
        raise ConfigError(msg) from error
    roles: dict[str, Any] = {"scores": scores, "labels": labels, "truths": truths}
    unreadable: dict[str, str] = {}
    if isinstance(reference, Baseline):
        baseline = reference
    else:
        read = read_reference(
            reference,
            model="reference",
            version="1",
            ts=ts,
            time_unit=time_unit,
            categorical=[name for name in categorical if name in column_names(reference)],
            **roles,
        )
        baseline, unreadable = build_from(read), dict(read.unreadable)
    columns = None if columns is None else _named_columns(columns, baseline)
    texts = {c.name for c in baseline.columns if c.role == "feature" and c.kind == "categorical"}
    there = column_names(current)
    asked = {name for name in (ts, *roles.values()) if isinstance(name, str)}
    rows = read_reference(
        current,
        model=baseline.model,
        version=baseline.version,
        # The task says how labels are read, so it is the reference's, whatever the current ones look like.
        task=baseline.task,
        ts=ts if isinstance(ts, str) and ts in there else None,
        time_unit=time_unit,
        # A number that the reference has as text is read as text.
        categorical=[n for n in there if clean(str(n)) in texts and n not in asked],
        **roles,
    )
    if not rows.columns.rows:
        raise ContractError("current: has no row, expected at least one")
    found = compare_once(
        baseline, _parts(rows), effect=distance, effects=others, min_rows=min_rows, only=columns
    )
    unreadable |= rows.unreadable
    return DriftReport(
        replace(found, notes=(*found.notes, *(f"left out: {why}" for why in unreadable.values())))
    )


def _effects(effect: float | Mapping[str, float]) -> tuple[float, Effects]:
    given = dict(effect) if isinstance(effect, Mapping) else {"js": effect}
    for name, value in given.items():
        if name not in EFFECTS:
            msg = f"effect: {name!r}: expected {any_of(EFFECTS)}{did_you_mean(name, EFFECTS)}"
            raise ConfigError(msg)
        if not 0.0 < value <= EFFECTS[name]:
            field = f"effect[{name!r}]" if isinstance(effect, Mapping) else "effect"
            msg = f"{field}: {value!r}: expected a number above 0 and at most {EFFECTS[name]:g}"
            raise ConfigError(msg)
    return given.pop("js", MonitorSpec.effect), Effects(**given)


def _named_columns(columns: Collection[str], baseline: Baseline) -> list[str]:
    """Return the reference's columns that were asked for; the name of a vector stands for all its numbers."""
    known, found = {c.name for c in baseline.columns}, []
    for name in columns:
        parts = [name] if name in known else [n for n in names_of(name) if n in known]
        if not parts:
            hint = did_you_mean(name, known)
            msg = f"columns: {name!r} is none of the reference's columns {', '.join(sorted(known))}{hint}"
            raise ConfigError(msg)
        found += parts
    return found


def _parts(rows: Reference) -> list[Columns]:
    parts, truths = [rows.columns], rows.truths
    if truths is not None:
        known = Columns("labels", rows.columns.model, rows.columns.version, rows.columns.ts)
        if isinstance(truths, Categorical):
            known.label = truths
        else:
            known.numeric["label"] = truths
        known.scores, known.predicted = rows.columns.scores, rows.columns.label
        parts.append(known)
    return parts


def numbers_said(c: ColumnFinding) -> str:
    """Say value, limit and chance of what is nearest its limit."""
    if not math.isfinite(c.ratio):
        return "nothing to compare"
    name = STATISTICS_SAID[c.statistic]
    if c.statistic == "js":
        return f"{name} {c.value:.3f} (limit {limit_said(c)}, chance {c.chance:.3f})"
    return f"{name} {c.value:.1%} (limit {limit_said(c)}, usually {c.usual:.1%}, chance {c.chance:.1%})"


def limit_said(c: ColumnFinding) -> str:
    """Say the limit; "none" where it is beyond 0 … 1, so that no share and no distance can reach it."""
    if not math.isfinite(c.limit):
        return "–"
    if not 0.0 <= c.limit <= 1.0:
        return "none"
    return f"{c.limit:.3f}" if c.statistic == "js" else f"{c.limit:.1%}"


def is_small(c: ColumnFinding) -> bool:
    """Whether a stable column has surely changed, if little."""
    return c.beyond_chance and c.verdict.name == "STABLE"


def relation_said(r: ColumnVerdict) -> str:
    """Say in one line what several columns show together."""
    numbers = f"moved by {r.value:.2f}, limit {r.limit:.2f}, chance {r.chance:.2f}"
    return f"{r.name} {RELATIONS_SAID[r.statistic]}: {r.detail} ({numbers})"


def sparklines(c: ColumnFinding) -> tuple[str, str]:
    """Draw both histograms on one scale, as block characters."""
    return spark_pair(c.histogram.reference, c.histogram.current)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
