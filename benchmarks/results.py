"""``build/bench.json``: what every benchmark found, one key for each contender."""

from __future__ import annotations

import json
import os
import statistics
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import psutil


def rate(runs: Sequence[float], **more: Any) -> dict[str, Any]:
    """Lay out a contender's runs (events a second)."""
    return {"events_per_second": statistics.median(runs), "runs": list(runs), **more}


def machine() -> dict[str, Any]:
    """Say what the figures were measured on, and how busy it was."""
    return {
        "cpus": os.cpu_count(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "python": sys.version.split()[0],
        "numpy": np.__version__,
        "load": os.getloadavg(),
    }


def read(out: Path) -> dict[str, Any]:
    """Read what was found so far."""
    path = out / "bench.json"
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    return found


def merge(out: Path, found: Mapping[str, Any]) -> Path:
    """Put `found` into ``bench.json``; the keys of other benchmarks stay."""
    out.mkdir(parents=True, exist_ok=True)
    path = out / "bench.json"
    fresh = path.with_suffix(".tmp")
    fresh.write_text(json.dumps({**read(out), **found}, indent=2) + "\n", encoding="utf-8")
    fresh.replace(path)
    return path
