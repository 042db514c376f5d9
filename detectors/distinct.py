"""Distinct values of a column, counted in 256 bytes that merge by maximum (HyperLogLog)."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Hashes = npt.NDArray[np.uint64]
Registers = npt.NDArray[np.uint8]

REGISTERS = 256
_ALPHA = 0.7213 / (1.0 + 1.079 / REGISTERS)
#: Bits of a hash that a rank is taken from: as many as a float64 holds exactly.
_RANK_BITS = 52
_POWERS = np.exp2(-np.arange(256.0))


def hash_strings(values: Iterable[str]) -> Hashes:
    """Hash strings to 64 bits, the same in every process and on every machine.

    Parameters
    ----------
    values
        Any strings, lone surrogates included.

    Returns
    -------
    Hashes
        [number of values].

    Notes
    -----
    BLAKE2b. About a microsecond a value, so hash a dictionary and not its rows.

    Examples
    --------
    >>> hash_strings(["a", "b"]).tolist()
    [3405396810240292928, 8453121595177857668]
    """
    digests = b"".join(
        hashlib.blake2b(v.encode("utf-8", "surrogatepass"), digest_size=8).digest() for v in values
    )
    return np.frombuffer(digests, dtype="<u8").astype(np.uint64)


def registers_of(hashes: Hashes, group: npt.ArrayLike, groups: int) -> Registers:
    """Sketch the distinct values of every group.

    Parameters
    ----------
    hashes
        [rows], uniform over 64 bits; repeats change nothing.
    group
        Group of each hash, [rows] integers in 0..groups-1.
    groups
        Number of groups.

    Returns
    -------
    Registers
        [G, 256]; all zeros for an empty group. Sketches of two sets merge into that of their union by
        `np.maximum`, in any order.

    Raises
    ------
    ValueError
        When a group lies outside 0..groups-1.

    Notes
    -----
    The low 8 bits choose a register, which keeps the largest rank: one more than the leading zeros of the
    top 52 bits. Cost: O(rows).

    References
    ----------
    Flajolet, P., Fusy, É., Gandouet, O., & Meunier, F. (2007). HyperLogLog: the analysis of a near-optimal
    cardinality estimation algorithm. AofA 2007, 137-156. https://doi.org/10.46298/dmtcs.3545

    Examples
    --------
    >>> registers_of(np.array([3, 2**63 + 3], dtype=np.uint64), [0, 1], 2)[:, 3].tolist()
    [53, 1]
    """
    h = np.asarray(hashes, np.uint64)
    g = np.asarray(group, np.int64)
    if len(g) and (g.min() < 0 or g.max() >= groups):
        msg = f"group {g.min()}..{g.max()}: want 0..{groups - 1}"
        raise ValueError(msg)
    top = (h >> np.uint64(64 - _RANK_BITS)).astype(np.float64)
    rank = (_RANK_BITS + 1 - np.frexp(top)[1]).astype(np.uint8)
    out = np.zeros(groups * REGISTERS, dtype=np.uint8)
    np.maximum.at(out, g * REGISTERS + (h & np.uint64(REGISTERS - 1)).astype(np.int64), rank)
    return out.reshape(groups, REGISTERS)


def estimate(registers: Registers) -> Floats:
    r"""Estimate how many distinct values were sketched.

    .. math:: E = \frac{\alpha \, 256^2}{\sum_j 2^{-R_j}}, \qquad
              E^* = 256 \ln \frac{256}{V} \text{ if } E \le 640 \text{ and } V > 0

    with `V` the number of registers that are still zero (linear counting).

    Parameters
    ----------
    registers
        [..., 256].

    Returns
    -------
    Floats
        The estimate, [...]; 0 for an empty sketch.

    Notes
    -----
    Standard error 1.04/√256 = 6.5 %, about 4 % where linear counting serves. 64-bit hashes need no
    correction for large ranges. Assumes that the hash is uniform.

    References
    ----------
    Flajolet, P., Fusy, É., Gandouet, O., & Meunier, F. (2007). https://doi.org/10.46298/dmtcs.3545

    Examples
    --------
    >>> sketch = registers_of(hash_strings(map(str, range(1000))), np.zeros(1000, dtype=int), 1)
    >>> 850 < estimate(sketch).item() < 1150
    True
    """
    r = np.asarray(registers, np.uint8)
    raw = _ALPHA * REGISTERS**2 / _POWERS[r].sum(-1)
    zeros = np.count_nonzero(r == 0, axis=-1)
    linear = REGISTERS * np.log(REGISTERS / np.maximum(zeros, 1))
    return np.asarray(np.where((raw <= 2.5 * REGISTERS) & (zeros > 0), linear, raw), np.float64)
