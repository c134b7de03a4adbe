"""The practice host: booted by whoever needs it, gone without a trace, never in another home's way."""

from __future__ import annotations

import os
import shutil
import signal
import sys
from pathlib import Path

import pytest

from kernelkit.container.cgroup import LEAF
from tests.conftest import Kernelkit
from tests.e2e.test_strace import engine_of
from tests.machine import Machine, short_folder
from tests.patience import wait_until


def init_of(kk: Kernelkit) -> int:
    return int((kk.home / "run/init.pid").read_text())


def test_up_and_down_leave_nothing_behind(kk_alone: Kernelkit) -> None:
    kk, machine = kk_alone, kk_alone.machine
    assert machine
    before = machine.state()
    kk("up")
    assert machine.state()["links"] != before["links"]
    assert "up (practice)" in kk("status").stdout
    kk("down")
    assert machine.state() == before
    assert kk("status", check=False).returncode == 1
    assert list((kk.home / "run").glob("*.sock")) == []


def test_a_host_whose_first_process_is_killed_leaves_nothing_behind(kk_alone: Kernelkit) -> None:
    kk, machine = kk_alone, kk_alone.machine
    assert machine
    before = machine.state()
    kk("run", "-d", "-p", "8080:80", "busybox", "sleep", "1000")
    machine.run("kill", "-KILL", str(init_of(kk)))
    wait_until(lambda: machine.state() == before), "something was left behind"
    assert kk("ps", "-q").stdout == ""  # booted again, and nothing runs
    assert "Exited (255)" in kk("ps", "-a").stdout


@pytest.mark.parametrize("end", ["down", "kill", "kill both", "real"])
def test_a_host_with_a_paused_container_leaves_nothing_behind_either(kk_alone: Kernelkit, end: str) -> None:
    kk, machine = kk_alone, kk_alone.machine
    assert machine
    if end == "real":
        kk.env["KERNELKIT_HOST"] = "real"
    before = machine.state()
    kk("run", "-d", "--name", "p1", "busybox", "sleep", "1000")
    kk("pause", "p1")
    if end.startswith("kill"):
        init = str(init_of(kk))
        keeper = machine.run("ps", "-o", "ppid=", "-p", init).stdout.strip()
        machine.run("kill", "-KILL", *([keeper, init] if end == "kill both" else [init]))
    kk("down")
    wait_until(lambda: machine.state() == before), "something was left behind"
    assert "Exited (255)" in kk("ps", "-a").stdout


def test_a_home_that_is_deleted_while_its_host_is_up_can_be_used_again(kk_alone: Kernelkit) -> None:
    kk, machine = kk_alone, kk_alone.machine
    assert machine
    before = machine.state()
    kk("run", "-d", "-p", "8080:80", "busybox", "sleep", "1000")
    shutil.rmtree(kk.home)
    assert kk("run", "--rm", "-p", "8080:80", "busybox", "echo", "again").stdout == "again\n"
    kk("down")
    assert machine.state() == before


def test_the_machine_itself_serves_as_host_when_asked(kk_alone: Kernelkit) -> None:
    kk, machine = kk_alone, kk_alone.machine
    assert machine
    kk.env["KERNELKIT_HOST"] = "real"
    before = machine.state()
    assert kk("run", "--rm", "busybox", "echo", "hello").stdout == "hello\n"
    kk("run", "-d", "-p", "8080:80", "busybox", "httpd", "-f")
    assert "up (real)" in kk("status").stdout
    assert any(link.startswith("kk") for link in machine.state()["links"])
    kk("down")
    assert machine.state() == before


def test_two_homes_never_disturb_each_other(machine: Machine) -> None:
    one, other = (Kernelkit(short_folder(), machine) for _ in range(2))
    try:
        before = machine.state()
        for kk in (one, other):
            kk("run", "-d", "--name", "same", "busybox", "sleep", "1000")
        addresses = [
            kk("inspect", "-f", "{{.NetworkSettings.IPAddress}}", "same").stdout.strip() for kk in (one, other)
        ]
        assert addresses == ["172.17.0.2", "172.17.0.2"]
        one("down")
        assert other("exec", "same", "echo", "still here").stdout == "still here\n"
        other("down")
        assert machine.state() == before
    finally:
        one.remove()
        other.remove()


@pytest.mark.parametrize("host", ["practice", "real"])
def test_who_makes_room_for_controllers_of_version_2_outlives_the_host(kk_alone: Kernelkit, host: str) -> None:
    """As in a container of Docker's, all of whose processes are in the one cgroup that it sees."""
    kk, machine = kk_alone, kk_alone.machine
    assert machine
    place = next((cgroup for cgroup in machine.cgroups if cgroup.root != cgroup.home), None)
    if not place:
        pytest.skip("version 2 does not have the controllers here")
    kk.env["KERNELKIT_HOST"] = host
    sleeper = machine.start("sleep", "1000")
    crowd = "while read pid; do [ $pid = 0 ] || echo $pid >/sys/fs/cgroup/cgroup.procs; done"  # 0 is who is not inside
    machine.run("sh", "-c", f"{crowd} </sys/fs/cgroup/{place.home.name}/cgroup.procs")
    for _ in range(2):
        limit = kk("run", "--rm", "-m", "64m", "busybox", "cat", "/sys/fs/cgroup/memory.max").stdout
        assert limit == f"{64 << 20}\n"
        kk("down")
        assert sleeper.poll() is None
        assert {each.name for each in place.root.iterdir() if each.is_dir()} == {LEAF, place.home.name}


def test_an_engine_that_is_killed_comes_back_and_its_containers_run_on(kk: Kernelkit) -> None:
    kk("run", "-d", "--name", "on", "busybox", "sh", "-c", "while :; do echo tick; sleep 0.1; done")
    pid = kk("inspect", "-f", "{{.State.Pid}}", "on").stdout
    os.kill(engine_of(kk), signal.SIGKILL)
    wait_until(lambda: kk("ps", "-q", check=False).stdout != "")
    assert kk("inspect", "-f", "{{.State.Status}} {{.State.Pid}}", "on").stdout == f"running {pid}"
    said = kk("logs", "on").stdout.count("tick")
    wait_until(lambda: kk("logs", "on").stdout.count("tick") > said + 2), "its log goes on"
    assert kk("exec", "on", "echo", "inside").stdout == "inside\n"
    kk("rm", "-f", "on")


def test_its_shell_is_root_on_another_machine(kk: Kernelkit) -> None:
    kk("up")
    assert kk("shell", "hostname").stdout == "practice\n"
    assert kk("shell", "sh", "-c", "exit 7", check=False).returncode == 7
    processes = kk("shell", "ps", "-e", "-o", "pid=,args=").stdout.splitlines()
    assert processes[0].split()[0] == "1"
    assert not any("pytest" in line for line in processes), "it shows the real machine's processes"
    assert "kk0" in kk("shell", "ip", "-brief", "link").stdout
    move = "cd /sys/fs/cgroup/freezer || cd /sys/fs/cgroup; mkdir mine; echo $$ > mine/cgroup.procs"
    assert ":/mine\n" in kk("shell", "sh", "-c", f"{move}; cat /proc/self/cgroup").stdout
    no_such = kk("shell", "no-such-program", check=False)
    assert (no_such.returncode, no_such.stderr) == (127, "kernelkit: no such command: 'no-such-program'\n")


def test_what_a_student_breaks_there_is_gone_with_it(kk: Kernelkit) -> None:
    kk("up")
    kk("shell", "mount", "-t", "tmpfs", "broken", "/mnt")
    kk("shell", "hostname", "broken")
    kk("shell", "ip", "link", "delete", "kk0")
    assert "broken" not in Path("/proc/self/mountinfo").read_text()
    kk("down")
    assert kk("run", "--rm", "busybox", "hostname").stdout != ""
    assert kk("shell", "hostname").stdout == "practice\n"


def test_a_host_that_cannot_boot_says_why(kk: Kernelkit) -> None:
    kk.env["KERNELKIT_HOST"] = "imaginary"
    refused = kk("up", check=False)
    assert refused.returncode == 125
    assert refused.stderr == ("kernelkit: there is no host 'imaginary' (KERNELKIT_HOST is one of practice, real)\n")


def test_who_is_not_root_is_told_so(kk: Kernelkit) -> None:
    refused = kk.run(
        ["setpriv", "--reuid=65534", "--clear-groups", sys.executable, "-P", "-m", "kernelkit.server", "up"],
        check=False,
    )
    assert refused.returncode != 0
    assert len(refused.stderr.splitlines()) == 1
    assert "root" in refused.stderr


def test_doctor_says_what_is_there(kk: Kernelkit) -> None:
    said = kk("doctor")
    assert "✓ overlayfs" in said.stdout
    assert "✓ veth" in said.stdout
