"""Saving what an engine remembers, and remembering it again.

State is saved in parts under stable keys of a compacted topic: the panes of a series bucket by bucket, one record for
everything else of a model, one for the partition's watermarks. Parts that did not change are not saved again.

A model's record is the commit point. Every bucket has two pages; what changed is written to the page that the last
committed record does not name, and the next record names the new ones (shadow paging: Lorie, "Physical integrity in a
large segmented database", TODS 1977). A crash between two writes leaves the state of the last record, whole. Parts
are acknowledged in stages: pages, then models, then the partition, and only then may the offset be committed.

No record is larger than a broker takes, whatever a model remembers: what is too large is written in slices
(`streams.core.slices`), and of a model's record that is too large everything goes to one of two pages of its own.

Shadow paging holds for one writer, and a partition may have two for a while: a worker that was stopped goes on saving
until it hears that it was replaced. So every engine writes under a *claim*, a name of its own in every key, and its
first save is a whole one. A reader takes the state that reaches furthest among those that are whole. Which writer it
comes from does not matter: the state is a function of the summaries up to `through` alone.

What two writers tell overlaps as well, and the later telling may be of earlier records: one reads again from the
committed offset what the other is past. Each row carries the offset that it follows from (`ver`), and readers keep
the greatest, not the last to come.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable, Mapping
from typing import Any, cast

import numpy as np

from detectors.summary import REGISTERS
from seawall.frames import Source
from seawall.wire import decode, encode
from streams.core.alarms import AlarmBook
from streams.core.changes import ChangeLog
from streams.core.chunks import packed_layout, unpacked_layout
from streams.core.drift_history import DriftHistory
from streams.core.engine import ModelState, PartitionEngine
from streams.core.lives import Lives, Place
from streams.core.merge import ModelMerge, OpenPart
from streams.core.parts import Picture, Waiting
from streams.core.rollback import RollbackDesk
from streams.core.series import BUCKET, Cells, Series, SeriesKey
from streams.core.slices import LARGEST, Part, Slices, whole
from streams.core.traffic import Traffic
from streams.core.watermark import Partition


def claim_of(generation: int, token: str) -> str:
    """Name what one engine saves: `generation` of the group's assignment, and a token that nobody else has."""
    return f"{generation:010d}-{token}"


def save(engine: PartitionEngine, through: int, claim: str, *, largest: int = LARGEST) -> list[list[Part]]:
    """Return what changed since the last call, in stages; each must be acknowledged before the next.

    No record's value is larger than `largest` bytes and a few more, but for the partition's own: it holds a number or
    two of each model and each source partition.
    """
    panes: list[Part] = []
    models: list[Part] = []
    gone: list[Part] = []
    engine.slices.largest = largest
    for model, state in sorted(engine.models.items()):
        if state.through == through and state.saved_through == through:
            continue
        panes += _save_panes(claim, model, state, engine.slices, gone)
        panes += _save_waiting(claim, model, state.merge.waiting, engine.slices, gone)
        panes += _save_model(claim, model, engine, models, gone)
        state.saved_through = state.through
    for model, buried in sorted(engine.gone.items()):
        _delete(claim, model, buried, engine.slices, gone)
        _delete_rest(claim, model, engine, gone)
        gone.append((_key(claim, "model", model), None))
    engine.gone.clear()
    body = {
        "watermarks": engine.watermarks.snapshot(),
        "models": {model: state.through for model, state in engine.models.items()},
        "departed": engine.departed,
        "lives": engine.lives.snapshot(),
        "sealed_upto": _of_places(engine.sealed_upto),
    }
    record = {
        "kind": "partition",
        "model": "",
        "through": through,
        "json": json.dumps(body),
        "blocks": [],
        "raw": b"",
    }
    return [panes, models, [(_key(claim, "partition"), encode("model_state", record)), *gone]]


def superseded(keys: Iterable[bytes], claim: str) -> list[bytes]:
    """Return the keys that may be deleted once `claim` is saved as a whole, in the order of their deletion.

    Those of assignments after this claim's own belong to somebody who replaced its writer.
    """
    generation = claim.partition("-")[0]
    old = [k for k in keys if (of := _claim(k)) != claim and of.partition("-")[0] <= generation]
    return sorted(old, key=lambda k: not k.endswith(b"\tpartition"))


def _key(claim: str, *names: str) -> bytes:
    return "\t".join((claim, *names)).encode()


def _claim(key: bytes) -> str:
    return key.partition(b"\t")[0].decode()


def _save_panes(
    claim: str, model: str, state: ModelState, slices: Slices, gone: list[Part]
) -> Iterable[Part]:
    merge = state.merge
    for key, series in sorted(merge.series.items()):
        for number in sorted(series.dirty):
            cells = series.bucket(number)
            if not len(cells.panes):
                if series.pages.pop(number, None) is not None:
                    for page in (0, 1):
                        slices.delete(_page_key(claim, model, key, number, page), gone)
                continue
            page = 1 - series.pages.get(number, 1)
            series.pages[number] = page
            record = {
                "kind": "panes",
                "model": model,
                "through": state.through,
                "json": json.dumps([number, page]),
                "blocks": [_block(key, series, cells)],
                "raw": b"",
            }
            at = _page_key(claim, model, key, number, page)
            yield from slices.write(at, encode("model_state", record), gone)
        series.dirty.clear()
    _delete(claim, model, merge.buried, slices, gone)
    merge.buried.clear()


def _save_waiting(
    claim: str, model: str, waiting: Waiting, slices: Slices, gone: list[Part]
) -> Iterable[Part]:
    """Save parts of chunks that are not complete, each once: they do not change."""
    now = waiting.numbered()
    for picture, number in now:
        if (picture, number) not in waiting.saved:
            raw = encode("chunk_summary", waiting.parts[picture][number])
            record = {"kind": "waiting", "model": model, "through": -1, "json": "", "blocks": [], "raw": raw}
            at = _waiting_key(claim, model, picture, number)
            yield from slices.write(at, encode("model_state", record), gone)
    for picture, number in sorted(waiting.saved - set(now)):
        slices.delete(_waiting_key(claim, model, picture, number), gone)
    waiting.saved = set(now)


def _waiting_key(claim: str, model: str, picture: Picture, number: int) -> bytes:
    return _key(claim, "waiting", model, *map(str, picture), str(number))


def _delete(
    claim: str, model: str, buried: Mapping[SeriesKey, Series], slices: Slices, gone: list[Part]
) -> None:
    for key, series in sorted(buried.items()):
        for number in sorted(series.pages):
            for page in (0, 1):
                slices.delete(_page_key(claim, model, key, number, page), gone)


def _page_key(claim: str, model: str, key: SeriesKey, number: int, page: int) -> bytes:
    return _key(claim, "panes", model, *key, str(number), str(page))


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
        "joint": b"" if cells.joint is None else zlib.compress(cells.joint.astype("<i8").tobytes(), 1),
    }


def _save_model(
    claim: str, model: str, engine: PartitionEngine, models: list[Part], gone: list[Part]
) -> Iterable[Part]:
    """Put a model's record to `models`; returns what must be there before it, when it is too large for one message."""
    record = _model_record(model, engine.models[model])
    value = encode("model_state", record)
    if engine.slices.fits(value):
        _delete_rest(claim, model, engine, gone)
    else:
        page = engine.rest_pages[model] = 1 - engine.rest_pages.get(model, 1)
        yield from engine.slices.write(_rest_key(claim, model, page), value, gone)
        value = encode("model_state", {**record, "json": json.dumps({"rest": page}), "blocks": []})
    models.append((_key(claim, "model", model), value))


def _delete_rest(claim: str, model: str, engine: PartitionEngine, gone: list[Part]) -> None:
    if engine.rest_pages.pop(model, None) is not None:
        for page in (0, 1):
            engine.slices.delete(_rest_key(claim, model, page), gone)


def _rest_key(claim: str, model: str, page: int) -> bytes:
    return _key(claim, "rest", model, str(page))


def _model_record(model: str, state: ModelState) -> dict[str, Any]:
    merge = state.merge
    blocks, parts = [], []
    for (partition, first), part in sorted(merge.open.items()):
        keys = sorted(part.cells)
        blocks += [_block(key, merge.series[key], part.cells[key]) for key in keys]
        frozen = [[*key, pane, rows] for (key, pane), rows in part.frozen.items()]
        told = [[*at, rows] for at, rows in part.told.items()]
        parts.append(
            [
                *(*partition, first, part.next_offset, len(keys), frozen, part.begins, part.told_as, told),
                *(sorted(part.widths), part.refused_upto_us, sorted(part.wide)),
            ]
        )
    body = {
        "pane_us": merge.pane_us,
        "closed_us": merge.closed_us,
        "final_us": dict(merge.final_us),
        "first_us": [[*k, v] for k, v in merge.first_us.items()],
        "forgotten_us": merge.forgotten_us,
        "sealed_upto": _of_places(merge.sealed_upto),
        "revised": _runs(merge.revisions, merge.pane_us),
        "dirty": [[*k, sorted(panes)] for k, panes in merge.dirty.items() if panes],
        "parts": parts,
        "pages": [
            [*k, n, page] for k, s in sorted(merge.series.items()) for n, page in sorted(s.pages.items())
        ],
        "waiting": [[*picture, number] for picture, number in merge.waiting.numbered()],
        "watermarks": merge.watermarks.snapshot_model(model),
        "book": state.book.snapshot(),
        "desk": state.desk.snapshot(),
        "history": state.history.snapshot(),
        "changes": state.changes.snapshot(),
        "traffic": state.traffic.snapshot(),
        "last_window_us": state.last_window_us,
    }
    return {
        "kind": "model",
        "model": model,
        "through": state.through,
        "json": json.dumps(body),
        "blocks": blocks,
        "raw": b"",
    }


def _runs(revisions: Mapping[tuple[SeriesKey, int, int], int], pane_us: int) -> list[list[Any]]:
    """Write revisions as [*key, horizon, [first end, windows, revision, …]]: a late event revises windows in a row.

    Windows of a row end a pane apart.
    """
    runs: dict[tuple[SeriesKey, int], list[int]] = {}
    for (key, width, end), n in sorted(revisions.items()):
        found = runs.setdefault((key, width), [])
        if found and found[-1] == n and found[-3] + found[-2] * pane_us == end:
            found[-2] += 1
        else:
            found += (end, 1, n)
    return [[*key, width, found] for (key, width), found in runs.items()]


def _of_runs(runs: Iterable[list[Any]], pane_us: int) -> dict[tuple[SeriesKey, int, int], int]:
    """Undo `_runs`."""
    return {
        ((a, b, c, d), width, end): n
        for a, b, c, d, width, found in runs
        for first, windows, n in zip(found[::3], found[1::3], found[2::3], strict=True)
        for end in range(first, first + windows * pane_us, pane_us)
    }


def restore(engine: PartitionEngine, parts: Mapping[bytes, bytes]) -> int:
    """Put saved parts into a fresh engine; returns the offset that it is complete up to, -1 for none.

    The engine's next save is a whole one, under its own claim.
    """
    claims: dict[str, dict[bytes, dict[str, Any]]] = {}
    for key, value in parts.items():
        claims.setdefault(_claim(key), {})[key] = decode(value, ("model_state",))[1]
    ranked = sorted(
        (
            (found["through"], claim)
            for claim in claims
            if (found := claims[claim].get(_key(claim, "partition")))
        ),
        reverse=True,
    )
    for through, claim in ranked:
        named = _named(claim, claims[claim])
        if named is not None:
            _restore(engine, claims[claim][_key(claim, "partition")], *named)
            return int(through)
    return -1


def _named(
    claim: str, records: Mapping[bytes, dict[str, Any]]
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]] | None:
    """Return a claim's models and the pages that they name, or None when something is missing.

    A claim loses parts when it is deleted under the feet of a writer that goes on.
    """
    models, pages = [], []
    for model, through in json.loads(records[_key(claim, "partition")]["json"])["models"].items():
        record = records.get(_key(claim, "model", model))
        if record is None or record["through"] < through:
            return None
        body = json.loads(record["json"])
        if "rest" in body:
            record = whole(records, _rest_key(claim, model, body["rest"]))
            if record is None:
                return None
            body = json.loads(record["json"])
        models.append(record)
        named = [
            _page_key(claim, model, (a, b, c, d), number, page) for a, b, c, d, number, page in body["pages"]
        ]
        named += [
            _waiting_key(claim, model, Picture(*picture), number)
            for *picture, number in body.get("waiting", ())
        ]
        found = [whole(records, key) for key in named]
        pages += [page for page in found if page is not None]
        if None in found:
            return None
    return models, pages


def _restore(
    engine: PartitionEngine,
    partition: dict[str, Any],
    models: Iterable[dict[str, Any]],
    pages: Iterable[dict[str, Any]],
) -> None:
    body = json.loads(partition["json"])
    engine.watermarks.restore(body["watermarks"])
    engine.departed = body.get("departed", {})
    engine.lives = Lives.restore(body.get("lives", []))
    engine.sealed_upto = _places(body.get("sealed_upto", []))
    units = {record["model"]: _restore_model(engine, record) for record in models}
    for record in pages:
        merge = engine.state(record["model"]).merge
        if record["kind"] == "waiting":
            merge.waiting.put(decode(record["raw"], ("chunk_summary",))[1])
            continue
        block = record["blocks"][0]
        series = merge.series[_series(merge, block)]
        series.add(_cells(series, block, units[record["model"]]))


def _restore_model(engine: PartitionEngine, record: dict[str, Any]) -> int:
    """Restore what is known of a model but its pages; returns the microseconds that one saved unit of time is."""
    body = json.loads(record["json"])
    state = engine.state(record["model"])
    merge = state.merge
    state.through = record["through"]
    unit = 1 if "pane_us" in body else engine.control.monitor(record["model"]).pane_us
    if unit != 1:
        body = _by_time(body, unit)
    merge.pane_us = body["pane_us"]
    merge.closed_us = {cast("Source", k): v for k, v in body["closed_us"].items()}
    merge.final_us.update({cast("Source", k): v for k, v in body["final_us"].items()})
    merge.first_us = {(a, b): v for a, b, v in body["first_us"]}
    merge.forgotten_us = {cast("Source", k): v for k, v in body["forgotten_us"].items()}
    merge.sealed_upto = _places(body["sealed_upto"])
    revised = _of_runs(body.get("revised", ()), merge.pane_us // unit)
    # As they were written until they were written as runs.
    revised |= {((a, b, c, d), w, e): n for a, b, c, d, w, e, n in body.get("revisions", ())}
    merge.revisions = {(key, width * unit, end * unit): n for (key, width, end), n in revised.items()}
    for a, b, c, d, panes in body["dirty"]:
        merge.dirty[a, b, c, d] = set(panes)
    blocks = iter(record["blocks"])
    for topic, partition, first, following, keys, frozen, begins, told_as, told, *changes in body["parts"]:
        part = OpenPart(following, begins=begins, told_as=told_as)
        part.frozen = {((a, b, c, d), pane): n for a, b, c, d, pane, n in frozen}
        part.told = {(v, pane): n for v, pane, n in told}
        widths, part.refused_upto_us, wide = changes
        part.widths, part.wide = frozenset(widths), frozenset((start, width) for start, width in wide)
        for _ in range(keys):
            block = next(blocks)
            key = _series(merge, block)
            part.cells[key] = _cells(merge.series[key], block, unit)
        merge.open[Partition(topic, partition), first] = part
    merge.watermarks.restore_model(record["model"], body["watermarks"])
    state.book = AlarmBook.restore(body["book"])
    state.desk = RollbackDesk.restore(body["desk"])
    state.history = DriftHistory.restore(body["history"])
    state.changes = ChangeLog.restore(body.get("changes", {}))
    state.traffic = Traffic.restore(record["model"], body["traffic"])
    state.last_window_us = body["last_window_us"]
    return unit


def _of_places(places: Mapping[Partition, Place]) -> list[list[Any]]:
    return [[*partition, place.offset, place.life] for partition, place in places.items()]


def _places(saved: Iterable[list[Any]]) -> dict[Partition, Place]:
    """Undo `_of_places`; what was saved before a log could begin anew is of its first life."""
    return {Partition(t, p): Place(life[0] if life else 0, offset) for t, p, offset, *life in saved}


def _by_time(body: dict[str, Any], pane_us: int) -> dict[str, Any]:
    """Convert what was saved by pane numbers: their width was not, so it is taken to be the monitor's."""
    return {
        **body,
        "pane_us": pane_us,
        "closed_us": {source: pane * pane_us for source, pane in body["closed"].items()},
        "final_us": {source: pane * pane_us for source, pane in body["final"].items()},
        "first_us": [[*key, pane * pane_us] for *key, pane in body["first_pane"]],
        "forgotten_us": {},
        "dirty": [[*key, [pane * pane_us for pane in panes]] for *key, panes in body["dirty"]],
        "parts": [_part_by_time(pane_us, *part) for part in body["parts"]],
    }


def _part_by_time(
    pane_us: int,
    topic: str,
    partition: int,
    first: int,
    following: int,
    keys: int,
    frozen: list[Any],
    begins: int | None = None,
    told_as: int | None = None,
    told: Iterable[Any] = (),
) -> list[Any]:
    """Convert an open part; of before it was known where parts begin, from their first offset."""
    return [
        *(topic, partition, first, following, keys),
        [[*key, pane * pane_us, rows] for *key, pane, rows in frozen],
        first if begins is None else begins,
        first if told_as is None else told_as,
        [[version, pane * pane_us, rows] for version, pane, rows in told],
        *([], 0, []),
    ]


def _series(merge: ModelMerge, block: dict[str, Any]) -> SeriesKey:
    key = (block["version"], block["source"], block["layout_id"], block["segment"])
    if key not in merge.series:
        layout = unpacked_layout(block["layout_id"], block["layout"])
        merge.series[key] = Series(layout, block["baseline_id"], merge.pane_us)
    return key


def _cells(series: Series, block: dict[str, Any], unit_us: int) -> Cells:
    layout = series.layout
    panes = np.frombuffer(block["panes"], dtype="<i8") * unit_us
    n = len(panes)
    return Cells(
        panes,
        np.frombuffer(block["rows"], dtype="<i8"),
        np.frombuffer(block["weights"], dtype="<f8"),
        np.frombuffer(zlib.decompress(block["counts"]), dtype="<u4")
        .reshape(n, layout.slots)
        .astype(np.int64),
        np.frombuffer(zlib.decompress(block["moments"]), dtype="<f8").reshape(n, len(layout.numeric), 4),
        np.frombuffer(zlib.decompress(block["distinct"]), dtype=np.uint8).reshape(
            n, len(layout.categorical), REGISTERS
        ),
        # An open chunk keeps a series without panes once all that it held are final.
        np.frombuffer(zlib.decompress(block["joint"]), dtype="<i8").reshape(n, -1)
        if block["joint"] and n
        else None,
    )


__all__ = ["BUCKET", "Part", "claim_of", "restore", "save", "superseded"]
