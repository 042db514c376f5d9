"""What benchmarks found.

``build/bench.json`` holds the rates of contenders, ``{contender: {"events_per_second": median, "runs": […]}}``, and
nothing else. What else is measured has a file of its own, ``build/bench/<name>.json``, with the command and the
machine; plots are drawn from these (`benchmarks.plots`).
"""

from __future__ import annotations

import json
import os
import shlex
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


def command() -> str:
    """Say how this process was started, as one would type it."""
    spec = getattr(sys.modules["__main__"], "__spec__", None)
    started = ["-m", spec.name.removesuffix(".__main__")] if spec else [sys.argv[0]]
    return shlex.join(["python", *started, *sys.argv[1:]])


def contenders(out: Path) -> dict[str, dict[str, Any]]:
    """Read ``bench.json``, without what an older edition left there that is no contender; empty where it is not."""
    found = _read(out / "bench.json")
    return {name: entry for name, entry in found.items() if _is_contender(entry)}


def merge(out: Path, found: Mapping[str, Mapping[str, Any]]) -> Path:
    """Put contenders into ``bench.json``; those of other benchmarks stay.

    Raises
    ------
    ValueError
        An entry is no contender's: it needs `events_per_second` and `runs` (see `rate`).
    """
    for name, entry in found.items():
        if not _is_contender(entry):
            msg = f"{name}: {entry!r} is no contender, expected events_per_second and runs"
            raise ValueError(msg)
    return _write(out / "bench.json", {**contenders(out), **found})


def read(out: Path, name: str) -> dict[str, Any]:
    """Read what a benchmark wrote; empty where it did not run."""
    return _read(out / "bench" / f"{name}.json")


def write(out: Path, name: str, found: Mapping[str, Any]) -> Path:
    """Write what a benchmark found into a file of its own, beside the command and the machine."""
    about = {"command": command(), "machine": machine()}
    return _write(out / "bench" / f"{name}.json", {**about, **found})


def _is_contender(entry: Any) -> bool:
    return isinstance(entry, Mapping) and {"events_per_second", "runs"} <= entry.keys()


def _read(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    return found


def _write(path: Path, found: Mapping[str, Any]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_suffix(".tmp")
    fresh.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    fresh.replace(path)
    return path
