"""A visit to a stopped container is a plan: everything in its place, in a mount namespace that is gone afterwards."""

from __future__ import annotations

from kernelkit.container.overlay import Stack, allocate, stack
from kernelkit.container.visit import Held, visit
from kernelkit.kernel.mount import Bind, MakeMountPoint, Remount, SetPropagation
from kernelkit.kernel.unshare import Unshare

SHEETS = Stack(("/l/1", "/l/2"), "/c/x")


def test_the_sheets_are_stacked_where_nobody_else_sees_them() -> None:
    assert visit(SHEETS) == [Unshare(("mount",)), SetPropagation("/"), *allocate(SHEETS), *stack(SHEETS)]


def test_volumes_are_where_the_container_has_them() -> None:
    plan = visit(SHEETS, [Held("/v/data", "/data"), Held("/etc/motd", "/etc/motd", directory=False, writable=False)])
    assert plan[len(visit(SHEETS)) :] == [
        MakeMountPoint("/data", True, "/c/x/merged"),
        Bind("/v/data", "/data", recursive=True, root="/c/x/merged"),
        MakeMountPoint("/etc/motd", False, "/c/x/merged"),
        Bind("/etc/motd", "/etc/motd", recursive=True, root="/c/x/merged"),
        Remount("/etc/motd", ("ro",), "/c/x/merged"),
    ]
