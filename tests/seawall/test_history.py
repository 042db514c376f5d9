"""What was written with a superseded schema is read, and the other way round."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import fastavro
import pytest
from fastavro.utils import generate_one

from seawall.contracts import Contract, contract, contracts_by_fingerprint, contracts_dir, superseded
from seawall.wire import MARKER, decode

OLD = superseded()


def written(schema: Any) -> bytes:
    out = io.BytesIO()
    fastavro.schemaless_writer(out, schema, generate_one(schema))
    return out.getvalue()


@pytest.mark.parametrize("old", OLD, ids=lambda c: f"{c.name}-{c.fingerprint.hex()}")
def test_a_superseded_schema_and_the_current_one_read_each_other(old: Contract) -> None:
    new = contract(old.name)
    assert old.fingerprint != new.fingerprint
    name, record = decode(MARKER + old.fingerprint + written(old.schema), (old.name,))
    assert name == old.name
    assert set(record) == {f["name"] for f in new.schema["fields"]}
    backwards = fastavro.schemaless_reader(io.BytesIO(written(new.schema)), new.schema, old.schema)
    assert set(backwards) == {f["name"] for f in old.schema["fields"]}


def test_there_is_a_superseded_schema_to_test_with() -> None:
    assert OLD
    assert all(old.fingerprint in contracts_by_fingerprint() for old in OLD)


READ_ALL = """
import sys
from pathlib import Path
import seawall.contracts
seawall.contracts.contracts_dir = lambda: Path(sys.argv[1])
from streams.core.columnar import decode_run
from streams.core.decode import Record
from tests.streams.core.builders import NOW, T0, single
before = [bytes.fromhex(line) for line in sys.stdin.read().split()]
run = [Record(i, NOW, value) for i, value in enumerate([*before, *(single(T0, 1.0) for _ in before)])]
found = decode_run("predictions", run)
print(len(found.dead), [c.rows for _, c in found.part(0, len(run))], found.read_singly)
"""


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        # The current schema once had no weight; the one that a newer release superseded had one field more.
        (lambda fields: [f for f in fields if f["name"] != "weight"], "0 [40] 2"),
        (
            lambda fields: [*fields, {"name": "region", "type": ["null", "string"], "default": None}],
            "0 [40] 2",
        ),
        (lambda fields: [f for f in fields if f["name"] != "model"], "20 [20] 21"),
    ],
    ids=["field missing", "optional field more", "needed field missing"],
)
def test_events_of_a_superseded_schema_are_counted_with_the_others(
    tmp_path: Path, change: Any, expected: str
) -> None:
    """In a process of its own, which sees a copy of the contracts with one more schema in their history."""
    from fastavro.schema import fingerprint, to_parsing_canonical_form

    from tests.streams.core.builders import T0

    (tmp_path / "history").mkdir()
    for path in contracts_dir().glob("*.*"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    raw = json.loads((contracts_dir() / "prediction.avsc").read_text(encoding="utf-8"))
    raw["fields"] = change(raw["fields"])
    (tmp_path / "history" / "prediction.1.avsc").write_text(json.dumps(raw))
    mark = MARKER + bytes.fromhex(fingerprint(to_parsing_canonical_form(raw), "CRC-64-AVRO"))
    event = {"event_id": "e", "model": "m", "version": "v1", "ts": T0}
    event |= {
        "numeric": [{"name": "x", "value": 2.0}],
        "categorical": [{"name": "origin", "value": "EWR"}],
        "scores": [{"name": "score", "value": 0.5}],
    }
    out = io.BytesIO()
    fastavro.schemaless_writer(out, fastavro.parse_schema(raw), event)
    old = "\n".join([(mark + out.getvalue()).hex()] * 20)
    root = Path(__file__).parent.parent.parent
    command = [sys.executable, "-c", READ_ALL, str(tmp_path)]
    done = subprocess.run(command, input=old, capture_output=True, text=True, check=False, cwd=root)
    assert done.stderr == ""
    assert done.stdout.strip() == expected
