"""Privileges as setpriv(1) says them."""

from __future__ import annotations

from kernelkit.kernel.keyctl import JoinSessionKeyring
from kernelkit.kernel.prlimit import SetOomScoreAdjustment, SetRlimit
from kernelkit.kernel.setpriv import (
    DropBounding,
    RaiseAmbient,
    SetCapabilities,
    SetGroup,
    SetGroups,
    SetNoNewPrivileges,
    SetUser,
)


def test_each_puts_a_shell_with_less_in_the_place_of_the_one_before() -> None:
    said = {
        SetNoNewPrivileges(): "exec setpriv --no-new-privs sh",
        DropBounding(("CAP_MKNOD", "CAP_NET_RAW")): "exec setpriv --bounding-set=-mknod,-net_raw sh",
        SetGroups((1000, 5)): "exec setpriv --groups=1000,5 sh",
        SetGroups(()): "exec setpriv --clear-groups sh",
        SetGroup(1000): "exec setpriv --regid=1000 --keep-groups sh",
        SetUser(1000): "exec setpriv --reuid=1000 sh",
        SetCapabilities((), (), ()): "exec setpriv --inh-caps=-all sh",
        SetCapabilities((), (), ("CAP_KILL",)): "exec setpriv --inh-caps=-all,+kill sh",
        RaiseAmbient(("CAP_KILL",)): "exec setpriv --ambient-caps=+kill sh",
        JoinSessionKeyring(): "exec keyctl session - sh",
    }
    assert {operation: operation.shell() for operation in said} == said


def test_bounds_are_said_about_the_shell_itself() -> None:
    assert SetRlimit("RLIMIT_NOFILE", 10, 20).shell() == "prlimit --pid $$ --nofile=10:20"
    assert SetRlimit("RLIMIT_CORE", -1, (1 << 64) - 1).shell() == "prlimit --pid $$ --core=unlimited:unlimited"
    assert SetOomScoreAdjustment(500).shell() == "choom -p $$ -n 500"
