"""What is peculiar to judging losses: only more of them is bad news, and none at all is no news.

Windows of ``labels`` speak to alarms by their losses alone (kind ``loss``). That the truth itself is distributed
otherwise is in the tables; where it costs anything, losses say so.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from detectors.layout import UNDERFLOW, Layout
from detectors.wasserstein import positions_of
from seawall.baseline import Baseline
from seawall.monitor import MonitorSpec
from streams.core.calibration import WATCHED, Say
from streams.core.losses import IN_WORDS, ONE_SIDED
from streams.core.verdicts import Verdict

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
#: Of bins as an error has them.
_ERROR_EDGES = (0.0, 0.5, 1.0)
#: Kind of the alarms about losses.
LOSS = "loss"
#: Share of the budget of false pages, where a version's baseline knows losses.
LOSS_SHARE = 0.2


def are_losses(layout: Layout) -> Bools:
    """Say which columns are losses: [columns]."""
    return np.array([c.role == "loss" for c in layout.columns], dtype=bool)


def effects_on(spec: MonitorSpec, statistic: str, layout: Layout) -> Floats:
    """Return the smallest effect worth a page on each column, [columns]: of ``js``, or by the names of `Effects`.

    Labels of clients that do not send what was predicted have no losses, so their missing is no news unless the owner
    says for that column how much of it is.
    """
    out = np.array(spec.effects_on(statistic, [c.name for c in layout.columns]), dtype=np.float64)
    default = {"js": spec.effects.loss, "missing": np.inf}.get(statistic)
    if default is not None:
        for i in np.flatnonzero(are_losses(layout)).tolist():
            rule = spec.columns.get(layout.columns[i].name)
            own = None if rule is None else rule.effect if statistic == "js" else rule.effects.get(statistic)
            out[i] = default if own is None else own
    return out


def can_page(spec: MonitorSpec, layout: Layout) -> Bools:
    """Say which quantities of windows of labels can page, [quantities] as `WATCHED` has them.

    Those of losses alone; that one is missing where its owner says so. An error is 0 or 1: a distance says all that
    there is, and where it lies, how spread out and out of range it is would only be more looks at the same number.
    """
    losses = are_losses(layout)
    more = losses & np.array([len(c.edges) > len(_ERROR_EDGES) for c in layout.columns], dtype=bool)
    missing = losses & np.isfinite(effects_on(spec, "missing", layout))
    by_name = {"js": losses, "missing_share": missing}
    return np.concatenate([by_name.get(name, more) for name in WATCHED])


def say_of(spec: MonitorSpec, layout: Layout) -> Say:
    """Say which quantities of labels page, and on which side."""
    return Say(can_page(spec, layout), lambda windows, expected: are_better(windows, expected, layout))


def are_better(counts: npt.NDArray[np.int64], expected: Floats, layout: Layout) -> Bools:
    """Say where a loss is less than expected, by the means of its bins: [windows, columns].

    Parameters
    ----------
    counts
        [windows, slots].
    expected
        Shares, [windows or 1, slots].
    """
    out = np.zeros((len(counts), len(layout.columns)), dtype=bool)
    for i, column in enumerate(layout.columns):
        if column.role == "loss" and column.name in ONE_SIDED:
            at = layout.slice_of(i)
            out[:, i] = mean_of_bins(counts[:, at], column.edges) < mean_of_bins(
                expected[:, at], column.edges
            )
    return out


def mean_of_bins(counts: npt.ArrayLike, edges: tuple[float, ...]) -> Floats:
    """Mean of the numbers that bins hold, [...] of [..., slots]; NaN where there are none.

    Two bins are those of an error, which is at their outer ends.
    """
    held = np.asarray(counts, np.float64)[..., UNDERFLOW:]
    places = positions_of(edges)
    if len(edges) == len(_ERROR_EDGES):
        places[1], places[2] = edges[0], edges[2]
    with np.errstate(invalid="ignore", divide="ignore"):
        mean: Floats = (held @ places) / held.sum(axis=-1)
    return mean


def usual_means(baseline: Baseline, segment: str, expected: Floats, layout: Layout) -> Floats:
    """Return the mean of each loss in the baseline, [columns]; of a segment from its bins. NaN for what is none."""
    told = {f"{c.role}/{c.name}": c.mean for c in baseline.columns if c.role == "loss"}
    out = np.full(len(layout.columns), np.nan)
    for i, column in enumerate(layout.columns):
        if column.key in told:
            by_bins = mean_of_bins(expected[0, layout.slice_of(i)], column.edges)
            out[i] = by_bins if segment else told[column.key]
    return out


def overall(
    column_verdicts: npt.NDArray[np.int8], layout: Layout
) -> tuple[npt.NDArray[np.int8], npt.NDArray[np.int8]]:
    """Return what losses alone say: verdicts of columns, [windows, columns], and of windows, [windows]."""
    unknown = np.int8(Verdict.NOT_ENOUGH_DATA)
    columns = np.where(are_losses(layout)[None, :], column_verdicts, unknown)
    worst = np.where(columns == unknown, -1, columns).max(axis=1, initial=-1)
    return columns, np.where(worst < 0, unknown, worst).astype(np.int8)


def loss_in_words(name: str, mean: float, usual: float) -> str:
    """Say a mean and what is usual. Panes from the store have no mean, but for errors, and are worse than usual then.

    Examples
    --------
    >>> loss_in_words("error", 0.098, 0.041), loss_in_words("brier", 0.2, 0.1)
    ('error rate 9.8%, usually 4.1%', 'mean Brier score 0.2, usually 0.1')
    >>> loss_in_words("brier", float("nan"), 0.1)
    'mean Brier score is worse than usual'
    """
    if not np.isfinite(mean):
        return f"{IN_WORDS[name]} is worse than usual"
    said = f"{mean:.1%}, usually {usual:.1%}" if name == "error" else f"{mean:.3g}, usually {usual:.3g}"
    return f"{IN_WORDS[name]} {said}"
