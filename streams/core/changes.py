"""What else happens to a model's traffic: other columns, another volume, silence. Bounded memory, event time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from detectors.layout import Layout
from streams.core.incidents import Coincidence
from streams.core.verdicts import Verdict, WindowVerdict
from streams.core.words import list_text

#: Changes that are remembered.
MAX_CHANGES = 64
#: Layouts that are told apart for each version and source; a service that makes columns up makes many.
MAX_LAYOUTS = 64
_KINDS = ("volume", "freshness")


class ChangeLog:
    """The latest changes of one model's traffic."""

    def __init__(self) -> None:
        self._changes: list[Coincidence] = []
        self._layouts: dict[tuple[str, str], list[str]] = {}
        self._ends: dict[str, int] = {}
        """Up to when the latest change of a kind lasts."""

    def saw_layout(
        self, version: str, source: str, layout: Layout, first_us: int, known: Mapping[str, Layout]
    ) -> None:
        """Take the layout of a pane of overall traffic.

        Parameters
        ----------
        first_us
            Start of the pane.
        known
            Layouts of this version and source by id, as far as they are still known.
        """
        seen = self._layouts.setdefault((version, source), [])
        if layout.layout_id in seen or len(seen) >= MAX_LAYOUTS:
            return
        before = [known[i] for i in seen if i in known]
        if seen:
            self._add(Coincidence("schema", first_us, _difference(version, source, layout, before)))
        seen.append(layout.layout_id)

    def saw_verdict(self, verdict: WindowVerdict) -> None:
        """Take a verdict about volume or freshness; others say nothing here."""
        if verdict.kind not in _KINDS or verdict.verdict is not Verdict.DRIFT:
            return
        if verdict.kind == "freshness":
            silent_s = next((c.value for c in verdict.columns), 0.0)
            at_us = verdict.end_us - int(silent_s * 1e6)
            what = "no predictions"
        else:
            at_us = verdict.start_us
            what = next((c.detail for c in verdict.columns if c.detail), "an unusual volume")
        if self._goes_on(verdict, at_us):
            return
        self._add(Coincidence(verdict.kind, at_us, what))

    def _goes_on(self, verdict: WindowVerdict, at_us: int) -> bool:
        """Whether the last change of this kind is the same one: the hour before, or the same silence."""
        last_us = self._ends.get(verdict.kind)
        self._ends[verdict.kind] = max(verdict.end_us, last_us or verdict.end_us)
        return last_us is not None and at_us <= last_us

    def between(self, from_us: int, upto_us: int) -> list[Coincidence]:
        """Return the changes of a closed stretch of time."""
        return [c for c in self._changes if from_us <= c.at_us <= upto_us]

    def _add(self, change: Coincidence) -> None:
        self._changes.append(change)
        del self._changes[:-MAX_CHANGES]

    def snapshot(self) -> dict[str, Any]:
        """Return the state, fit for JSON."""
        return {
            "changes": [list(c) for c in self._changes],
            "layouts": [[*key, ids] for key, ids in self._layouts.items()],
            "ends": dict(self._ends),
        }

    @classmethod
    def restore(cls, state: Mapping[str, Any]) -> ChangeLog:
        """Undo `snapshot`; of a state that was saved before there were any, nothing is known."""
        log = cls()
        log._changes = [Coincidence(*c) for c in state.get("changes", ())]
        log._layouts = {(version, source): list(ids) for version, source, ids in state.get("layouts", ())}
        log._ends = dict(state.get("ends", {}))
        return log


def _difference(version: str, source: str, layout: Layout, before: Iterable[Layout]) -> str:
    known = {key for old in before for key in old.index}
    new = sorted(c.name for c in layout.columns if c.key not in known) if known else []
    gone = sorted({key.split("/", 1)[1] for key in known - set(layout.index)})
    said = [f"sends {list_text(new)} for the first time"] if new else []
    said += [f"sends {list_text(gone)} no more"] if gone else []
    of = version if source == "predictions" else f"{version} ({source})"
    return f"other columns: {of} {' and '.join(said) or 'sends other columns'}"
