"""Limits of block I/O and of real-time processes: in the kernel's files, or refused and discarded as Docker does."""

from __future__ import annotations

import http.client
import json
import os
import re
import socket
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cgroups import Cgroups
from tests.conftest import Kernelkit
from tests.e2e.conftest import Client

HOSTS = ("practice", "real")
FILES = {
    "BlkioDeviceReadBps": ("--device-read-bps", "blkio.throttle.read_bps_device", "rbps"),
    "BlkioDeviceWriteBps": ("--device-write-bps", "blkio.throttle.write_bps_device", "wbps"),
    "BlkioDeviceReadIOps": ("--device-read-iops", "blkio.throttle.read_iops_device", "riops"),
    "BlkioDeviceWriteIOps": ("--device-write-iops", "blkio.throttle.write_iops_device", "wiops"),
}


@pytest.fixture
def kk(shared_kk: Kernelkit) -> Iterator[Kernelkit]:
    yield shared_kk
    shared_kk.empty()


@pytest.fixture
def disk() -> tuple[str, str]:
    """A block device of this machine, and its numbers as the kernel writes them."""
    for entry in sorted(Path("/dev").iterdir()):
        status = entry.stat() if entry.exists() else None
        if status and stat.S_ISBLK(status.st_mode) and Path(f"/sys/block/{entry.name}").exists():
            return str(entry), f"{os.major(status.st_rdev)}:{os.minor(status.st_rdev)}"
    pytest.skip("this machine has no block device")


@pytest.fixture(autouse=True)
def controller() -> None:
    """What is asked of the kernel here must be there."""
    controllers = Path("/sys/fs/cgroup/cgroup.controllers")
    if not Path("/sys/fs/cgroup/blkio").exists() and "io" not in (
        controllers.read_text().split() if controllers.exists() else ()
    ):
        pytest.skip("this machine has no controller of block I/O")


def settings(kk: Kernelkit, name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(kk("inspect", name).stdout)[0]["HostConfig"]
    return found


def post(kk: Kernelkit, path: str, body: dict[str, Any]) -> tuple[int, Any]:
    """What the engine answers to a request that no client makes."""
    connection = http.client.HTTPConnection("localhost")
    connection.sock = socket.socket(socket.AF_UNIX)
    connection.sock.connect(str(kk.socket))
    connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
    answer = connection.getresponse()
    said = json.loads(answer.read())
    connection.close()
    return answer.status, said


def test_rates_of_devices_are_the_kernel_s(kk: Kernelkit, client: Client, disk: tuple[str, str]) -> None:
    device, number = disk
    rates = {key: (key.endswith("IOps") and 10 + i) or (i + 1) << 20 for i, key in enumerate(FILES)}
    options = [word for key, rate in rates.items() for word in (FILES[key][0], f"{device}:{rate}")]
    client("run", "-d", "--name", "slow", *options, "busybox", "sleep", "1000")
    limits = Cgroups(kk, "slow")
    for key, (_, file, word) in FILES.items():
        said = limits.read("blkio", file, "io.max")
        assert said == f"{number} {rates[key]}" or f"{word}={rates[key]}" in said.split()
        assert settings(kk, "slow")[key] == [{"Path": device, "Rate": rates[key]}]


def test_rates_can_be_updated_and_lifted_by_the_api(kk: Kernelkit, disk: tuple[str, str]) -> None:
    device, number = disk
    kk("run", "-d", "--name", "slow", "--device-read-bps", f"{device}:1mb", "busybox", "sleep", "1000")
    wish = {"BlkioDeviceReadBps": [], "BlkioDeviceWriteIOps": [{"Path": device, "Rate": 7}]}
    assert post(kk, "/containers/slow/update", wish) == (200, {"Warnings": []})
    limits = Cgroups(kk, "slow")
    together = f"{number} rbps=max wbps=max riops=max wiops=7"
    assert limits.read("blkio", "blkio.throttle.read_bps_device", "io.max") in ("", together)
    assert limits.read("blkio", "blkio.throttle.write_iops_device", "io.max") in (f"{number} 7", together)
    found = settings(kk, "slow")
    assert (found["BlkioDeviceReadBps"], found["BlkioDeviceWriteIOps"]) == ([], [{"Path": device, "Rate": 7}])


def test_a_weight_is_the_scheduler_s_or_discarded_with_a_warning(kk: Kernelkit, client: Client) -> None:
    ran = client("run", "-d", "--name", "heavy", "--blkio-weight", "300", "busybox", "sleep", "1000")
    if "Your kernel does not support Block I/O weight or the cgroup is not mounted. Weight discarded." in ran.stderr:
        assert settings(kk, "heavy")["BlkioWeight"] == 0
        return
    limits = Cgroups(kk, "heavy")
    # Version 2 has BFQ's file where that scheduler is loaded, else that of the cost model, whose weights go to 10000.
    bfq = limits.read("blkio", "blkio.bfq.weight", "io.bfq.weight", check=False)
    file = "io.bfq.weight" if bfq else "io.weight"
    assert limits.read("blkio", "blkio.bfq.weight", file) in ("300", f"default {300 if bfq else 2930}")
    client("update", "--blkio-weight", "400", "heavy")
    assert limits.read("blkio", "blkio.bfq.weight", file) in ("400", f"default {400 if bfq else 3940}")
    assert settings(kk, "heavy")["BlkioWeight"] == 400
    refused = client("update", "--blkio-weight", "5", "heavy", check=False)
    assert "Range of blkio weight is from 10 to 1000" in refused.stderr


def test_devices_that_cannot_be_limited_are_said(kk: Kernelkit, client: Client) -> None:
    missing = client("run", "--name", "lost", "--device-read-bps", "/dev/nope:1mb", "busybox", "true", check=False)
    assert "stat /dev/nope: no such file or directory" in missing.stderr
    assert kk("inspect", "-f", "{{.State.Status}} {{.State.ExitCode}}", "lost").stdout == "created 128\n"
    # The numbers of /dev/null are a RAM disk's as well; no disk has a terminal's.
    refused = client("run", "--rm", "--device-read-bps", "/dev/tty:1mb", "busybox", "true", check=False)
    assert refused.returncode == 125
    assert re.search("5:0 (rbps=)?1048576", refused.stderr)


def test_real_time_limits_are_the_kernel_s_or_refused(kk: Kernelkit, client: Client) -> None:
    ran = client("run", "-d", "--name", "timely", "--cpu-rt-period", "50000", "busybox", "sleep", "1000", check=False)
    if ran.returncode:
        assert "kernel does not support CPU real-time scheduler" in ran.stderr
        return
    limits = Cgroups(kk, "timely")
    assert limits.read("cpu", "cpu.rt_period_us", "") == "50000"
    client("update", "--cpu-rt-period", "60000", "timely")
    assert limits.read("cpu", "cpu.rt_period_us", "") == "60000"
    assert settings(kk, "timely")["CpuRealtimePeriod"] == 60000
    both = ("--cpu-rt-period", "100", "--cpu-rt-runtime", "101")
    refused = client("run", "--rm", *both, "busybox", "true", check=False)
    assert "cpu real-time runtime cannot be higher than cpu real-time period" in refused.stderr
    # Above it nobody has any such time, so there is none to give: the kernel refuses, for Docker as for us.
    refused = client("run", "--rm", "--cpu-rt-runtime", "1000", "busybox", "true", check=False)
    assert refused.returncode == 125
    assert "cpu.rt_runtime_us" in refused.stderr
    refused = client("update", "--cpu-rt-runtime", "1000", "timely", check=False)
    assert refused.stderr.startswith("Error response from daemon: Cannot update container ")
    assert settings(kk, "timely")["CpuRealtimeRuntime"] == 0
