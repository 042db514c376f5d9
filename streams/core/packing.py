"""Counts as bytes: as narrow as the largest of them allows, for most counts of most cells are small."""

from __future__ import annotations

import zlib

import numpy as np
import numpy.typing as npt

from seawall.errors import ContractError

#: What counts may be written as: unsigned little-endian, one, two or four bytes each.
DTYPES = ("<u1", "<u2", "<u4")
#: From so many bytes on they are compressed here: a limit on messages is one on what they are before the producer
#: compresses them, and the counts of a backfill, a row or two in each of thousands of panes, are nearly all zeros.
_LARGE = 2 << 20


def packed(raw: bytes) -> bytes:
    """Write bytes as a zlib stream, one that is only stored where they are few.

    Producers compress whole batches with zstd, which makes as little of them in a tenth of the time.
    """
    return zlib.compress(raw, 1 if len(raw) >= _LARGE else 0)


def packed_counts(counts: npt.NDArray[np.integer]) -> tuple[bytes, str]:
    """Write counts, and say as what.

    Examples
    --------
    >>> packed_counts(np.array([[1, 255]]))[1], packed_counts(np.array([[1, 256]]))[1]
    ('<u1', '<u2')
    """
    largest = int(counts.max(initial=0))
    dtype = next((d for d in DTYPES[:2] if largest <= np.iinfo(d).max), DTYPES[2])
    return packed(counts.astype(dtype).tobytes()), dtype


def unpacked_counts(packed: bytes, dtype: str, rows: int, where: str) -> npt.NDArray[np.integer]:
    """Undo `packed_counts`: [rows, …].

    Raises
    ------
    ContractError
        When the dtype is none of `DTYPES`. `where` names the field for the message.
    """
    if dtype not in DTYPES:
        msg = f"{where}_dtype: {dtype!r}, expected one of {', '.join(DTYPES)}"
        raise ContractError(msg)
    counts = np.frombuffer(zlib.decompress(packed), dtype=dtype)
    return counts.reshape(rows, -1) if rows else counts.reshape(0, 0)
