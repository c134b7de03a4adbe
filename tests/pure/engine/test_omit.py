"""Leaving operations out, on paper."""

from __future__ import annotations

import pytest

from kernelkit.engine.omit import remaining, summary, without
from kernelkit.errors import InvalidRequest
from kernelkit.kernel.hostname import SetDomainname, SetHostname
from kernelkit.kernel.process import Clone, Fork
from kernelkit.trace import Stage

STAGES = [
    Stage("create", "init", "host", (Fork("shim"),)),
    Stage("create", "shim", "host", (Clone(("uts",)),)),
    Stage("create", "container", "container", (SetHostname("a"), SetDomainname("b"))),
    Stage("exec", "container", "container", (SetHostname("c"),)),
]


def test_nothing_is_left_out_unless_asked() -> None:
    steps = without(STAGES, frozenset())

    assert [step.seq for step in steps] == [1, 2, 3, 4, 5]
    assert remaining(STAGES, steps) == STAGES


def test_an_operation_is_left_out_wherever_it_stands() -> None:
    steps = without(STAGES, frozenset({"SetHostname"}))

    assert [(step.seq, step.error) for step in steps] == [(1, ""), (2, ""), (0, "left out"), (3, ""), (0, "left out")]
    assert [stage.operations for stage in remaining(STAGES, steps)][2:] == [(SetDomainname("b"),), ()]
    assert summary(step for step in steps if not step.seq) == "SetHostname (2 times)"


def test_of_a_stage_those_stay_that_make_the_process_for_the_rest() -> None:
    steps = without(STAGES, frozenset({"create"}))

    assert [type(step.operation).__name__ for step in steps if step.seq] == ["Fork", "Clone", "SetHostname"]


def test_a_name_that_means_nothing_is_refused_with_what_there_is() -> None:
    known = "stages: create, exec; operations: Clone, Fork, SetDomainname, SetHostname"
    with pytest.raises(InvalidRequest, match=f"'knot'.*{known}"):
        without(STAGES, frozenset({"knot"}))


@pytest.mark.parametrize(
    ("typed", "meant"), [("sethostname", "SetHostname"), ("SetHostnames", "SetHostname"), ("EXEC", "exec")]
)
def test_a_name_that_is_almost_right_is_answered_with_the_one_that_is(typed: str, meant: str) -> None:
    with pytest.raises(InvalidRequest, match=rf"'{typed}' to leave out of this start \(did you mean '{meant}'\?\)$"):
        without(STAGES, frozenset({typed}))


def test_a_stage_with_nothing_in_it_is_said_to_have_nothing() -> None:
    with pytest.raises(InvalidRequest, match=r"nothing to leave out of the stage 'nat'.*no port is published"):
        without(STAGES, frozenset({"nat"}))


def test_the_clone_cannot_be_left_out() -> None:
    with pytest.raises(InvalidRequest, match="'Clone' cannot be left out"):
        without(STAGES, frozenset({"Clone"}))
