"""A picture of a chunk that is too large for one message comes in parts, and counts when all of them are there.

Parts of one picture carry the same digest of all of its content. A chunk that is made again, by whatever worker, has
parts of the same content or another digest, so parts of different pictures never make one.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import Any, NamedTuple

from seawall.wire import encode

#: Bytes of a message's blocks, and of one block before compression. A broker takes 32 MiB.
LARGEST = 12 << 20
_ARRAYS = ("layout", "panes", "rows", "weights", "counts", "moments", "distinct", "joint_panes", "joint")


class Picture(NamedTuple):
    """What parts belong to."""

    topic: str
    partition: int
    first_offset: int
    from_offset: int
    next_offset: int
    sealed: bool
    digest: int


def in_parts(summary: dict[str, Any], largest: int) -> list[dict[str, Any]]:
    """Split a summary into messages of at most so many bytes of blocks each, or of one block."""
    shares: list[list[dict[str, Any]]] = [[]]
    room = largest
    for block in summary["blocks"]:
        size = _bytes(block)
        if size > room and shares[-1]:
            shares.append([])
            room = largest
        shares[-1].append(block)
        room -= size
    if len(shares) == 1:
        return [summary]
    parts = [
        {**summary, "blocks": blocks, "part": i, "parts": len(shares)} for i, blocks in enumerate(shares)
    ]
    digest = 0
    for part in parts:
        digest = zlib.crc32(encode("chunk_summary", part), digest)
    return [{**part, "digest": digest} for part in parts]


def _bytes(block: dict[str, Any]) -> int:
    return sum(len(block[name]) for name in _ARRAYS) + sum(len(name) * 4 + 4 for name in block["segments"])


class Waiting:
    """Parts of pictures that are not complete."""

    def __init__(self) -> None:
        self.parts: dict[Picture, dict[int, dict[str, Any]]] = {}
        self.saved: set[tuple[Picture, int]] = set()
        """Which parts were saved."""

    def __bool__(self) -> bool:
        """Whether anything waits."""
        return bool(self.parts)

    def take(self, summary: dict[str, Any]) -> dict[str, Any] | None:
        """Take a message; returns the picture that it completes, or None."""
        if summary["parts"] > 1:
            self.put(summary)
            found = self.parts[_picture(summary)]
            if len(found) < summary["parts"]:
                return None
            blocks = [block for _, part in sorted(found.items()) for block in part["blocks"]]
            summary = {**summary, "blocks": blocks, "part": 0, "parts": 1}
        if self.parts:
            self._drop(_picture(summary))
        return summary

    def put(self, part: dict[str, Any]) -> None:
        """Take a part without a look at whether it is the last."""
        self.parts.setdefault(_picture(part), {})[part["part"]] = part

    def leave(self, partition: tuple[str, int]) -> None:
        """Forget the parts of a partition's log that began anew: nobody sends the others."""
        for known in [known for known in self.parts if known[:2] == partition]:
            del self.parts[known]

    def _drop(self, done: Picture) -> None:
        """Forget the picture that is done, and parts of those that are no news any more."""
        for known in list(self.parts):
            if known[:2] != done[:2]:
                continue
            if done.sealed:
                is_old = max(known.first_offset, known.from_offset) < done.next_offset
            else:
                # A cut is never given up for a picture of an open chunk, however far that one reaches.
                is_old = not known.sealed and known[2:4] == done[2:4] and known.next_offset < done.next_offset
            if is_old or known == done:
                del self.parts[known]

    def numbered(self) -> Sequence[tuple[Picture, int]]:
        """Return what waits, in order."""
        return sorted((picture, number) for picture, parts in self.parts.items() for number in parts)


def _picture(summary: dict[str, Any]) -> Picture:
    return Picture(*(summary[name] for name in Picture._fields))
