"""Fixed bins for the scores of any classifier: fine where probabilities are, and with a place for any other number.

Bins within 0..1 are 1/120 wide, and from 1/15 outwards on both sides four to an octave of the distance from 0 or 1: a
fraud's 0.0003 and a sure 0.9997 have as many bins about them as 0.3 has. Fifteenths are edges, so each of the fifteen
bins of the expected calibration error is made of whole ones. Exactly 1 has a bin of its own, for nothing above is a
probability. Beyond there are bins for margins and points: four to an octave up to 4096, but sixteen from 64 to 1024,
and one to an octave up to 2⁴⁰.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from detectors.wasserstein import positions_of

Floats = npt.NDArray[np.float64]

_EVEN = 120
_OCTAVES_OF_TAIL = 14


def _edges() -> tuple[float, ...]:
    tail = [2.0 ** (-j / 4) / 15 for j in range(4 * _OCTAVES_OF_TAIL, 0, -1)]
    even = [k / _EVEN for k in range(8, _EVEN - 7)]
    inside = [0.0, *tail, *even, *(1.0 - x for x in reversed(tail)), 1.0]
    coarse = [2.0**j for j in range(13, 41)]
    points = [2.0 ** (j / 16) for j in (*range(4, 96, 4), *range(96, 160), *range(160, 193, 4))]
    above = [float(np.nextafter(1.0, 2.0)), *points, *coarse]
    below = [*(-x for x in reversed(coarse)), *(-(2.0 ** (j / 4)) for j in range(48, -33, -1))]
    return (*below, *inside, *above)


#: Edges of the bins, ascending.
EDGES: tuple[float, ...] = _edges()
_places = positions_of(EDGES)
_one = EDGES.index(1.0)
#: Which slots of a column, from underflow on, hold numbers within 0..1: [bins + 2].
ARE_PROBABILITIES: npt.NDArray[np.bool_] = np.zeros(len(EDGES) + 1, dtype=bool)
ARE_PROBABILITIES[EDGES.index(0.0) + 1 : _one + 2] = True
_places[_one + 1] = 1.0
#: The middle of each bin: [bins + 2]; underflow and overflow stand at their ends.
MIDDLES: Floats = _places
