"""What a product gets by ``import seawall``: these names, quickly, inside whatever project it has."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import seawall

HEAVY = ("faust", "chdb", "pandas", "polars", "scipy", "river", "pyarrow", "aiohttp", "streams", "detectors")


def run(code: str, cwd: Path, path: Path | None = None) -> str:
    environ = {"PATH": "/usr/bin:/bin"} | ({"PYTHONPATH": str(path)} if path else {})
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        cwd=cwd,
        env=environ,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout


def test_the_exported_names_are_these() -> None:
    assert seawall.__all__ == [
        "Baseline",
        "Client",
        "ClientStats",
        "ConfigError",
        "ContractError",
        "DriftReport",
        "InMemoryTransport",
        "KafkaTransport",
        "MonitorError",
        "MonitorSpec",
        "SeawallError",
        "Settings",
        "Transport",
        "Unavailable",
        "UnknownSchema",
        "WireError",
        "build_baseline",
        "compare",
        "parse_monitor",
        "watch",
    ]
    assert all(getattr(seawall, name) is not None for name in seawall.__all__)
    assert set(dir(seawall)) == set(seawall.__all__)


def test_a_name_that_is_not_exported_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="'seawall' has no attribute 'Cleint'"):
        _ = seawall.Cleint


def test_import_alone_loads_nothing_else(tmp_path: Path) -> None:
    code = "import sys, seawall; print(*sys.modules)"
    loaded = run(code, tmp_path).split()
    assert {"numpy", "fastavro", "confluent_kafka", "seawall.client"}.isdisjoint(loaded)


LOG = """
import sys, seawall
transport = seawall.InMemoryTransport()
with seawall.Client("m", "1", transport=transport) as client:
    client.log_prediction({"a": 1.0, "b": "x"}, score=0.5)
    client.log_predictions({"a": [1.0, 2.0]}, scores=[0.5, 0.5])
    client.log_label("e", 1)
    seawall.watch(lambda features: 0.5, client)({"a": 1.0})
assert client.stats().sent == 5, client.stats()
print(*sorted({m.partition(".")[0] for m in sys.modules}))
"""


def test_logging_needs_none_of_the_services_dependencies(tmp_path: Path) -> None:
    loaded = run(LOG, tmp_path).split()
    assert [name for name in HEAVY if name in loaded] == []
    assert "confluent_kafka" not in loaded  # another transport was given


def test_a_product_with_rooms_of_the_same_names_can_log(tmp_path: Path) -> None:
    for room in ("schemas", "streams", "detectors", "dashboards"):
        (tmp_path / room).mkdir()
        (tmp_path / room / "__init__.py").write_text("raise RuntimeError('the product has its own')\n")
    run(LOG, tmp_path, tmp_path)


def test_a_client_with_a_broker_needs_no_more(tmp_path: Path) -> None:
    code = """if True:
        import logging, sys, seawall
        logging.disable()
        seawall.Client("m", broker="127.0.0.1:1").close(0.1)
        print(*{m.partition(".")[0] for m in sys.modules})
    """
    loaded = run(code, tmp_path).split()
    assert [name for name in HEAVY if name in loaded] == []
