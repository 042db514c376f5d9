"""Records of a saved state that are larger than a broker takes, written as several.

A record under its key is either whole or says of how many slices it is made, which lie under keys of their own. Slices
are written over in place, so only what no committed record names may be written.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator, Mapping
from typing import Any

from seawall.wire import decode, encode

#: A key and its record, or None to delete it. In the order in which they must be written.
Part = tuple[bytes, bytes | None]
#: Bytes of a record, at most. A broker takes 32 MiB; a producer and a reader hold several at a time.
LARGEST = 8 << 20


class Slices:
    """Writes records of one model in as many parts as they need, and remembers which parts lie there."""

    def __init__(self, largest: int = LARGEST) -> None:
        self.largest = largest
        self._slices: dict[bytes, int] = {}

    def fits(self, value: bytes) -> bool:
        """Tell whether a record is written whole."""
        return len(value) <= self.largest

    def write(self, key: bytes, value: bytes, gone: list[Part]) -> Iterator[Part]:
        """Return the parts of a record; to `gone` come the slices that the record before had and this one has not."""
        count = 0
        if not self.fits(value):
            squeezed = zlib.compress(value, 1)
            for at in range(0, len(squeezed), self.largest):
                yield _slice_key(key, count), _record("slice", raw=squeezed[at : at + self.largest])
                count += 1
            value = _record("sliced", json=json.dumps(count))
        yield key, value
        self._keep(key, count, gone)

    def delete(self, key: bytes, gone: list[Part]) -> None:
        """Have a record deleted with all of its slices."""
        gone.append((key, None))
        self._keep(key, 0, gone)

    def _keep(self, key: bytes, count: int, gone: list[Part]) -> None:
        gone += [(_slice_key(key, n), None) for n in range(count, self._slices.pop(key, 0))]
        if count:
            self._slices[key] = count


def whole(records: Mapping[bytes, dict[str, Any]], key: bytes) -> dict[str, Any] | None:
    """Return the record that was written under `key`, or None when it or a part of it is missing."""
    record = records.get(key)
    if record is None or record["kind"] != "sliced":
        return record
    slices = [records.get(_slice_key(key, n)) for n in range(json.loads(record["json"]))]
    found = [s["raw"] for s in slices if s is not None]
    if len(found) < len(slices):
        return None
    return decode(zlib.decompress(b"".join(found)), ("model_state",))[1]


def _slice_key(key: bytes, number: int) -> bytes:
    return b"%s\tslice %d" % (key, number)


def _record(kind: str, *, json: str = "", raw: bytes = b"") -> bytes:
    record = {"kind": kind, "model": "", "through": -1, "json": json, "blocks": [], "raw": raw}
    return encode("model_state", record)
