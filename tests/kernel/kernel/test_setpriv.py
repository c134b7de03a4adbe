"""Rights given up for real, seen in /proc/self/status."""

from __future__ import annotations

import ctypes
import os
import resource
import subprocess
from collections.abc import Sequence

import pytest

from kernelkit.container.security import DEFAULT, privileges
from kernelkit.kernel import libc
from kernelkit.kernel.capability import bounding, mask
from kernelkit.kernel.keyctl import JoinSessionKeyring
from kernelkit.kernel.prlimit import SetOomScoreAdjustment, SetRlimit
from kernelkit.kernel.setpriv import (
    DropBounding,
    KeepCapabilities,
    RaiseAmbient,
    SetCapabilities,
    SetGroup,
    SetGroups,
    SetNoNewPrivileges,
    SetUser,
)
from kernelkit.trace import Operation
from tests.child import in_child

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="giving up rights takes having them: root")
ONE = ("CAP_NET_BIND_SERVICE",)


def status(*fields: str) -> dict[str, str]:
    with open("/proc/self/status") as file:
        lines = dict(line.rstrip("\n").split(":\t", 1) for line in file)
    return {field: lines[field].strip() for field in fields}


def after(plan: Sequence[Operation], *fields: str) -> dict[str, str]:
    """The fields of /proc/self/status of a process that performed this."""

    def work() -> dict[str, str]:
        for operation in plan:
            operation.perform()
        return status(*fields)

    return dict(in_child(work))


def executed(plan: Sequence[Operation]) -> dict[str, str]:
    """The same of a program executed after it: what `grep` says of itself."""

    def work() -> str:
        for operation in plan:
            operation.perform()
        return subprocess.run(["cat", "/proc/self/status"], capture_output=True, text=True, check=True).stdout

    return dict(line.split(":\t", 1) for line in in_child(work).splitlines())


def test_no_new_privileges_cannot_be_taken_back() -> None:
    assert after([SetNoNewPrivileges()], "NoNewPrivs") == {"NoNewPrivs": "1"}


def test_the_bounding_set_shrinks() -> None:
    before = mask(bounding())
    found = after([DropBounding(("CAP_MKNOD", "CAP_NET_RAW"))], "CapBnd")
    assert int(found["CapBnd"], 16) == before & ~mask(("CAP_MKNOD", "CAP_NET_RAW"))


def test_all_three_sets_are_set_at_once() -> None:
    found = after([SetCapabilities(ONE, DEFAULT, ONE)], "CapEff", "CapPrm", "CapInh")
    expected = {"CapEff": mask(ONE), "CapPrm": mask(DEFAULT), "CapInh": mask(ONE)}
    assert {field: int(value, 16) for field, value in found.items()} == expected


def test_a_capability_above_32_is_set_too() -> None:
    high = ("CAP_CHECKPOINT_RESTORE",)
    assert int(after([SetCapabilities(high, high, ())], "CapEff")["CapEff"], 16) == 1 << 40


def test_the_user_the_group_and_the_groups_change_in_every_sense() -> None:
    found = after([SetGroups((1000, 5)), SetGroup(1000), SetUser(1000)], "Uid", "Gid", "Groups", "CapEff")
    assert found["Uid"].split() == found["Gid"].split() == ["1000"] * 4
    assert sorted(found["Groups"].split()) == ["1000", "5"]
    assert int(found["CapEff"], 16) == 0


def test_ambient_capabilities_reach_a_program_of_another_user() -> None:
    plan = [KeepCapabilities(), SetUser(1000), SetCapabilities(ONE, ONE, ONE), RaiseAmbient(ONE)]
    found = executed(plan)
    assert int(found["CapEff"], 16) == int(found["CapAmb"], 16) == mask(ONE)


def container(uid: int, **more: object) -> dict[str, object]:
    held = list(DEFAULT) if uid == 0 else []
    sets = {"bounding": list(DEFAULT), "effective": held, "permitted": held, "inheritable": [], "ambient": []}
    return {"user": {"uid": uid, "gid": uid, "additionalGids": [uid]}, "capabilities": sets, **more}


def test_a_containers_root_has_what_dockers_has() -> None:
    found = executed(privileges(container(0), None, bounding()))
    assert [found[field] for field in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs")] == [
        "0000000000000000",
        "00000000a80425fb",
        "00000000a80425fb",
        "00000000a80425fb",
        "0000000000000000",
        "0",
    ]


def test_a_containers_user_has_what_dockers_has() -> None:
    found = executed(privileges(container(1000, noNewPrivileges=True), None, bounding()))
    assert [found[field] for field in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs")] == [
        "0000000000000000",
        "0000000000000000",
        "0000000000000000",
        "00000000a80425fb",
        "0000000000000000",
        "1",
    ]
    assert found["Uid"].split() == ["1000"] * 4
    assert found["Groups"].split() == ["1000"]


def test_the_same_typed_into_a_shell_gives_the_same() -> None:
    plan = [op for op in privileges(container(1000), None, bounding()) if not isinstance(op, JoinSessionKeyring)]
    # Each line ends in the shell that goes on with the next one: all in one line, each in front of the next.
    words = [op.shell().removeprefix("exec ").removesuffix(" sh") for op in plan]
    typed = subprocess.run(
        ["sh", "-c", f"exec {' '.join(words)} cat /proc/self/status"], capture_output=True, text=True
    )
    found = dict(line.split(":\t", 1) for line in typed.stdout.splitlines())
    performed = executed(plan)
    for field in ("Uid", "Gid", "Groups", "CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs"):
        assert found[field] == performed[field], field


def test_bounds_hold() -> None:
    def work() -> tuple[int, int]:
        SetRlimit("RLIMIT_NOFILE", 32, 64).perform()
        return resource.getrlimit(resource.RLIMIT_NOFILE)

    assert in_child(work) == (32, 64)


def test_without_bound_is_written_as_docker_or_as_the_specification_does() -> None:
    def work() -> tuple[int, int]:
        SetRlimit("RLIMIT_CORE", -1, (1 << 64) - 1).perform()
        return resource.getrlimit(resource.RLIMIT_CORE)

    assert in_child(work) == (resource.RLIM_INFINITY, resource.RLIM_INFINITY)


def test_a_hard_limit_can_be_raised_only_by_who_may() -> None:
    def work() -> None:
        SetRlimit("RLIMIT_NOFILE", 32, 64).perform()
        SetCapabilities((), (), ()).perform()
        SetRlimit("RLIMIT_NOFILE", 32, 65).perform()

    with pytest.raises(PermissionError, match="RLIMIT_NOFILE"):
        in_child(work)


def test_a_soft_limit_above_the_hard_one_is_refused() -> None:
    with pytest.raises(OSError, match="Invalid argument: 'RLIMIT_NOFILE'"):
        in_child(SetRlimit("RLIMIT_NOFILE", 65, 64).perform)


def test_the_oom_score_is_adjusted() -> None:
    def work() -> str:
        SetOomScoreAdjustment(500).perform()
        with open("/proc/self/oom_score_adj") as file:
            return file.read().strip()

    assert in_child(work) == "500"


def test_the_session_keyring_is_a_new_one() -> None:
    get_id, session = 0, ctypes.c_int(-3)  # KEYCTL_GET_KEYRING_ID, KEY_SPEC_SESSION_KEYRING: keyctl(2)

    def work() -> tuple[int, int]:
        before = libc.syscall(libc.SYS_keyctl, get_id, session, 0)
        JoinSessionKeyring().perform()
        return before, libc.syscall(libc.SYS_keyctl, get_id, session, 0)

    before, after = in_child(work)
    assert before != after
