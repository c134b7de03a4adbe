"""The terminal and the streams of `run`: raw and given back, resized, left and come back to; exit codes and signals."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import termios
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pexpect
import pytest

from tests.conftest import Kernelkit
from tests.patience import PATIENCE, wait_until

KERNELKIT = str(Path(sys.executable).with_name("kernelkit"))
PROMPT = r"[$#]\s*\Z"


@pytest.fixture
def kk(shared_kk: Kernelkit) -> Iterator[Kernelkit]:
    yield shared_kk
    shared_kk.empty()


def state(kk: Kernelkit, name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(kk("inspect", name).stdout)[0]["State"]
    return found


def spawn(kk: Kernelkit, *words: str) -> pexpect.spawn:
    """A kernelkit command with a terminal of its own, as a person would have."""
    return kk.terminal([KERNELKIT, *words])


def await_raw(child: pexpect.spawn) -> None:
    """Wait until keys go to the command as they are: before, ctrl-Q and ctrl-C are the terminal's own, termios(3)."""
    wait_until(lambda: not modes(child)[3] & (termios.ICANON | termios.ISIG))


def end(child: pexpect.spawn) -> int | None:
    """Wait for its end: what closes its terminal has not ended yet, and `close` would soon lose patience with it."""
    child.expect(pexpect.EOF)
    child.wait()
    child.close()
    return child.exitstatus


def modes(child: pexpect.spawn) -> list[Any]:
    return termios.tcgetattr(child.child_fd)


# a terminal -----------------------------------------------------------------------------------------------------------


def test_a_shell_has_a_terminal_of_the_right_size(kk: Kernelkit) -> None:
    child = spawn(kk, "run", "--rm", "-it", "busybox", "sh")
    child.expect("/ # ")
    child.sendline("tty; echo $TERM; stty size")
    child.expect("/dev/pts/0\r\nxterm\r\n33 77\r\n")
    child.setwinsize(30, 70)
    child.sendline("until stty size | grep '30 70'; do sleep 0.1; done; exit 3")
    child.expect("\n30 70\r\n")
    assert end(child) == 3


def test_the_size_is_there_when_the_program_begins(kk: Kernelkit) -> None:
    child = spawn(kk, "run", "--rm", "-it", "busybox", "stty", "size")
    child.expect("33 77\r\n")
    assert end(child) == 0


def test_the_terminal_is_raw_meanwhile_and_as_before_afterwards(kk: Kernelkit) -> None:
    shell = kk.terminal(["sh", "-i"], env={"PS1": "$ "})
    shell.expect_exact("$ ")
    before = modes(shell)
    shell.sendline(f"{KERNELKIT} run --rm -it busybox sh")
    shell.expect("/ # ")
    assert not modes(shell)[3] & (termios.ICANON | termios.ECHO | termios.ISIG)
    shell.sendline("exit 4")
    shell.expect_exact("$ ")
    shell.sendline("echo code $?")
    shell.expect("code 4\r\n")
    shell.expect_exact("$ ")
    assert modes(shell) == before
    shell.sendline(f"{KERNELKIT} run --rm -it --name killed busybox sh")
    shell.expect("/ # ")
    kk("rm", "-f", "killed")
    shell.expect_exact("$ ")
    shell.sendline("echo code $?")
    shell.expect("code 137\r\n")
    shell.expect_exact("$ ")
    assert modes(shell) == before
    shell.sendline(f"{KERNELKIT} run --rm -it busybox nosuch")
    shell.expect("executable file not found")
    shell.expect_exact("$ ")
    assert modes(shell) == before
    shell.sendline("exit")
    end(shell)


def test_what_a_person_in_tmux_sees_is_whole(kk: Kernelkit) -> None:
    """A full-screen program in a real terminal: what it draws is there, and the shell's prompt after it."""
    tmux = ["tmux", "-L", kk.home.name, "-f", "/dev/null"]
    env = {**os.environ, **kk.env, "PS1": "$ ", "TMUX": ""}

    def screen() -> str:
        return subprocess.run([*tmux, "capture-pane", "-p"], env=env, capture_output=True, text=True).stdout

    def await_screen(pattern: str) -> str:
        """Wait until it shows this; the whole screen."""
        with contextlib.suppress(AssertionError):
            wait_until(lambda: re.search(pattern, screen(), re.MULTILINE))
        seen = screen()
        assert re.search(pattern, seen, re.MULTILINE)
        return seen

    subprocess.run([*tmux, "new-session", "-d", "-x", "90", "-y", "20", "sh"], env=env, check=True)
    try:
        await_screen(PROMPT)  # or it could come after the keys, be there still when vi goes, and look like the next
        keys = f"{KERNELKIT} run --rm -it busybox vi /etc/passwd"
        subprocess.run([*tmux, "send-keys", keys, "Enter"], env=env, check=True)
        seen = await_screen(r"^root:x:0:0(.*\n)*- /etc/passwd 1/\d+")
        assert len(seen.rstrip("\n").splitlines()) == 20, "it fills the screen"
        subprocess.run([*tmux, "resize-window", "-x", "60", "-y", "10"], env=env, check=True)
        await_screen(r"- /etc/passwd 1/\d+")
        subprocess.run([*tmux, "send-keys", "G"], env=env, check=True)
        await_screen(r"- /etc/passwd (\d+)/\1")
        subprocess.run([*tmux, "send-keys", ":q!", "Enter"], env=env, check=True)
        await_screen(PROMPT)
        subprocess.run([*tmux, "send-keys", "stty -a | grep -c ' echo '", "Enter"], env=env, check=True)
        await_screen(r"^1$")
    finally:
        subprocess.run([*tmux, "kill-server"], env=env, check=False)


def test_ctrl_c_goes_to_the_program(kk: Kernelkit) -> None:
    child = spawn(kk, "run", "--rm", "-it", "--name", "shell", "busybox", "sh")
    child.expect("/ # ")
    child.sendline("sleep 1000")
    wait_until(lambda: "sleep 1000" in kk("top", "shell").stdout)
    child.sendcontrol("c")
    child.expect("/ # ")
    child.sendline("echo $?; exit")
    child.expect("130\r\n")
    end(child)
    child = spawn(kk, "run", "--rm", "-it", "--init", "--name", "init", "busybox", "sleep", "1000")
    wait_until(lambda: re.search(r"\d\s+sleep 1000$", kk("top", "init", check=False).stdout, re.MULTILINE))
    await_raw(child)
    child.sendcontrol("c")
    assert end(child) == 130


def test_ctrl_p_ctrl_q_leaves_it_running_and_attach_comes_back(kk: Kernelkit) -> None:
    child = spawn(kk, "run", "-it", "--name", "dk", "busybox", "sh")
    child.expect("/ # ")
    child.send("echo hi\r")
    child.expect("hi\r\n")
    child.send("\x10\x11")
    assert end(child) == 0
    assert state(kk, "dk")["Running"]
    child = spawn(kk, "attach", "dk")
    await_raw(child)
    child.send("\recho again\r")
    child.expect("again\r\nagain\r\n")
    child.send("echo x\x10x\r")  # ctrl-p is held until the next key
    child.expect("xx|again")
    child.send("\x10\x11")
    child.expect("read escape sequence")
    assert end(child) == 1
    child = spawn(kk, "attach", "--detach-keys", "ctrl-a,d", "dk")
    await_raw(child)
    child.send("\x01d")
    child.expect("read escape sequence")
    assert end(child) == 1
    child = spawn(kk, "attach", "dk")
    await_raw(child)
    child.send("\x03exit 5\r")
    assert end(child) == 5
    assert state(kk, "dk")["ExitCode"] == 5


def test_other_keys_detach_and_then_the_usual_ones_do_not(kk: Kernelkit) -> None:
    child = spawn(kk, "run", "-it", "--name", "other", "--detach-keys", "ctrl-a,x", "busybox", "cat")
    wait_until(lambda: kk("ps", "-q").stdout)
    await_raw(child)
    child.send("\x10\x11usual\r")
    child.expect("usual\r\n")
    child.send("\x01x")
    assert end(child) == 0
    assert state(kk, "other")["Running"]
    child = spawn(kk, "start", "-ai", "other")
    await_raw(child)
    child.send("\x10\x11")
    assert end(child) == 0, "as Docker's start has it"
    refused = kk("run", "--rm", "-it", "--detach-keys", "bogus", "busybox", check=False)
    assert refused.returncode in (1, 125)


def test_a_terminal_is_wanted_for_t_with_i(kk: Kernelkit) -> None:
    refused = kk("run", "--rm", "-it", "busybox", "true", check=False, input="")
    assert (refused.returncode, refused.stderr) == (1, "the input device is not a TTY\n")
    assert kk("run", "--rm", "-t", "busybox", "tty").stdout.strip() == "/dev/pts/0"


def test_an_exec_has_a_terminal_of_its_own(kk: Kernelkit) -> None:
    kk("run", "-d", "-t", "--name", "box", "busybox", "sleep", "1000")
    child = spawn(kk, "exec", "-it", "box", "sh")
    child.expect("/ # ")
    child.sendline("tty; stty size; exit 7")
    child.expect("/dev/pts/1\r\n33 77\r\n")
    assert end(child) == 7


# streams --------------------------------------------------------------------------------------------------------------


def test_large_data_goes_through_both_ways_and_ends(kk: Kernelkit) -> None:
    content = os.urandom(5 << 20)
    for command, wanted in ((["cat"], content), (["wc", "-c"], b"%d\n" % len(content))):
        process = subprocess.run(
            [KERNELKIT, "run", "--rm", "-i", "busybox", *command],
            input=content,
            capture_output=True,
            env={**os.environ, **kk.env},
        )
        assert (process.returncode, process.stderr) == (0, b"")
        assert process.stdout == wanted, "whole and in order"


def test_the_end_of_input_is_heard_while_output_goes_on(kk: Kernelkit) -> None:
    process = kk.start([KERNELKIT, "run", "--rm", "-i", "busybox", "sh", "-c", "cat; sleep 0.3; echo after"],
                       stdin=subprocess.PIPE)  # fmt: skip
    assert process.stdin
    assert process.stdout
    process.stdin.write("one\n")
    process.stdin.flush()
    assert process.stdout.readline() == "one\n", "at once, not at the end"
    process.stdin.close()
    assert process.stdout.read() == "after\n"
    assert process.wait(PATIENCE) == 0


def test_without_i_there_is_no_input(kk: Kernelkit) -> None:
    assert kk("run", "--rm", "busybox", "wc", "-c", input="x" * 1000).stdout == "0\n"


def test_output_and_errors_are_apart_and_in_the_log(kk: Kernelkit) -> None:
    script = "echo out; echo err >&2; printf 'no end'"
    ended = kk("run", "--name", "box", "busybox", "sh", "-c", script)
    assert (ended.stdout, ended.stderr) == ("out\nno end", "err\n")
    logs = kk("logs", "box")
    assert (logs.stdout, logs.stderr) == ("out\nno end", "err\n")
    only = kk("run", "--rm", "-a", "stderr", "busybox", "sh", "-c", script)
    assert (only.stdout, only.stderr) == ("", "err\n")


def test_a_reader_that_leaves_ends_nothing_but_itself(kk: Kernelkit) -> None:
    command = f"{KERNELKIT} run --rm busybox sh -c 'while echo y; do :; done' | head -1"
    assert kk.run(["sh", "-c", command]).stdout == "y\n"
    wait_until(lambda: len(kk("ps", "-q").stdout.split()) <= 1)


def test_detached_it_prints_its_id_and_logs_are_followed(kk: Kernelkit) -> None:
    script = "for i in 1 2 3; do echo $i; sleep 0.1; done"
    identity = kk("run", "-d", "--name", "box", "busybox", "sh", "-c", script).stdout
    assert re.fullmatch("[0-9a-f]{64}\n", identity)
    assert kk("logs", "-f", "box").stdout == "1\n2\n3\n"
    assert kk("logs", "--tail", "2", "box").stdout == "2\n3\n"
    stamped = kk("logs", "-t", "--tail", "1", "box").stdout
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z 3\n", stamped)


# ends -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["busybox", "true"], 0, ""),
        (["busybox", "sh", "-c", "exit 5"], 5, ""),
        (["busybox", "nosuch"], 127, 'exec: "nosuch": executable file not found in $PATH'),
        (["busybox", "/no/such"], 127, 'exec: "/no/such": stat /no/such: no such file or directory'),
        (["busybox", "/etc"], 126, 'exec: "/etc": permission denied'),
        (["busybox", "/etc/passwd"], 126, 'exec: "/etc/passwd": permission denied'),
        (["-v", "/proc/self/cmdline:/x", "busybox", "/x"], 126, 'exec: "/x": '),
        (["--nosuch", "busybox"], 125, "unknown flag: --nosuch"),
        (["-u", "nosuchuser", "busybox", "id"], 125, "unable to find user nosuchuser: no matching entries in passwd"),
        (["busybox", "sh", "-c", "kill -9 $$; echo survived"], 0, ""),
        (["--init", "busybox", "sh", "-c", "kill -TERM $$"], 143, ""),
    ],
)
def test_exit_codes_are_docker_s(kk: Kernelkit, words: list[str], code: int, said: str) -> None:
    ended = kk("run", "--rm", *words, check=False)
    assert ended.returncode == code
    assert said in ended.stderr
    assert kk("ps", "-aq").stdout == "", "with --rm nothing is left of it"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1])
def test_a_signal_to_the_client_reaches_the_program(kk: Kernelkit, number: signal.Signals) -> None:
    name = number.name.removeprefix("SIG")
    script = f"trap 'echo {name}; exit 9' {name}; echo ready; while :; do sleep 0.02; done"
    process = kk.start([KERNELKIT, "run", "--rm", "busybox", "sh", "-c", script])
    assert process.stdout
    assert process.stdout.readline() == "ready\n"
    process.send_signal(number)
    assert process.communicate(timeout=PATIENCE)[0] == f"{name}\n"
    assert process.returncode == 9


def test_without_the_proxy_the_client_ends_and_the_program_goes_on(kk: Kernelkit) -> None:
    process = kk.start([KERNELKIT, "run", "--sig-proxy=false", "--name", "on", "busybox", "sh", "-c",
                        "echo ready; sleep 1000"])  # fmt: skip
    assert process.stdout
    assert process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=PATIENCE)
    assert process.returncode in (-15, 143)
    assert state(kk, "on")["Running"]
