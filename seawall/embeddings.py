"""Embeddings: a vector becomes seventeen numbers, the same ones wherever it is logged or read.

A vector of hundreds of numbers has no bins worth watching one by one, and a window of a few hundred rows could not fill
them. Its dot products with a few directions are numbers like any others: they have a baseline, drift, correlate, and
enter the distance of mean embeddings that looks at all columns together. The directions are fixed: they follow from
the number of dimensions alone, so that a product, a baseline and another language's producer agree on them.

For a vector x of d numbers and k = 1 … 16:

    x[k] = (1 / √d) Σ_i s_ik x_i,    s_ik = +1 or -1

where the signs are bits of SHAKE-128 of the text ``seawall directions <d>``: s_ik is +1 where bit number 16 i + k - 1
is 1 (i from 0; bytes in order, lowest bit first). The seventeenth number is the length of x.

References
----------
Johnson, W. B., & Lindenstrauss, J. (1984). Extensions of Lipschitz mappings into a Hilbert space. Contemp. Math. 26.
Achlioptas, D. (2003). Database-friendly random projections. J. Comput. Syst. Sci. 66, 671-687.
https://doi.org/10.1016/S0022-0000(03)00025-4
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from seawall.errors import ContractError
from seawall.values import shown

Floats = npt.NDArray[np.float64]
#: Directions that a vector is projected onto.
DIRECTIONS = 16
#: Numbers that a vector may have.
LEAST_DIMENSIONS, MOST_DIMENSIONS = 2, 1024
#: What a single event's value may be to count as a vector.
VECTOR_TYPES = frozenset({list, tuple, np.ndarray})
_ROWS_AT_ONCE = 4096


def packed(field: str, values: Any) -> bytes:
    """Copy a list, a tuple or an array, float32 little-endian: as it waits in a client's buffer.

    Raises
    ------
    ContractError
        When it is not a row of 2 to 1024 numbers.
    """
    return _checked(field, values).astype("<f4").tobytes()


def directions(dimensions: int) -> npt.NDArray[np.float32]:
    """Return the directions for vectors of so many numbers, float32 [dimensions, 16]; each has length one.

    Examples
    --------
    >>> directions(4)[0, :4].tolist()
    [-0.5, 0.5, 0.5, -0.5]
    """
    return _directions(dimensions)


@lru_cache(maxsize=64)
def _directions(dimensions: int) -> npt.NDArray[np.float32]:
    text = f"seawall directions {dimensions}".encode()
    drawn = np.frombuffer(hashlib.shake_128(text).digest(dimensions * DIRECTIONS // 8), dtype=np.uint8)
    signs = np.unpackbits(drawn, bitorder="little").reshape(dimensions, DIRECTIONS)
    found: npt.NDArray[np.float32] = ((2.0 * signs - 1.0) / np.sqrt(dimensions)).astype(np.float32)
    found.flags.writeable = False
    return found


def names_of(name: str) -> tuple[str, ...]:
    """Return the names of the numbers that a vector becomes.

    Examples
    --------
    >>> names_of("text")[0], names_of("text")[-2:]
    ('text[01]', ('text[16]', 'text[length]'))
    """
    return (*(f"{name}[{k:02}]" for k in range(1, DIRECTIONS + 1)), f"{name}[length]")


def project(name: str, vectors: npt.NDArray[Any]) -> dict[str, Floats]:
    """Project vectors, [rows, dimensions]; a row with a NaN is missing, and so are all of its numbers.

    Returns
    -------
    dict
        float64 [rows] for each of `names_of`.
    """
    onto = directions(vectors.shape[1])
    out = np.empty((DIRECTIONS + 1, len(vectors)))
    for first in range(0, len(vectors), _ROWS_AT_ONCE):
        part = np.asarray(vectors[first : first + _ROWS_AT_ONCE], dtype=np.float32)
        here = slice(first, first + len(part))
        with np.errstate(invalid="ignore", over="ignore"):
            out[:DIRECTIONS, here] = (part @ onto).T
            out[DIRECTIONS, here] = np.sqrt(np.einsum("rd,rd->r", part, part, dtype=np.float64))
    out[:, ~np.isfinite(out).all(axis=0)] = np.nan
    return dict(zip(names_of(name), out, strict=True))


def stacked(vectors: Sequence[bytes | None], dimensions: int) -> npt.NDArray[np.float32]:
    """Put `packed` vectors side by side, [rows, dimensions]; None is a row of NaN.

    Raises
    ------
    ValueError
        When one has another number of dimensions.
    """
    none = np.full(dimensions, np.nan, dtype="<f4").tobytes()
    if any(len(v) != len(none) for v in vectors if v is not None):
        msg = f"a vector of other than {dimensions} numbers"
        raise ValueError(msg)
    flat = np.frombuffer(b"".join([none if v is None else v for v in vectors]), dtype="<f4")
    return flat.reshape(len(vectors), dimensions)


def read_vectors(field: str, values: Any) -> npt.NDArray[np.float32] | None:
    """Read a column of a table as vectors, float32 [rows, dimensions]; None where it holds none.

    A matrix is one, and so is a column whose first value that is there is a list, a tuple or an array. None in it is a
    row of NaN.

    Raises
    ------
    ContractError
        Naming the row whose vector is not like the first.
    """
    if getattr(values, "ndim", 1) == 2 and not hasattr(values, "columns"):
        return _matrix(field, np.asarray(values))
    kind = str(getattr(values, "dtype", "object"))
    if not kind.startswith(("object", "List", "Array", "list")) or isinstance(values, str | bytes):
        return None
    listed = values.to_list() if hasattr(values, "to_list") else values
    if not hasattr(listed, "__iter__"):
        return None
    first = next((v for v in listed if v is not None and v.__class__ is not float), None)
    if type(first) not in VECTOR_TYPES:
        return None
    dimensions = len(_checked(f"{field}, first vector", first))
    out = np.full((len(listed), dimensions), np.nan, dtype=np.float32)
    for row, value in enumerate(listed):
        if value is None or value.__class__ is float:  # pandas writes NaN for what is not there
            continue
        vector = _checked(f"{field}, row {row}", value)
        if len(vector) != dimensions:
            msg = f"{field}, row {row}: a vector of {len(vector)} numbers, expected {dimensions} as in the first"
            raise ContractError(msg)
        out[row] = vector
    return out


def _matrix(field: str, values: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    if values.dtype.kind not in "fiub":
        msg = f"{field}: a matrix of {values.dtype}, expected numbers"
        raise ContractError(msg)
    _check_dimensions(field, values.shape[1])
    return values.astype(np.float32)


def _checked(field: str, values: Any) -> npt.NDArray[Any]:
    """Return one vector as an array of numbers; None in it is NaN."""
    try:
        array = np.asarray(values)
        if array.dtype.kind == "O":
            array = np.array([np.nan if v is None else v for v in array.tolist()], dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        array = np.empty(0, dtype=object)
    if array.ndim != 1 or array.dtype.kind not in "fiub":
        what = f"{shown(values)} is a {type(values).__name__} but no row of numbers"
        msg = f"{field}: {what}, expected a number, bool, str, vector or None"
        raise ContractError(msg)
    _check_dimensions(field, len(array))
    return array


def _check_dimensions(field: str, dimensions: int) -> None:
    if not LEAST_DIMENSIONS <= dimensions <= MOST_DIMENSIONS:
        msg = f"{field}: a vector of {dimensions} numbers, expected {LEAST_DIMENSIONS} to {MOST_DIMENSIONS}"
        raise ContractError(msg)
