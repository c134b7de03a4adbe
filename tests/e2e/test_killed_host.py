"""A practice host leaves nothing on the machine, whoever of it is killed, and whenever: any other home clears up."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Kernelkit
from tests.machine import Machine, short_folder
from tests.patience import PATIENCE, wait_until

KERNELKIT = str(Path(sys.executable).with_name("kernelkit"))

# Seconds after the command: a boot takes about 0.4, going down about 0.1, each longer on a busy machine.
MOMENTS_OF_UP = (0.12, 0.18, 0.24, 0.3, 0.36, 0.45)
MOMENTS_OF_DOWN = (0.08, 0.11, 0.14, 0.18)


@pytest.fixture
def other(machine: Machine) -> Iterator[Kernelkit]:
    """Another home on the same machine, which has nothing to do with the killed one."""
    kernelkit = Kernelkit(short_folder(), machine)
    yield kernelkit
    kernelkit.remove()


def processes_of(kk: Kernelkit) -> list[int]:
    """Keeper, init, engine, shims and commands: all that were started with this home, as this process numbers them."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and f"KERNELKIT_HOME={kk.home}".encode() in (entry / "environ").read_bytes():
                found.append(int(entry.name))
        except OSError:
            continue  # it has just ended
    return sorted(found)


def claim_of(kk: Kernelkit) -> dict[str, Any]:
    """What is noted of its host on the machine; empty when there is nothing."""
    for path in Path("/run/kernelkit").glob("*-*[0-9]"):
        try:
            found: dict[str, Any] = json.loads(path.read_text())
        except (OSError, ValueError):
            continue
        if found["home"] == str(kk.home):
            return found
    return {}


def about(pid: int, file: str) -> str:
    """What /proc says of a process; nothing when it has just ended."""
    try:
        return Path(f"/proc/{pid}/{file}").read_text()
    except OSError:
        return ""


def keeper_of(kk: Kernelkit) -> list[int]:
    """The keeper's pid as this process numbers it; none when it has left already."""
    number = claim_of(kk).get("keeper")
    return [pid for pid in processes_of(kk) if f"NSpid:\t{pid}\t{number}\n" in about(pid, "status")]


def parent_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def init_of(kk: Kernelkit) -> int:
    """The host's first process: the parent of its engine."""
    return parent_of(next(pid for pid in processes_of(kk) if "kernelkit.server.daemon" in about(pid, "cmdline")))


def has_ended(pid: int) -> bool:
    """Whether it has nothing any more, no locks either, collected or not: proc_pid_stat(5)."""
    return about(pid, "stat").rpartition(")")[2].split()[:1] in ([], ["Z"], ["X"])


def send(number: int, *pids: int) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


def kill(*pids: int) -> None:
    send(signal.SIGKILL, *pids)
    wait_until(lambda: all(map(has_ended, pids)))


def kill_keeper_and_init(kk: Kernelkit) -> None:
    init = init_of(kk)
    kill(parent_of(init), init)  # the keeper first, or it would clear up


def kill_all(kk: Kernelkit) -> None:
    """At once, as far as one can: nobody is to notice the others' end, nor to have made somebody else meanwhile."""
    stopped: set[int] = set()
    while found := set(processes_of(kk)) - stopped:
        send(signal.SIGSTOP, *found)
        stopped |= found
    kill(*stopped)


def finish(process: subprocess.Popen[str]) -> None:
    process.communicate(timeout=PATIENCE)


def on(kk: Kernelkit) -> Machine:
    assert kk.machine
    return kk.machine


@pytest.mark.parametrize("command", ["up", "down"])
def test_any_other_home_takes_back_what_a_killed_host_has_left(
    kk_alone: Kernelkit, other: Kernelkit, command: str
) -> None:
    kk, machine = kk_alone, on(kk_alone)
    before = machine.state()
    kk("run", "-d", "-p", "8080:80", "-v", "data:/data", "--memory", "64m", "busybox", "sleep", "1000")
    kill_keeper_and_init(kk)
    left = machine.state()
    assert left["rules"] != before["rules"]
    assert left["cgroups"] != before["cgroups"]
    assert f"left by a killed one: {kk.home}" in other("doctor").stdout
    other(command)
    assert "✓ nothing left by practice hosts" in kk("doctor").stdout
    if command == "up":
        other("down")
    assert machine.state() == before
    assert not list((kk.home / "run").glob("*.sock"))
    assert not list((kk.home / "run/shims").iterdir())


def settled(machine: Machine) -> dict[str, list[str]]:
    """What is on the machine, the shim that waits ahead for the next start too, once it is there."""
    now, before = stable(machine), dict[str, list[str]]()
    while now != before:
        time.sleep(0.2)
        now, before = stable(machine), now
    return now


def stable(machine: Machine) -> dict[str, list[str]]:
    """All but addresses and routes: a cable gets those of IPv6 by itself, a second late."""
    state = machine.state()
    return {kind: state[kind] for kind in ("mounts", "links", "rules", "processes", "cgroups", "forwarding")}


def test_a_living_home_is_left_alone(kk_alone: Kernelkit, other: Kernelkit) -> None:
    kk, machine = kk_alone, on(kk_alone)
    other("run", "-d", "--name", "on", "-p", "8081:80", "busybox", "httpd", "-f")
    before = settled(machine)
    kk("run", "-d", "-p", "8080:80", "busybox", "sleep", "1000")
    kill_keeper_and_init(kk)
    kk("down")
    assert stable(machine) == before
    assert other("exec", "on", "echo", "still here").stdout == "still here\n"
    machine.run("wget", "-q", "-O-", "--tries=1", "--timeout=5", "http://127.0.0.1:8081/etc/hostname")


def test_the_same_home_boots_again(kk_alone: Kernelkit) -> None:
    kk, machine = kk_alone, on(kk_alone)
    before = machine.state()
    kk("run", "-d", "-p", "8080:80", "busybox", "sleep", "1000")
    kill_all(kk)
    assert kk("run", "--rm", "-p", "8080:80", "busybox", "echo", "again").stdout == "again\n"
    kk("down")
    assert machine.state() == before


@pytest.mark.parametrize("seconds", MOMENTS_OF_UP)
def test_killed_while_it_boots(kk_alone: Kernelkit, other: Kernelkit, seconds: float) -> None:
    kk, machine = kk_alone, on(kk_alone)
    before = machine.state()
    booting = kk.start([KERNELKIT, "up"])
    time.sleep(seconds)
    kill_all(kk)
    finish(booting)
    other("down")
    assert machine.state() == before
    assert kk("up").stderr == ""
    kk("down")
    assert machine.state() == before


@pytest.mark.parametrize("seconds", MOMENTS_OF_DOWN)
def test_killed_while_it_goes_down(kk_alone: Kernelkit, other: Kernelkit, seconds: float) -> None:
    kk, machine = kk_alone, on(kk_alone)
    before = machine.state()
    kk("run", "-d", "-p", "8080:80", "busybox", "sleep", "1000")
    going = kk.start([KERNELKIT, "down"])
    time.sleep(seconds)
    kill_all(kk)
    finish(going)
    other("down")
    assert machine.state() == before


@pytest.mark.parametrize("seconds", [0.0, 0.03, 0.06, 0.1])
def test_a_keeper_killed_while_it_boots_takes_all_with_it_or_leaves_a_host_that_works(
    kk_alone: Kernelkit, seconds: float
) -> None:
    kk, machine = kk_alone, on(kk_alone)
    before = machine.state()
    booting = kk.start([KERNELKIT, "up"])
    wait_until(lambda: claim_of(kk))
    time.sleep(seconds)
    kill(*keeper_of(kk))
    finish(booting)
    if booting.returncode == 0:
        assert kk("run", "--rm", "busybox", "echo", "works").stdout == "works\n"
    kk("down")
    assert machine.state() == before


@pytest.mark.parametrize("again", ["up", "down"])
def test_whoever_boots_it_may_go_away(kk_alone: Kernelkit, again: str) -> None:
    """The keeper goes on without them; who comes next waits for it, and nobody boots a second host."""
    kk, machine = kk_alone, on(kk_alone)
    before = machine.state()
    for seconds in (0.0, 0.05, 0.1):
        booting = kk.start([KERNELKIT, "up"])
        wait_until(lambda: claim_of(kk))
        time.sleep(seconds)
        booting.kill()
        finish(booting)
        kk(again)
        if again == "up":
            assert kk("status").stdout.startswith("host    up")
            kk("down")
        assert machine.state() == before


@pytest.mark.parametrize("who", ["init", "init and keeper", "keeper"])
def test_the_machine_itself_as_host_is_cleared_as_well(kk_alone: Kernelkit, other: Kernelkit, who: str) -> None:
    kk, machine = kk_alone, on(kk_alone)
    kk.env["KERNELKIT_HOST"] = "real"
    before = machine.state()
    kk("run", "-d", "-p", "8080:80", "busybox", "sleep", "1000")
    init, all_of_it = init_of(kk), processes_of(kk)
    keeper = parent_of(init)
    kill(*{"init": [init], "init and keeper": [keeper, init], "keeper": [keeper]}[who])
    if who == "keeper":
        assert "up (real)" in kk("status").stdout
        kk("down")
    else:
        wait_until(lambda: all(map(has_ended, all_of_it)))
        other("down")
    assert machine.state() == before


def test_a_namespace_that_somebody_looks_into_keeps_no_cable_on_the_machine(kk_alone: Kernelkit) -> None:
    kk, machine = kk_alone, on(kk_alone)
    kk.env["KERNELKIT_HOST"] = "real"
    before = machine.state()
    kk("run", "-d", "--name", "seen", "busybox", "sleep", "1000")
    pid = kk("inspect", "-f", "{{.State.Pid}}", "seen").stdout.strip()
    look = ("nsenter", "-t", pid, "-n", "sh", "-c", "echo inside; exec sleep 1000")
    with machine.start(*look, stdout=subprocess.PIPE) as looking:
        assert looking.stdout
        assert looking.stdout.readline() == "inside\n"
        kk("down")
        left = machine.state()
        looking.kill()
    assert left["links"] == before["links"]
