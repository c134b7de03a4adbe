"""Programs started for real: what they inherit, who may look into them, and an init that looks after them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from kernelkit.kernel.process import Clone, Exec, ForbidTracing, StayAsInit, let_go
from kernelkit.kernel.setpriv import SetCapabilities
from tests.child import child, in_child
from tests.patience import wait_until

ENVIRONMENT = ("PATH=/usr/bin:/bin",)


def output(program: tuple[str, ...], prepare: Callable[[], None] = lambda: None) -> str:
    """What a program says that a forked child has become."""
    read, write = os.pipe()

    def work() -> None:
        prepare()
        os.dup2(write, 1)
        Exec(program, ENVIRONMENT).perform()

    child(work)
    os.close(write)
    with os.fdopen(read) as pipe:
        return pipe.read()


COPIES = """
import os, random, threading
from kernelkit.kernel.process import fork

def own_pages(fork):
    "What a copy keeps of its own, in kB, and how it ends."
    read, write = os.pipe()
    pid = fork()
    if pid == 0:
        usage = os.open("/proc/self/smaps_rollup", os.O_RDONLY)
        os.write(write, os.read(usage, 4096))
        os._exit(7)
    os.close(write)
    with os.fdopen(read) as pipe:
        said = pipe.read()
    return int(said.split("Private_Dirty:")[1].split()[0]), os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

for _ in range(3):  # a first time, both of a pair write to more
    said = *own_pages(fork), *own_pages(os.fork)
print(*said)
"""


def test_a_bare_copy_ends_as_any_process_and_keeps_less_to_itself() -> None:
    ran = subprocess.run([sys.executable, "-c", COPIES], capture_output=True, text=True, check=True)
    bare, code, usual, code_too = map(int, ran.stdout.split())
    assert code == code_too == 7
    assert bare < usual


def test_a_signal_that_is_let_go_ends_the_process_again() -> None:
    def work() -> None:
        signal.signal(signal.SIGTERM, lambda *_: None)
        let_go(signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGTERM)
        signal.pause()

    _, status = child(work)
    assert os.WTERMSIG(status) == signal.SIGTERM


def test_a_program_ignores_no_signal_that_nobody_told_it_to() -> None:
    said = output(("grep", "-E", "Sig(Ign|Blk)", "/proc/self/status"))
    assert said.split() == ["SigBlk:", "0" * 16, "SigIgn:", "0" * 16]


def test_it_has_its_own_environment_and_no_other() -> None:
    assert output(("env",)) == "PATH=/usr/bin:/bin\n"


def test_what_is_not_there_and_what_cannot_be_run_are_two_things(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("no program")
    with pytest.raises(FileNotFoundError):
        in_child(lambda: Exec(("nosuch",), ENVIRONMENT).perform())
    with pytest.raises(PermissionError):
        in_child(lambda: Exec((os.fspath(tmp_path / "data"),), ENVIRONMENT).perform())
    with pytest.raises(PermissionError):
        in_child(lambda: Exec(("data",), (f"PATH=/nosuch:{tmp_path}",)).perform())


def test_nobody_with_the_same_rights_may_look_into_it() -> None:
    """A process with no capability looks for the program of another one like it."""
    for forbid in (False, True):
        read, write = os.pipe()
        pid = os.fork()
        if pid == 0:
            SetCapabilities((), (), ()).perform()
            if forbid:
                ForbidTracing().perform()
            os.write(write, b"x")
            time.sleep(100)
            os._exit(0)
        os.read(read, 1)

        def look(pid: int = pid) -> str:
            SetCapabilities((), (), ()).perform()
            return os.readlink(f"/proc/{pid}/exe")

        try:
            if forbid:
                with pytest.raises(PermissionError):
                    in_child(look)
            else:
                assert in_child(look) == os.readlink("/proc/self/exe")
        finally:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            os.close(read)
            os.close(write)


KEEPERS: dict[int, int] = {}  # the parent of each init


@pytest.fixture
def inits() -> Iterator[Callable[..., tuple[int, int]]]:
    """Starts a program below an init, in a pid namespace; (its pid, a descriptor to read what it says)."""
    started = []

    def start(*program: str) -> tuple[int, int]:
        read, write = os.pipe()
        told, tell = os.pipe()
        keeper = os.fork()
        if keeper == 0:
            keep(program, write, tell)
        os.close(write)
        os.close(tell)
        with os.fdopen(told) as pipe:
            pid = int(pipe.read())
        KEEPERS[pid] = keeper
        started.append((pid, read))
        return pid, read

    yield start
    for pid, read in started:
        os.close(read)
        if pid in KEEPERS:
            os.kill(pid, signal.SIGKILL)
            ended(pid)


def keep(program: tuple[str, ...], output: int, tell: int) -> None:
    """Have an init, and leave as it does. Only who has one thread can clone itself: the child gets no other one."""
    try:
        pid, _ = Clone(("pid", "mount")).perform()
        if pid == 0:
            os.close(tell)
            subprocess.run(["mount", "--make-rprivate", "/"], check=True)
            subprocess.run(["mount", "-t", "proc", "proc", "/proc"], check=True)
            os.dup2(output, 1, inheritable=True)
            StayAsInit(program).perform()
            Exec(program, ENVIRONMENT).perform()
        os.close(output)
        os.write(tell, str(pid).encode())
        os.close(tell)
        os._exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) % 256)
    finally:
        os._exit(127)


def ended(pid: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(KEEPERS.pop(pid), 0)[1])


def test_an_init_ends_as_its_program_does(inits: Callable[..., tuple[int, int]]) -> None:
    assert ended(inits("sh", "-c", "exit 7")[0]) == 7
    assert ended(inits("sh", "-c", "kill -9 $$")[0]) == 137
    assert ended(inits("nosuch")[0]) == 127


def test_an_init_hands_on_signals(inits: Callable[..., tuple[int, int]]) -> None:
    pid, read = inits("sh", "-c", "trap 'echo usr1; exit 5' USR1; echo ready; while :; do sleep 0.02; done")
    assert os.read(read, 100) == b"ready\n"
    os.kill(pid, signal.SIGUSR1)
    assert os.read(read, 100) == b"usr1\n"
    assert ended(pid) == 5


def test_an_init_collects_orphans(inits: Callable[..., tuple[int, int]]) -> None:
    pid, read = inits("sh", "-c", "(sleep 0.05 &); echo ready; sleep 100")
    assert os.read(read, 100) == b"ready\n"
    children = Path(f"/proc/{pid}/task/{pid}/children")
    wait_until(lambda: len(children.read_text().split()) == 1)


def test_an_init_shows_what_it_is_and_holds_nothing(inits: Callable[..., tuple[int, int]]) -> None:
    pid, read = inits("sh", "-c", "echo ready; sleep 100")
    assert os.read(read, 100) == b"ready\n"
    assert Path(f"/proc/{pid}/comm").read_text() == "kernelkit-init\n"
    words = Path(f"/proc/{pid}/cmdline").read_bytes().rstrip(b"\0").split(b"\0")
    assert words[:2] == [b"/sbin/kernelkit-init", b"--"][: len(words)]
    assert sys.executable.encode() not in words
    wait_until(lambda: sorted(os.listdir(f"/proc/{pid}/fd")) == ["0", "1", "2"])
