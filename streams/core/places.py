"""Where a fault lives: the parts of traffic that drift, while others of the same column are spared."""

from __future__ import annotations

import math
from dataclasses import replace

from streams.core.alarm_steps import AlarmStep, Culprit
from streams.core.alarm_tracks import SEGMENT, Track, TrackKey
from streams.core.track_table import TrackTable


def only_in(tracks: TrackTable, key: TrackKey, step: AlarmStep, windows: int = 1) -> tuple[str, ...]:
    """Return the segments in which it lives, when others of the same column are known to be spared.

    A segment counts once so many windows in a row drifted there. One that is stable is spared only if it would
    show what the others do: of few rows chance makes more, and limits allow for it.
    """
    segment = key.segment
    if segment and key.cause:
        return step.only_in  # its own windows are heard apart from those of other segments
    of_kind = tracks.parts(key)
    streams_of = {of: track.streams for of, track in of_kind.items()}
    drifted = {
        (of, name)
        for of, streams in streams_of.items()
        for name, s in streams.items()
        if s.now.drift >= windows
    }
    drifted |= {(segment, name) for name in streams_of.get(segment, {})}
    # Like is compared with like: where only hours drift, a day that is stable says nothing of this hour.
    names = {name for _, name in drifted}
    cut_by = {
        of.split("=", 1)[0]
        for of, streams in streams_of.items()
        if of != segment
        and not any(s.now.drift for s in streams.values())
        and any(
            streams[name].now.stable
            and _would_show(of_kind[of], name, [of_kind[o] for o, n in drifted if n == name and o in of_kind])
            for name in names & set(streams)
        )
    }
    return tuple(sorted({of for of, _ in drifted if of.split("=", 1)[0] in cut_by}))


def lives_elsewhere(
    tracks: TrackTable, key: TrackKey, told: AlarmStep, last: AlarmStep, seen: set[str], windows: int
) -> bool:
    """Tell whether the place of a fault is news: that it has one, or that it is no longer only there.

    All traffic is heard before its segments, so where it lives is known only after it was first told. A segment is
    news once in a life, so that one that dances around its limit is told once.
    """
    if last.only_in:
        cut_by = {s.split("=", 1)[0] for s in last.only_in}
        now = confirmed_in(tracks, key, windows)
        return any(s.split("=", 1)[0] in cut_by and SEGMENT + s not in seen for s in now)
    found = only_in(tracks, key, told, windows)
    return not seen and bool(found) and found == told.only_in


def confirmed_in(tracks: TrackTable, key: TrackKey, windows: int) -> set[str]:
    """Return the segments in which so many windows in a row drifted."""
    return {
        segment
        for segment, track in tracks.parts(key).items()
        if any(s.now.drift >= windows for s in track.streams.values())
    }


def drifting_segments(tracks: TrackTable, key: TrackKey) -> tuple[Culprit, ...]:
    """Return the parts of traffic that drift, each with its worst column, worst first; of all traffic.

    Their newest windows may be one pane older than the overall one, which is fed first.
    """
    if key.segment:
        return ()
    found = [
        replace(track.worst, name=segment, role="segment", detail=track.worst.key)
        for segment, track in tracks.parts(key).items()
        if track.worst and any(s.now.drift for s in track.streams.values())
    ]
    return tuple(sorted(found, key=lambda c: (-c.ratio, c.name)))


def _would_show(stable: Track, stream: str, drifted: list[Track]) -> bool:
    """Tell whether a stable segment has rows enough to show what those that drift do.

    Where a limit is what chance allows, it falls with the root of the rows.
    """
    rows, _ = stable.reach.get(stream, (0, 0.0))
    return any(
        ratio * math.sqrt(rows / others) >= 1.0
        for others, ratio in (t.reach.get(stream, (0, 0.0)) for t in drifted)
        if others
    )
