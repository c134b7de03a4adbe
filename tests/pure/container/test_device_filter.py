"""The device program of version 2 decides as the rules say: run here on a small machine for eBPF."""

from __future__ import annotations

import struct
from typing import Any

import pytest

from kernelkit.container.device_filter import ACCESS, KINDS, compile_filter
from kernelkit.container.spec import DEVICE_RULES


def allowed(program: bytes, kind: str, major: int, minor: int, access: str) -> bool:
    """What the kernel would be answered."""
    code = list(struct.iter_unpack("<BBhi", program))
    bits = sum(ACCESS[letter] for letter in access)
    context = struct.pack("<III", bits << 16 | KINDS[kind], major, minor)
    registers = [0] * 11
    pc = 0
    while True:
        opcode, pair, offset, value = code[pc]
        target, source = pair & 15, pair >> 4
        pc += 1
        if opcode == 0x95:
            return bool(registers[0])
        if opcode == 0x61:
            registers[target] = struct.unpack_from("<I", context, offset)[0]
        elif opcode == 0xB7:
            registers[target] = value
        elif opcode == 0xBC:
            registers[target] = registers[source]
        elif opcode == 0x54:
            registers[target] &= value
        elif opcode == 0x74:
            registers[target] >>= value
        else:
            jump = {
                0x55: registers[target] != value,
                0x15: registers[target] == value,
                0x45: bool(registers[target] & value),
            }
            pc += offset if jump[opcode] else 0


def test_dockers_rules_allow_the_harmless_devices_and_making_any() -> None:
    program = compile_filter(DEVICE_RULES)
    for minor in (3, 5, 7, 8, 9):
        assert allowed(program, "c", 1, minor, "rw")
    assert allowed(program, "c", 136, 17, "rw")
    assert allowed(program, "b", 8, 0, "m")
    assert not allowed(program, "c", 1, 11, "r")
    assert not allowed(program, "b", 8, 0, "r")
    assert not allowed(program, "b", 8, 0, "rm")
    assert not allowed(program, "b", 1, 3, "rw")


@pytest.mark.parametrize(
    ("rules", "yes", "no"),
    [
        ([], [], [("c", 1, 3, "r")]),
        ([{"allow": True, "access": "rwm"}], [("b", 8, 0, "rwm")], []),
        ([{"allow": True}, {"allow": False, "type": "b"}], [("c", 1, 3, "r")], [("b", 8, 0, "m")]),
        ([{"allow": True, "type": "c", "major": 5}], [("c", 5, 9, "rw")], [("c", 6, 9, "rw"), ("b", 5, 9, "r")]),
        ([{"allow": True, "type": "c", "minor": 0, "access": "r"}], [("c", 9, 0, "r")], [("c", 9, 0, "rw")]),
        ([{"allow": True}, {"allow": False, "type": "c", "access": "w"}], [("c", 1, 3, "r")], [("c", 1, 3, "rw")]),
        ([{"allow": False}, {"allow": True, "major": 8, "minor": -1}], [("b", 8, 1, "r"), ("c", 8, 1, "r")], []),
    ],
)
def test_a_later_rule_overrides_an_earlier_one(rules: list[dict[str, Any]], yes: Any, no: Any) -> None:
    program = compile_filter(rules)
    assert all(allowed(program, *use) for use in yes)
    assert not any(allowed(program, *use) for use in no)
