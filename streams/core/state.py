"""Saving what an engine remembers, and remembering it again.

State is saved in parts under stable keys of a compacted topic: the panes of a series bucket by bucket, one record
for everything else of a model, one for the partition's watermarks. Parts that did not change are not saved again.
Each part says up to which summaries offset it is complete, and parts are written panes first, then models, then the
partition, whose acknowledgement allows the commit. A crash in between leaves parts of different ages; reading the log
again from the committed offset, every part ignores what it has already.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable
from typing import Any, cast

import numpy as np

from detectors.summary import REGISTERS
from seawall.frames import Source
from seawall.wire import decode, encode
from streams.core.alarms import AlarmBook
from streams.core.chunks import packed_layout, unpacked_layout
from streams.core.drift_history import DriftHistory
from streams.core.engine import ModelState, PartitionEngine
from streams.core.merge import ModelMerge, OpenPart
from streams.core.rollback import RollbackDesk
from streams.core.series import BUCKET, Cells, Series, SeriesKey
from streams.core.watermark import Partition

#: A key and its record, or None to delete it. In the order in which they must be written.
Part = tuple[bytes, bytes | None]


def save(engine: PartitionEngine, through: int) -> list[list[Part]]:
    """Return what changed since the last call, in three stages; each must be acknowledged before the next."""
    panes: list[Part] = []
    models: list[Part] = []
    for model, state in sorted(engine.models.items()):
        if state.through == through and state.saved_through == through:
            continue
        panes += _save_panes(model, state.merge, state.through)
        models.append((f"model\t{model}".encode(), _save_model(model, state)))
        state.saved_through = state.through
    body = json.dumps(engine.watermarks.snapshot())
    record = {"kind": "partition", "model": "", "through": through, "json": body, "blocks": []}
    return [panes, models, [(b"partition", encode("model_state", record))]]


def _save_panes(model: str, merge: ModelMerge, through: int) -> Iterable[Part]:
    for key, series in sorted(merge.series.items()):
        for number in sorted(series.dirty):
            cells = series.bucket(number)
            name = "\t".join(("panes", model, *key, str(number))).encode()
            if not len(cells.panes):
                yield name, None
                series.through.pop(number, None)
                continue
            blocks = [_block(key, series, cells)]
            record = {"kind": "panes", "model": model, "through": through, "json": str(number), "blocks": blocks}
            yield name, encode("model_state", record)
        series.dirty.clear()


def _block(key: SeriesKey, series: Series, cells: Cells) -> dict[str, Any]:
    version, source, layout_id, segment = key
    return {
        "version": version,
        "source": source,
        "layout_id": layout_id,
        "baseline_id": series.baseline_id,
        "layout": packed_layout(series.layout),
        "segment": segment,
        "panes": cells.panes.astype("<i8").tobytes(),
        "rows": cells.rows.astype("<i8").tobytes(),
        "weights": cells.weights.astype("<f8").tobytes(),
        "counts": zlib.compress(cells.counts.astype("<u4").tobytes(), 1),
        "moments": zlib.compress(cells.moments.astype("<f8").tobytes(), 1),
        "distinct": zlib.compress(cells.distinct.tobytes(), 1),
    }


def _save_model(model: str, state: ModelState) -> bytes:
    merge = state.merge
    blocks, parts = [], []
    for (partition, first), part in sorted(merge.open.items()):
        keys = sorted(part.cells)
        blocks += [_block(key, merge.series[key], part.cells[key]) for key in keys]
        frozen = [[*key, pane, rows] for (key, pane), rows in part.frozen.items()]
        parts.append([*partition, first, part.next_offset, len(keys), frozen])
    body = {
        "closed": merge.closed,
        "final": dict(merge.final),
        "first_pane": [[*k, v] for k, v in merge.first_pane.items()],
        "sealed_upto": [[*k, v] for k, v in merge.sealed_upto.items()],
        "revisions": [[*k, width, end, n] for (k, width, end), n in merge.revisions.items()],
        "dirty": [[*k, sorted(panes)] for k, panes in merge.dirty.items() if panes],
        "parts": parts,
        "watermarks": merge.watermarks.snapshot_model(model),
        "book": state.book.snapshot(),
        "desk": state.desk.snapshot(),
        "history": state.history.snapshot(),
        "last_window_us": state.last_window_us,
    }
    record = {"kind": "model", "model": model, "through": state.through, "json": json.dumps(body), "blocks": blocks}
    return encode("model_state", record)


def restore(engine: PartitionEngine, records: Iterable[bytes]) -> int:
    """Put saved parts into a fresh engine; returns the offset that it is complete up to, -1 for none."""
    read = [decode(value, ("model_state",))[1] for value in records]
    through = -1
    for record in sorted(read, key=lambda r: ("partition", "model", "panes").index(r["kind"])):
        if record["kind"] == "partition":
            engine.watermarks.restore(json.loads(record["json"]))
            through = record["through"]
        elif record["kind"] == "model":
            _restore_model(engine, record)
        else:
            _restore_panes(engine, record)
    return through


def _restore_panes(engine: PartitionEngine, record: dict[str, Any]) -> None:
    merge = engine.state(record["model"]).merge
    block = record["blocks"][0]
    key = _series(merge, block)
    series = merge.series[key]
    series.add(_cells(series, block), record["through"])
    number = int(record["json"])
    series.through[number] = record["through"]
    series.dirty.discard(number)


def _restore_model(engine: PartitionEngine, record: dict[str, Any]) -> None:
    body = json.loads(record["json"])
    state = engine.state(record["model"])
    merge = state.merge
    state.through = state.saved_through = record["through"]
    merge.closed = {cast("Source", k): v for k, v in body["closed"].items()}
    merge.final.update({cast("Source", k): v for k, v in body["final"].items()})
    merge.first_pane = {(a, b): v for a, b, v in body["first_pane"]}
    merge.sealed_upto = {Partition(t, p): v for t, p, v in body["sealed_upto"]}
    merge.revisions = {((a, b, c, d), w, e): n for a, b, c, d, w, e, n in body["revisions"]}
    for a, b, c, d, panes in body["dirty"]:
        merge.dirty[a, b, c, d] = set(panes)
    blocks = iter(record["blocks"])
    for topic, partition, first, following, keys, frozen in body["parts"]:
        part = OpenPart(following, {}, {((a, b, c, d), pane): n for a, b, c, d, pane, n in frozen})
        for _ in range(keys):
            block = next(blocks)
            key = _series(merge, block)
            part.cells[key] = _cells(merge.series[key], block)
        merge.open[Partition(topic, partition), first] = part
    merge.watermarks.restore_model(record["model"], body["watermarks"])
    state.book = AlarmBook.restore(body["book"])
    state.desk = RollbackDesk.restore(body["desk"])
    state.history = DriftHistory.restore(body["history"])
    state.last_window_us = body["last_window_us"]


def _series(merge: ModelMerge, block: dict[str, Any]) -> SeriesKey:
    key = (block["version"], block["source"], block["layout_id"], block["segment"])
    if key not in merge.series:
        merge.series[key] = Series(unpacked_layout(block["layout_id"], block["layout"]), block["baseline_id"])
    return key


def _cells(series: Series, block: dict[str, Any]) -> Cells:
    layout = series.layout
    panes = np.frombuffer(block["panes"], dtype="<i8")
    n = len(panes)
    return Cells(
        panes,
        np.frombuffer(block["rows"], dtype="<i8"),
        np.frombuffer(block["weights"], dtype="<f8"),
        np.frombuffer(zlib.decompress(block["counts"]), dtype="<u4").reshape(n, layout.slots).astype(np.int64),
        np.frombuffer(zlib.decompress(block["moments"]), dtype="<f8").reshape(n, len(layout.numeric), 4),
        np.frombuffer(zlib.decompress(block["distinct"]), dtype=np.uint8).reshape(
            n, len(layout.categorical), REGISTERS
        ),
    )


__all__ = ["BUCKET", "Part", "restore", "save"]
