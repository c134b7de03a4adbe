"""A volume that is a file system, when the host goes down and when the engine is killed: nothing stays mounted."""

from __future__ import annotations

from pathlib import Path

from tests.conftest import Kernelkit
from tests.patience import wait_until

HOSTS = ("practice", "real")
ENDS_WHEN_TOLD = "trap 'exit 0' TERM; while :; do sleep 0.1; done"


def began(kk: Kernelkit, *names: str) -> None:
    kk("pull", "busybox")
    kk.docker("volume", "create", "-o", "type=tmpfs", "-o", "device=tmpfs", "fast")
    for name in names:
        kk.docker("run", "-d", "--name", name, "-v", "fast:/x", "busybox", "sh", "-c", ENDS_WHEN_TOLD)


def mounted(kk: Kernelkit) -> int:
    """How often, on the host, the volume is mounted."""
    return kk("shell", "cat", "/proc/self/mountinfo").stdout.count("/fast/_data ")


def left(kk: Kernelkit) -> bool:
    """Whether it is mounted on the machine, when there is no host any more."""
    if kk.machine:
        return "/fast/_data " in kk.machine.run("cat", "/proc/self/mountinfo").stdout
    return f"{kk.home}/volumes/fast" in Path("/proc/self/mountinfo").read_text()


def test_it_goes_down_with_the_host_and_comes_again_with_its_container(kk: Kernelkit) -> None:
    began(kk, "one")
    assert mounted(kk) == 1
    kk("down")
    assert not left(kk)
    kk("up")
    assert mounted(kk) == 0
    kk.docker("start", "one")
    assert mounted(kk) == 1
    kk.docker("rm", "-f", "one")
    kk.docker("volume", "rm", "fast")


def test_the_next_engine_knows_who_has_it(kk: Kernelkit) -> None:
    began(kk, "one", "two")
    engine = kk("shell", "pgrep", "-f", "kernelkit.server.daemon").stdout.split()[0]
    kk("shell", "kill", "-9", engine)
    wait_until(lambda: kk.docker("version", check=False).returncode == 0)

    kk.docker("rm", "-f", "one")
    assert mounted(kk) == 1
    kk.docker("stop", "two")
    assert mounted(kk) == 0
