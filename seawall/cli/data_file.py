"""Read a reference from a file: Parquet or CSV, with the hash of its bytes."""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import re
import sys
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Protocol

from seawall.errors import ConfigError

if TYPE_CHECKING:
    import polars as pl

#: What CSV writers put where there is nothing; pandas takes the same ones.
MISSING_WORDS: tuple[str, ...] = ("", "NA", "N/A", "NaN", "nan", "null", "NULL", "None")
_BLOCK_BYTES = 1 << 20
_GZIP = b"\x1f\x8b"
_COMPRESSED = (
    b"\x28\xb5\x2f\xfd",
    b"\x78\x01",
    b"\x78\x5e",
    b"\x78\x9c",
    b"\x78\xda",
)  # zstd, and zlib's levels
#: What `csv` and `gzip` raise for what is no text: the reader says then what is wrong with the file.
_UNREADABLE = (csv.Error, EOFError, gzip.BadGzipFile, zlib.error)
_SEPARATORS = {",": "commas", "\t": "tabs", ";": "semicolons", "|": "bars"}
_ISO_TIME = re.compile(r"\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d|$)")


class Step(Protocol):
    """One step of long work: told how far it is."""

    def __call__(self, done: int, total: int) -> None:
        """Say that `done` of `total` is done."""


class Steps(Protocol):
    """Names the steps of long work as they begin."""

    def __call__(self, name: str) -> Step:
        """Begin a step; whatever came before is done."""


@contextmanager
def progress(title: str) -> Iterator[Steps]:
    """Show a progress bar on standard error while the block runs, if a person is looking."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        Progress,
        SpinnerColumn,
        TaskProgressColumn,
        TextColumn,
        TimeElapsedColumn,
    )

    console = Console(stderr=True)
    with Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),  # nothing where nobody knows how much there is
        TimeElapsedColumn(),
        console=console,
        transient=True,
        disable=not sys.stderr.isatty(),
    ) as bar:
        task = bar.add_task(title, total=None)

        def begin(name: str) -> Step:
            bar.update(task, description=f"{title}: {name}", total=None)
            return lambda done, total: bar.update(task, completed=done, total=max(total, 1))

        yield begin


def sha256_of(path: Path, step: Step) -> str:
    """Hash a file's bytes.

    Raises
    ------
    ConfigError
        When the file cannot be opened.
    """
    digest = hashlib.sha256()
    try:
        total, done = path.stat().st_size, 0
        with path.open("rb") as file:
            while block := file.read(_BLOCK_BYTES):
                digest.update(block)
                done += len(block)
                step(done, total)
    except OSError as error:
        msg = f"{path}: cannot be read: {error.strerror or error}"
        raise ConfigError(msg) from error
    return digest.hexdigest()


def read_data_file(path: Path, missing_words: Sequence[str] = MISSING_WORDS) -> pl.DataFrame:
    """Read Parquet (told by its first bytes) or CSV (with tabs when it is called ``.tsv``).

    Raises
    ------
    ConfigError
        When the file cannot be read, or holds no row.
    """
    try:
        import polars as pl
    except ImportError as error:
        msg = f"{path}: reading data files needs polars: pip install 'seawall[service]'"
        raise ConfigError(msg) from error
    try:
        with path.open("rb") as file:
            is_parquet = file.read(4) == b"PAR1"
        if is_parquet:
            table = pl.read_parquet(path)
        else:
            _check_header(path, _separator(path))
            table = pl.read_csv(
                path,
                separator=_separator(path),
                infer_schema_length=None,  # a late text in a numeric column must not fail the read
                null_values=list(missing_words),
            )
            table = _with_times(table)
    except OSError as error:
        msg = f"{path}: cannot be read: {error.strerror or error}"
        raise ConfigError(msg) from error
    except pl.exceptions.PolarsError as error:
        said = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        what = "is Parquet that cannot" if is_parquet else "is neither Parquet nor CSV that can"
        if not is_parquet and (long := _too_long(path)):
            said = long
        msg = f"{path}: {what} be read: {said}"
        raise ConfigError(msg) from error
    if not table.height:
        msg = f"{path}: holds no row, expected at least one below the header"
        raise ConfigError(msg)
    return table


def _check_header(path: Path, separator: str) -> None:
    """Refuse a header that would be read as something else: another separator, or a name that occurs twice.

    Raises
    ------
    ConfigError
        Naming the separator, or the name.
    """
    with _as_text(path) as file:
        try:
            names = next(csv.reader(file, delimiter=separator), [])
        except _UNREADABLE:  # no line end in what is no text: the reader will say so
            return
    if len(names) == 1 and (other := next((s for s in _SEPARATORS if s in names[0]), "")):
        msg = (
            f"{path}: its columns seem to be separated by {_SEPARATORS[other]}, expected {_SEPARATORS[separator]}; "
            "a file with tabs is called .tsv"
        )
        raise ConfigError(msg)
    twice = next((name for name, many in Counter(names).items() if many > 1), None)
    if twice is not None:
        msg = f"{path}: {twice!r} is the name of {names.count(twice)} columns, expected each name once"
        raise ConfigError(msg)


def _as_text(path: Path) -> IO[str]:
    """Open CSV as the reader does, which looks into gzip, zstd and zlib; of the latter two there is nothing to see."""
    with path.open("rb") as file:
        first = file.read(4)
    if first.startswith(_GZIP):
        return gzip.open(path, "rt", encoding="utf-8-sig", errors="replace", newline="")
    if first.startswith(_COMPRESSED):
        return io.StringIO()
    return path.open(encoding="utf-8-sig", errors="replace", newline="")


def _too_long(path: Path) -> str:
    """Say which line has more fields than the header; the CSV reader does not."""
    with _as_text(path) as file:
        lines = csv.reader(file, delimiter=_separator(path))
        try:
            width = len(next(lines, []))
            for fields in lines:
                if len(fields) > width:
                    return (
                        f"line {lines.line_num} has {len(fields)} fields, expected {width} as in the header"
                    )
        except _UNREADABLE:
            pass  # a field longer than the module takes: what polars said must do
    return ""


def _separator(path: Path) -> str:
    return "\t" if ".tsv" in path.suffixes else ","


def _with_times(table: pl.DataFrame) -> pl.DataFrame:
    """Read text columns of ISO 8601 as times; the CSV reader's own search for them is thirty times slower."""
    import polars as pl

    for column in table.select(pl.col(pl.String)):
        first = column.drop_nulls().head(1)
        if len(first) and _ISO_TIME.match(first[0]):
            try:
                table = table.with_columns(column.str.to_datetime(strict=True))
            except pl.exceptions.PolarsError:
                continue  # it stays text; as the time column, its first bad row will be named
    return table
