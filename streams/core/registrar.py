"""The reference registry's executor: turns an approved rollback into registry events, once.

Pure: what it returns depends on the rollback and the registry alone. Event ids are derived from the
rollback id, and what was carried out before is found again in the registry, so that an approval delivered
ten times, or to two workers, or after a crash half way, gives the same events and the same step, which
everybody who folds them counts once. The registry topic has one partition and one owner at a time; that is
what makes the fence a fence.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from seawall.errors import ContractError
from streams.core.registry import RegistryView, make_event
from streams.core.rollback_steps import RollbackStep


class Execution(NamedTuple):
    """What to send: the registry events first, in order, then the step."""

    events: list[dict[str, Any]]
    step: RollbackStep


def execute(rollback: Mapping[str, Any], registry: RegistryView, now_us: int) -> Execution:
    """Carry out an approved rollback.

    Parameters
    ----------
    rollback
        A ``rollback`` record in the state ``approved``. Ask `RollbackDesk.latest` first whether that is
        still its state: an approval that came after the request had expired must not be carried out.
    registry
        Everything the registry topic says.
    now_us
        Event time; the events are dated later if the registry's own last event requires it.

    Returns
    -------
    Execution
        ``applied`` with two events, or no events with ``superseded`` (the version to leave is not in
        production any more) or ``refused`` (the target is missing, archived, or was itself rolled back
        from).

    Raises
    ------
    ContractError
        The rollback is in another state.
    """
    step = RollbackStep.from_record(rollback)
    if step.state != "approved":
        msg = f"state: rollback {step.rollback_id} is {step.state}, and only an approved one is carried out"
        raise ContractError(msg)
    done = registry.event(step.model, _event_id(step, "promoted"))
    if done is not None:
        return _apply(step, int(done["ts"]))
    current = registry.current(step.model)
    if current != step.from_version:
        return Execution(
            [], step.then("superseded", now_us, f"{current or 'no version'} is in production now")
        )
    unfit = _unfit(step, registry)
    if unfit:
        return Execution([], step.then("refused", now_us, unfit))
    last_us = registry.last_us(step.model)
    return _apply(step, now_us if last_us is None else max(now_us, last_us + 1))


def _unfit(step: RollbackStep, registry: RegistryView) -> str:
    target = registry.version(step.model, step.to_version)
    if target is None:
        return f"{step.to_version} is not in the registry"
    if step.to_version == step.from_version:
        return f"{step.to_version} is what should be left"
    if not target.is_servable:
        how = "archived" if target.stage == "archived" else "itself rolled back from"
        return f"{step.to_version} was {how}"
    return ""


def _apply(step: RollbackStep, at_us: int) -> Execution:
    # The target is promoted first: whoever reads between the two events never finds production empty.
    promoted = make_event(
        step.model,
        step.to_version,
        "promoted",
        at_us,
        event_id=_event_id(step, "promoted"),
        replaces=step.from_version,
        actor=step.actor,
        reason=step.reason,
        rollback_id=step.rollback_id,
    )
    rolled_back = make_event(
        step.model,
        step.from_version,
        "rolled_back",
        at_us,
        event_id=_event_id(step, "rolled_back"),
        replaces=None,
        actor=step.actor,
        reason=step.reason,
        rollback_id=step.rollback_id,
    )
    said = f"{step.to_version} is in production again, in place of {step.from_version}"
    return Execution([promoted, rolled_back], step.then("applied", at_us, said))


def _event_id(step: RollbackStep, action: str) -> str:
    return f"{step.rollback_id}-{action}"
