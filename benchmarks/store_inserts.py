"""How fast the embedded store takes rows and gives them back, through clickhouse-connect on loopback.

python benchmarks/store_inserts.py
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa

from seawall.settings import Settings
from streams.embedded.processes import free_port
from streams.embedded.store_process import start_store
from streams.io.clickhouse import connect


def timed(what: str, rows: int, run: Callable[[], object], repeats: int = 3) -> None:
    """Print the best of `repeats` runs."""
    best = min(_once(run) for _ in range(repeats))
    print(f"{what}: {rows / best:,.0f} rows/s ({best * 1000:.1f} ms)")


def _once(run: Callable[[], object]) -> float:
    started = time.perf_counter()
    run()
    return time.perf_counter() - started


def main() -> None:
    """Run it."""
    with tempfile.TemporaryDirectory() as folder:
        port = free_port()
        store = start_store(Path(folder), port, Path(folder) / "store.log")
        try:
            client = connect(Settings(store_url=f"http://127.0.0.1:{port}"), database="default")
            client.command(
                "CREATE TABLE t (a UInt64, s LowCardinality(String), x Float64, d DateTime64(6, 'UTC')) "
                "ENGINE = MergeTree ORDER BY a"
            )
            rows = 500_000
            table = pa.table(
                {
                    "a": pa.array(np.arange(rows, dtype=np.uint64)),
                    "s": pa.array([f"segment-{i % 20}" for i in range(rows)]),
                    "x": pa.array(np.random.default_rng(1).normal(size=rows)),
                }
            )
            columns = [table.column(name).to_pylist() for name in ("a", "s", "x")]
            names = ["a", "s", "x"]
            timed("insert, Arrow", rows, lambda: client.insert_arrow("t", table))
            timed("insert, Native", rows, lambda: client.insert("t", columns, names, column_oriented=True))
            small = table.slice(0, 100)
            timed("insert, Arrow, 100 rows at a time", 100, lambda: client.insert_arrow("t", small), 20)
            million = "SELECT number FROM numbers(1000000)"
            timed("select, Native", 1_000_000, lambda: client.query(million))
            timed("select, Arrow", 1_000_000, lambda: client.query_arrow(million))
            timed("select 1", 1, lambda: client.query("SELECT 1"), 50)
            print(f"store: {store.memory_bytes >> 20} MB resident")
            client.close()
        finally:
            store.stop()


if __name__ == "__main__":
    main()
