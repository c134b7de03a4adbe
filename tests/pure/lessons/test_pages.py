"""One page of a walk: what it gives away before a step is done, and what after."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from lessons.l01_what_docker_run_did.questions import QUESTIONS
from lessons.l01_what_docker_run_did.stages import STAGES
from lessons.l01_what_docker_run_did.verbs import RUN
from lessons.pages import PICTURES, page
from lessons.question import Question
from lessons.say import duration, folders_of, shorten
from lessons.state import Host, State
from lessons.walk import Moment

ID = "c" * 64
STEP = {"operation": "SetLinkUp", "where": "container", "actor": "container", "shell": "ip link set eth0 up"}


def walk(done: int) -> Any:
    """A walk as far as a page looks at it."""
    moments = [Moment(State(Host()))]
    moments += [Moment(State(Host()), ({**STEP, "seconds": 0.002, "error": ""},)) for _ in range(done)]
    return SimpleNamespace(
        run=RUN, stages=STAGES, moments=moments, done=done, home="/home", container=ID, coming=lambda _: [STEP]
    )


@pytest.mark.parametrize("shown", range(len(STAGES)))
def test_a_prediction_is_asked_for_before_a_step_and_answered_after_it(shown: int) -> None:
    stage = STAGES[shown]
    before = page(walk(shown), shown)["coming"]
    assert before["question"] == {"ask": stage.question.ask, "options": list(stage.question.options)}
    assert stage.question.why not in str(before)
    assert (before["need"], before["sentence"]) == (stage.need, stage.sentence)
    after = page(walk(shown + 1), shown + 1)["now"]
    assert after["question"]["why"] == stage.question.why
    assert after["question"]["answer"] == stage.question.answer


def test_a_page_says_what_was_done_and_how_long_it_took() -> None:
    shown = page(walk(3), 3)
    assert shown["now"]["took"] == "2.0 ms"
    assert [line["shell"] for line in shown["now"]["operations"]] == ["ip link set eth0 up"]
    assert page(walk(3), 0)["now"]["question"] is None
    assert page(walk(8), 8)["coming"] is None


@pytest.mark.parametrize("question", [*QUESTIONS, *(stage.question for stage in STAGES)], ids=lambda each: each.ask)
def test_a_question_has_one_answer_among_different_ones(question: Question) -> None:
    assert 0 <= question.answer < len(question.options) >= 2
    assert len(set(question.options)) == len(question.options)
    assert question.ask.endswith("?")


@pytest.mark.parametrize("stage", STAGES, ids=lambda stage: stage.name)
def test_a_step_looks_at_a_picture_that_is_there(stage: Any) -> None:
    assert stage.focus in {title for title, _, _ in PICTURES}


def test_shell_lines_are_shortened_for_reading() -> None:
    folders = folders_of("/home", ID)
    assert shorten(f"mkdir /home/containers/{ID}/upper", folders) == "mkdir $C/upper"
    assert shorten(f"ls /home/layers/{'a' * 64}", folders) == f"ls $L/{'a' * 12}…"
    assert shorten("ip link add v numtxqueues 1 numrxqueues 1 type veth", {}) == "ip link add v type veth"
    assert shorten("curl -H 'Authorization: Bearer x' url", {}) == "curl url"
    assert [duration(seconds) for seconds in (None, 2e-5, 0.0123, 2.5)] == ["", "20 µs", "12.3 ms", "2.5 s"]
