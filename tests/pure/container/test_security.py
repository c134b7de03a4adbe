"""Which capabilities a container has, and in which order rights are given up."""

from __future__ import annotations

from typing import Any

import pytest

from kernelkit.container.security import DEFAULT, capabilities, missing, privileges
from kernelkit.errors import InvalidRequest
from kernelkit.kernel.capability import NAMES, mask
from kernelkit.kernel.keyctl import JoinSessionKeyring
from kernelkit.kernel.prlimit import SetOomScoreAdjustment, SetRlimit
from kernelkit.kernel.seccomp import LoadSeccomp
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

EVERYTHING = frozenset(NAMES)
DROPPED = tuple(name for name in NAMES if name not in DEFAULT)
FILTER = b"\x06\x00\x00\x00\x00\x00\xff\x7f"


def process(uid: int = 0, **more: Any) -> dict[str, Any]:
    held = list(DEFAULT) if uid == 0 else []
    sets = {"bounding": list(DEFAULT), "effective": held, "permitted": held, "inheritable": [], "ambient": []}
    return {"user": {"uid": uid, "gid": uid, "additionalGids": [uid]}, "capabilities": sets, **more}


def test_without_a_word_a_container_has_dockers_fourteen() -> None:
    assert capabilities([], [], False, EVERYTHING) == DEFAULT
    assert mask(DEFAULT) == 0xA80425FB


def test_capabilities_are_added_and_dropped_in_any_spelling() -> None:
    assert capabilities(["sys_admin"], ["CAP_MKNOD", "kill"], False, EVERYTHING) == (
        *(c for c in DEFAULT if c not in ("CAP_MKNOD", "CAP_KILL")),
        "CAP_SYS_ADMIN",
    )
    assert capabilities(["CAP_CHOWN"], [], False, EVERYTHING) == DEFAULT


def test_all_stands_for_all_and_the_other_list_for_exceptions() -> None:
    assert capabilities([], ["ALL"], False, EVERYTHING) == ()
    assert capabilities(["net_bind_service"], ["all"], False, EVERYTHING) == ("CAP_NET_BIND_SERVICE",)
    assert set(capabilities(["ALL"], ["SYS_ADMIN"], False, EVERYTHING)) == EVERYTHING - {"CAP_SYS_ADMIN"}
    assert set(capabilities(["ALL"], ["ALL"], False, EVERYTHING)) == EVERYTHING


def test_what_the_machine_lacks_nobody_gets() -> None:
    machine = EVERYTHING - {"CAP_SYS_RESOURCE", "CAP_KILL"}
    assert set(capabilities([], [], True, machine)) == machine
    assert "CAP_KILL" not in capabilities([], [], False, machine)
    assert missing(machine) == ("CAP_KILL", "CAP_SYS_RESOURCE")


@pytest.mark.parametrize(
    ("added", "dropped", "message"),
    [
        (["FOO"], [], 'invalid CapAdd: unknown capability: "CAP_FOO"'),
        ([], ["cap_foo"], 'invalid CapDrop: unknown capability: "CAP_FOO"'),
        (["SYS_RESOURCE"], [], 'invalid CapAdd: capability not supported by your kernel .*: "CAP_SYS_RESOURCE"'),
    ],
)
def test_a_capability_that_cannot_be_had_is_refused_by_name(added: Any, dropped: Any, message: str) -> None:
    with pytest.raises(InvalidRequest, match=message):
        capabilities(added, dropped, False, EVERYTHING - {"CAP_SYS_RESOURCE"})


def test_root_loads_the_filter_first_while_it_may() -> None:
    assert privileges(process(), FILTER, EVERYTHING) == [
        JoinSessionKeyring(),
        LoadSeccomp(FILTER),
        DropBounding(DROPPED),
        SetGroups((0,)),
        SetGroup(0),
        SetUser(0),
        SetCapabilities(DEFAULT, DEFAULT, ()),
    ]


def test_with_no_new_privileges_the_filter_comes_last() -> None:
    plan = privileges(process(noNewPrivileges=True), FILTER, EVERYTHING)
    assert plan[1] == SetNoNewPrivileges()
    assert plan[-1] == LoadSeccomp(FILTER)
    assert plan.count(LoadSeccomp(FILTER)) == 1


def test_another_user_has_nothing_left_to_keep() -> None:
    assert privileges(process(1000), None, EVERYTHING)[2:] == [
        SetGroups((1000,)),
        SetGroup(1000),
        SetUser(1000),
        SetCapabilities((), (), ()),
    ]


def test_ambient_capabilities_are_kept_over_the_change_of_user() -> None:
    held = ("CAP_NET_BIND_SERVICE",)
    wanted = process(1000)
    wanted["capabilities"] |= {name: list(held) for name in ("permitted", "effective", "inheritable", "ambient")}
    plan = privileges(wanted, None, EVERYTHING)
    assert plan.index(KeepCapabilities()) < plan.index(SetUser(1000))
    assert plan[-2:] == [SetCapabilities(held, held, held), RaiseAmbient(held)]


def test_who_may_have_everything_drops_nothing() -> None:
    wanted = process()
    wanted["capabilities"]["bounding"] = list(NAMES)
    assert not [op for op in privileges(wanted, None, EVERYTHING) if isinstance(op, DropBounding)]


def test_bounds_are_set_before_the_right_to_set_them_is_gone() -> None:
    rlimits = [{"type": "RLIMIT_NOFILE", "soft": 10, "hard": 20}]
    plan = privileges(process(rlimits=rlimits, oomScoreAdj=-5), None, EVERYTHING)
    assert plan[:2] == [SetRlimit("RLIMIT_NOFILE", 10, 20), SetOomScoreAdjustment(-5)]
