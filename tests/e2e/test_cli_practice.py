"""The practice host from the command line, and the terminal of a container."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pexpect
import pytest

from tests.conftest import Kernelkit
from tests.patience import PATIENCE, wait_until

KERNELKIT = str(Path(sys.executable).with_name("kernelkit"))


@pytest.fixture
def kk(shared_kk: Kernelkit) -> Iterator[Kernelkit]:
    yield shared_kk
    shared_kk.empty()


def terminal(kk: Kernelkit, *words: str, columns: int = 132) -> pexpect.spawn[str]:
    return kk.terminal([KERNELKIT, *words], (24, columns))


def test_env_is_what_a_shell_needs_to_find_the_engine(kk: Kernelkit) -> None:
    assert kk("env").stdout == f"export KERNELKIT_HOME={kk.home}\nexport DOCKER_HOST=unix://{kk.socket}\n"
    script = f'eval "$({KERNELKIT} env)"; docker version -f "{{{{.Server.Version}}}}"'
    env = {**os.environ, "KERNELKIT_HOME": str(kk.home)}
    said = subprocess.run(["sh", "-c", script], env=env, capture_output=True, text=True)
    assert said.stdout.strip() == kk("version", "-f", "{{.Server.Version}}").stdout.strip()


def test_a_shell_command_runs_in_the_host_and_leaves_with_its_code(kk: Kernelkit) -> None:
    assert kk("shell", "cat", "/proc/1/comm", check=False).returncode == 0
    assert "kk0" in kk("shell", "ip", "-o", "link").stdout
    assert kk("shell", "sh", "-c", "exit 6", check=False).returncode == 6


@pytest.mark.parametrize("shell", ["/bin/sh", "/bin/bash"])
def test_a_shell_in_a_terminal_leaves_with_its_last_code(kk: Kernelkit, shell: str) -> None:
    """It leads the terminal: what it started with ctrl-C ends, and it does not."""
    child = kk.terminal([KERNELKIT, "shell"], env={"SHELL": shell})
    child.expect("[#$] ")
    child.sendline("sleep 600; echo interrupted-$((40 + 2))")
    wait_until(lambda: kk("shell", "pgrep", "-x", "sleep", check=False).returncode == 0)
    child.sendintr()
    child.expect("[#$] ")
    child.sendline("(exit 7); exit")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 7, child.before


def test_commands_boot_the_host_by_themselves(kk: Kernelkit) -> None:
    alone = Kernelkit(kk.home.with_name(f"{kk.home.name}-b"))
    try:
        assert alone("ps").stdout.startswith("CONTAINER ID")
        assert alone("status").returncode == 0
    finally:
        alone.remove()


def test_an_unknown_kind_of_host_is_refused(kk: Kernelkit) -> None:
    ran = kk("up", "--host", "imaginary", check=False)
    assert (ran.returncode, ran.stderr) == (125, "invalid host 'imaginary': there are 'practice' and 'real'\n")


def test_ps_costs_less_than_40_milliseconds(kk: Kernelkit) -> None:
    """Of processor time, which the other things this machine does leave alone, but for the caches they share."""

    def spent() -> float:
        so_far = resource.getrusage(resource.RUSAGE_CHILDREN)
        return so_far.ru_utime + so_far.ru_stime

    costs = []
    for _ in range(10):
        before = spent()
        subprocess.run([KERNELKIT, "ps"], env={**os.environ, **kk.env}, stdout=subprocess.DEVNULL, check=True)
        costs.append(spent() - before)
    assert min(costs) < 0.040


def test_a_terminal_follows_its_size_and_detaches(kk: Kernelkit) -> None:
    child = terminal(kk, "run", "-it", "--name", "tty", "busybox", "sh")
    child.expect_exact("/ # ")
    child.sendline("stty size")
    child.expect_exact("24 132")
    child.setwinsize(40, 90)
    child.sendline("until stty size | grep '40 90'; do sleep 0.1; done")
    child.expect("\n40 90\r\n")
    child.expect_exact("/ # ")
    child.send("\x10\x11")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 0
    assert kk("inspect", "-f", "{{.State.Running}}", "tty").stdout == "true\n"
    again = terminal(kk, "attach", "--detach-keys", "ctrl-a,d", "tty")
    again.expect_exact("/ # ")  # the shell draws its prompt again, for the one who has just come
    again.sendline("echo $((40 + 2))")
    again.expect_exact("42")
    again.send("\x01d")
    again.expect_exact("read escape sequence")
    again.expect(pexpect.EOF)
    again.close()
    assert again.exitstatus == 1


def test_exec_has_a_terminal_of_its_own(kk: Kernelkit) -> None:
    kk("run", "-d", "--name", "box", "busybox", "sleep", "1000")
    child = terminal(kk, "exec", "-it", "box", "sh")
    child.expect_exact("/ # ")
    child.sendline("tty; stty size; exit 9")
    child.expect("/dev/pts/0")
    child.expect_exact("24 132")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 9


def test_signals_reach_the_container(kk: Kernelkit) -> None:
    program = "trap 'echo caught; exit 3' TERM; echo ready; while :; do sleep .1; done"
    run = kk.start([KERNELKIT, "run", "--rm", "busybox", "sh", "-c", program])
    assert run.stdout is not None
    assert run.stdout.readline() == "ready\n"
    run.terminate()
    assert run.stdout.readline() == "caught\n"
    assert run.wait(PATIENCE) == 3
    run.communicate()


def test_standard_input_is_carried_to_its_end(kk: Kernelkit) -> None:
    text = "line\n" * 50_000
    assert kk("run", "--rm", "-i", "busybox", "wc", "-c", input=text).stdout == f"{len(text)}\n"
    assert kk("run", "-i", "--rm", "busybox", "cat", input=text).stdout == text


def test_a_pull_in_a_terminal_draws_a_line_for_each_layer(kk: Kernelkit) -> None:
    kk("pull", "bash")
    kk("rmi", "bash")
    child = terminal(kk, "pull", "bash")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 0
    said = child.before
    assert "\x1b[K" in said
    assert said.count(": Pull complete") + said.count(": Already exists") == 2
    assert said.rstrip().endswith("docker.io/library/bash:latest")


def test_stats_draw_again_and_again_until_interrupted(kk: Kernelkit) -> None:
    kk("run", "-d", "--name", "busy", "busybox", "sh", "-c", "while :; do :; done")
    child = terminal(kk, "stats", "busy")
    for _ in range(3):
        child.expect_exact("\x1b[H")
    child.expect(r" busy +[1-9]\d*\.\d\d%")
    child.sendintr()
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 130


def test_events_come_as_they_happen(kk: Kernelkit) -> None:
    listener = kk.start([KERNELKIT, "events", "--filter", "type=container", "--format", "json"])
    wait_until(lambda: kk("info", "-f", "{{.NEventsListener}}").stdout == "1\n")
    kk("run", "--rm", "--name", "brief", "busybox", "true")
    assert listener.stdout is not None
    actions = []
    while "destroy" not in actions:
        event = json.loads(listener.stdout.readline())
        if event["Actor"]["Attributes"].get("name") == "brief":
            actions.append(event["Action"])
    listener.terminate()
    listener.communicate()
    assert [one for one in actions if one in ("create", "start", "die", "destroy")] == [
        "create",
        "start",
        "die",
        "destroy",
    ]
