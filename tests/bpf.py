"""A machine for classic BPF in a few lines: what would the kernel be answered by a seccomp filter?"""

from __future__ import annotations

import struct

Code = list[tuple[int, int, int, int]]
X86_64, X86, AARCH64 = 0xC000003E, 0x40000003, 0xC00000B7
ALLOW, KILL, EPERM, ENOSYS = 0x7FFF0000, 0, 0x00050001, 0x00050026


def decode(program: bytes) -> Code:
    """The instructions of an array of struct sock_filter."""
    return list(struct.iter_unpack("<HBBI", program))


def run(code: Code, architecture: int, number: int, arguments: tuple[int, ...] = ()) -> tuple[int, int]:
    """(What is returned, after how many instructions) for one system call."""
    padded = [*arguments, *[0] * (6 - len(arguments))]
    data = struct.pack("<IIQ6Q", number, architecture, 0, *padded)
    a = pc = steps = 0
    while True:
        steps += 1
        operation, yes, no, k = code[pc]
        pc += 1
        if operation == 0x06:
            return k, steps
        if operation == 0x20:
            a = struct.unpack_from("<I", data, k)[0]
        elif operation == 0x54:
            a &= k
        elif operation == 0x05:
            pc += k
        else:
            pc += yes if {0x15: a == k, 0x25: a > k, 0x35: a >= k}[operation] else no
