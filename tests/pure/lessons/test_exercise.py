"""An exercise's answers: what was seen, what was hoped for, one next thought; never a traceback."""

from __future__ import annotations

import pytest

from kernelkit.kernel.ip import SetLinkUp
from lessons.client import LessonError
from lessons.exercises.exercise import Claim, Exercise, Verdict, as_plan, call
from lessons.show import friendly

HOLDS = Claim("`eth0` is switched on", "up", "up", holds=True, hint="not this one")
FAILS = Claim("its address", "172.17.0.2/16", "none", holds=False, hint="AddAddress says it")


def test_a_verdict_passes_when_all_its_claims_hold() -> None:
    assert Verdict((HOLDS,)).passed
    assert not Verdict((HOLDS, FAILS)).passed
    assert not Verdict(()).passed


def test_the_hint_is_about_the_first_thing_that_fails() -> None:
    assert Verdict((HOLDS, FAILS)).hint == "AddAddress says it"


def test_an_answer_says_what_was_seen_hoped_for_and_a_hint() -> None:
    checked = Exercise("title", "task", lambda _: Verdict((HOLDS, FAILS), ("ip link set eth0 up",)), "praise").check(
        None
    )
    assert not checked.passed
    for text in (checked.text, checked.html):
        for word in ("its address", "172.17.0.2/16", "none", "AddAddress says it", "ip link set eth0 up"):
            assert word in text
        assert "praise" not in text


def test_what_works_is_praised() -> None:
    checked = Exercise("title", "task", lambda _: Verdict((HOLDS,)), "well done").check(None)
    assert checked.passed
    assert "well done" in checked.html


def test_a_problem_is_said_in_one_line() -> None:
    def check(_: object) -> Verdict:
        raise LessonError("no engine answers: run `kernelkit up`")

    checked = Exercise("title", "task", check, "praise").check(None)
    assert not checked.passed
    assert checked.text == "no engine answers: run `kernelkit up`"
    assert "no engine answers" in checked.html


def test_a_mistake_in_a_students_function_names_its_kind_and_line() -> None:
    def give_address(link: str) -> object:
        return undefined  # type: ignore[name-defined]  # noqa: F821

    with pytest.raises(LessonError, match=r"your function raised NameError in line \d+ of its cell: name 'undefined'"):
        call(give_address, link="eth0")


@pytest.mark.parametrize(
    ("returned", "said"),
    [
        (None, "your function returned nothing: write `return` before the list"),
        (..., "your function returned nothing"),
        (SetLinkUp("eth0"), "one operation, `SetLinkUp`: write a list"),
        ("ip link set eth0 up", "your function returned `str`: write a list"),
        ([SetLinkUp], "number 1 of your list is `SetLinkUp` without brackets"),
        ([SetLinkUp("eth0"), "ip link set eth0 up"], "number 2 of your list is the text 'ip link set eth0 up'"),
        ([7], "number 1 of your list is `7`"),
    ],
)
def test_what_is_no_plan_is_named_and_a_way_on_is_said(returned: object, said: str) -> None:
    with pytest.raises(LessonError) as caught:
        as_plan(returned)
    assert said in str(caught.value)


def test_a_list_of_operations_is_a_plan() -> None:
    assert as_plan([]) == []
    assert as_plan((SetLinkUp("eth0"),)) == [SetLinkUp("eth0")]


def test_an_answer_that_is_no_function_is_asked_for_by_its_name() -> None:
    with pytest.raises(LessonError, match="give `check` your function itself"):
        call([], link="eth0")  # type: ignore[arg-type]


def test_what_students_write_is_escaped() -> None:
    checked = Exercise("t", "t", lambda _: Verdict((FAILS,), ("echo <script>",)), "p").check(None)
    assert "<script>" not in checked.html


def test_a_friendly_verb_shows_its_problem_and_does_not_raise_it() -> None:
    @friendly
    def verb() -> object:
        raise LessonError("the practice host does not boot: not root")

    assert repr(verb()) == "the practice host does not boot: not root"
