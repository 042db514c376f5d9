"""A classic statistic at work: one column's reference, and windows that are compared with it."""

from __future__ import annotations

from typing import Self

import numpy as np
import numpy.typing as npt

from detectors.classic.calibrate import Calibration, calibrate, null_counts, threshold_of
from detectors.classic.cells import cells_of_samples, finite
from detectors.classic.p_values import limit_at
from detectors.classic.statistics import Sizes, Statistic
from detectors.layout import OTHER, UNDERFLOW, Column, slots_of_numeric
from detectors.reference import choose_edges
from detectors.wasserstein import positions_of

Floats = npt.NDArray[np.float64]
#: Bins of statistics that ask for few, well-filled ones.
BINS = 10


class WindowDetector:
    """Compares windows of one column with its reference by one statistic.

    Windows come as counts over the reference's fixed cells (`counts_alarm`) or, where the reference was given as a
    sample, as raw values (`alarm`). A window alarms when its value exceeds the threshold: one that was given, the
    textbook's, or one calibrated for a false-alarm rate per window.

    Make one with `of_sample` or `of_column`, or by name with `detectors.registry.window_detector`.

    Notes
    -----
    NaN and ±inf are left out: how many there are is another question than how the rest is distributed. A window
    without a finite value has the value NaN and does not alarm. A constant reference works: nothing but a different
    value alarms. Calibrated thresholds are found when a window size is first seen; sizes are rounded down to two
    binary digits, which errs on the quiet side, except the size that was announced as `rows`.
    """

    def __init__(
        self,
        statistic: Statistic,
        reference: Floats,
        positions: Floats,
        *,
        sample: Floats | None = None,
        column: Column | None = None,
        threshold: float | None = None,
        calibration: Calibration | None = None,
        p: float | None = None,
        rows: int | None = None,
    ) -> None:
        if sum(x is not None for x in (threshold, calibration, p)) > 1:
            raise ValueError("threshold: is given together with calibration or p, want one of them")
        if threshold is not None and not (np.isfinite(threshold) and threshold >= 0.0):
            msg = f"threshold: {threshold!r}, want a number of 0 or more"
            raise ValueError(msg)
        if rows is not None and rows < 1:
            msg = f"rows: {rows!r}, want at least 1"
            raise ValueError(msg)
        if not reference.sum() > 0.0:
            raise ValueError("reference: holds no finite value, want at least one")
        self.statistic = statistic
        self.reference = reference
        self.positions = positions
        self.calibration = calibration
        self._sample, self._column = sample, column
        self._fixed, self._rows, self._p = threshold, rows, p
        self._found: dict[tuple[bool, int], float] = {}

    @classmethod
    def of_sample(
        cls,
        statistic: Statistic,
        reference: npt.ArrayLike,
        *,
        bins: int = BINS,
        threshold: float | None = None,
        calibration: Calibration | None = None,
        rows: int | None = None,
    ) -> Self:
        """Take the reference as raw values, in the order in which they came.

        Parameters
        ----------
        statistic
            One of `detectors.classic.statistics.STATISTICS`.
        reference
            One-dimensional; at least one finite value.
        bins
            At most this many fixed quantile bins, 2 to 64, for statistics that need bins.
        threshold, calibration
            At most one; with neither the textbook's limit holds.
        rows
            The usual size of a window, for which a calibrated threshold is exact.

        Raises
        ------
        ValueError
            Naming the parameter that is wrong.

        Examples
        --------
        >>> from detectors.classic.statistics import STATISTICS
        >>> rng = np.random.default_rng(1)
        >>> detector = WindowDetector.of_sample(STATISTICS["ks"], rng.normal(size=1000))
        >>> detector.alarm(rng.normal(size=500)), detector.alarm(rng.normal(0.5, 1.0, size=500))
        (False, True)
        """
        if not 2 <= bins <= 64:
            msg = f"bins: {bins!r}, want 2 to 64"
            raise ValueError(msg)
        sample = finite("reference", reference)
        column = Column("", "feature", "numeric", choose_edges(sample, bins))
        return cls(
            statistic,
            _binned(column, sample),
            _positions(column),
            sample=sample,
            column=column,
            threshold=threshold,
            calibration=calibration,
            rows=rows,
        )

    @classmethod
    def of_column(
        cls,
        statistic: Statistic,
        column: Column,
        slots: npt.ArrayLike,
        *,
        threshold: float | None = None,
        calibration: Calibration | None = None,
        p: float | None = None,
        rows: int | None = None,
    ) -> Self:
        """Take the reference as counts over a layout's column: what a baseline holds.

        Parameters
        ----------
        statistic
            One that needs no order when the column is categorical.
        column
            With its fixed bins or categories.
        slots
            Counts of the reference, [column.slots], the missing ones included.
        threshold, calibration, rows
            As in `of_sample`; blocks need a sample, so `calibration.block` is 1.
        p
            Limit by p-value, for statistics that have one; see `detectors.classic.p_values`.

        Raises
        ------
        ValueError
            Naming the parameter that is wrong.

        Examples
        --------
        >>> from detectors.classic.statistics import STATISTICS
        >>> column = Column("sex", "feature", "categorical", categories=("f", "m"))
        >>> detector = WindowDetector.of_column(STATISTICS["g_test"], column, [0, 0, 500, 500])
        >>> detector.counts_alarm([[3, 0, 52, 48], [0, 0, 30, 70]]).tolist()
        [False, True]
        """
        if statistic.needs_order and column.kind == "categorical":
            msg = f"statistic: {statistic.name!r} needs an order, which categories do not have"
            raise ValueError(msg)
        if calibration is not None and calibration.block > 1:
            raise ValueError("block: needs the reference as a sample in its order, want 1 for counts")
        numeric = column.kind == "numeric"
        reference = _present(column, slots)
        positions = _positions(column) if numeric else np.arange(len(reference), dtype=np.float64)
        return cls(
            statistic,
            reference,
            positions,
            column=column,
            threshold=threshold,
            calibration=calibration,
            p=p,
            rows=rows,
        )

    def counts_value(self, slots: npt.ArrayLike) -> Floats:
        """Compute the statistic of windows given as counts over the column's slots, [..., slots] to [...]."""
        return self._of_counts(_present(self._known_column, slots))

    def counts_alarm(self, slots: npt.ArrayLike) -> npt.NDArray[np.bool_]:
        """Tell which windows, given as counts over the column's slots, alarm: [..., slots] to [...]."""
        counts = _present(self._known_column, slots)
        sizes = counts.sum(axis=-1)
        limits = np.array([self.threshold(int(n), binned=True) if n else np.inf for n in sizes.ravel()])
        return np.asarray(self._of_counts(counts) > limits.reshape(sizes.shape), np.bool_)

    def value(self, window: npt.ArrayLike) -> float:
        """Compute the statistic of a window of raw values; NaN when none is finite."""
        current = finite("window", window)
        if not len(current):
            return float("nan")
        if not self._is_exact:
            return float(self._of_counts(_binned(self._known_column, current)))
        return self._exact(current)

    def alarm(self, window: npt.ArrayLike) -> bool:
        """Tell whether a window of raw values alarms."""
        current = finite("window", window)
        return bool(len(current)) and self.value(current) > self.threshold(len(current))

    def threshold(self, n: int, *, binned: bool = False) -> float:
        """Return the threshold for windows of `n` present values.

        Parameters
        ----------
        n
            At least 1.
        binned
            Whether the window comes as counts.
        """
        if n < 1:
            msg = f"n: {n!r}, want at least 1"
            raise ValueError(msg)
        if self._fixed is not None:
            return self._fixed
        if self._p is not None:
            return limit_at(self.statistic.name, self._sizes(n), self._p)
        if self.calibration is None:
            return self.statistic.limit(self._sizes(n))
        exact = self._is_exact and not binned
        size = n if n == self._rows else _round_down(n)
        if (exact, size) not in self._found:
            self._found[exact, size] = self._calibrated(self.calibration, size, exact)
        return self._found[exact, size]

    @property
    def _is_exact(self) -> bool:
        return self.statistic.is_exact_on_samples and self._sample is not None

    @property
    def _known_column(self) -> Column:
        if self._column is None:
            raise ValueError("column: this detector was made without one")
        return self._column

    def _of_counts(self, counts: Floats) -> Floats:
        return self.statistic.of_counts(counts, self.reference, self.positions)

    def _exact(self, current: Floats) -> float:
        assert self._sample is not None  # noqa: S101 - asked only when there is one
        counts, reference, values = cells_of_samples(self._sample, current)
        return float(self.statistic.of_counts(counts, reference, values))

    def _calibrated(self, how: Calibration, n: int, exact: bool) -> float:
        sample = self._sample
        if sample is None or (how.block == 1 and not exact):
            return threshold_of(
                self._of_counts(null_counts(self.reference, n, how.resamples, how.rng(n))), how.rate
            )
        if exact:
            return calibrate(lambda places: self._exact(sample[places]), len(sample), n, how)
        cells, count = _cells(self._known_column, sample), len(self.reference)
        return calibrate(
            lambda places: float(
                self._of_counts(np.bincount(cells[places], minlength=count).astype(np.float64))
            ),
            len(sample),
            n,
            how,
        )

    def _sizes(self, n: int) -> Sizes:
        m = float(self.reference.sum())
        if self._sample is not None:
            std = float(self._sample.std())
        else:
            share = self.reference / m
            centre = float((share * self.positions).sum())
            std = float(np.sqrt((share * np.square(self.positions - centre)).sum()))
        return Sizes(float(n), m, max(int(np.count_nonzero(self.reference)), 1), std)


def _is_closed(column: Column) -> bool:
    """Tell whether what lies outside has cells of its own: only beside a constant.

    Elsewhere the outer bins are open, as deciles are: about one value in m of quiet traffic lies above the greatest of
    m, and a cell that the reference leaves empty would make an alarm of it.
    """
    return len(column.edges) <= 2


def _cells(column: Column, values: Floats) -> npt.NDArray[np.int64]:
    cells = slots_of_numeric(column, values) - UNDERFLOW
    return cells if _is_closed(column) else np.clip(cells, 1, column.slots - UNDERFLOW - 2) - 1


def _positions(column: Column) -> Floats:
    positions = positions_of(column.edges)
    return positions if _is_closed(column) else positions[1:-1]


def _binned(column: Column, values: Floats) -> Floats:
    """Count finite values into cells."""
    return np.bincount(_cells(column, values), minlength=len(_positions(column))).astype(np.float64)


def _present(column: Column, slots: npt.ArrayLike) -> Floats:
    """Leave out what is missing or invalid: [..., slots] to [..., cells]."""
    counts = np.asarray(slots, np.float64)
    if counts.shape[-1:] != (column.slots,):
        msg = f"slots: {counts.shape} counts do not fit column {column.name!r}, want [..., {column.slots}]"
        raise ValueError(msg)
    if column.kind == "categorical":
        return counts[..., OTHER:]
    cells = counts[..., UNDERFLOW:]
    if _is_closed(column):
        return cells
    inner = cells[..., 1:-1].copy()
    inner[..., 0] += cells[..., 0]
    inner[..., -1] += cells[..., -1]
    return inner


def _round_down(n: int) -> int:
    """Keep the two leading binary digits (1, 2, 3, 4, 6, 8, 12, 16 and so on)."""
    shift = max(n.bit_length() - 2, 0)
    return n >> shift << shift


__all__ = ["BINS", "WindowDetector"]
