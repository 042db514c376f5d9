"""A model's feature importances, as whoever trained it wrote them down: a file, or by hand."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from seawall.errors import ConfigError


def read_importance(given: Sequence[str], features: Collection[str]) -> dict[str, float]:
    """Read what ``--importance`` was given: files, or ``NAME=VALUE``.

    Parameters
    ----------
    given
        A JSON file holds ``{"name": 0.3}``; a CSV file holds a name and a number a line, with or without a head.
    features
        The features that there are.

    Raises
    ------
    ConfigError
        A file that cannot be read, a name that is no feature, or an importance that is no number of 0 or more.
    """
    found: dict[str, Any] = {}
    for text in given:
        name, equals, value = text.partition("=")
        found |= {name: value} if equals and not Path(text).exists() else _file(Path(text))
    return {name: _number(name, value, features) for name, value in found.items()}


def _file(path: Path) -> dict[str, Any]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        msg = f"--importance: {str(path)!r}: expected NAME=VALUE, or a JSON or CSV file that can be read: {error}"
        raise ConfigError(msg) from error
    if path.suffix.lower() == ".json":
        try:
            read = json.loads(text)
        except ValueError as error:
            msg = f'--importance: {path}: expected JSON such as {{"age": 0.3}}: {error}'
            raise ConfigError(msg) from error
        if not isinstance(read, Mapping):
            msg = f'--importance: {path}: expected JSON such as {{"age": 0.3}}, found a {type(read).__name__}'
            raise ConfigError(msg)
        return dict(read)
    rows = [row for row in csv.reader(text.splitlines()) if row]
    for row in rows:
        if len(row) != 2:
            msg = f"--importance: {path}: {','.join(row)!r}: expected a name and a number a line"
            raise ConfigError(msg)
    # A first line that holds no number is a head.
    return dict(rows[1:] if rows and not _is_number(rows[0][1]) else rows)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _number(name: str, value: Any, features: Collection[str]) -> float:
    from seawall.monitor_yaml.problems import any_of, did_you_mean

    if name not in features:
        hint = did_you_mean(name, features) or f": {any_of(features)}"
        msg = f"--importance: {name!r}: expected a feature{hint}"
        raise ConfigError(msg)
    number = float(value) if isinstance(value, int | float) or _is_number(str(value)) else math.nan
    if not (math.isfinite(number) and number >= 0.0) or isinstance(value, bool):
        msg = f"--importance: {name}: {value!r}: expected a number of 0 or more"
        raise ConfigError(msg)
    return number
