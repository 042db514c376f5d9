"""What an incident says beside its numbers: who else sees it, what else happened, which alarms it speaks for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple


class Beside(NamedTuple):
    """What another version of the model sees of it."""

    version: str
    sees: str
    """yes | partly | no | unknown"""
    why: str = ""


class Coincidence(NamedTuple):
    """Something else that happened when it began."""

    kind: str
    """release | rollback | schema | volume | freshness"""
    at_us: int
    what: str


class Member(NamedTuple):
    """Another alarm of the same cause, which pages nobody by itself."""

    alarm_id: str
    version: str
    segment: str
    kind: str
    severity: str
    columns: tuple[str, ...] = ()
    """Names of its worst columns."""
    is_open: bool = True

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Member:
        """Read a member of an alarm record."""
        return cls(**{**record, "columns": tuple(record["columns"])})
