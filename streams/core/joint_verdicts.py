"""What is said of several columns at once: which pairs relate differently, and whether all of them together do.

What a single column shows is told of that column: a pair one of whose columns drifts says nothing, and all columns
together say nothing where a column or a pair drifts.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from detectors.joint.plan import Plan
from seawall.monitor import Effects
from streams.core.joint import Measured
from streams.core.verdicts import ColumnVerdict, Verdict
from streams.core.words import list_text

Floats = npt.NDArray[np.float64]
Verdicts = npt.NDArray[np.int8]

#: No change below this part of the smallest effect is a warning, however rare. From this part of its limit on, a pair
#: that drifted is not over.
WARNING_AT = 0.8
#: Columns with at least this correlation go together: where one moves, the other follows.
TOGETHER_AT = 0.3
#: Pairs that a window names at most, and that are stored of it.
MAX_TOLD = 10
#: Comparing an array with a member of an enumeration is slow.
_DRIFT, _WARNING = int(Verdict.DRIFT), int(Verdict.WARNING)
ALL_COLUMNS = "all columns"


@dataclass(slots=True)
class JointFinding:
    """What is said of windows. Arrays are [windows, pairs] or [windows]."""

    plan: Plan
    measured: Measured
    correlation_limit: Floats
    """Of the change of a correlation."""
    evidence: Floats
    """Change of each correlation over its limit: 1 and above is drift. 0 where there is none."""
    reconstruction_limit: Floats
    """Of the change of the error."""
    reconstruction_chance: Floats
    mmd_limit: Floats
    mmd_chance: Floats
    pair_verdicts: Verdicts
    whole_verdicts: Verdicts
    """Of all columns together, [windows, 2]: reconstruction, mean embedding."""
    warning: str
    sudden: npt.NDArray[np.bool_]
    """What proves a drift by a single window, [windows, pairs + 2]."""

    @property
    def verdicts(self) -> Verdicts:
        """The worst of each window."""
        worst = np.maximum(self.pair_verdicts.max(axis=1, initial=0), self.whole_verdicts.max(axis=1))
        out: Verdicts = worst.astype(np.int8)
        return out

    @property
    def correlation_chance(self) -> Floats:
        """The change of each correlation that chance alone exceeds in 5 % of windows, on the side that was seen."""
        m = self.measured
        return _moved(m.usual, m.usual_fisher, m.correlation, np.sqrt(m.quantities.chance[:, :-2]))

    def furthest(self, most: int = MAX_TOLD) -> npt.NDArray[np.intp]:
        """Return the pairs furthest from usual, furthest first, [windows, most or all]."""
        out: npt.NDArray[np.intp] = np.argsort(-self.evidence, axis=1, kind="stable")[:, :most]
        return out

    def near(self) -> dict[int, list[str]]:
        """Return the keys of the pairs that are close to their limits, or a warning, in each window that has any."""
        found: dict[int, list[str]] = {}
        close = (self.evidence >= WARNING_AT) | (self.pair_verdicts >= _WARNING)
        for w, k in zip(*(at.tolist() for at in np.nonzero(close)), strict=True):
            found.setdefault(w, []).append(f"relation/{self._pair_name(k)}")
        return found

    def goes_with(self, w: int) -> dict[str, tuple[str, ...]]:
        """Return the columns that each one goes together with in its baseline, at the hours of a window."""
        keys, found = self.plan.keys, dict[str, set[str]]()
        close = np.flatnonzero(np.abs(np.nan_to_num(self.measured.usual[w])) >= TOGETHER_AT)
        for i, j in zip(*(of[close].tolist() for of in self.plan.pairs), strict=True):
            found.setdefault(keys[i], set()).add(keys[j])
            found.setdefault(keys[j], set()).add(keys[i])
        return {key: tuple(sorted(others - {key})) for key, others in found.items()}

    def _pair_name(self, k: int) -> str:
        i, j = (int(of[k]) for of in self.plan.pairs)
        return f"{_name(self.plan.keys[i])} and {_name(self.plan.keys[j])}"

    def culprits(self, w: int) -> list[ColumnVerdict]:
        """Say what drifts in a window, worst first."""
        evidence = self.evidence[w]
        told = [int(k) for k in np.flatnonzero(self.pair_verdicts[w] == Verdict.DRIFT)]
        told.sort(key=lambda k: (-evidence[k], k))
        out = [self._pair(w, k) for k in told[:MAX_TOLD]]
        measured = self.measured
        if self.whole_verdicts[w, 0] == Verdict.DRIFT:
            error, usual = float(measured.reconstruction[w]), float(measured.reconstruction_usual[w])
            said = f"{error:.1%} of the variance is outside of the main directions, usually {usual:.1%}"
            out.append(
                self._whole(
                    w,
                    0,
                    "reconstruction",
                    abs(error - usual),
                    self.reconstruction_limit,
                    self.reconstruction_chance,
                    said,
                )
            )
        if self.whole_verdicts[w, 1] == Verdict.DRIFT:
            said = "no column and no pair is beyond its limit"
            out.append(
                self._whole(w, 1, "mmd", float(measured.mmd[w]), self.mmd_limit, self.mmd_chance, said)
            )
        return out

    def _pair(self, w: int, k: int) -> ColumnVerdict:
        m = self.measured
        r, usual, chance = (
            float(m.correlation[w, k]),
            float(m.usual[w, k]),
            np.sqrt(m.quantities.chance[w, k]),
        )
        i, j = (int(of[k]) for of in self.plan.pairs)
        a, b = (_name(self.plan.keys[at]) for at in (i, j))
        shapes = [
            f"how far {n} is from its median" if self.plan.bends[at] else n for n, at in ((a, i), (b, j))
        ]
        of = f" of {shapes[0]} and {shapes[1]}" if self.plan.bends[i] or self.plan.bends[j] else ""
        odd, apart = self._apart(w, k)
        return ColumnVerdict(
            self._pair_name(k),
            "relation",
            Verdict(int(self.pair_verdicts[w, k])),
            "correlation",
            abs(r - usual),
            float(self.correlation_limit[w, k]),
            float(_moved(m.usual[w, k], m.usual_fisher[w, k], m.correlation[w, k], chance)),
            self._with_warning(
                "; ".join(filter(None, (f"correlation{of} {r:.2f}, usually {usual:.2f}", apart)))
            ),
            codes=(i, j),
            of=(self.plan.keys[i], self.plan.keys[j]),
            odd=odd,
            apart=apart,
            sudden=bool(self.sudden[w, k]),
        )

    def _apart(self, w: int, k: int) -> tuple[str, str]:
        """Say which column of a pair is the odd one, where others tell: it goes differently with them too.

        Only features can tell. What a model says follows the columns that it makes most of wherever they go, so
        that the score parts from one of two may be the fault of either; that is told, and nothing concluded.
        """
        keys, (i, j) = self.plan.keys, self.plan.pairs
        pair = (keys[i[k]], keys[j[k]])
        others: dict[str, set[str]] = {key: set() for key in pair}
        for n in np.flatnonzero(self.pair_verdicts[w] >= _WARNING).tolist():
            for one, other in ((keys[i[n]], keys[j[n]]), (keys[j[n]], keys[i[n]])):
                if one in others and other not in pair:
                    others[one].add(other)
        for one, other in (pair, pair[::-1]):
            mine, its = ({key for key in others[of] if _is_input(key)} for of in (one, other))
            # From one feature alone any column may part by that one's fault.
            if len(mine) > 2 * len(its) and len(mine) + _is_input(other) > 1:
                return one, f"{_name(one)} is the odd one: it goes differently with {_names(mine)} too"
        for one, other in (pair, pair[::-1]):
            if all(map(_is_input, pair)) and others[one] and not others[other]:
                return (
                    "",
                    f"{_name(one)} goes differently with {_names(others[one])} too, {_name(other)} does not",
                )
        return "", ""

    def _whole(
        self, w: int, which: int, statistic: str, value: float, limit: Floats, chance: Floats, said: str
    ) -> ColumnVerdict:
        verdict = Verdict(int(self.whole_verdicts[w, which]))
        return ColumnVerdict(
            ALL_COLUMNS,
            "joint",
            verdict,
            statistic,
            value,
            float(limit[w]),
            float(chance[w]),
            self._with_warning(said),
            sudden=bool(self.sudden[w, which - 2]),
        )

    def _with_warning(self, said: str) -> str:
        return "; ".join(part for part in (said, self.warning) if part)


def judge_jointly(
    measured: Measured,
    limits: Floats,
    rare: Floats,
    plan: Plan,
    enough: npt.NDArray[np.bool_],
    column_verdicts: Mapping[str, Verdicts],
    warning: str = "",
    proven: npt.NDArray[np.bool_] | None = None,
    smallest: Effects | None = None,
) -> JointFinding:
    """Judge windows across columns.

    Parameters
    ----------
    measured
        Windows against what is expected of them.
    limits
        Discrepancies that are evidence, in the order of the quantities of `measured`, [W, pairs + 2].
    rare
        Discrepancies that are a warning, [W, pairs + 2]: so far that quiet windows seldom have any there. A share of
        the limit would not do: of hundreds of pairs, the furthest always is near its own.
    plan
        Of the baseline.
    enough
        Which windows can be judged, [W].
    column_verdicts
        Of each column that is watched, by ``role/name``, [W]. A pair with a column that is not there is not judged.
    warning
        What the limits could not be based on.
    proven
        Which quantities prove a drift by a single window, [W, pairs + 2].
    smallest
        Changes worth a page.
    """
    smallest = smallest or Effects()
    found = measured.quantities
    allowed, close, chance = np.sqrt(limits), np.sqrt(np.fmin(rare, limits)), np.sqrt(found.chance)
    usual, r = measured.usual, measured.correlation
    correlation_limit = np.fmax(
        smallest.correlation, _moved(usual, measured.usual_fisher, r, allowed[:, :-2])
    )
    moved = np.nan_to_num(np.abs(r - usual))
    change = np.nan_to_num(moved / correlation_limit)
    correlation_warning = np.fmax(
        WARNING_AT * smallest.correlation, _moved(usual, measured.usual_fisher, r, close[:, :-2])
    )
    error_limit = np.fmax(smallest.reconstruction, allowed[:, -2])
    mmd_limit = np.fmax(smallest.mmd, allowed[:, -1])
    error = np.abs(measured.reconstruction - measured.reconstruction_usual)
    none = np.zeros(len(limits), dtype=np.int8)
    drifted = np.stack([column_verdicts.get(key, none) for key in plan.keys], axis=1) == _DRIFT
    watched = np.array([key in column_verdicts for key in plan.keys])
    i, j = plan.pairs
    told = enough[:, None] & (watched[i] & watched[j])[None, :] & ~(drifted[:, i] | drifted[:, j])
    pair_verdicts = np.where(told, _verdicts(moved, correlation_limit, correlation_warning), 0).astype(
        np.int8
    )
    # What a column or a pair shows, all columns show too.
    explained = (pair_verdicts == _DRIFT).any(axis=1)
    if column_verdicts:
        explained |= (np.stack([*column_verdicts.values()]) == _DRIFT).any(axis=0)
    effects = WARNING_AT * np.array([smallest.reconstruction, smallest.mmd])
    whole = _verdicts(
        np.stack([error, measured.mmd], axis=1),
        np.stack([error_limit, mmd_limit], axis=1),
        np.fmax(effects, close[:, -2:]),
    )
    whole_verdicts = np.where((enough & ~explained & watched.all())[:, None], whole, 0).astype(np.int8)
    said = np.concatenate([pair_verdicts, whole_verdicts], axis=1) == _DRIFT
    return JointFinding(
        plan,
        measured,
        correlation_limit,
        change,
        error_limit,
        chance[:, -2],
        mmd_limit,
        chance[:, -1],
        pair_verdicts,
        whole_verdicts,
        warning,
        np.zeros(said.shape, dtype=bool) if proven is None else proven & said,
    )


def _moved(usual: Floats, usual_fisher: Floats, seen: Floats, by: Floats) -> Floats:
    """Say how far a correlation is from the usual one when Fisher's transform has moved by so much, on this side."""
    out: Floats = np.abs(np.tanh(usual_fisher + np.where(seen >= usual, by, -by)) - usual)
    return out


def _is_input(key: str) -> bool:
    return key.startswith("feature/")


def _name(key: str) -> str:
    return key.split("/", 1)[-1]


def _names(keys: Iterable[str]) -> str:
    return list_text(sorted(map(_name, keys)))


def _verdicts(value: Floats, limit: Floats, warning: Floats) -> Verdicts:
    # Drift is two and a warning one; what is not known is neither.
    is_drift = value >= limit
    out: Verdicts = is_drift.astype(np.int8) + (is_drift | (value >= warning)).astype(np.int8)
    return out
