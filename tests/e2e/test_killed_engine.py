"""An engine is killed at any moment of a start: its container runs and obeys, or does not and has left nothing."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.conftest import Kernelkit
from tests.machine import names_below
from tests.patience import PATIENCE, wait_until

KERNELKIT = str(Path(sys.executable).with_name("kernelkit"))
USEFUL = 2.2  # seconds: of engines that live for less, three in a row are enough for init
AT_THE_END = math.inf
# Seconds since there has been something of a container; a start takes about 0.02, longer on a busy machine.
MOMENTS = (0.0, 0.001, 0.002, 0.003, 0.004, 0.006, 0.008, 0.01, 0.012, 0.015, 0.02, 0.03, AT_THE_END)


def engine_of(kk: Kernelkit) -> int:
    """The engine's pid, as this process numbers it."""
    for entry in Path("/proc").iterdir():
        try:
            if (
                entry.name.isdigit()
                and b"kernelkit.server.daemon" in (entry / "cmdline").read_bytes()
                and f"KERNELKIT_HOME={kk.home}".encode() in (entry / "environ").read_bytes().split(b"\0")
            ):
                return int(entry.name)
        except OSError:
            continue
    return 0


def kill_engine(kk: Kernelkit) -> None:
    engine = engine_of(kk)
    assert engine
    os.kill(engine, signal.SIGKILL)


def age_of(pid: int) -> float:
    """Seconds since a process was made."""
    ticks = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])
    return float(Path("/proc/uptime").read_text().split()[0]) - ticks / os.sysconf("SC_CLK_TCK")


def kill_during(kk: Kernelkit, command: list[str], seconds: float) -> subprocess.Popen[str]:
    """Kill the engine so long after a container's first cgroup has appeared, or when the command has ended."""
    engine = engine_of(kk)
    time.sleep(max(0.0, USEFUL - age_of(engine)))
    table = json.loads((kk.home / "run/host.json").read_text())["cable"]["table"]
    end = f"/{table}/machine/containers"
    found = sorted(path for path in names_below(Path("/sys/fs/cgroup")) if path.endswith(end))
    place = next((path for path in found if "/pids/" in path), found[0])
    before = os.listdir(place)
    starting = kk.start(command)
    while os.listdir(place) == before and starting.poll() is None:
        pass
    if seconds == AT_THE_END:
        starting.wait(PATIENCE)
    else:
        time.sleep(seconds)
    os.kill(engine, signal.SIGKILL)
    starting.communicate(timeout=PATIENCE)
    wait_until(lambda: kk("ps", check=False).returncode == 0)
    return starting


def shims_of(kk: Kernelkit) -> list[int]:
    """The forks of init that are no engine: those at work, and the one that waits."""
    init = int((kk.home / "run/init.pid").read_text())
    engine = engine_of(kk)
    children = Path(f"/proc/{init}/task/{init}/children").read_text().split()
    return [int(pid) for pid in children if int(pid) != engine]


def host_of(kk: Kernelkit) -> dict[str, list[str]]:
    """What containers make in the host and on the real machine for it: links, elements of sets and maps, cgroups."""
    links = kk("shell", "ip", "-o", "link", "show", "type", "veth").stdout.splitlines()
    rules = kk("shell", "nft", "list", "table", "ip", "kernelkit").stdout.splitlines()
    mark = json.loads(kk("shell", "cat", str(kk.home / "run/host.json")).stdout)["cable"]["table"]
    outside = subprocess.run(["nft", "list", "table", "ip", mark], capture_output=True, text=True).stdout.splitlines()
    find = ["find", "/sys/fs/cgroup", "-path", "*/containers/*", "-type", "d"]
    cgroups = kk("shell", *find, check=False).stdout.splitlines()  # one may go away while it looks
    return {
        "links": sorted(line.split(":")[1] for line in links if "uplink" not in line),
        "rules": [line.strip() for line in (*rules, *outside) if "elements" in line],
        "cgroups": sorted(cgroups),
        "addresses": sorted(kk("network", "inspect", "-f", "{{json .Containers}}", "bridge").stdout.split()),
    }


def hostname_of(kk: Kernelkit, name: str) -> str:
    return kk("inspect", "-f", "{{.Config.Hostname}}", name).stdout


@pytest.fixture
def booted(kk: Kernelkit) -> Kernelkit:
    kk("pull", "busybox")
    kk("run", "--rm", "busybox", "true")
    return kk


def test_every_moment_of_a_start(booted: Kernelkit) -> None:
    kk = booted
    before = host_of(kk)
    ends = set()
    for number, seconds in enumerate(MOMENTS):
        name = f"c{number}"
        command = ["run", "-d", "-p", "127.0.0.1:18471:80", "-v", "data:/data", "--memory", "64m", "--name", name]
        starting = kill_during(kk, [KERNELKIT, *command, "busybox", "httpd", "-f", "-h", "/etc"], seconds)
        status = kk("ps", "-a", "--format", "{{.State}}", "--filter", f"name=^{name}$").stdout.strip()
        ends.add(status)
        if status == "running":
            assert kk("exec", name, "cat", "/proc/1/comm").stdout == "httpd\n"
            ask = ["wget", "-q", "-O-", "--tries=1", "--timeout=5", "http://127.0.0.1:18471/hostname"]
            wait_until(lambda: kk.run(ask, check=False).stdout == hostname_of(kk, name))  # noqa: B023
            kk("logs", name)
            kk("stop", "-t", "1", name)
        else:
            assert starting.returncode != 0, f"who started it was told that it runs, and it is {status or 'gone'}"
        if status:
            assert kk("start", name).stdout == f"{name}\n", "it can be started, its port is free"
            kk("rm", "-f", name)
        wait_until(lambda: host_of(kk) == before)
        wait_until(lambda: len(shims_of(kk)) <= 1)
        assert list((kk.home / "run/shims").iterdir()) == []
    assert "running" in ends
    assert ends & {"created", "exited", ""}


def test_a_container_that_was_to_be_removed_is(booted: Kernelkit) -> None:
    kk = booted
    for seconds in (0.0, 0.005):
        kill_during(kk, [KERNELKIT, "run", "--rm", "-d", "busybox", "sleep", "1000"], seconds)
        running, known = kk("ps", "-q").stdout.split(), kk("ps", "-aq").stdout.split()
        assert running == known
        if running:
            kk("stop", "-t", "0", *running)
            wait_until(lambda: kk("ps", "-aq").stdout == "")


def test_a_container_whose_shim_is_killed_has_ended(booted: Kernelkit) -> None:
    kk = booted
    before = host_of(kk)
    kk("run", "-d", "--name", "on", "-p", "127.0.0.1:18472:80", "busybox", "sleep", "1000")
    pid = int(kk("inspect", "-f", "{{.State.Pid}}", "on").stdout)
    kk("shell", "sh", "-c", f"kill -KILL $(awk '{{ print $4 }}' /proc/{pid}/stat)")
    wait_until(lambda: kk("inspect", "-f", "{{.State.Status}} {{.State.ExitCode}}", "on").stdout == "exited 255\n")
    wait_until(lambda: kk("shell", "test", "-e", f"/proc/{pid}", check=False).returncode == 1)
    wait_until(lambda: host_of(kk) == before)


def test_one_that_restarts_always_does_so_after_the_engines_end(booted: Kernelkit) -> None:
    kk = booted
    kk("run", "-d", "--name", "again", "--restart", "always", "busybox", "sh", "-c", "sleep 0.2")

    def restarts() -> int:
        return int(kk("inspect", "-f", "{{.RestartCount}}", "again").stdout)

    for _ in range(3):
        time.sleep(USEFUL)
        kill_engine(kk)
        wait_until(lambda: kk("ps", check=False).returncode == 0)
        before = restarts()
        wait_until(lambda: restarts() > before)  # noqa: B023
    kk("rm", "-f", "again")
