"""Hierarchies found in the texts of machines of every kind."""

from __future__ import annotations

from pathlib import Path

from kernelkit.kernel.hierarchies import Hierarchy, Layout

V1_MOUNTS = """\
31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,relatime shared:9 - cgroup cgroup rw,cpu,cpuacct
35 31 0:32 / /sys/fs/cgroup/memory rw,relatime shared:10 master:2 - cgroup cgroup rw,memory
40 31 0:37 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,xattr,release_agent=/lib/agent,name=systemd
"""
V1_PLACES = """\
9:name=systemd:/user.slice
4:memory:/process_api/d1bb
2:cpu,cpuacct:/
"""
V2_MOUNTS = "30 23 0:26 / /sys/fs/cgroup rw,nosuid,nodev,noexec,relatime - cgroup2 cgroup2 rw,nsdelegate\n"
UNIFIED_MOUNTS = "41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw\n"


def test_version_1_has_a_hierarchy_for_each_mount() -> None:
    layout = Layout.parse(V1_MOUNTS, V1_PLACES)
    assert layout.mode == "v1"
    assert [(h.controllers, h.home) for h in layout.hierarchies] == [
        (("cpu", "cpuacct"), "/sys/fs/cgroup/cpu,cpuacct"),
        (("memory",), "/sys/fs/cgroup/memory/process_api/d1bb"),
        (("name=systemd",), "/sys/fs/cgroup/systemd/user.slice"),
    ]
    assert layout.of("cpu") is layout.of("cpuacct") is layout.hierarchies[0]
    assert layout.of("pids") is None
    assert layout.hierarchies[0].name == "cpu,cpuacct"


def test_paths_are_counted_from_our_own_cgroup() -> None:
    memory = Layout.parse(V1_MOUNTS, V1_PLACES).of("memory")
    assert memory
    assert memory.directory("/kernelkit-1/abc") == "/sys/fs/cgroup/memory/process_api/d1bb/kernelkit-1/abc"
    assert memory.directory("/") == "/sys/fs/cgroup/memory/process_api/d1bb"


def test_version_2_has_one_hierarchy_with_the_controllers_it_offers() -> None:
    layout = Layout.parse(V2_MOUNTS, "0::/user.slice/session-3.scope\n", "cpu io memory pids\n")
    assert layout.mode == "v2"
    (only,) = layout.hierarchies
    assert only.home == "/sys/fs/cgroup/user.slice/session-3.scope"
    for controller in ("cpu", "cpuacct", "blkio", "memory", "pids", "devices", "freezer"):
        assert layout.of(controller) is only
    assert layout.of("cpuset") is None


def test_the_machines_root_goes_to_the_top_of_version_2() -> None:
    layout = Layout.parse(V2_MOUNTS, "0::/user.slice/session-3.scope\n", "memory", from_top=True)
    assert layout.hierarchies[0].home == "/sys/fs/cgroup"


def test_hybrid_takes_from_version_2_only_what_version_1_lacks() -> None:
    layout = Layout.parse(V1_MOUNTS + UNIFIED_MOUNTS, V1_PLACES + "0::/\n", "hugetlb pids")
    assert layout.mode == "hybrid"
    assert [layout.of(name).name for name in ("memory", "pids", "freezer")] == [  # type: ignore[union-attr]
        "memory",
        "unified",
        "unified",
    ]


def test_a_mount_that_does_not_show_our_own_cgroup_is_of_no_use() -> None:
    elsewhere = "36 31 0:33 /docker/abc /mnt/memory rw - cgroup cgroup rw,memory\n"
    from_outside = "37 31 0:34 /../.. /mnt/pids rw - cgroup cgroup rw,pids\n"
    assert Layout.parse(elsewhere + from_outside, "4:memory:/\n8:pids:/\n").hierarchies == ()
    inside = Layout.parse(elsewhere, "4:memory:/docker/abc/below\n")
    assert inside.hierarchies[0].home == "/mnt/memory/below"


def test_the_first_of_several_mounts_counts() -> None:
    again = V1_MOUNTS.replace("/sys/fs/cgroup", "/elsewhere")
    assert Layout.parse(V1_MOUNTS + again, V1_PLACES) == Layout.parse(V1_MOUNTS, V1_PLACES)


def test_a_machine_without_cgroups_has_none() -> None:
    assert Layout.parse("23 1 8:1 / / rw - ext4 /dev/sda rw\n", "").mode == "none"


def test_what_a_cgroup_offers_is_told_by_its_files(tmp_path: Path) -> None:
    layout = Layout((Hierarchy(("io",), str(tmp_path), str(tmp_path), version=2),))
    (tmp_path / "box").mkdir()
    assert not layout.has("box", "blkio", "io.bfq.weight")
    assert not layout.knowing("box").bfq
    (tmp_path / "box" / "io.bfq.weight").touch()
    assert layout.has("box", "blkio", "io.bfq.weight")
    assert layout.knowing("box").bfq
    assert not layout.has("box", "memory", "io.bfq.weight"), "no such controller"
