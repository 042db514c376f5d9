"""The two classics, hour by hour: tests at 5 % with Bonferroni's correction, and PSI > 0.2.

Kolmogorov-Smirnov for numbers and chi-squared for categories, each beside a chi-squared test of the share that is
missing: two tests a column, 0.05 shared equally among all of a table's. PSI has ten bins of equal mass, or the
categories, a cell for what is missing and one for what is new; empty cells count as half a row.
"""

from __future__ import annotations

import numpy as np
from panes import EachHour, Levels, Reference, Stream, by_hour, main
from scipy.stats import chi2, ks_2samp

ROWS = 10_000
ALPHA, PSI = 0.05, 0.2


def make(reference: Reference) -> EachHour:
    """Prepare what both need of one column's reference."""
    rng = np.random.default_rng(0)
    sample = reference.values[
        rng.choice(len(reference.values), min(ROWS, len(reference.values)), replace=False)
    ]
    is_there = np.isfinite(sample) if reference.is_number else sample >= 0
    known = np.sort(sample[is_there])
    edges = np.unique(np.quantile(known, np.linspace(0, 1, 11)[1:-1])) if reference.is_number else np.empty(0)
    words = 0 if reference.is_number else int(reference.values.max(initial=0)) + 1

    def cells(values: np.ndarray) -> np.ndarray:
        if reference.is_number:
            seen = values[np.isfinite(values)]
            bins = np.bincount(np.searchsorted(edges, seen, side="right"), minlength=len(edges) + 1)
            return np.append(bins, len(values) - len(seen))
        codes = np.minimum(values.astype(int), words)
        return np.append(np.bincount(codes[codes >= 0], minlength=words + 1), np.sum(codes < 0))

    expected = cells(sample)
    log_alpha = np.log(ALPHA / (2 * reference.columns))

    def score(stream: Stream) -> Levels:
        ks, psi = np.zeros(stream.hours), np.zeros(stream.hours)
        for i, part in enumerate(by_hour(stream)):
            if not len(part):
                continue
            counts = cells(part)
            psi[i] = population_stability(expected, counts) / PSI
            absent = homogeneity(
                np.array([expected[:-1].sum(), expected[-1]]), np.array([counts[:-1].sum(), counts[-1]])
            )
            if not reference.is_number:
                log_p = homogeneity(expected[:-1], counts[:-1])
            elif counts[:-1].sum():
                log_p = np.log(max(ks_2samp(known, part[np.isfinite(part)], method="asymp").pvalue, 1e-300))
            else:
                log_p = 0.0
            ks[i] = min(log_p, absent) / log_alpha
        return {"ks": ks, "psi": psi}

    return EachHour(score)


def population_stability(expected: np.ndarray, counts: np.ndarray) -> float:
    """Return PSI; a cell that is empty on one side counts as half a row, one that is empty on both is left out."""
    used = (expected + counts) > 0
    e, c = np.maximum(expected[used], 0.5), np.maximum(counts[used], 0.5)
    e, c = e / e.sum(), c / c.sum()
    return float(np.sum((c - e) * np.log(c / e)))


def homogeneity(expected: np.ndarray, counts: np.ndarray) -> float:
    """Return the logarithm of the chi-squared p-value of two rows of counts."""
    used = (expected + counts) > 0
    e, c = expected[used].astype(float), counts[used].astype(float)
    n, m = c.sum(), e.sum()
    if n == 0 or len(c) < 2:
        return 0.0
    both = e + c
    statistic = np.sum((np.sqrt(m / n) * c - np.sqrt(n / m) * e) ** 2 / both)
    return float(chi2.logsf(statistic, len(c) - 1))


if __name__ == "__main__":
    main(make)
