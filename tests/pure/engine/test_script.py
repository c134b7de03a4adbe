"""How a record becomes a program for sh: which line runs where. That it builds the same is proved end to end."""

from __future__ import annotations

import subprocess
from typing import Any

from kernelkit.engine.script import script
from kernelkit.kernel.files import ChangeDirectory
from kernelkit.kernel.hostname import SetHostname
from kernelkit.kernel.ip import AddVeth, SetLinkUp
from kernelkit.kernel.keyctl import JoinSessionKeyring
from kernelkit.kernel.mount import PivotRoot, Unmount
from kernelkit.kernel.process import Clone, Exec, Fork, OpenTerminal
from kernelkit.kernel.setpriv import DropBounding, SetGroup, SetGroups, SetUser
from kernelkit.kernel.unshare import Unshare
from kernelkit.trace import Operation, Stage, Step, number

START = [
    Stage("create", "init", "host", (Fork("shim"),)),
    Stage("create", "shim", "host", (Clone(("mount", "pid")),)),
    Stage("create", "container", "container", (Unshare(("cgroup",)), SetHostname("me"))),
    Stage("interface", "container", "host", (AddVeth("veth1", "eth0", "self", where="host"),)),
    Stage("ip", "container", "container", (SetLinkUp("lo"),)),
]


def steps(*last: Operation) -> list[dict[str, Any]]:
    """A record that went well, with these operations as its last stage."""
    found: list[Step] = number([*START, Stage("exec", "container", "container", last)])
    for step in found:
        step.started, step.seconds = 1.0, 0.1
    return [step.as_json() for step in found]


ENTER = (PivotRoot("/r"), Unmount(".", lazy=True), ChangeDirectory("/work", make=True))
PROGRAM = Exec(("sleep", "1"), ("PATH=/bin", "A=b c"))


def lines(text: str, section: int) -> list[str]:
    """The lines of one section."""
    return text.split(f"\n{section})\n")[1].split("\n;;\n")[0].splitlines()


def test_each_shell_that_takes_another_s_place_begins_a_section() -> None:
    text = script(steps(*ENTER, PROGRAM), "c1")

    assert text.startswith("#!/bin/sh\n# How container c1 was started")
    assert lines(text, 0)[-1] == 'exec unshare --mount --pid --fork sh "$me" 1'
    assert lines(text, 1)[-1] == 'exec unshare --cgroup sh "$me" 2'
    assert "hostname me" in lines(text, 2)
    subprocess.run(["sh", "-n"], input=text, text=True, check=True)


def test_what_is_about_the_host_is_said_in_the_host_s_network() -> None:
    text = script(steps(*ENTER, PROGRAM))

    queues = "numtxqueues 1 numrxqueues 1"
    typed = f'ip link add veth1 {queues} type veth peer name eth0 {queues} netns "/proc/$self/ns/net"'
    assert f"nsenter --net=/proc/self/fd/7 {typed}" in lines(text, 2)
    assert "ip link set lo up" in lines(text, 2)


def test_the_new_root_is_the_helper_s_business() -> None:
    helper = lines(script(steps(*ENTER, PROGRAM)), 0)
    enter = 'nsenter --target "$pid" --mount '

    assert [line.removeprefix(enter) for line in helper if line.startswith(enter)] == [
        "mkdir -p /r/work",
        "sh -c 'cd /r && pivot_root . .'",
        "umount -l .",
    ]


def test_a_terminal_is_shown_as_the_console() -> None:
    terminal = OpenTerminal("/dev/pts", "/dev/console", 3)
    text = script(steps(*ENTER, terminal, PROGRAM))
    (line,) = (line for line in lines(text, 0) if "/dev/console" in line)

    assert line == (
        '[ -z "$terminal" ] || nsenter --target "$pid" --mount '
        'sh -c \': > /r/dev/console && mount --bind "$1" /r/dev/console\' sh "$terminal"'
    )
    assert lines(text, 0).index(line) < next(i for i, x in enumerate(lines(text, 0)) if "pivot_root" in x)
    subprocess.run(["sh", "-n"], input=text, text=True, check=True)


def test_rights_are_given_up_in_one_line_and_the_program_comes_last() -> None:
    rights = (DropBounding(("CAP_NET_ADMIN",)), SetGroups((0, 5)), SetGroup(0), SetUser(0))
    text = script(steps(*ENTER, JoinSessionKeyring(), *rights, PROGRAM))

    assert 'exec setpriv --bounding-set=-net_admin --groups=0,5 --regid=0 --reuid=0 sh "$me" 4' in lines(text, 3)
    assert lines(text, 4)[-1] == "exec env -i PATH=/bin 'A=b c' sh \"$me\" 5"
    assert lines(text, 5)[-3:] == ["exec 0<&6 5<&- 6<&- 7<&- 8<&- 9<&-", "unset PWD OLDPWD", "exec sleep 1"]
    assert "cd /work" in lines(text, 5)


def test_what_was_left_out_is_a_comment() -> None:
    record = steps(*ENTER, PROGRAM)
    for step in record:
        if step["operation"] == "SetHostname":
            step |= {"started": None, "seconds": None, "error": "left out"}

    assert "# left out: hostname me" in lines(script(record), 2)
