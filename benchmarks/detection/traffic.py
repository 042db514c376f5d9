"""Made-up traffic of a model: without any change, or with a fault from a given hour on.

Values are Gaussian at heart; half of the features share a common factor; one in five is shown as a category and one
in three misses one value in a hundred. What is *natural* in it can be chosen: correlation from row to row, a level
that wanders from hour to hour, a daily and a weekly cycle.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from scipy.signal import lfilter

from detectors.joint.sums import joint_sums
from detectors.layout import Column, Layout, slots_of_codes, slots_of_numeric
from seawall.baseline import Baseline
from seawall.frames import Categorical, Columns
from streams.core.build_baseline import build_baseline
from streams.core.joint import plan_of
from streams.core.layouts import baseline_layout

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
HOUR_US = 3_600_000_000
DAY_US = 24 * HOUR_US
#: A Monday.
T0_US = 20_454 * DAY_US
WORDS = ["a", "b", "c", "d"]
_CUTS = (-0.8, 0.0, 1.1)
MISSING = 0.01
#: Share of a correlated feature's variance that is common.
COMMON = 0.7


@dataclass(frozen=True)
class Fault:
    """What goes wrong with one feature, from `at_hour` on.

    `kind` is ``mean`` (by `size` standard deviations), ``scale`` (times), ``missing`` (share of values), ``unit``
    (times), ``stuck`` (at one value), ``swap`` (with the next feature) or ``decorrelate`` (what it had in common with
    others is its own from then on, and its distribution stays).
    """

    kind: str
    size: float
    at_hour: int
    feature: int = 0


@dataclass(frozen=True)
class Traffic:
    """A model's traffic.

    Attributes
    ----------
    rows
        Mean rows an hour.
    row_rho, level_rho
        First-order autocorrelation from row to row, and of a level from hour to hour.
    level_std
        How far the level wanders, in standard deviations of a value.
    daily, weekly
        Size of the cycles, in the same unit. With either, the volume has a cycle too.
    """

    name: str
    features: int = 5
    rows: float = 100.0
    row_rho: float = 0.0
    level_rho: float = 0.0
    level_std: float = 0.0
    daily: float = 0.0
    weekly: float = 0.0

    def hours(self, days: int, rng: np.random.Generator) -> tuple[Ints, Ints]:
        """Hour and time of every row, in order."""
        hour = np.arange(days * 24)
        mean = np.full(len(hour), self.rows)
        if self.daily or self.weekly:
            mean *= 1 + 0.8 * np.sin(2 * np.pi * (hour % 24 - 9) / 24)
            mean *= np.where((hour // 24) % 7 >= 5, 0.6, 1.0) if self.weekly else 1.0
        of_row = np.repeat(hour, rng.poisson(mean))
        ts = T0_US + of_row * HOUR_US + rng.integers(0, HOUR_US, len(of_row))
        return of_row, ts

    def baseline(self, days: int, seed: int, *, times: bool = True) -> Baseline:
        """Build the reference from `days` of quiet traffic, with or without the times of its rows."""
        hour, ts = self.hours(days, np.random.default_rng([seed, 0]))
        ts = ts if times else np.zeros_like(ts)
        common = self._latent(hour, np.random.default_rng([seed, 1]))
        columns = Columns("predictions", "m", "v1", ts)
        for i in range(self.features):
            values = self._column(i, seed, hour, common)
            if isinstance(values, Categorical):
                columns.categorical[_name(i)] = values
            else:
                columns.numeric[_name(i)] = values
        return build_baseline(columns, model="m", version="v1", now_us=0)

    def counts(
        self, baseline: Baseline, days: int, seed: int, faults: tuple[Fault, ...] = ()
    ) -> tuple[Layout, npt.NDArray[np.int32]]:
        """Count live traffic hour by hour in the baseline's layout: int32 [hours, slots]."""
        layout = baseline_layout(baseline, "predictions")
        hour, _ = self.hours(days, np.random.default_rng([seed, 0]))
        common = self._latent(hour, np.random.default_rng([seed, 1]))
        out = np.zeros((days * 24, layout.slots), dtype=np.int32)
        for i in range(self.features):
            values = self._column(i, seed, hour, common, faults)
            j = layout.index[f"feature/{_name(i)}"]
            column = layout.columns[j]
            slots = _slots_of(column, values)
            flat = np.bincount(hour * column.slots + slots, minlength=len(out) * column.slots)
            out[:, layout.slice_of(j)] = flat.reshape(len(out), column.slots)
        return layout, out

    def joint(
        self, baseline: Baseline, days: int, seed: int, faults: tuple[Fault, ...] = ()
    ) -> npt.NDArray[np.int64]:
        """Sum the same traffic across columns, as the baseline says: int64 [hours, sums]."""
        layout, plan = baseline_layout(baseline, "predictions"), plan_of(baseline)
        bound = plan.bound_to(layout) if plan else None
        assert plan is not None
        assert bound is not None
        hour, _ = self.hours(days, np.random.default_rng([seed, 0]))
        common = self._latent(hour, np.random.default_rng([seed, 1]))
        slots = np.zeros((len(layout.columns), len(hour)), dtype=np.int64)
        for j in sorted({int(j) for j in bound.columns}):
            column = layout.columns[j]
            values = self._column(int(column.name[1:]), seed, hour, common, faults)
            slots[j] = layout.first_slots[j] + _slots_of(column, values)
        found = joint_sums(slots, hour, bound)
        out = np.zeros((days * 24, plan.width), dtype=np.int64)
        out[found.panes] = found.sums
        return out

    def _latent(self, hour: Ints, rng: np.random.Generator) -> Floats:
        """Unit-variance values with the chosen memory; the wandering level comes on top."""
        values = rng.standard_normal(len(hour))
        if self.row_rho:
            values = lfilter([np.sqrt(1 - self.row_rho**2)], [1, -self.row_rho], values)
        if self.level_std:
            steps = rng.standard_normal(int(hour.max(initial=0)) + 200)
            level = lfilter([np.sqrt(1 - self.level_rho**2)], [1, -self.level_rho], steps)[199:]
            values = values + self.level_std * level[hour]
        out: Floats = values
        return out

    def _column(
        self, i: int, seed: int, hour: Ints, common: Floats, faults: tuple[Fault, ...] = ()
    ) -> Floats | Categorical:
        fault = next((f for f in faults if f.feature == i), None)
        if fault is not None and fault.kind == "swap":
            other = self._column(i + 1, seed, hour, common)
            assert not isinstance(other, Categorical)
            x = 3.0 * self._column_values(i, seed, hour, common) + 10.0
            return np.where(hour >= fault.at_hour, other, x)
        rng = np.random.default_rng([seed, 3, i])
        x = self._column_values(i, seed, hour, common)
        if fault and fault.kind == "decorrelate":
            alone = self._latent(hour, np.random.default_rng([seed, 4, i]))
            x = np.where(hour >= fault.at_hour, self._column_values(i, seed, hour, alone), x)
        missing = (rng.random(len(x)) < MISSING) if i % 3 == 2 else np.zeros(len(x), dtype=bool)
        bad = hour >= fault.at_hour if fault else np.zeros(len(x), dtype=bool)
        if fault and fault.kind == "mean":
            x = x + bad * fault.size
        elif fault and fault.kind == "scale":
            x = np.where(bad, x * fault.size, x)
        elif fault and fault.kind == "missing":
            missing = missing | (bad & (rng.random(len(x)) < fault.size))
        if i % 5 == 4:
            codes = np.digitize(x, _CUTS).astype(np.int32)
            return Categorical(np.where(missing, -1, codes).astype(np.int32), WORDS)
        x = 3.0 * x + 10.0 if i % 2 == 0 else np.exp(0.5 * x)
        if fault and fault.kind == "unit":
            x = np.where(bad, x * fault.size, x)
        elif fault and fault.kind == "stuck":
            x = np.where(bad, fault.size, x)
        x[missing] = np.nan
        return x

    def _column_values(self, i: int, seed: int, hour: Ints, common: Floats) -> Floats:
        x = self._latent(hour, np.random.default_rng([seed, 2, i]))
        if i < self.features // 2:
            x = np.sqrt(COMMON) * common + np.sqrt(1 - COMMON) * x
        phase = 2 * np.pi * (hour % 24) / 24 + i
        out: Floats = x + self.daily * np.sin(phase) + self.weekly * ((hour // 24) % 7 >= 5)
        return out


def _slots_of(column: Column, values: Floats | Categorical) -> Ints:
    if isinstance(values, Categorical):
        return slots_of_codes(column, values.codes, values.dictionary)
    return slots_of_numeric(column, values)


def _name(i: int) -> str:
    return f"x{i:03}"


#: The kinds of traffic without change that a monitor has to stay silent on.
QUIET = (
    Traffic("independent rows"),
    Traffic("rows AR(1) ρ=.3", row_rho=0.3),
    Traffic("rows AR(1) ρ=.7", row_rho=0.7),
    Traffic("rows AR(1) ρ=.9", row_rho=0.9),
    Traffic("level AR(1) ρ=.3", level_rho=0.3, level_std=0.2),
    Traffic("level AR(1) ρ=.9", level_rho=0.9, level_std=0.2),
    Traffic("daily cycle", daily=0.5),
    Traffic("daily and weekly cycle", daily=0.5, weekly=0.4),
    Traffic("cycles, level AR(1) ρ=.7", level_rho=0.7, level_std=0.2, daily=0.5, weekly=0.4),
)


def with_features(traffic: Traffic, features: int) -> Traffic:
    """Return the same traffic with another number of features."""
    return replace(traffic, features=features)
