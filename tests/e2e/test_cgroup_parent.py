"""`--cgroup-parent`: below which cgroup a container's own is, and whose that one is."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cgroups import Cgroups
from tests.conftest import Kernelkit
from tests.patience import wait_until

HOSTS = ("practice", "real")


@pytest.fixture
def kk(shared_kk: Kernelkit) -> Iterator[Kernelkit]:
    yield shared_kk
    shared_kk.empty()


def found(kk: Kernelkit, name: str) -> list[str]:
    """The directories of cgroups of that name on the host."""
    return kk("shell", "find", "/sys/fs/cgroup", "-type", "d", "-name", name).stdout.splitlines()


def run(kk: Kernelkit, name: str, parent: str, *options: str) -> str:
    words = ("run", "-d", "--name", name, "--cgroup-parent", parent, *options, "busybox", "sleep", "1000")
    return kk(*words).stdout.strip()


@pytest.mark.parametrize("client", ["kernelkit", "docker"])
def test_a_parent_is_made_and_goes_with_the_last_container_in_it(kk: Kernelkit, client: str) -> None:
    word = kk if client == "kernelkit" else kk.docker
    options = ("run", "-d", "--cgroup-parent", "/outer-kk/inner-kk", "--name")
    first = word(*options, "one", "--cpuset-cpus", "0", "busybox", "sleep", "1000").stdout.strip()
    second = word(*options, "two", "busybox", "sleep", "1000").stdout.strip()
    limits = Cgroups(kk, "one")
    for controller in ("memory", "pids", "cpuset", "freezer"):
        assert limits.path(controller).endswith(f"/outer-kk/inner-kk/{first}")
    assert limits.read("cpuset", "cpuset.cpus", "cpuset.cpus") == "0"
    assert kk("inspect", "-f", "{{.HostConfig.CgroupParent}}", "one").stdout == "/outer-kk/inner-kk\n"
    assert word("exec", "one", "echo", "inside").stdout == "inside\n"
    assert word("top", "one").stdout.splitlines()[1:]
    word("rm", "-f", "one")
    assert not found(kk, first)
    assert [place for place in found(kk, second) if "/outer-kk/inner-kk/" in place]
    word("rm", "-f", "two")
    assert (found(kk, "inner-kk"), found(kk, "outer-kk")) == ([], [])


def test_a_parent_s_limits_hold_and_it_stays_when_it_is_not_ours(kk: Kernelkit) -> None:
    kk("up")
    script = (
        "if [ -d /sys/fs/cgroup/memory ]; then cd /sys/fs/cgroup/memory && mkdir theirs-kk && "
        "echo 64m >theirs-kk/memory.limit_in_bytes; else cd /sys/fs/cgroup && mkdir theirs-kk; fi; pwd"
    )
    top = kk("shell", "sh", "-c", script).stdout.strip()
    try:
        if kk.env["KERNELKIT_HOST"] == "real":
            refused = kk("run", "--rm", "--cgroup-parent", "/theirs-kk", "busybox", "true", check=False)
            assert (refused.returncode, "the machine's own cgroup of this name" in refused.stderr) == (125, True)
            return
        run(kk, "guest", "theirs-kk")
        if top.endswith("memory"):
            said = kk("exec", "guest", "cat", "/sys/fs/cgroup/memory/memory.stat").stdout
            assert f"hierarchical_memory_limit {64 << 20}" in said.splitlines()
        kk("rm", "-f", "guest")
        assert found(kk, "theirs-kk") == [f"{top}/theirs-kk"], "what we have made beside it has gone"
    finally:
        kk("shell", "rmdir", f"{top}/theirs-kk")


def test_nothing_leads_out_of_the_host_s_own_cgroup(kk: Kernelkit) -> None:
    identity = run(kk, "away", "../../beside-kk")
    assert Cgroups(kk, "away").path("memory").endswith(f"/beside-kk/{identity}")
    assert "/.." not in Cgroups(kk, "away").path("memory")
    kk("rm", "-f", "away")
    assert found(kk, "beside-kk") == []
    run(kk, "top", "/")
    kk("rm", "-f", "top")


def test_a_parent_that_the_kernel_refuses_is_said_and_nothing_is_left(kk: Kernelkit) -> None:
    refused = kk("run", "--rm", "--cgroup-parent", "/fine-kk/a\nb", "busybox", "true", check=False)
    assert refused.returncode == 125
    assert "Invalid argument" in refused.stderr
    assert found(kk, "fine-kk") == []


def test_nothing_of_it_stays_when_the_host_goes_down(kk: Kernelkit) -> None:
    identity = run(kk, "last", "/last-kk")
    assert found(kk, "last-kk")
    kk("down")
    machine = ["find", "/sys/fs/cgroup", "-type", "d", "(", "-name", "last-kk", "-o", "-name", identity, ")"]
    # Cgroups of others go while it looks, of which it complains.
    assert kk.run(machine, check=False).stdout == ""
    kk("up")
    assert found(kk, "last-kk") == []


def test_an_engine_that_was_killed_knows_what_it_had_made(kk: Kernelkit) -> None:
    run(kk, "lasting", "/kept-kk")
    for pid in filter(str.isdigit, os.listdir("/proc")):
        if _is_engine(Path("/proc") / pid, kk):
            os.kill(int(pid), signal.SIGKILL)
    wait_until(lambda: kk("ps", "-q", check=False).stdout != "")
    kk("rm", "-f", "lasting")
    assert found(kk, "kept-kk") == []


def test_with_version_2_alone_parents_work_and_what_is_missing_is_discarded_or_refused(kk_alone: Kernelkit) -> None:
    """On a hybrid machine version 1 has the controllers, and so version 2 alone has none of them."""
    kk, machine = kk_alone, kk_alone.machine
    assert machine
    afresh = "umount -Rl /sys; umount -Rl /sys; mount -t sysfs sysfs /sys && mount -t cgroup2 cgroup2 /sys/fs/cgroup"
    machine.run("sh", "-c", afresh)
    identity = run(kk, "box", "/outer-kk/inner-kk")
    assert Cgroups(kk, "box").path("").endswith(f"/outer-kk/inner-kk/{identity}")
    assert kk("exec", "box", "cat", "/proc/self/cgroup").stdout.splitlines()[-1] == "0::/"
    kk("rm", "-f", "box")
    assert found(kk, "outer-kk") == []
    if "io" not in machine.run("cat", "/sys/fs/cgroup/cgroup.controllers").stdout.split():
        ran = kk("run", "--rm", "--blkio-weight", "300", "--device-read-bps", "/dev/null:1mb", "busybox", "true")
        assert ran.stderr.splitlines() == [
            "WARNING: Your kernel does not support Block I/O weight or the cgroup is not mounted. Weight discarded.",
            "WARNING: Your kernel does not support BPS Block I/O read limit or the cgroup is not mounted. "
            "Block I/O BPS read limit discarded.",
        ]
    refused = kk("run", "--rm", "--cpu-rt-period", "1000", "busybox", "true", check=False)
    assert (refused.returncode, "kernel does not support CPU real-time scheduler" in refused.stderr) == (125, True)


def _is_engine(process: Path, kk: Kernelkit) -> bool:
    try:
        variables = (process / "environ").read_bytes().split(b"\0")
        command = (process / "cmdline").read_bytes()
    except OSError:  # it has just ended
        return False
    return b"kernelkit.server.daemon" in command and f"KERNELKIT_HOME={kk.home}".encode() in variables
