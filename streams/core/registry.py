"""Which version of a model serves, which served before, and who was in production when.

The view is a function of the *set* of registry events: duplicates (same `event_id`) count once, and events
are put in order by `(ts, event_id)`, whatever order they arrive in. So a log read twice, a second topic
merged in, or an event written late all give the same answer, and "who serves now" is always the last line
of "who served when". The price: an event dated before what happened since changes history, not the present;
so whoever writes an event to take effect must date it after `RegistryView.last_us`.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, NamedTuple

from streams.core.words import short_id

Action = Literal["registered", "promoted", "archived", "rolled_back"]

_STAGE_AFTER: dict[str, str] = {
    "registered": "registered",
    "promoted": "production",
    "archived": "archived",
    "rolled_back": "registered",
}


@dataclass(frozen=True, slots=True)
class VersionState:
    """One version of a model."""

    version: str
    stage: str = "registered"
    """registered | production | archived"""
    registered_us: int | None = None
    promoted_us: int | None = None
    """When it last began to serve."""
    rolled_back_us: int | None = None
    """When it was rolled back from; none again once somebody promotes it anew."""
    parent: str | None = None
    lineage: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_servable(self) -> bool:
        """Whether one may go back to it: not archived, and not rolled back from since it last served."""
        return self.stage != "archived" and self.rolled_back_us is None


class Reign(NamedTuple):
    """A version (none: nobody) was in production from this time until the next reign."""

    version: str | None
    from_us: int


class RegistryView:
    """The registries of all models, folded from registry events."""

    def __init__(self) -> None:
        self._events: dict[str, list[tuple[int, str, dict[str, Any]]]] = {}
        self._seen: set[str] = set()
        self._folded: dict[str, _Fold] = {}

    def observe(self, event: Mapping[str, Any]) -> bool:
        """Take one ``registry_event`` record; false when it was known."""
        event_id = str(event["event_id"])
        if event_id in self._seen:
            return False
        self._seen.add(event_id)
        model = str(event["model"])
        entry = (int(event["ts"]), event_id, dict(event))
        insort(self._events.setdefault(model, []), entry, key=lambda e: e[:2])
        self._folded.pop(model, None)
        return True

    @property
    def models(self) -> list[str]:
        """Every model that was ever heard of."""
        return sorted(self._events)

    def versions(self, model: str) -> dict[str, VersionState]:
        """Return every version of a model, in the order they were first heard of."""
        return dict(self._fold(model).versions)

    def version(self, model: str, version: str) -> VersionState | None:
        """Return one version; none when it does not exist."""
        return self._fold(model).versions.get(version)

    def current(self, model: str, at_us: int | None = None) -> str | None:
        """Return the version in production now, or at a time."""
        reigns = self._fold(model).reigns
        if at_us is not None:
            reigns = [r for r in reigns if r.from_us <= at_us]
        return reigns[-1].version if reigns else None

    def released_us(self, model: str) -> int | None:
        """Return when the current version began to serve, counting from its latest promotion."""
        reigns = self._fold(model).reigns
        return reigns[-1].from_us if reigns and reigns[-1].version else None

    def is_put_back(self, model: str) -> bool:
        """Tell whether the version in production came back by a rollback, and so is no release."""
        return self._fold(model).is_put_back

    def previous(self, model: str) -> str | None:
        """Return the version that served right before the current one, whatever became of it."""
        fold = self._fold(model)
        current = self.current(model)
        for reign in reversed(fold.reigns):
            if reign.version not in {current, None}:
                return reign.version
        return fold.replaces.get(current or "")

    def last_good(self, model: str) -> str | None:
        """Return the latest version to serve before the current one that one may still go back to."""
        fold = self._fold(model)
        current = self.current(model)
        served = [r.version for r in reversed(fold.reigns)] + [fold.replaces.get(current or "")]
        for version in served:
            if version and version != current and fold.versions[version].is_servable:
                return version
        return None

    def history(self, model: str) -> list[Reign]:
        """Return who was in production from when on, oldest first."""
        return list(self._fold(model).reigns)

    def events(self, model: str) -> list[dict[str, Any]]:
        """Return a model's events in order."""
        return [dict(event) for _, _, event in self._events.get(model, [])]

    def event(self, model: str, event_id: str) -> dict[str, Any] | None:
        """Return one event; none when it has not been seen."""
        return next((dict(e) for _, seen, e in self._events.get(model, []) if seen == event_id), None)

    def last_us(self, model: str) -> int | None:
        """Return the time of a model's last event: a new one takes effect only when dated later."""
        events = self._events.get(model)
        return events[-1][0] if events else None

    def as_of(self, model: str, at_us: int) -> RegistryView:
        """Return what was known of a model at a time; the view itself when nothing happened since.

        Who reads the data of yesterday, because a worker catches up or a log is replayed, must not know what was
        released today.
        """
        events = self._events.get(model, [])
        if not events or events[-1][0] <= at_us:
            return self
        view = RegistryView()
        for ts, _, event in events:
            if ts <= at_us:
                view.observe(event)
        return view

    def snapshot(self) -> dict[str, Any]:
        """Return the state, fit for JSON: the events themselves, for there are few."""
        return {"events": [event for model in self.models for event in self.events(model)]}

    @classmethod
    def restore(cls, state: dict[str, Any]) -> RegistryView:
        """Undo `snapshot`."""
        view = cls()
        for event in state["events"]:
            view.observe(event)
        return view

    def _fold(self, model: str) -> _Fold:
        if model not in self._folded:
            fold = _Fold()
            for _, _, event in self._events.get(model, []):
                fold.take(event)
            self._folded[model] = fold
        return self._folded[model]


class _Fold:
    """One model's events so far, in order."""

    def __init__(self) -> None:
        self.versions: dict[str, VersionState] = {}
        self.reigns: list[Reign] = []
        self.replaces: dict[str, str] = {}
        """What a version was said to replace, for a log that begins after its predecessor's promotion."""
        self.is_put_back = False
        """Whether the version in production came back by a rollback."""

    def take(self, event: Mapping[str, Any]) -> None:
        version, action, ts = str(event["version"]), str(event["action"]), int(event["ts"])
        state = self.versions.get(version, VersionState(version))
        if action == "registered":
            # Registering again mends lineage; it does not take a version out of production or out of the
            # archive.
            self.versions[version] = replace(
                state,
                registered_us=ts if state.registered_us is None else state.registered_us,
                parent=event.get("parent") or state.parent,
                lineage={**state.lineage, **(event.get("lineage") or {})},
            )
        elif action == "promoted":
            self._promote(state, event, ts)
        elif action in {"archived", "rolled_back"}:
            rolled_back_us = ts if action == "rolled_back" else state.rolled_back_us
            stage = _STAGE_AFTER[action]
            if action == "rolled_back" and state.stage == "archived":
                stage = "archived"
            self.versions[version] = replace(state, stage=stage, rolled_back_us=rolled_back_us)
            if self._current == version:
                self._enthrone(None, ts)

    @property
    def _current(self) -> str | None:
        return self.reigns[-1].version if self.reigns else None

    def _promote(self, state: VersionState, event: Mapping[str, Any], ts: int) -> None:
        old = self._current
        if old == state.version:  # said twice: the reign goes on
            return
        self.is_put_back = bool(event.get("rollback_id"))
        if old is not None:
            self.versions[old] = replace(self.versions[old], stage="registered")
        replaces = event.get("replaces")
        if replaces and replaces != state.version:
            self.replaces[state.version] = replaces
            self.versions.setdefault(replaces, VersionState(replaces))
        self.versions[state.version] = replace(state, stage="production", promoted_us=ts, rolled_back_us=None)
        self._enthrone(state.version, ts)

    def _enthrone(self, version: str | None, ts: int) -> None:
        if self.reigns and self.reigns[-1].from_us == ts:  # a reign of no length never was
            self.reigns.pop()
        if self._current != version or not self.reigns:
            self.reigns.append(Reign(version, ts))


def make_event(
    model: str,
    version: str,
    action: Action,
    ts: int,
    *,
    event_id: str | None = None,
    parent: str | None = None,
    replaces: str | None = None,
    lineage: Mapping[str, str] | None = None,
    actor: str = "",
    reason: str = "",
    rollback_id: str | None = None,
) -> dict[str, Any]:
    """Return a ``registry_event`` record.

    Without an `event_id` one is derived from what happened, so that sending the same event twice is
    harmless.
    """
    return {
        "event_id": event_id or short_id("registry", model, version, action, ts),
        "model": model,
        "version": version,
        "action": action,
        "ts": ts,
        "stage": _STAGE_AFTER[action],
        "parent": parent,
        "replaces": replaces,
        "lineage": dict(lineage or {}),
        "actor": actor,
        "reason": reason,
        "rollback_id": rollback_id,
    }
