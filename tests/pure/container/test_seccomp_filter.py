"""The compiled filter gives, for every call, the answer that the profile spells out."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kernelkit.container.seccomp_filter import compile_filter
from kernelkit.container.syscalls import NUMBERS
from kernelkit.errors import InvalidRequest
from tests.bpf import AARCH64, ALLOW, ENOSYS, EPERM, KILL, X86, X86_64, decode, run

GOLDEN = json.loads((Path(__file__).parent / "docker-seccomp-default.json").read_text())
ARCHITECTURES = {"SCMP_ARCH_X86_64": X86_64, "SCMP_ARCH_X32": X86_64, "SCMP_ARCH_X86": X86}
INTERESTING = (0, 1, 8, 40, 0x20000, 0x20008, 0x7E020000, 0x10000000, 0xFFFFFFFF, 1 << 32, (1 << 32) | 8, (1 << 64) - 1)


def holds(argument: dict[str, Any], arguments: tuple[int, ...]) -> bool:
    """One condition, as libseccomp's documentation says it."""
    actual, value = arguments[argument["index"]], argument["value"]
    return {
        "EQ": actual == value,
        "NE": actual != value,
        "LT": actual < value,
        "LE": actual <= value,
        "GE": actual >= value,
        "GT": actual > value,
        "MASKED_EQ": actual & value == argument.get("valueTwo", 0) & value,
    }[argument["op"].removeprefix("SCMP_CMP_")]


def expected(name: str, arguments: tuple[int, ...]) -> int:
    """Docker's profile, read entry by entry."""
    for entry in GOLDEN["syscalls"]:
        if name in entry["names"] and all(holds(a, arguments) for a in entry.get("args", ())):
            return ALLOW if entry["action"] == "SCMP_ACT_ALLOW" else 0x50000 | entry["errnoRet"]
    return EPERM


def profile(*entries: dict[str, Any], default: str = "ERRNO", architectures: tuple[str, ...] = ("X86_64",)) -> Any:
    return {
        "defaultAction": f"SCMP_ACT_{default}",
        "architectures": [f"SCMP_ARCH_{name}" for name in architectures],
        "syscalls": list(entries),
    }


def entry(name: str, action: str = "ALLOW", *arguments: tuple[int, str, int, int], **more: Any) -> dict[str, Any]:
    keys = ("index", "op", "value", "valueTwo")
    args = [dict(zip(keys, (i, f"SCMP_CMP_{op}", v, w), strict=True)) for i, op, v, w in arguments]
    return {"names": [name], "action": f"SCMP_ACT_{action}", **({"args": args} if args else {}), **more}


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_every_call_of_dockers_default_profile_gets_its_answer(architecture: str) -> None:
    code = decode(compile_filter(GOLDEN))
    numbers = NUMBERS[architecture]
    last = max(number for name, number in numbers.items() if any(name in e["names"] for e in GOLDEN["syscalls"]))
    for name, number in numbers.items():
        for value in INTERESTING:
            if architecture != "SCMP_ARCH_X86_64" and value > 0xFFFFFFFF:
                continue
            wanted = expected(name, (value,) * 6) if number <= last else ENOSYS
            assert run(code, ARCHITECTURES[architecture], number, (value,) * 6)[0] == wanted, (name, value)


def test_a_number_that_is_no_call_is_refused_and_one_from_the_future_is_not_there() -> None:
    code = decode(compile_filter(GOLDEN))
    assert run(code, X86_64, 400)[0] == EPERM
    assert run(code, X86_64, 2000)[0] == ENOSYS
    assert run(code, X86_64, 0x40000000 + 2000)[0] == ENOSYS
    assert run(code, X86, 2000)[0] == ENOSYS


def test_an_architecture_that_is_not_listed_ends_the_caller() -> None:
    assert run(decode(compile_filter(GOLDEN)), AARCH64, 0)[0] == KILL
    only = decode(compile_filter(profile(entry("read"))))
    assert run(only, X86, 3)[0] == KILL
    assert run(only, X86_64, 0x40000000)[0] == KILL
    assert run(only, X86_64, 0)[0] == ALLOW


def test_any_call_is_decided_in_few_instructions() -> None:
    program = compile_filter(GOLDEN)
    code = decode(program)
    assert len(code) < 400
    assert max(run(code, X86_64, number)[1] for number in range(500) if number not in (56, 135)) <= 14


COMPARISONS = [
    ("EQ", 5, 0, {5}, {4, 6, (1 << 32) | 5}),
    ("NE", 5, 0, {4, (1 << 32) | 5}, {5}),
    ("LT", 1 << 32, 0, {0, (1 << 32) - 1}, {1 << 32, (1 << 32) + 1, 1 << 63}),
    ("LE", 1 << 32, 0, {0, 1 << 32}, {(1 << 32) + 1, 1 << 63}),
    ("GE", (1 << 32) + 5, 0, {(1 << 32) + 5, 2 << 32, (2 << 32) + 4}, {(1 << 32) + 4, 5, 0}),
    ("GT", (1 << 32) + 5, 0, {(1 << 32) + 6, 2 << 32}, {(1 << 32) + 5, 6, 0}),
    ("MASKED_EQ", (1 << 33) | 6, 2, {2, 3, 1 << 32 | 2}, {0, 4, 6, 1 << 33 | 2}),
    ("MASKED_EQ", 0xF0, 0x10, {0x10, 1 << 40 | 0x1F}, {0, 0x20, 0xF0}),
]


@pytest.mark.parametrize(("operator", "value", "second", "yes", "no"), COMPARISONS)
def test_arguments_are_compared_with_all_their_64_bits(
    operator: str, value: int, second: int, yes: set[int], no: set[int]
) -> None:
    code = decode(compile_filter(profile(entry("read", "ALLOW", (2, operator, value, second)))))
    for argument in yes:
        assert run(code, X86_64, 0, (0, 0, argument))[0] == ALLOW, argument
    for argument in no:
        assert run(code, X86_64, 0, (0, 0, argument))[0] == EPERM, argument


def test_in_32_bits_what_is_above_them_does_not_count() -> None:
    code = decode(compile_filter(profile(entry("read", "ALLOW", (0, "EQ", 5, 0)), architectures=("X86_64", "X32"))))
    assert run(code, X86_64, 0x40000000, ((1 << 32) | 5,))[0] == ALLOW
    assert run(code, X86_64, 0, ((1 << 32) | 5,))[0] == EPERM


def test_conditions_of_one_entry_hold_together_and_entries_are_alternatives() -> None:
    both = entry("read", "ALLOW", (0, "EQ", 1, 0), (1, "EQ", 2, 0))
    code = decode(compile_filter(profile(both, entry("read", "ALLOW", (2, "EQ", 3, 0)))))
    answers = {
        arguments: run(code, X86_64, 0, arguments)[0] == ALLOW
        for arguments in itertools.product((0, 1), (0, 2), (0, 3))
    }
    assert answers == {(a, b, c): (a, b) == (1, 2) or c == 3 for a, b, c in answers}


def test_two_conditions_on_one_argument_are_alternatives_as_in_docker() -> None:
    code = decode(compile_filter(profile(entry("read", "ALLOW", (0, "EQ", 1, 0), (0, "EQ", 2, 0)))))
    assert [run(code, X86_64, 0, (value,))[0] == ALLOW for value in (0, 1, 2, 3)] == [False, True, True, False]


def test_an_entry_without_conditions_outweighs_those_with_some_whichever_comes_first() -> None:
    conditional, plain = entry("read", "KILL", (0, "EQ", 1, 0)), entry("read", "ALLOW")
    for entries in ((conditional, plain), (plain, conditional)):
        assert run(decode(compile_filter(profile(*entries))), X86_64, 0, (1,))[0] == ALLOW


def test_an_entry_that_says_what_holds_anyhow_changes_nothing() -> None:
    """A profile may forbid one use of a call and allow the call, where all is allowed: the first must stay."""
    refused = entry("socket", "ERRNO", (0, "EQ", 40, 0))
    code = decode(compile_filter(profile(refused, entry("socket", "ALLOW"), default="ALLOW")))
    assert run(code, X86_64, 41, (40,))[0] == EPERM
    assert run(code, X86_64, 41, (2,))[0] == ALLOW


def test_32_bit_programs_do_not_get_around_it_through_socketcall_and_ipc() -> None:
    code = decode(
        compile_filter(
            profile(entry("socket", "ERRNO"), entry("shmat", "ERRNO"), default="ALLOW", architectures=("X86_64", "X86"))
        )
    )
    socketcall, ipc = 102, 117
    assert [run(code, X86, socketcall, (number,))[0] for number in (1, 2)] == [EPERM, ALLOW]
    assert [run(code, X86, ipc, (number,))[0] for number in (21, 22)] == [EPERM, ALLOW]


ANSWERS = [
    ("ALLOW", {}, 0x7FFF0000),
    ("ERRNO", {}, 0x50001),
    ("ERRNO", {"errnoRet": 38}, 0x50026),
    ("ERRNO", {"errnoRet": 0}, 0x50000),
    ("TRACE", {"errnoRet": 7}, 0x7FF00007),
    ("KILL", {}, 0),
    ("KILL_THREAD", {}, 0),
    ("KILL_PROCESS", {}, 0x80000000),
    ("TRAP", {}, 0x30000),
    ("LOG", {}, 0x7FFC0000),
]


@pytest.mark.parametrize(("action", "more", "answer"), ANSWERS)
def test_every_action_is_returned_as_the_kernel_knows_it(action: str, more: dict[str, int], answer: int) -> None:
    code = decode(compile_filter(profile(entry("write", action, **more), default="KILL_PROCESS")))
    assert run(code, X86_64, 1)[0] == answer


def test_the_default_error_can_be_another_and_what_is_newer_is_still_not_there() -> None:
    code = decode(compile_filter(profile(entry("write")) | {"defaultErrnoRet": 13}))
    assert run(code, X86_64, 0)[0] == 0x5000D
    assert run(code, X86_64, 600)[0] == ENOSYS


def test_where_all_is_allowed_the_future_is_too() -> None:
    assert run(decode(compile_filter(profile(entry("write", "ERRNO"), default="ALLOW"))), X86_64, 600)[0] == ALLOW


def test_names_that_nobody_knows_are_passed_over() -> None:
    assert run(decode(compile_filter(profile(entry("no_such_call"), entry("read")))), X86_64, 0)[0] == ALLOW


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (profile(entry("read", "MAYBE")), "string SCMP_ACT_MAYBE is not a valid action for seccomp"),
        (
            profile(entry("read", "ALLOW", (0, "NEAR", 1, 0))),
            "string SCMP_CMP_NEAR is not a valid operator for seccomp",
        ),
        (profile() | {"architectures": ["z80"]}, "string z80 is not a valid arch for seccomp"),
        (profile() | {"flags": ["SECCOMP_FILTER_FLAG_LOG"]}, 'seccomp flag "SECCOMP_FILTER_FLAG_LOG" is not supported'),
        (profile(entry("read", "ALLOW", (6, "EQ", 1, 0))), "a system call has no argument 6"),
    ],
)
def test_words_that_mean_nothing_are_refused_by_name(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidRequest, match=message):
        compile_filter(wrong)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.sampled_from(sorted(NUMBERS["SCMP_ARCH_X86_64"])), unique=True), st.booleans())
def test_any_set_of_names_is_found_again(names: list[str], inverted: bool) -> None:
    action, default, listed, other = ("ERRNO", "ALLOW", EPERM, ALLOW) if inverted else ("ALLOW", "ERRNO", ALLOW, EPERM)
    code = decode(compile_filter(profile(*[entry(name, action) for name in names], default=default)))
    numbers = NUMBERS["SCMP_ARCH_X86_64"]
    last = max((numbers[name] for name in names), default=0)
    for name, number in numbers.items():
        wanted = listed if name in names else ENOSYS if number > last and not inverted else other
        assert run(code, X86_64, number)[0] == wanted, name
