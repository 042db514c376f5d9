"""The contracts at rest: Avro schemas by name and by fingerprint, and the topic catalogue.

They are read from files, never imported, so that a product service may have a `schemas` folder of its own.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import fastavro
from fastavro.schema import fingerprint, to_parsing_canonical_form

from seawall.errors import ConfigError


@cache
def contracts_dir() -> Path:
    """Folder of the contracts: inside the installed package, or beside it in a checkout."""
    packaged = Path(__file__).parent / "_schemas"
    return packaged if packaged.is_dir() else Path(__file__).parent.parent / "schemas"


@dataclass(frozen=True)
class Contract:
    """One Avro schema, parsed, with its CRC-64-AVRO fingerprint (eight bytes, little-endian)."""

    name: str
    schema: Any
    fingerprint: bytes


@cache
def contract(name: str) -> Contract:
    """Return the contract called `name`, such as ``prediction_frame``."""
    path = contracts_dir() / f"{name}.avsc"
    if not path.is_file():
        msg = f"contract: there is no schema called {name!r} in {contracts_dir()}"
        raise ConfigError(msg)
    return _read_contract(name, path)


def _read_contract(name: str, path: Path) -> Contract:
    raw = json.loads(path.read_text(encoding="utf-8"))
    canonical = to_parsing_canonical_form(raw)
    crc = bytes.fromhex(fingerprint(canonical, "CRC-64-AVRO"))
    return Contract(name, fastavro.parse_schema(raw), crc)


@cache
def contracts_by_fingerprint() -> dict[bytes, Contract]:
    """Every contract, by the eight bytes that follow ``C3 01`` on the wire.

    Superseded schemas are among them, under the name of the contract that they were: what was written with one
    can still be read.
    """
    current = (contract(p.stem) for p in sorted(contracts_dir().glob("*.avsc")))
    return {c.fingerprint: c for c in (*superseded(), *current)}


def superseded() -> list[Contract]:
    """Every schema that was a contract once: ``history/<contract>.<n>.avsc``."""
    paths = sorted((contracts_dir() / "history").glob("*.avsc"))
    return [_read_contract(path.name.split(".")[0], path) for path in paths]


@dataclass(frozen=True)
class Topic:
    """One topic of the catalogue."""

    name: str
    key: str
    schemas: tuple[str, ...]
    partitions: int
    retention: str
    cleanup: str
    direction: str
    max_message_bytes: int | None

    def full_name(self, prefix: str) -> str:
        """Name on the broker."""
        return prefix + self.name


@cache
def topics() -> dict[str, Topic]:
    """Return the topic catalogue by short name."""
    raw = json.loads((contracts_dir() / "topics.json").read_text(encoding="utf-8"))
    return {
        name: Topic(
            name,
            t["key"],
            tuple(t["schemas"]),
            t["partitions"],
            t["retention"],
            t["cleanup"],
            t["direction"],
            t.get("max_message_bytes"),
        )
        for name, t in raw["topics"].items()
    }


DEFAULT_PREFIX = "seawall."
