"""Health checks on paper: what is asked for, and what a row of answers makes of a container."""

from __future__ import annotations

from typing import Any

from kernelkit.engine.health import Check, check_of, judge

CHECK = Check(("true",), 1, 1, 0, 1, 3)
STARTING = {"Status": "starting", "FailingStreak": 0, "Log": []}


def answers(*codes: int, starting_up: bool = False) -> dict[str, Any]:
    health: dict[str, Any] = STARTING
    for code in codes:
        health = judge(health, {"ExitCode": code, "Output": ""}, CHECK, starting_up=starting_up)
    return health


def test_docker_s_defaults_stand_in_for_what_is_not_said() -> None:
    check = check_of({"Healthcheck": {"Test": ["CMD", "true"]}})

    assert check == Check(("true",), 30, 30, 0, 5, 3)


def test_a_shell_command_is_given_to_the_container_s_shell() -> None:
    check = check_of({"Healthcheck": {"Test": ["CMD-SHELL", "a && b"], "Interval": 500_000_000}, "Shell": ["/bin/x"]})

    assert check is not None
    assert (check.words, check.interval) == (("/bin/x", "a && b"), 0.5)


def test_none_means_no_check() -> None:
    assert check_of({"Healthcheck": {"Test": ["NONE"]}}) is None
    assert check_of({}) is None


def test_one_good_answer_makes_it_healthy() -> None:
    assert answers(1, 0)["Status"] == "healthy"


def test_three_bad_answers_in_a_row_make_it_unhealthy() -> None:
    assert answers(0, 1, 1)["Status"] == "healthy"
    assert answers(0, 1, 1, 1)["Status"] == "unhealthy"
    assert answers(1, 1, 0, 1, 1)["FailingStreak"] == 2


def test_in_the_start_period_bad_answers_do_not_count() -> None:
    assert answers(1, 1, 1, 1, starting_up=True) == {**STARTING, "Log": [{"ExitCode": 1, "Output": ""}] * 4}


def test_the_last_five_answers_are_kept() -> None:
    assert len(answers(*[0] * 9)["Log"]) == 5
