"""Limits that bite: memory, processor time, processes, files; seen from inside and in the kernel's own files."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cgroups import Cgroups
from tests.conftest import Kernelkit
from tests.patience import wait_until

HOSTS = ("practice", "real")

HOG = "x=x; while :; do x=$x$x$x; done"
BOMB = "sh -c 'while :; do sleep 100 & done'; sleep 100"
BUSY = "while :; do :; done"


@pytest.fixture
def kk(shared_kk: Kernelkit) -> Iterator[Kernelkit]:
    yield shared_kk
    shared_kk.empty()


def inspect(kk: Kernelkit, name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(kk("inspect", name).stdout)[0]
    return found


@pytest.mark.parametrize("client", ["kernelkit", "docker"])
def test_limits_are_the_kernel_s(kk: Kernelkit, client: str) -> None:
    run = kk if client == "kernelkit" else kk.docker
    options = (
        "-m 64m --memory-swap 80m --memory-reservation 32m --cpus 0.5 --cpu-shares 512 --cpuset-cpus 0 --pids-limit 20"
    )
    run("run", "-d", "--name", "box", *options.split(), "--ulimit", "nofile=100:200", "busybox", "sleep", "1000")
    limits = Cgroups(kk, "box")
    assert limits.read("memory", "memory.limit_in_bytes", "memory.max") == str(64 << 20)
    assert limits.read("memory", "memory.soft_limit_in_bytes", "memory.low") == str(32 << 20)
    assert limits.read("memory", "memory.memsw.limit_in_bytes", "memory.swap.max") in (str(80 << 20), str(16 << 20))
    assert limits.read("cpu", "cpu.cfs_quota_us", "cpu.max") in ("50000", "50000 100000")
    assert limits.read("cpu", "cpu.shares", "cpu.weight") in ("512", "20")
    assert limits.read("cpuset", "cpuset.cpus", "cpuset.cpus") == "0"
    assert limits.read("pids", "pids.max", "pids.max") == "20"
    pid = inspect(kk, "box")["State"]["Pid"]
    bounds = kk("shell", "cat", f"/proc/{pid}/limits").stdout
    assert next(line for line in bounds.splitlines() if line.startswith("Max open files")).split()[3:5] == [
        "100",
        "200",
    ]
    assert "Cpus_allowed_list:\t0\n" in kk("shell", "cat", f"/proc/{pid}/status").stdout


def test_who_takes_too_much_memory_is_killed_and_that_is_told(kk: Kernelkit) -> None:
    ended = kk("run", "--name", "hog", "-m", "16m", "--memory-swap", "16m", "busybox", "sh", "-c", HOG, check=False)
    state = inspect(kk, "hog")["State"]
    assert (ended.returncode, state["ExitCode"], state["OOMKilled"]) == (137, 137, True)
    assert "OOMKilled" not in kk("run", "--name", "good", "-m", "16m", "busybox", "true").stdout
    assert inspect(kk, "good")["State"]["OOMKilled"] is False


def test_a_child_that_is_killed_for_memory_counts_as_well(kk: Kernelkit) -> None:
    script = f"sh -c '{HOG}'; echo $?"
    ended = kk("run", "--name", "parent", "-m", "16m", "--memory-swap", "16m", "busybox", "sh", "-c", script)
    assert ended.stdout == "137\n"
    assert inspect(kk, "parent")["State"]["OOMKilled"] is True


def test_without_the_killer_the_hog_waits_until_it_is_stopped(kk: Kernelkit) -> None:
    options = ["-m", "16m", "--memory-swap", "16m", "--oom-kill-disable"]
    answer = kk("run", "-d", "--name", "stuck", *options, "busybox", "sh", "-c", HOG)
    if answer.stderr:  # version 2 has no such switch, and that must be said
        assert "Your kernel does not support OomKillDisable. OomKillDisable discarded." in answer.stderr
        return
    limits = Cgroups(kk, "stuck")
    wait_until(lambda: "under_oom 1" in limits.read("memory", "memory.oom_control", "memory.events"))
    assert inspect(kk, "stuck")["State"]["Running"]
    kk("rm", "-f", "stuck")


def test_processor_time_is_throttled(kk: Kernelkit) -> None:
    kk("run", "-d", "--name", "busy", "--cpus", "0.1", "busybox", "sh", "-c", BUSY)
    limits = Cgroups(kk, "busy")

    def used() -> float:
        words = limits.read("cpuacct", "cpuacct.usage", "cpu.stat").split()
        return int(words[0]) / 1e9 if len(words) == 1 else int(words[words.index("usage_usec") + 1]) / 1e6

    def throttled() -> int:
        words = limits.read("cpu", "cpu.stat", "cpu.stat").split()
        return int(words[words.index("nr_throttled") + 1])

    began, before = time.monotonic(), used()
    wait_until(lambda: throttled() > 10, "it gets all that it wants")
    share = (used() - before) / (time.monotonic() - began)
    assert 0 < share < 0.2


def test_a_fork_bomb_is_stopped(kk: Kernelkit) -> None:
    kk("run", "-d", "--name", "bomb", "--pids-limit", "15", "busybox", "sh", "-c", BOMB)
    limits = Cgroups(kk, "bomb")
    wait_until(lambda: "can't fork" in kk("logs", "bomb").stderr)
    assert int(limits.read("pids", "pids.current", "pids.current")) <= 15
    refused = kk("exec", "bomb", "true", check=False)
    assert refused.returncode in (0, 126), "an exec counts too"
    kk("rm", "-f", "bomb")


def test_the_size_of_files_is_bounded(kk: Kernelkit) -> None:
    script = "head -c 20000 /dev/zero > /x; echo $?; stat -c %s /x"
    ended = kk("run", "--rm", "--ulimit", "fsize=10000:10000", "busybox", "sh", "-c", script)
    assert ended.stdout.split() == ["153", "10000"], "ended by SIGXFSZ, which is not ignored"


def test_shared_memory_and_tmpfs_are_bounded(kk: Kernelkit) -> None:
    script = "head -c 2m /dev/zero > /dev/shm/x; head -c 2m /dev/zero > /t/x; stat -c %s /dev/shm/x /t/x"
    script = script.replace("2m", str(2 << 20))
    ended = kk("run", "--rm", "--shm-size", "1m", "--tmpfs", "/t:size=1m", "busybox", "sh", "-c", script)
    assert ended.stdout.split() == [str(1 << 20)] * 2


def test_a_limit_that_cannot_be_raised_is_said(kk: Kernelkit) -> None:
    most = int(next(x for x in Path("/proc/self/limits").read_text().splitlines() if "open files" in x).split()[4])
    refused = kk("run", "--rm", "--ulimit", f"nofile={most * 2}", "busybox", "true", check=False)
    if refused.returncode:  # without CAP_SYS_RESOURCE
        assert refused.returncode == 125
        assert "RLIMIT_NOFILE" in refused.stderr
    assert kk("ps", "-aq").stdout == ""


def test_what_it_used_is_gone_with_it(kk: Kernelkit) -> None:
    identity = kk(
        "run", "-d", "-m", "64m", "--cpus", "0.5", "--cpuset-cpus", "0", "busybox", "sleep", "1000"
    ).stdout.strip()

    def found() -> str:
        # Another cgroup may go away while it looks.
        return kk("shell", "find", "/sys/fs/cgroup", "-name", identity, check=False).stdout

    assert found()
    kk("rm", "-f", identity)
    assert found() == ""


def test_with_version_2_alone_walls_and_pause_work_and_what_is_missing_is_named(kk_alone: Kernelkit) -> None:
    """On a hybrid machine version 1 has the controllers; what version 2 does by itself works for real all the same."""
    kk, machine = kk_alone, kk_alone.machine
    assert machine
    afresh = "umount -Rl /sys; umount -Rl /sys; mount -t sysfs sysfs /sys && mount -t cgroup2 cgroup2 /sys/fs/cgroup"
    machine.run("sh", "-c", afresh)
    assert "- cgroup cgroup" not in machine.run("cat", "/proc/self/mountinfo").stdout
    kk("run", "-d", "--name", "box", "busybox", "sh", "-c", "while :; do echo tick; sleep 0.05; done")
    pid = inspect(kk, "box")["State"]["Pid"]
    unified = next(x for x in kk("shell", "cat", f"/proc/{pid}/cgroup").stdout.splitlines() if x.startswith("0::"))
    assert "/containers/" in unified
    script = "mknod /tmp/d b 254 0; head -c 1 /tmp/d 2>&1; head -c 1 /dev/zero | wc -c"
    said = kk("exec", "box", "sh", "-c", script).stdout
    assert "Operation not permitted" in said
    assert said.endswith("1\n")
    kk("pause", "box")

    def is_silent() -> bool:
        before = kk("logs", "box").stdout
        time.sleep(0.3)
        return kk("logs", "box").stdout == before

    wait_until(is_silent)  # what it said before may still be on its way to the log
    kk("unpause", "box")
    kk("rm", "-f", "box")
    if "memory" not in machine.run("cat", "/sys/fs/cgroup/cgroup.controllers").stdout:
        refused = kk("run", "--rm", "-m", "64m", "busybox", "true", check=False)
        assert refused.returncode == 125
        assert 'cannot set "memory": the cgroup controller "memory" is not there' in refused.stderr
