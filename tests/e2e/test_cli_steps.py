"""A run that is shown, stepped through in a terminal, incomplete, and its record afterwards."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pexpect
import pytest

from tests.conftest import Kernelkit
from tests.layout import Layout, busybox
from tests.patience import PATIENCE, wait_until
from tests.rude_registry import Asked, Reply, RudeRegistry

KERNELKIT = str(Path(sys.executable).with_name("kernelkit"))
QUESTION = "q: give up"
STAGES = ["create", "filesystem", "rw-layer", "interface", "ip", "nat", "exec"]


@pytest.fixture
def kk(shared_kk: Kernelkit) -> Iterator[Kernelkit]:
    yield shared_kk
    shared_kk.empty()


def terminal(kk: Kernelkit, *words: str) -> pexpect.spawn[str]:
    """A command in a terminal of its own."""
    return kk.terminal([KERNELKIT, *words], (24, 160), {"NO_COLOR": "1", "SHELL": "/bin/sh"})


def headings(text: str) -> list[str]:
    """The stages whose headings are in the text, in order."""
    return [line.split("  ")[0] for line in text.splitlines() if line[:1].isalpha() and "  " in line]


def commands(script: str) -> list[str]:
    """A script without its comments, which name the container as it was named to us."""
    return [line for line in script.splitlines() if not line.startswith("#")]


def test_show_prints_each_operation_stage_by_stage(kk: Kernelkit) -> None:
    ran = kk("run", "--rm", "--show", "busybox", "echo", "hi")
    assert ran.stdout == "hi\n"
    assert headings(ran.stderr)[: len(STAGES)] == STAGES
    assert "  hostname " in ran.stderr
    assert "  mount -t overlay -o lowerdir=" in ran.stderr
    assert "  ip link add " in ran.stderr


def test_show_prints_the_pull_as_well(kk: Kernelkit) -> None:
    kk("rmi", "busybox")
    ran = kk("run", "--rm", "--show", "busybox", "echo", "hi")
    assert ran.stdout == "hi\n"
    assert headings(ran.stderr)[: 1 + len(STAGES)] == ["pull", *STAGES]
    assert "  curl -fsSL " in ran.stderr
    assert "tar -xpf" in ran.stderr
    assert ": Pull complete" in ran.stderr


def test_a_pull_is_shown_while_it_happens(kk: Kernelkit, tmp_path: Path) -> None:
    """Of a registry that gives nothing more until what it was asked first is on the screen."""
    layout = Layout(tmp_path / "layout")
    layout.image(busybox())
    registry = RudeRegistry(layout.folder)
    shown = threading.Event()
    in_time = []

    def hold(asked: Asked, _: Reply) -> None:
        if asked.kind == "blobs":
            in_time.append(shown.wait(PATIENCE))

    registry.faults.append(hold)
    try:
        run = kk.start([KERNELKIT, "run", "--rm", "--show", f"{registry.host}/x", "cat"])
        assert run.stderr
        while "  curl -fsSL " not in (line := run.stderr.readline()):
            assert line, "it has ended"
        shown.set()
        run.communicate()
    finally:
        registry.stop()
    assert run.returncode == 0
    assert in_time
    assert all(in_time)


def test_step_stops_before_each_operation_until_told_to_continue(kk: Kernelkit) -> None:
    child = terminal(kk, "run", "-it", "--rm", "--step", "busybox", "sh")
    seen = ""
    while "mount -t overlay" not in seen:
        child.expect_exact(QUESTION)
        seen = child.before
        child.send("\r")
    child.expect_exact(QUESTION)
    assert "done in" in child.before
    child.send("c")
    child.expect_exact("/ # ")
    child.sendline("echo size: $(stty size); exit 7")
    child.expect_exact("size: 24 160")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 7


def test_a_shell_opens_where_the_operation_will_happen(kk: Kernelkit) -> None:
    child = terminal(kk, "run", "--rm", "--step", "busybox", "true")
    child.expect_exact(QUESTION)
    child.send("s")
    child.expect("[#$] ")
    child.sendline("echo in-$(hostname)-$((20 + 2)); exit")
    child.expect_exact("in-practice-22")
    child.expect_exact(QUESTION)
    while "\n  hostname " not in child.before:
        child.send("\r")
        child.expect_exact(QUESTION)
    child.send("\r")
    child.expect_exact(QUESTION)
    child.send("s")
    child.expect("[#$] ")
    child.sendline("echo in-$(hostname)-$((20 + 2)); exit")
    child.expect("in-[0-9a-f]{12}-22")
    child.expect_exact(QUESTION)
    child.send("c")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 0


@pytest.mark.parametrize(("key", "code"), [("q", 125), ("\x03", 130)])
def test_giving_up_leaves_nothing(key: str, code: int, kk: Kernelkit) -> None:
    child = terminal(kk, "run", "--rm", "--step", "busybox", "true")
    for _ in range(14):
        child.expect_exact(QUESTION)
        child.send("\r")
    child.expect_exact(QUESTION)
    child.send(key)
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == code
    assert kk("ps", "-aq").stdout == ""
    # The kernel throws the network away in its own time.
    wait_until(lambda: "master kk0" not in kk("shell", "ip", "-o", "link", "show", "type", "veth").stdout)


def test_without_leaves_out_and_says_so(kk: Kernelkit) -> None:
    ran = kk("run", "--rm", "--without", "SetHostname", "busybox", "hostname")
    assert ran.stdout == "practice\n"
    assert "left out" in ran.stderr
    assert "hostname " in ran.stderr


def test_without_names_what_there_is_when_it_knows_no_such_thing(kk: Kernelkit) -> None:
    ran = kk("run", "--rm", "--without", "nosuch", "busybox", "true", check=False)
    assert ran.returncode == 125
    assert "'nosuch'" in ran.stderr
    assert kk("ps", "-aq").stdout == ""


def test_nobody_to_ask_is_refused_before_anything_is_made(kk: Kernelkit) -> None:
    # A session of its own has no terminal that could be asked in the place of standard input.
    command = ["setsid", "--wait", KERNELKIT, "run", "-i", "--rm", "--step", "busybox", "cat"]
    ran = kk.run(command, check=False, input="text")
    assert (ran.returncode, ran.stderr) == (125, "--step needs a terminal: standard input belongs to the container\n")
    assert kk("ps", "-aq").stdout == ""


def test_the_record_has_three_forms(kk: Kernelkit) -> None:
    kk("run", "--name", "recorded", "busybox", "true")
    assert [stage for stage in headings(kk("trace", "recorded").stdout) if stage != "pull"][: len(STAGES)] == STAGES
    objects = [json.loads(line) for line in kk("trace", "--json", "recorded").stdout.splitlines()]
    keys = "seq stage actor where operation fields shell started seconds error".split()
    assert all(list(one) == keys for one in objects)
    assert objects[-1]["seq"] == len(objects)
    script = kk("trace", "--sh", "recorded").stdout
    assert script.startswith("#!")
    assert subprocess.run(["sh", "-n"], input=script, text=True).returncode == 0
    assert commands(kk("trace", "--last", "--sh").stdout) == commands(script)
    assert kk("trace", "--last").stdout == kk("trace", "recorded").stdout


def test_follow_shows_what_anybody_asks_for(kk: Kernelkit, tmp_path: Path) -> None:
    followed = tmp_path / "followed"

    def a_start_was_seen() -> bool:
        kk.docker("run", "--rm", "busybox", "true")
        return '"RemoveCgroup"' in followed.read_text()

    with followed.open("w") as file:
        follower = kk.start([KERNELKIT, "trace", "--follow", "--json"], stdout=file)
        wait_until(a_start_was_seen)
        follower.terminate()
        follower.communicate(timeout=PATIENCE)
    operations = [json.loads(line)["operation"] for line in followed.read_text().splitlines()]
    assert "SetHostname" in operations
    assert "Exec" in operations


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "name one container, or give --last or --follow"),
        (["a", "--last"], "name one container, or give --last or --follow"),
        (["--last", "--json", "--sh"], "conflicting options: cannot specify both --json and --sh"),
        (["nosuch"], "Error response from daemon: No such container: nosuch"),
    ],
)
def test_what_cannot_be_traced(words: list[str], said: str, kk: Kernelkit) -> None:
    ran = kk("trace", *words, check=False)
    assert (ran.returncode, ran.stderr) == (1, f"{said}\n")
