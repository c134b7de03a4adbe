"""A container's files as they would be if it ran, for somebody who only comes to read or leave something.

The sheets are laid on each other in a mount namespace that nobody else sees; with it, the kernel takes everything back.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from kernelkit.container.overlay import Stack, allocate, stack
from kernelkit.kernel.mount import Bind, MakeMountPoint, Remount, SetPropagation
from kernelkit.kernel.unshare import Unshare
from kernelkit.trace import Operation


@dataclass(frozen=True)
class Held:
    """Something that a container has mounted at `target`: a volume, a folder or file of the host."""

    source: str
    target: str
    directory: bool = True
    writable: bool = True


def visit(sheets: Stack, mounts: Sequence[Held] = ()) -> list[Operation]:
    """Everything in its place, below `sheets.merged`, in a mount namespace of one's own."""
    plan: list[Operation] = [Unshare(("mount",)), SetPropagation("/"), *allocate(sheets), *stack(sheets)]
    for mount in mounts:
        plan.append(MakeMountPoint(mount.target, mount.directory, sheets.merged))
        plan.append(Bind(mount.source, mount.target, recursive=True, root=sheets.merged))
        if not mount.writable:
            plan.append(Remount(mount.target, ("ro",), sheets.merged))
    return plan
