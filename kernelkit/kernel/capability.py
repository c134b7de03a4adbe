"""Root's power in pieces: the names and numbers of capabilities(7), as sets of bits.

The kernel speaks in masks, people in names: `00000000a80425fb` in /proc/self/status is Docker's default set.
"""

from __future__ import annotations

import os
from collections.abc import Iterable

# linux/capability.h; the position is the number.
NAMES = tuple(
    f"CAP_{name}"
    for name in """
    CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE NET_BIND_SERVICE
    NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT SYS_PTRACE SYS_PACCT SYS_ADMIN
    SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE AUDIT_WRITE AUDIT_CONTROL SETFCAP MAC_OVERRIDE
    MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND AUDIT_READ PERFMON BPF CHECKPOINT_RESTORE
    """.split()
)
NUMBERS = {name: number for number, name in enumerate(NAMES)}


def mask(names: Iterable[str]) -> int:
    """The set as the kernel writes it: bit n stands for capability n."""
    bits = 0
    for name in names:
        bits |= 1 << NUMBERS[name]
    return bits


def named(bits: int) -> tuple[str, ...]:
    """The names in a mask, in the order of their numbers."""
    return tuple(name for number, name in enumerate(NAMES) if bits >> number & 1)


def bounding(status: str = "") -> frozenset[str]:
    """What this process could ever have, of the text of /proc/PID/status: its own when none is given (proc(5), CapBnd).

    Even root may lack some: a container cannot be given what is not in this set.
    """
    if not status:
        with open(f"/proc/{os.getpid()}/status") as file:
            status = file.read()
    line = next(line for line in status.splitlines() if line.startswith("CapBnd:"))
    return frozenset(named(int(line.split()[1], 16)))
