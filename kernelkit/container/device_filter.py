"""The rules about devices, compiled for version 2 cgroups: eBPF, by hand.

The kernel hands the program `struct bpf_cgroup_dev_ctx` (linux/bpf.h): access and kind in one word, major, minor; it
answers 1 for yes, 0 for no.  As in version 1 a later rule overrides an earlier one, so the last is asked first.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from typing import Any

# linux/bpf.h: BPF_DEVCG_ACC_*, BPF_DEVCG_DEV_*
ACCESS = {"m": 1, "r": 2, "w": 4}
KINDS = {"b": 1, "c": 2}

# Opcodes of Documentation/bpf/standardization/instruction-set.rst.
_LOAD_WORD, _MOVE, _MOVE_32, _AND_32, _SHIFT_RIGHT_32, _EXIT = 0x61, 0xB7, 0xBC, 0x54, 0x74, 0x95
_UNLESS_EQUAL, _IF_ANY = 0x55, 0x45
_INSTRUCTION = struct.Struct("<BBhi")
_CONTEXT, _KIND, _ACCESS, _MAJOR, _MINOR, _SCRATCH = 1, 2, 3, 4, 5, 6


def compile_filter(rules: Sequence[Mapping[str, Any]]) -> bytes:
    """The program for the OCI `linux.resources.devices` (config-linux.md, Allowed Device List)."""
    code = [
        _instruction(_LOAD_WORD, _KIND, _CONTEXT, 0),
        _instruction(_MOVE_32, _ACCESS, _KIND),
        _instruction(_AND_32, _KIND, value=0xFFFF),
        _instruction(_SHIFT_RIGHT_32, _ACCESS, value=16),
        _instruction(_LOAD_WORD, _MAJOR, _CONTEXT, 4),
        _instruction(_LOAD_WORD, _MINOR, _CONTEXT, 8),
    ]
    for rule in reversed(rules):
        code += _rule(rule)
        if not _conditions(rule):
            break  # speaks about everything: those before it are never asked
    else:
        code += _answer(0)
    return b"".join(code)


def _rule(rule: Mapping[str, Any]) -> list[bytes]:
    """Ask whether it matches, answer if so; each test that fails jumps behind the answer."""
    conditions, answer = _conditions(rule), _answer(int(bool(rule["allow"])))
    length = sum(map(len, conditions)) + len(answer)
    code: list[bytes] = []
    for condition in conditions:
        code += condition[:-1]
        opcode, registers, _, value = _INSTRUCTION.unpack(condition[-1])
        code.append(_INSTRUCTION.pack(opcode, registers, length - len(code) - 1, value))
    return code + answer


def _conditions(rule: Mapping[str, Any]) -> list[list[bytes]]:
    """Instructions for each part of the rule that is no wildcard; the last of each jumps when it does not match."""
    found: list[list[bytes]] = []
    kind, access = rule.get("type") or "a", rule.get("access") or "rwm"
    if kind in KINDS:
        found.append([_instruction(_UNLESS_EQUAL, _KIND, value=KINDS[kind])])
    bits = sum(ACCESS[letter] for letter in set(access))
    if bits != 7:
        # Allowed is what is allowed as a whole; denied is what is denied in part.
        outside = 7 & ~bits
        copy = _instruction(_MOVE_32, _SCRATCH, _ACCESS)
        if rule["allow"]:
            found.append([_instruction(_IF_ANY, _ACCESS, value=outside)])
        else:
            masked = _instruction(_AND_32, _SCRATCH, value=bits)
            found.append([copy, masked, _instruction(0x15, _SCRATCH, value=0)])
    for key, register in (("major", _MAJOR), ("minor", _MINOR)):
        if rule.get(key) is not None and rule[key] >= 0:
            found.append([_instruction(_UNLESS_EQUAL, register, value=rule[key])])
    return found


def _answer(value: int) -> list[bytes]:
    return [_instruction(_MOVE, 0, value=value), _instruction(_EXIT)]


def _instruction(opcode: int, target: int = 0, source: int = 0, offset: int = 0, value: int = 0) -> bytes:
    return _INSTRUCTION.pack(opcode, source << 4 | target, offset, value)
