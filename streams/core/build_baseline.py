"""From reference data to a baseline."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from detectors.joint.embedding import chance_dof
from detectors.joint.plan import MAX_CODES, Plan, make_plan
from detectors.joint.sums import joint_sums, merge_sums
from detectors.layout import FIRST_CATEGORY, Column, Layout, Role, slots_of_codes, slots_of_numeric
from detectors.reference import (
    QUANTILE_LEVELS,
    categorical_statistics,
    choose_categories,
    choose_edges,
    numeric_statistics,
)
from seawall.baseline import Baseline, BaselineColumn, BaselineJoint, pack_counts, pack_sums
from seawall.errors import ContractError
from seawall.frames import Categorical, Columns, Floats, Ints
from streams.core.losses import OF_NUMBERS, OF_PROBABILITIES, LossRule, losses_of
from streams.core.reference_performance import positive_of, reference_performance, task_of

HOUR_US = 3_600_000_000
DAY_US = 24 * HOUR_US
DEFAULT_PANE_US = HOUR_US
#: Enough for half a year of hours; the seasonal pattern and the natural wander need no more.
MAX_PANES = 4000
#: `pane_counts` is dense in memory: 2**24 four-byte counts are 64 MiB.
MAX_COUNTS = 1 << 24
#: A feature with more values than this has no segments in the baseline.
MAX_SEGMENT_VALUES = 20
#: Sums across columns of all panes: 2**21 of eight bytes are 16 MiB in memory, and a few on the bus.
MAX_SUMS = 1 << 21
_ROWS_AT_ONCE = 1 << 16
#: Rows from which the degrees of freedom of an embedding's distance are taken.
_DOF_ROWS = 20_000
#: What the predicted label and the truth are called in every layout.
LABEL = "label"


@dataclass(frozen=True, slots=True)
class _Source:
    """One column's data, and where it belongs."""

    name: str
    role: Role
    data: Floats | Categorical


def build_baseline(
    columns: Columns,
    *,
    model: str,
    version: str,
    task: str = "",
    labels: Categorical | Floats | None = None,
    positive: str = "",
    pane_us: int | None = None,
    lineage: Mapping[str, str] | None = None,
    performance: Mapping[str, float] | None = None,
    importance: Mapping[str, float] | None = None,
    now_us: int,
) -> Baseline:
    """Build the reference of one model version.

    Parameters
    ----------
    columns
        The reference, one row per prediction. ``columns.ts`` all zero means that the data has no time.
        ``columns.label`` is what the model predicted.
    model, version
        What the baseline is of; they override those of `columns`.
    task
        ``binary_classification``, ``multiclass_classification``, ``regression`` or empty.
    labels
        The truth, row by row: a `Categorical`, or floats with NaN where it is not known.
    positive
        The class that a binary score speaks for; see `positive_class` for what is assumed without it.
    pane_us
        Width of the reference panes; an hour by default. It is coarsened so that the period has at most
        `MAX_PANES` panes. 0 puts everything into one pane, as for data without time.
    lineage
        Where the reference comes from, such as ``data_sha256``, ``code_revision``, ``parent_version``.
    performance
        Metrics measured elsewhere; they win over those computed here from `labels`.
    importance
        The model's own importance of its features, by name.
    now_us
        Creation time; no part of the baseline's identity.

    Returns
    -------
    Baseline
        With its `baseline_id`. Only panes that hold a row are listed.

    Raises
    ------
    ContractError
        No rows, no columns, a column that is not as long as ``ts``, or a negative pane.
    """
    rule = _loss_rule(columns, labels, task, positive)
    sources = _sources(columns, labels)
    _check(columns, sources, pane_us)
    sources += _losses(columns, labels, rule)
    by_key = {f"{s.role}/{s.name}": s for s in sources}
    layout = Layout.of(_choose(s) for s in sources)
    ordered = [by_key[c.key] for c in layout.columns]
    width_us, starts, pane_of_row = _panes(columns.ts, pane_us, layout.slots)
    slots = _slots(layout, ordered)
    measured = reference_performance(columns, labels, task, positive) if labels is not None else {}
    weights = importance or {}
    return Baseline(
        model=model,
        version=version,
        rows=columns.rows,
        columns=tuple(
            _describe(c, s.data, weights.get(c.name) if c.role == "feature" else None)
            for c, s in zip(layout.columns, ordered, strict=True)
        ),
        pane_us=width_us,
        pane_starts=starts,
        pane_counts=_count(layout, slots, pane_of_row, len(starts)),
        segments=_segments(layout, ordered, slots, pane_of_row, len(starts)),
        created_us=now_us,
        task=task,
        performance={**measured, **(performance or {})},
        lineage=dict(lineage or {}),
        joint=_joint(layout, slots, pane_of_row, len(starts), weights),
        positive=rule.positive if len(columns.scores) == 1 or rule.positive in columns.scores else "",
    ).with_id()


def _loss_rule(columns: Columns, labels: Categorical | Floats | None, task: str, positive: str) -> LossRule:
    """Say which losses the reference can have; what their values allow is another matter."""
    if labels is None:
        return LossRule(frozenset(), is_binary=False)
    task = task_of(labels, task)
    if task == "regression":
        return LossRule(frozenset(OF_NUMBERS), is_binary=False)
    is_binary = task == "binary_classification"
    said = positive_of(labels, list(columns.scores), positive) if is_binary else ""
    of_scores = OF_PROBABILITIES if said or not is_binary else ()
    return LossRule(frozenset(("error", *of_scores)) if task else frozenset(), is_binary, said)


def _losses(columns: Columns, labels: Categorical | Floats | None, rule: LossRule) -> list[_Source]:
    """Return what the reference's predictions cost. Scores that are not all probabilities are none."""
    if labels is None:
        return []
    is_text = isinstance(labels, Categorical)
    seen = Columns(
        "labels",
        columns.model,
        columns.version,
        columns.ts,
        numeric={} if is_text else {LABEL: labels},  # type: ignore[dict-item]  # floats then
        label=labels if is_text else None,  # type: ignore[arg-type]  # a text then
        scores=columns.scores,
        predicted=columns.label,
    )
    found = losses_of(seen, rule)
    known = np.logical_and.reduce([_is_known(labels), *map(np.isfinite, columns.scores.values())])
    for name in OF_PROBABILITIES:
        if name in found and not np.isfinite(found[name][known]).all():
            del found[name]
    return [_Source(name, "loss", values) for name, values in found.items() if np.isfinite(values).any()]


def _is_known(labels: Categorical | Floats) -> npt.NDArray[np.bool_]:
    return labels.codes >= 0 if isinstance(labels, Categorical) else np.isfinite(labels)


def _sources(columns: Columns, labels: Categorical | Floats | None) -> list[_Source]:
    found = [_Source(name, "feature", values) for name, values in columns.numeric.items()]
    found += [_Source(name, "feature", words) for name, words in columns.categorical.items()]
    found += [_Source(name, "score", values) for name, values in columns.scores.items()]
    if columns.label is not None:
        found.append(_Source(LABEL, "prediction", columns.label))
    if labels is not None:
        found.append(_Source(LABEL, "label", labels))
    return found


def _check(columns: Columns, sources: list[_Source], pane_us: int | None) -> None:
    if not columns.rows:
        raise ContractError("rows: the reference has no row, expected at least one")
    if not sources:
        raise ContractError("columns: the reference has no feature, score, prediction or label column")
    if pane_us is not None and pane_us < 0:
        msg = f"pane_us: {pane_us} is negative, expected a width in microseconds, or 0 for none"
        raise ContractError(msg)
    seen: set[str] = set()
    for source in sources:
        key = f"{source.role}/{source.name}"
        if key in seen:
            msg = f"{key}: the column is there twice, as numeric and as categorical"
            raise ContractError(msg)
        seen.add(key)
        length = len(source.data.codes) if isinstance(source.data, Categorical) else len(source.data)
        if length != columns.rows:
            msg = f"{key}: {length} values, expected {columns.rows}, one per row"
            raise ContractError(msg)


def _choose(source: _Source) -> Column:
    if isinstance(source.data, Categorical):
        codes, dictionary = source.data.codes, source.data.dictionary
        counts = np.bincount(codes[codes >= 0], minlength=len(dictionary))
        categories = choose_categories(dictionary, counts)
        return Column(source.name, source.role, "categorical", categories=categories)
    return Column(source.name, source.role, "numeric", edges=choose_edges(source.data))


def _describe(column: Column, data: Floats | Categorical, importance: float | None) -> BaselineColumn:
    statistics = (
        categorical_statistics(data.codes) if isinstance(data, Categorical) else numeric_statistics(data)
    )
    return BaselineColumn(
        name=column.name,
        role=column.role,
        kind=column.kind,
        edges=column.edges,
        categories=column.categories,
        count=statistics.count,
        missing=statistics.missing,
        mean=statistics.mean,
        std=statistics.std,
        minimum=statistics.minimum,
        maximum=statistics.maximum,
        quantile_levels=QUANTILE_LEVELS if statistics.quantiles else (),
        quantiles=statistics.quantiles,
        distinct=statistics.distinct,
        importance=importance,
    )


def _panes(ts: Ints, pane_us: int | None, slots: int) -> tuple[int, Ints, npt.NDArray[np.intp]]:
    """Return (pane width, starts of the occupied panes, pane index of every row)."""
    if pane_us == 0 or not ts.any():
        return 0, np.zeros(1, dtype=np.int64), np.zeros(len(ts), dtype=np.intp)
    base_us = pane_us or DEFAULT_PANE_US
    limit = max(1, min(MAX_PANES, MAX_COUNTS // max(slots, 1)))
    width_us = base_us * _coarsening(int(ts.min()), int(ts.max()), base_us, limit)
    panes, pane_of_row = np.unique(np.floor_divide(ts, width_us), return_inverse=True)
    return width_us, panes * width_us, pane_of_row


def _coarsening(first_us: int, last_us: int, base_us: int, limit: int) -> int:
    """Least multiple of the pane that covers the period with at most `limit` panes and that days are made of.

    Empty panes count as well: whoever looks for the wander of quiet windows lays all of them side by side.
    """

    def panes(multiple: int) -> int:
        width_us = base_us * multiple
        return last_us // width_us - first_us // width_us + 1

    per_day = max(1, math.ceil(DAY_US / base_us))
    for multiple in range(1, per_day):
        if per_day % multiple == 0 and panes(multiple) <= limit:
            return multiple
    days = 1
    while panes(per_day * days) > limit:
        days *= 2
    return per_day * days


def _slots(layout: Layout, sources: list[_Source]) -> list[Ints]:
    """Slot, relative to its column, of every value."""
    return [
        slots_of_codes(column, source.data.codes, source.data.dictionary)
        if isinstance(source.data, Categorical)
        else slots_of_numeric(column, source.data)
        for column, source in zip(layout.columns, sources, strict=True)
    ]


def _count(
    layout: Layout, slots: list[Ints], pane_of_row: npt.NDArray[np.intp], panes: int
) -> npt.NDArray[np.uint32]:
    counts = np.zeros((panes, layout.slots), dtype=np.uint32)
    for i, column in enumerate(layout.columns):
        flat = np.bincount(pane_of_row * column.slots + slots[i], minlength=panes * column.slots)
        counts[:, layout.slice_of(i)] = flat.reshape(panes, column.slots)
    return counts


def _segments(
    layout: Layout, sources: list[_Source], slots: list[Ints], pane_of_row: npt.NDArray[np.intp], panes: int
) -> dict[str, bytes]:
    """Count the rows of each value of the features with few values, fewest first, within the memory bound.

    A segment differs from the whole for good reasons, so it can be judged against nothing but itself.
    """
    few = sorted(
        (len(column.categories), column.name, i)
        for i, column in enumerate(layout.columns)
        if column.role == "feature" and 2 <= len(column.categories) <= MAX_SEGMENT_VALUES
    )
    found: dict[str, bytes] = {}
    for values, name, i in few:
        if (len(found) + values) * panes * layout.slots > MAX_COUNTS:
            break
        for j, category in enumerate(layout.columns[i].categories):
            rows = np.flatnonzero(slots[i] == FIRST_CATEGORY + j)
            part = _count(layout, [s[rows] for s in slots], pane_of_row[rows], panes)
            found[f"{name}={category}"] = pack_counts(part)
    return found


def _joint(
    layout: Layout,
    slots: list[Ints],
    pane_of_row: npt.NDArray[np.intp],
    panes: int,
    importance: Mapping[str, float],
) -> BaselineJoint | None:
    """Sum what no column shows by itself, of as many columns as memory allows."""
    most = MAX_CODES
    plan = make_plan(layout, slots, importance, most)
    while plan is not None and plan.width * panes > MAX_SUMS:
        most //= 2
        plan = make_plan(layout, slots, importance, most)
    if plan is None:
        return None
    watched = sorted({layout.index[key] for key in plan.keys})
    part = Layout(tuple(layout.columns[i] for i in watched))
    bound = plan.bound_to(part)
    assert bound is not None  # noqa: S101 - the plan was made of these columns

    def absolute(rows: slice | npt.NDArray[np.intp]) -> Ints:
        columns = [slots[i][rows] + first for i, first in zip(watched, part.first_slots, strict=True)]
        return np.stack(columns).astype(np.int64)

    rows = len(pane_of_row)
    found = merge_sums(
        [
            joint_sums(absolute(at), pane_of_row[at].astype(np.int64), bound)
            for first in range(0, rows, _ROWS_AT_ONCE)
            for at in [slice(first, first + _ROWS_AT_ONCE)]
        ]
    )
    sample = np.unique(np.linspace(0, rows - 1, min(rows, _DOF_ROWS)).astype(np.intp))
    waves = np.ascontiguousarray(plan.frequencies.T, dtype=np.float32)
    return _packed(plan, chance_dof(bound.codes_of(absolute(sample)), waves), found.sums)


def _packed(plan: Plan, dof: float, sums: npt.NDArray[np.int64]) -> BaselineJoint:
    codes = b"".join(c.tobytes() for c in plan.codes)
    return BaselineJoint(plan.keys, plan.bends, codes, plan.frequencies, dof, pack_sums(sums))
