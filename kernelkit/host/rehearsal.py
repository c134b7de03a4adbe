"""What a process does that waits for the plan of a container: everything in it once, on things that are not there.

A forked process shares its parent's memory until it writes, and Python writes wherever it looks, for objects count who
uses them.  Each first look costs a page fault, a thousand of them a quarter of a container's start.  Who has rehearsed
has them behind it; and Python by then knows the ways it goes most.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from mmap import mmap

from kernelkit.host.channel import Job, pack, unpack_job, unpack_operations
from kernelkit.kernel.cgroup import JoinCgroup
from kernelkit.kernel.files import ChangeDirectory, MakeDevice, MakeDirectory, MakeLink, WriteFile
from kernelkit.kernel.hostname import SetHostname
from kernelkit.kernel.ip import AddAddress, AddRoute, AddVeth, SetAddress, SetLinkUp, SetMaster
from kernelkit.kernel.mount import (
    Bind,
    MakeMountPoint,
    MaskPath,
    Mount,
    PivotRoot,
    ProtectPath,
    SetPropagation,
    Unmount,
)
from kernelkit.kernel.nft import AddSetElement
from kernelkit.kernel.process import Clone
from kernelkit.kernel.seccomp import LoadSeccomp
from kernelkit.trace import Ledger, Operation

NOWHERE = "/dev/null/nowhere"  # what lies below a file cannot be there, nor be made
NOBODY = "no such link"  # nor can a link be called so: its name must not have a blank


def plan(where: str) -> list[Operation]:
    """Operations of the kinds that every container's start has, none of which the kernel can carry out.

    `where` is as for the operations of `kernel.ip`. Netfilter is not asked, for the address is none: to refuse takes it
    ten milliseconds, and everybody else waits meanwhile.
    """
    return [
        JoinCgroup(NOWHERE),
        SetHostname("x" * 65),  # one more than there is room for
        SetPropagation(NOWHERE),
        MakeDirectory(NOWHERE),
        Mount("tmpfs", "tmpfs", NOWHERE, ("nosuid", "mode=755")),
        MakeMountPoint("/proc/self", directory=True, root="/"),  # which is there already
        Mount("tmpfs", "tmpfs", NOWHERE, ("ro",), root="/"),
        MakeDevice(NOWHERE, "c", 1, 3),
        MakeLink("nowhere", NOWHERE),
        Bind(NOWHERE, NOWHERE),
        Bind(NOWHERE, "/proc/self", root="/"),
        WriteFile(NOWHERE, ""),
        MaskPath(NOWHERE),
        ProtectPath(NOWHERE),
        AddVeth(NOBODY, NOBODY, "self", where=where),
        SetMaster(NOBODY, NOBODY, hairpin=True, where=where),
        SetLinkUp(NOBODY, where=where),
        SetAddress(NOBODY, "02:42:00:00:00:00"),
        AddAddress(NOBODY, "127.0.0.1/8"),
        AddRoute("default", "127.0.0.1", NOBODY),
        AddSetElement(NOBODY, NOBODY, NOBODY, where=where),
        PivotRoot(NOWHERE),
        Unmount(NOWHERE),
        ChangeDirectory(NOWHERE),
        LoadSeccomp(b""),
    ]


def rehearse(where: str = "") -> None:
    """Go through what a child goes through, up to its exec: its job unpacked, each operation performed and refused."""
    operations = plan(where)
    memory = pack(Job(1, Clone(()), 1), operations, 1, Ledger.size(len(operations)))
    shared = mmap(memory, 0)
    os.close(memory)
    unpack_job(shared, Ledger.size(len(operations)))
    _, unpacked = unpack_operations(shared, Ledger.size(len(operations)))
    ledger = Ledger(shared)
    for number, operation in enumerate(unpacked, 1):
        _perform(ledger, [operation], number)
    for group in (unpacked[14:17], unpacked[17:20]):
        _perform(ledger, group, 1)


def _perform(ledger: Ledger, operations: Sequence[Operation], first: int) -> None:
    with contextlib.suppress(OSError):
        ledger.perform(operations, first)
