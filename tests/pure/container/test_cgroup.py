"""Limits as lists of operations, for every kind of machine."""

from __future__ import annotations

from typing import Any

import pytest

from kernelkit.container import cgroup
from kernelkit.container.cgroup import Layout
from kernelkit.container.device_filter import compile_filter
from kernelkit.errors import InvalidRequest, Unavailable
from kernelkit.kernel.cgroup import (
    EnableControllers,
    InheritCpuset,
    JoinCgroup,
    LimitMemory,
    MakeCgroup,
    RemoveCgroup,
    RemoveEmptyCgroup,
    RestrictDevices,
    WriteCgroup,
)
from kernelkit.kernel.cgroup_procs import Freeze, MoveProcesses, Thaw
from kernelkit.kernel.device_filter import AttachDeviceFilter
from kernelkit.kernel.hierarchies import Hierarchy

V1 = Layout(
    tuple(
        Hierarchy(tuple(names.split(",")), f"/sys/fs/cgroup/{names}", f"/sys/fs/cgroup/{names}")
        for names in "cpu,cpuacct cpuset memory devices freezer blkio pids".split()
    )
)
ROOT = "/sys/fs/cgroup"
UNIFIED = Hierarchy(("cpu", "cpuset", "io", "memory", "pids"), ROOT, ROOT, version=2)
V2 = Layout((UNIFIED,))
HYBRID = Layout((*V1.hierarchies, Hierarchy((), f"{ROOT}/unified", f"{ROOT}/unified", version=2)))
PATH = "/kernelkit-1/abc"
RULES = [{"allow": False, "access": "rwm"}, {"allow": True, "type": "c", "major": 1, "minor": 3, "access": "rwm"}]


def written(resources: dict[str, Any], layout: Layout) -> dict[str, str]:
    """The files that are set, below the container's cgroup."""
    plan = cgroup.limits(resources, layout, PATH)
    return {op.path.split("/abc/")[1]: op.value for op in plan if isinstance(op, WriteCgroup)}


def test_an_unlimited_container_is_only_where_it_must_be() -> None:
    assert cgroup.limits({"devices": RULES}, V1, PATH) == [
        MakeCgroup(f"{ROOT}/memory{PATH}"),
        MakeCgroup(f"{ROOT}/pids{PATH}"),
        MakeCgroup(f"{ROOT}/cpu,cpuacct{PATH}"),
        MakeCgroup(f"{ROOT}/devices{PATH}"),
        MakeCgroup(f"{ROOT}/freezer{PATH}"),
        RestrictDevices(f"{ROOT}/devices{PATH}", ("deny a *:* rwm", "allow c 1:3 rwm")),
    ]


def test_on_version_2_it_is_in_one_cgroup_and_devices_are_a_program() -> None:
    assert cgroup.limits({"devices": RULES}, V2, PATH) == [
        MakeCgroup(f"{ROOT}{PATH}"),
        AttachDeviceFilter(f"{ROOT}{PATH}", compile_filter(RULES)),
    ]


def test_a_hybrid_machine_is_treated_like_version_1() -> None:
    assert cgroup.limits({"devices": RULES}, HYBRID, PATH) == cgroup.limits({"devices": RULES}, V1, PATH)


def test_with_any_limit_it_is_everywhere_so_that_programs_can_read_their_limits() -> None:
    plan = cgroup.limits({"pids": {"limit": 5}}, V1, PATH)
    made = [op.path for op in plan if isinstance(op, MakeCgroup)]
    assert made == [f"{ROOT}/{name}{PATH}" for name in "memory pids cpu,cpuacct devices freezer cpuset blkio".split()]
    assert InheritCpuset(f"{ROOT}/cpuset{PATH}") in plan


def test_joining_follows_making() -> None:
    assert cgroup.join(V1, PATH, {}) == [
        JoinCgroup(f"{ROOT}/{name}{PATH}", "tasks") for name in "memory pids cpu,cpuacct devices freezer".split()
    ]
    assert cgroup.birthplace(V1, PATH, {}) == cgroup.birthplace(HYBRID, PATH, {}) == ""


def test_on_version_2_a_process_is_born_where_it_belongs() -> None:
    assert cgroup.join(V2, PATH, {}) == []
    assert cgroup.birthplace(V2, PATH, {}) == f"{ROOT}{PATH}"


def test_what_was_made_is_removed() -> None:
    for layout in (V1, V2, HYBRID):
        for resources in ({}, {"pids": {"limit": 5}}):
            made = {op.path for op in cgroup.limits(resources, layout, PATH) if isinstance(op, MakeCgroup)}
            assert made == {op.path for op in cgroup.teardown(layout, PATH, resources) if isinstance(op, RemoveCgroup)}
            assert made <= {op.path for op in cgroup.teardown(layout, PATH) if isinstance(op, RemoveCgroup)}


def test_memory_and_swap_are_bound_together_on_version_1_and_apart_on_version_2() -> None:
    resources = {"memory": {"limit": 100, "swap": 150, "reservation": 50}}
    assert LimitMemory(f"{ROOT}/memory{PATH}", 100, 150) in cgroup.limits(resources, V1, PATH)
    assert written(resources, V1) == {"memory.soft_limit_in_bytes": "50"}
    assert written(resources, V2) == {"memory.swap.max": "50", "memory.max": "100", "memory.low": "50"}


def test_without_a_bound_is_said_in_the_words_of_the_version() -> None:
    resources = {"memory": {"limit": -1, "swap": -1}, "pids": {"limit": -1}}
    assert LimitMemory(f"{ROOT}/memory{PATH}", -1, -1) in cgroup.limits(resources, V1, PATH)
    assert written(resources, V2) == {"memory.swap.max": "max", "memory.max": "max", "pids.max": "max"}
    assert written({"memory": {"limit": 100, "swap": -1}}, V2) == {"memory.swap.max": "max", "memory.max": "100"}


def test_where_swap_cannot_be_limited_memory_still_is() -> None:
    plan = cgroup.limits({"memory": {"limit": 100, "swap": 200}}, Layout(V1.hierarchies, swap=False), PATH)
    assert LimitMemory(f"{ROOT}/memory{PATH}", 100, 0) in plan


def test_less_memory_and_swap_than_memory_is_refused_in_dockers_words() -> None:
    with pytest.raises(InvalidRequest, match="Minimum memoryswap limit should be larger than memory limit, see usage"):
        cgroup.limits({"memory": {"limit": 100, "swap": 50}}, V1, PATH)


@pytest.mark.parametrize(
    ("resources", "first", "second"),
    [
        ({"cpu": {"shares": 1024}}, {"cpu.shares": "1024"}, {"cpu.weight": "39"}),
        ({"cpu": {"shares": 2}}, {"cpu.shares": "2"}, {"cpu.weight": "1"}),
        ({"cpu": {"shares": 262144}}, {"cpu.shares": "262144"}, {"cpu.weight": "10000"}),
        (
            {"cpu": {"quota": 50000, "period": 100000}},
            {"cpu.cfs_period_us": "100000", "cpu.cfs_quota_us": "50000"},
            {"cpu.max": "50000 100000"},
        ),
        ({"cpu": {"quota": 50000}}, {"cpu.cfs_quota_us": "50000"}, {"cpu.max": "50000 100000"}),
        ({"cpu": {"quota": -1}}, {"cpu.cfs_quota_us": "-1"}, {"cpu.max": "max 100000"}),
        (
            {"cpu": {"cpus": "0-1", "mems": "0"}},
            {"cpuset.cpus": "0-1", "cpuset.mems": "0"},
            {"cpuset.cpus": "0-1", "cpuset.mems": "0"},
        ),
        (
            {"cpu": {"realtimePeriod": 1000, "realtimeRuntime": 10}},
            {"cpu.rt_period_us": "1000", "cpu.rt_runtime_us": "10"},
            {},
        ),
        ({"pids": {"limit": 10}}, {"pids.max": "10"}, {"pids.max": "10"}),
        ({"blockIO": {"weight": 1000}}, {"blkio.bfq.weight": "1000"}, {"io.weight": "10000"}),
        (
            {"blockIO": {"throttleReadBpsDevice": [{"major": 8, "minor": 0, "rate": 1000}]}},
            {"blkio.throttle.read_bps_device": "8:0 1000"},
            {"io.max": "8:0 rbps=1000"},
        ),
        ({"memory": {"swappiness": 0}}, {"memory.swappiness": "0"}, {}),
        ({"memory": {"disableOOMKiller": True}}, {"memory.oom_control": "1"}, {}),
    ],
)
def test_each_limit_has_a_file_in_either_version(
    resources: dict[str, Any], first: dict[str, str], second: dict[str, str]
) -> None:
    assert written(resources, V1) == first
    assert written(resources, V2) == second


def test_dockers_zeros_ask_for_nothing() -> None:
    zeros = {"memory": {"disableOOMKiller": False}, "cpu": {"shares": 0}, "blockIO": {"weight": 0}}
    assert written(zeros, V1) == {}
    assert cgroup.join(V1, PATH, zeros) == cgroup.join(V1, PATH, {})


def test_files_of_version_2_can_be_set_by_name() -> None:
    assert written({"unified": {"memory.high": "1000"}}, V2) == {"memory.high": "1000"}
    with pytest.raises(Unavailable):
        cgroup.limits({"unified": {"memory.high": "1000"}}, V1, PATH)


def test_a_limit_without_its_controller_is_refused_by_name() -> None:
    bare = Layout((Hierarchy(("pids",), f"{ROOT}/pids", f"{ROOT}/pids"),))
    with pytest.raises(Unavailable, match='cannot set "memory": the cgroup controller "memory" is not there'):
        cgroup.limits({"memory": {"limit": 1000}}, bare, PATH)
    assert cgroup.limits({}, bare, PATH) == [MakeCgroup(f"{ROOT}/pids{PATH}")]


def test_device_rules_are_written_as_version_1_reads_them() -> None:
    rules = [
        {"allow": False, "type": "b", "major": 8},
        {"allow": True, "major": 5, "minor": 0, "access": "rw"},
        {"allow": True, "type": "c", "access": "m"},
        {"allow": True, "type": "a", "access": "rwm"},
    ]
    (restrict,) = (op for op in cgroup.limits({"devices": rules}, V1, PATH) if isinstance(op, RestrictDevices))
    assert restrict.rules == (
        "deny b 8:* rwm",
        "allow c 5:0 rw",
        "allow b 5:0 rw",
        "allow c *:* m",
        "allow a *:* rwm",
    )


def test_who_may_use_every_device_needs_no_rule() -> None:
    for layout in (V1, V2):
        plan = cgroup.limits({"devices": [{"allow": True, "access": "rwm"}]}, layout, PATH)
        assert not [op for op in plan if isinstance(op, RestrictDevices | AttachDeviceFilter)]


def test_the_place_for_containers_is_made_in_every_hierarchy() -> None:
    plan = cgroup.prepare(V1, "kernelkit-1")
    made = [op.path for op in plan if isinstance(op, MakeCgroup)]
    assert made == [f"{h.home}/kernelkit-1" for h in cgroup._hierarchies(V1, (*cgroup.TRACKED, *cgroup.LIMITING))]
    assert InheritCpuset(f"{ROOT}/cpuset/kernelkit-1") in plan


def test_on_version_2_controllers_are_handed_down_to_it() -> None:
    assert cgroup.prepare(V2, "kernelkit-1") == [
        MakeCgroup(f"{ROOT}/kernelkit-1"),
        EnableControllers(ROOT, UNIFIED.controllers),
        EnableControllers(f"{ROOT}/kernelkit-1", UNIFIED.controllers),
    ]


def test_below_the_root_of_version_2_processes_make_room_first() -> None:
    here = Hierarchy(("memory", "pids"), ROOT, f"{ROOT}/user", version=2, nested=True)
    assert cgroup.prepare(Layout((here,)), "kk") == [
        MakeCgroup(f"{ROOT}/user/kk"),
        MakeCgroup(f"{ROOT}/user/init.scope"),
        MoveProcesses(f"{ROOT}/user", f"{ROOT}/user/init.scope"),
        EnableControllers(f"{ROOT}/user", ("memory", "pids")),
        EnableControllers(f"{ROOT}/user/kk", ("memory", "pids")),
    ]


def test_the_parents_that_were_asked_for_are_made_first() -> None:
    plan = cgroup.limits({}, V1, "a/b/c0", ("a", "a/b"))
    memory = [op.path for op in plan if isinstance(op, MakeCgroup) and "/memory/" in op.path]
    assert memory == [f"{ROOT}/memory/a", f"{ROOT}/memory/a/b", f"{ROOT}/memory/a/b/c0"]
    limited = cgroup.limits({"cpu": {"cpus": "0"}}, V1, "a/c0", ("a",))
    inherited = [op.path for op in limited if isinstance(op, InheritCpuset)]
    assert inherited == [f"{ROOT}/cpuset/a", f"{ROOT}/cpuset/a/c0"]


def test_parents_in_version_2_hand_the_controllers_on() -> None:
    assert cgroup.limits({}, V2, "a/c0", ("a",)) == [
        MakeCgroup(f"{ROOT}/a"),
        EnableControllers(f"{ROOT}/a", UNIFIED.controllers),
        MakeCgroup(f"{ROOT}/a/c0"),
    ]


def test_parents_go_when_nobody_is_in_them() -> None:
    assert cgroup.directories(V2, "a/b") == [f"{ROOT}/a/b"]
    assert cgroup.abandon([f"{ROOT}/a/b", f"{ROOT}/a"]) == [
        RemoveEmptyCgroup(f"{ROOT}/a/b"),
        RemoveEmptyCgroup(f"{ROOT}/a"),
    ]


def test_a_running_containers_limits_can_change() -> None:
    plan = cgroup.update({"memory": {"limit": 10, "swap": 20}}, V1, PATH, {"memory": {"limit": 5}})
    assert plan == [LimitMemory(f"{ROOT}/memory{PATH}", 10, 20)]


def test_a_first_limit_takes_it_into_the_cgroups_it_was_not_in() -> None:
    assert cgroup.update({"cpu": {"cpus": "0"}}, V1, PATH, {}) == [
        MakeCgroup(f"{ROOT}/cpuset{PATH}"),
        InheritCpuset(f"{ROOT}/cpuset{PATH}"),
        MoveProcesses(f"{ROOT}/memory{PATH}", f"{ROOT}/cpuset{PATH}"),
        MakeCgroup(f"{ROOT}/blkio{PATH}"),
        MoveProcesses(f"{ROOT}/memory{PATH}", f"{ROOT}/blkio{PATH}"),
        WriteCgroup(f"{ROOT}/cpuset{PATH}/cpuset.cpus", "0"),
    ]


def test_pause_is_the_freezer_of_the_version() -> None:
    assert cgroup.freeze(V1, PATH) == [Freeze(f"{ROOT}/freezer{PATH}", 1)]
    assert cgroup.thaw(V1, PATH) == [Thaw(f"{ROOT}/freezer{PATH}", 1)]
    assert cgroup.freeze(V2, PATH) == [Freeze(f"{ROOT}{PATH}", 2)]
    with pytest.raises(Unavailable):
        cgroup.freeze(Layout(), PATH)


def test_a_container_sees_the_hierarchies_it_is_in() -> None:
    assert cgroup.mounted(V2, {}) == [("", "")]
    assert cgroup.mounted(V1, {}) == [
        ("memory", "memory"),
        ("pids", "pids"),
        ("cpu,cpuacct", "cpu,cpuacct"),
        ("devices", "devices"),
        ("freezer", "freezer"),
    ]
