"""Counters read from files as the kernel writes them; version 2's, which few machines that test this have."""

from __future__ import annotations

from pathlib import Path

from kernelkit.kernel.hierarchies import Hierarchy, Layout
from kernelkit.kernel.usage import Usage, oom_killed, usage

V2_FILES = {
    "memory.current": "1048576\n",
    "memory.max": "max\n",
    "memory.peak": "2097152\n",
    "memory.events": "low 0\nhigh 0\nmax 3\noom 1\noom_kill 1\noom_group_kill 0\n",
    "memory.stat": "anon 4096\nfile 8192\ninactive_file 100\n",
    "cpu.stat": "usage_usec 1500\nuser_usec 1000\nsystem_usec 500\nnr_periods 4\nnr_throttled 2\nthrottled_usec 70\n",
    "pids.current": "2\n",
    "pids.max": "max\n",
    "io.stat": "8:0 rbytes=4096 wbytes=0 rios=1 wios=0 dbytes=0 dios=0\n254:1 rbytes=1 wbytes=2 rios=3 wios=4\n9:0\n",
}
V1_FILES = {
    "memory.usage_in_bytes": "1048576\n",
    "memory.limit_in_bytes": "9223372036854771712\n",
    "memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 0\n",
    "cpuacct.usage": "1500000\n",
    "cpuacct.usage_percpu": "1000000 500000 \n",
    "pids.current": "1\n",
    "pids.max": "7\n",
    "blkio.throttle.io_service_bytes_recursive": "8:0 Read 4096\n8:0 Write 0\n8:0 Total 4096\nTotal 4096\n",
}
ALL = ("cpu", "cpuacct", "memory", "pids", "blkio", "io")


def machine(home: Path, files: dict[str, str], version: int) -> Layout:
    (home / "box").mkdir()
    for name, text in files.items():
        (home / "box" / name).write_text(text)
    return Layout((Hierarchy(ALL, str(home), str(home), version),))


def test_version_2(tmp_path: Path) -> None:
    layout = machine(tmp_path, V2_FILES, 2)
    assert usage(layout, "box") == Usage(
        memory=1 << 20,
        memory_limit=0,
        memory_peak=2 << 20,
        memory_failures=3,
        memory_detail={"anon": 4096, "file": 8192, "inactive_file": 100},
        cpu=1_500_000,
        cpu_user=1_000_000,
        cpu_system=500_000,
        periods=4,
        throttled_periods=2,
        throttled_time=70_000,
        pids=2,
        pids_limit=0,
        io_bytes=((8, 0, "Read", 4096), (8, 0, "Write", 0), (254, 1, "Read", 1), (254, 1, "Write", 2)),
        io_operations=((8, 0, "Read", 1), (8, 0, "Write", 0), (254, 1, "Read", 3), (254, 1, "Write", 4)),
    )
    assert oom_killed(layout, "box")


def test_version_1(tmp_path: Path) -> None:
    layout = machine(tmp_path, V1_FILES, 1)
    found = usage(layout, "box")
    assert (found.memory, found.memory_limit, found.pids, found.pids_limit) == (1 << 20, 0, 1, 7)
    assert (found.cpu, found.cpu_each) == (1_500_000, (1_000_000, 500_000))
    assert found.io_bytes == ((8, 0, "Read", 4096), (8, 0, "Write", 0))
    assert not oom_killed(layout, "box")


def test_who_is_gone_uses_nothing(tmp_path: Path) -> None:
    layout = machine(tmp_path, {}, 2)
    assert usage(layout, "nobody") == Usage()
    assert not oom_killed(layout, "nobody")
    assert not oom_killed(Layout(), "nobody")
