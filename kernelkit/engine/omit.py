"""Leaves operations out of a start, by stage or by name, to see what they are for."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence

from kernelkit.errors import InvalidRequest
from kernelkit.trace import STAGES, Stage, Step
from kernelkit.trace import number as numbered

LEFT_OUT = "left out"
# Why a stage can have nothing in it.
EMPTY = {"nat": "no port is published, and its networks let nothing out"}
NEEDED = ("Fork", "Clone")  # they make the processes that perform the rest


def without(stages: Sequence[Stage], names: frozenset[str]) -> list[Step]:
    """All steps of these stages in order: those to be performed numbered from 1, those left out 0 and saying so.

    InvalidRequest, with what there is, for a name that means nothing here.
    """
    if not names:
        return numbered(stages)
    there = {type(op).__name__ for stage in stages for op in stage.operations}
    _check(names, there, {stage.name for stage in stages if stage.operations})
    steps, number = [], 0
    for stage in stages:
        for operation in stage.operations:
            name = type(operation).__name__
            if name not in NEEDED and names & {stage.name, name}:
                steps.append(Step(0, stage.name, stage.actor, stage.where, operation, error=LEFT_OUT))
            else:
                number += 1
                steps.append(Step(number, stage.name, stage.actor, stage.where, operation))
    return steps


def remaining(stages: Sequence[Stage], steps: Iterable[Step]) -> list[Stage]:
    """The stages with those operations only that are to be performed."""
    kept = iter(steps)
    return [Stage(s.name, s.actor, s.where, tuple(op for op in s.operations if next(kept).seq)) for s in stages]


def summary(steps: Iterable[Step]) -> str:
    """What was left out, each kind of operation once, with how many there were."""
    counts: dict[str, int] = {}
    for step in steps:
        name = type(step.operation).__name__
        counts[name] = counts.get(name, 0) + 1
    return ", ".join(name if count == 1 else f"{name} ({count} times)" for name, count in counts.items())


def _check(names: frozenset[str], operations: set[str], stages: set[str]) -> None:
    for name in sorted(names):
        if name in NEEDED:
            raise InvalidRequest(f"'{name}' cannot be left out: it makes the process that performs the rest")
        if name in STAGES and name not in stages:
            why = EMPTY.get(name, "")
            raise InvalidRequest(f"there is nothing to leave out of the stage '{name}' of this start", why)
        if name not in operations and name not in stages:
            hint = _meant(name, operations | stages)
            hint = hint or f"stages: {_in_order(stages)}; operations: {', '.join(sorted(operations))}"
            raise InvalidRequest(f"there is no stage or operation '{name}' to leave out of this start", hint)


def _in_order(stages: set[str]) -> str:
    return ", ".join(stage for stage in STAGES if stage in stages)


def _meant(name: str, known: set[str]) -> str:
    """A question for the name that was probably meant; empty when there is none so close."""
    spelled = {each.lower(): each for each in known}
    close = difflib.get_close_matches(name.lower(), spelled, n=1, cutoff=0.75)
    return f"did you mean '{spelled[close[0]]}'?" if close else ""
