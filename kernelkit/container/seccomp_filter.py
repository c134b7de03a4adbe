"""A seccomp profile compiled into the program that the kernel runs before each system call.

Classic BPF (Linux's Documentation/networking/filter.rst) knows only jumps forward, by at most 255 instructions where
there is a condition.  So the program is written from its end to its beginning: what one jumps to is there already.

    architecture?  ─┬─ x86_64 ─ number ≥ 202? ─┬─ number ≥ 303? ─ …  ─ allow, or say EPERM
                    │                          └─ number ≥ 101? ─ …  ─ look at the arguments
                    ├─ x86 ─ …
                    └─ another: kill

The tree asks about ranges of numbers with the same answer: seven or eight questions for any call.  The answers are
those of libseccomp, with what runc adds to it: a call newer than any in the profile "is not there" rather than "is not
allowed", so that programs fall back to what they used before it was invented.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from typing import Any

from kernelkit.container.syscalls import MULTIPLEXED, NUMBERS, X32_BIT
from kernelkit.errors import InvalidRequest

# seccomp(2), linux/seccomp.h: what a filter returns; those that carry a number carry it in the lower 16 bits.
KILL_THREAD = 0
ERRNO = 0x00050000
ACTIONS = {
    "SCMP_ACT_KILL": KILL_THREAD,
    "SCMP_ACT_KILL_THREAD": KILL_THREAD,
    "SCMP_ACT_KILL_PROCESS": 0x80000000,
    "SCMP_ACT_TRAP": 0x00030000,
    "SCMP_ACT_ERRNO": ERRNO,
    "SCMP_ACT_TRACE": 0x7FF00000,
    "SCMP_ACT_LOG": 0x7FFC0000,
    "SCMP_ACT_ALLOW": 0x7FFF0000,
}
# linux/seccomp.h: those that every filter here is loaded with, or that make no difference to a process of one thread.
FLAGS = ("SECCOMP_FILTER_FLAG_SPEC_ALLOW", "SECCOMP_FILTER_FLAG_TSYNC")
NUMBERED = ("SCMP_ACT_ERRNO", "SCMP_ACT_TRACE")
PERMISSIVE = ("SCMP_ACT_ALLOW", "SCMP_ACT_LOG", "SCMP_ACT_TRACE")  # a tracer answers for unknown calls itself
EPERM, ENOSYS = 1, 38

# linux/audit.h: what struct seccomp_data says; x32 goes by its processor's name.
AUDIT = {
    "SCMP_ARCH_X86_64": 0xC000003E,
    "SCMP_ARCH_X32": 0xC000003E,
    "SCMP_ARCH_X86": 0x40000003,
    "SCMP_ARCH_AARCH64": 0xC00000B7,
}
NARROW = ("SCMP_ARCH_X86", "SCMP_ARCH_X32")  # arguments are 32 bits there; the kernel passes over what is above
OPERATORS = ("EQ", "NE", "LT", "LE", "GE", "GT", "MASKED_EQ")

# linux/bpf_common.h
_LOAD, _AND, _RETURN = 0x20, 0x54, 0x06
_JUMP, _EQUAL, _GREATER, _AT_LEAST = 0x05, 0x15, 0x25, 0x35
_INSTRUCTION = struct.Struct("<HBBI")  # struct sock_filter
_NUMBER, _ARCHITECTURE, _ARGUMENTS = 0, 4, 16  # offsets in struct seccomp_data
_FAR = 250  # of the 255 that a conditional jump can reach, some are kept for what is put in between

Condition = tuple[int, str, int, int]  # argument, operator, which of its bits, value
Rule = tuple[tuple[Condition, ...], int]  # all of these, then this answer
Verdict = int | tuple[Rule, ...]  # an answer, or the first rule that holds


def compile_filter(seccomp: Mapping[str, Any]) -> bytes:
    """The program for an OCI `linux.seccomp`, as an array of `struct sock_filter`.

    Names that an architecture does not have are passed over, and so are architectures of which no numbers are known
    here: their calls end the thread. InvalidRequest for words that mean nothing.
    """
    default = _answer(seccomp, seccomp["defaultAction"], seccomp.get("defaultErrnoRet"))
    newer = ERRNO | ENOSYS if seccomp["defaultAction"] not in PERMISSIVE else default
    for flag in seccomp.get("flags") or ():
        if flag not in FLAGS:
            raise InvalidRequest(f'seccomp flag "{flag}" is not supported')
    sections: dict[int, list[tuple[int, Verdict]]] = {}
    for architecture in seccomp.get("architectures") or ():
        if not architecture.startswith("SCMP_ARCH_"):
            raise InvalidRequest(f"string {architecture} is not a valid arch for seccomp")
        if architecture in AUDIT:
            verdicts = _verdicts(seccomp, architecture, default)
            first = X32_BIT if architecture == "SCMP_ARCH_X32" else 0
            sections.setdefault(AUDIT[architecture], []).extend(
                _ranges(verdicts, default, newer, first, _last(seccomp, architecture))
            )
    program = _Program()
    label = program.answer(KILL_THREAD)
    for audit, ranges in sections.items():
        if audit == AUDIT["SCMP_ARCH_X86_64"] and not any(start >= X32_BIT for start, _ in ranges):
            ranges.append((X32_BIT, KILL_THREAD))
        tree = program.load(_NUMBER, program.tree(sorted(ranges, key=lambda r: r[0]), default))
        label = program.branch(_EQUAL, audit, tree, label)
    program.load(_ARCHITECTURE, label)
    return program.assemble()


def _answer(seccomp: Mapping[str, Any], action: str, number: int | None) -> int:
    if action not in ACTIONS:
        raise InvalidRequest(f"string {action} is not a valid action for seccomp")
    if action not in NUMBERED:
        return ACTIONS[action]
    return ACTIONS[action] | ((EPERM if number is None else number) & 0xFFFF)


def _verdicts(seccomp: Mapping[str, Any], architecture: str, default: int) -> dict[int, Verdict]:
    """Number -> what is to happen, as libseccomp joins entries: one without conditions outweighs all others."""
    numbers = NUMBERS[architecture]
    found: dict[int, Verdict] = {}
    for entry in seccomp.get("syscalls") or ():
        answer = _answer(seccomp, entry["action"], entry.get("errnoRet"))
        rules = _rules(entry, answer, 0xFFFFFFFF if architecture in NARROW else 0xFFFFFFFFFFFFFFFF)
        if answer == default:
            continue  # says nothing; libseccomp would refuse it
        for name in entry["names"]:
            if name in numbers:
                _join(found, numbers[name], rules)
            if architecture == "SCMP_ARCH_X86" and name in MULTIPLEXED and not entry.get("args"):
                door, number = MULTIPLEXED[name]
                _join(found, numbers[door], ((((0, "EQ", 0xFFFFFFFF, number),), answer),))
    return found


def _join(found: dict[int, Verdict], number: int, rules: tuple[Rule, ...]) -> None:
    verdict = found.get(number, ())
    if isinstance(verdict, int):
        return
    conditions, answer = rules[0]
    found[number] = (*verdict, *rules) if conditions else answer


def _rules(entry: Mapping[str, Any], answer: int, width: int) -> tuple[Rule, ...]:
    conditions: list[Condition] = []
    for argument in entry.get("args") or ():
        operator = str(argument["op"]).removeprefix("SCMP_CMP_")
        if operator not in OPERATORS or not argument["op"].startswith("SCMP_CMP_"):
            raise InvalidRequest(f"string {argument['op']} is not a valid operator for seccomp")
        if not 0 <= argument["index"] <= 5:
            raise InvalidRequest(f"a system call has no argument {argument['index']}: seccomp counts from 0 to 5")
        mask, value = width, argument["value"]
        if operator == "MASKED_EQ":
            operator, mask, value = "EQ", value & width, argument.get("valueTwo") or 0
        conditions.append((argument["index"], operator, mask, value & mask))
    if len({index for index, *_ in conditions}) < len(conditions):
        # Two conditions on one argument are alternatives, as Docker has always taken them.
        return tuple(((condition,), answer) for condition in conditions)
    return ((tuple(conditions), answer),)


def _last(seccomp: Mapping[str, Any], architecture: str) -> int:
    """The largest number that the profile speaks of: what is newer, its author did not know."""
    numbers = NUMBERS[architecture]
    known = (numbers[name] for entry in seccomp.get("syscalls") or () for name in entry["names"] if name in numbers)
    return max(known, default=0)


def _ranges(
    verdicts: Mapping[int, Verdict], default: int, newer: int, first: int, last: int
) -> list[tuple[int, Verdict]]:
    """(first number, verdict) of each run of numbers with the same verdict, from `first` on."""
    ranges: list[tuple[int, Verdict]] = [(first, default)]
    expected = first
    for number in sorted(verdicts):
        if number > expected:
            _extend(ranges, expected, default)
        _extend(ranges, number, verdicts[number])
        expected = number + 1
    if last >= expected:
        _extend(ranges, expected, default)
    _extend(ranges, max(last, first) + 1, newer)
    return ranges


def _extend(ranges: list[tuple[int, Verdict]], start: int, verdict: Verdict) -> None:
    if ranges[-1][0] == start:
        ranges.pop()
    if not ranges or ranges[-1][1] != verdict:
        ranges.append((start, verdict))


class _Program:
    """A program that grows at its front; a label is an instruction's distance from the end."""

    def __init__(self) -> None:
        self._code: list[tuple[int, int, int, int]] = []  # the last instruction first
        self._answers: dict[int, int] = {}

    def assemble(self) -> bytes:
        """The instructions in the order of their execution."""
        return b"".join(_INSTRUCTION.pack(*instruction) for instruction in reversed(self._code))

    def answer(self, value: int) -> int:
        """A label at which this value is returned."""
        if value not in self._answers:
            self._answers[value] = self._put(_RETURN, value)
        return self._answers[value]

    def load(self, offset: int, then: int) -> int:
        """Fetch a word of the call's data, go on at a label."""
        self._go_to(then)
        return self._put(_LOAD, offset)

    def branch(self, test: int, value: int, yes: int, no: int) -> int:
        """Compare what was fetched, go on at one of two labels."""
        yes, no = self._near(yes), self._near(no)
        here = len(self._code)
        return self._put(test, value, here - yes - 1, here - no - 1)

    def tree(self, ranges: Sequence[tuple[int, Verdict]], default: int) -> int:
        """Find the range that a number is in by halving, and do what is said there."""
        if len(ranges) == 1:
            verdict = ranges[0][1]
            return self.answer(verdict) if isinstance(verdict, int) else self._first(verdict, default)
        middle = len(ranges) // 2
        upper = self.tree(ranges[middle:], default)
        lower = self.tree(ranges[:middle], default)
        return self.branch(_AT_LEAST, ranges[middle][0], upper, lower)

    def _first(self, rules: Sequence[Rule], default: int) -> int:
        label = self.answer(default)
        for conditions, answer in reversed(rules):
            holds = self.answer(answer)
            for condition in reversed(conditions):
                holds = self._condition(condition, holds, label)
            label = holds
        return label

    def _condition(self, condition: Condition, yes: int, no: int) -> int:
        """Compare an argument of 64 bits, the upper half first; or the lower half alone, when only that counts."""
        index, operator, mask, value = condition
        low, high = _ARGUMENTS + 8 * index, _ARGUMENTS + 8 * index + 4
        if operator in ("NE", "LT", "LE"):
            operator, yes, no = {"NE": "EQ", "LT": "GE", "LE": "GT"}[operator], no, yes
        if operator == "EQ":
            rest = self._masked(low, mask & 0xFFFFFFFF, value & 0xFFFFFFFF, yes, no)
            return self._masked(high, mask >> 32, value >> 32, rest, no)
        test = _GREATER if operator == "GT" else _AT_LEAST
        rest = self.load(low, self.branch(test, value & 0xFFFFFFFF, yes, no))
        if not mask >> 32:
            return rest
        equal = self.branch(_EQUAL, value >> 32, rest, no)
        return self.load(high, self.branch(_GREATER, value >> 32, yes, equal))

    def _masked(self, offset: int, mask: int, wanted: int, yes: int, no: int) -> int:
        if not mask:
            return yes
        label = self.branch(_EQUAL, wanted, yes, no)
        if mask != 0xFFFFFFFF:
            self._go_to(label)
            label = self._put(_AND, mask)
        return self.load(offset, label)

    def _put(self, code: int, value: int, yes: int = 0, no: int = 0) -> int:
        self._code.append((code, yes, no, value))
        return len(self._code) - 1

    def _go_to(self, label: int) -> None:
        """Have the label's instruction right behind what is put next."""
        if label != len(self._code) - 1:
            self._put(_JUMP, len(self._code) - label - 1)

    def _near(self, label: int) -> int:
        """The label, or one nearby that leads to it."""
        if len(self._code) - label <= _FAR:
            return label
        code, _, _, value = self._code[label]
        if code == _RETURN:
            self._answers[value] = self._put(_RETURN, value)
            return self._answers[value]
        return self._put(_JUMP, len(self._code) - label - 1)
