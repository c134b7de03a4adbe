"""A start that is watched: the conversation with the engine, and what is shown of it."""

from __future__ import annotations

import json
import os
import pty
import socket
import termios
import threading
from typing import Any

import pytest

from kernelkit.cli.http import ApiError
from kernelkit.cli.output import Failure
from kernelkit.cli.record import container_folder, readable
from kernelkit.cli.steps import QUESTION, Asking, Watcher, converse
from kernelkit.cli.wire import ConnectionLost, Wire
from tests.patience import wait_until

ID = "d01db81a3f2515252077e929d286beadb15410e080d7d5ccef87114aa5eee2eb"
FOLDER = f"/var/lib/kernelkit/containers/{ID}"


def step(seq: int, shell: str, stage: str = "create", where: str = "host", **more: Any) -> dict[str, Any]:
    base = {"seq": seq, "stage": stage, "actor": "shim", "where": where, "shell": shell, "operation": "X"}
    return {**base, "started": 1.0, "seconds": 0.0012, "error": "", **more}


PLAN = [step(1, f"mkdir {FOLDER}/upper"), step(2, "hostname x", where="container"), step(3, "true", "exec")]


class Engine:
    """The engine's end of the wire: says lines, notes what it is told."""

    def __init__(self) -> None:
        self._here, there = socket.socketpair()
        self.wire = Wire.__new__(Wire)
        self.wire.socket, self.wire.rest = there, b""  # type: ignore[assignment]
        self.told: list[str] = []

    def play(self, *messages: dict[str, Any]) -> threading.Thread:
        """Say these in turn, waiting for an answer after each `about`."""

        def run() -> None:
            lines = self._here.makefile("rb")
            for message in messages:
                self._here.sendall(json.dumps(message).encode() + b"\n")
                if "about" in message:
                    self.told.append(json.loads(lines.readline())["do"])
            lines.close()
            self._here.close()

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        return thread


class Answers(Asking):
    """Answers without a user."""

    def __init__(self, *answers: str) -> None:
        self.answers = list(answers)
        self.asked: list[tuple[int, int]] = []

    def answer(self, step: dict[str, Any], pid: int) -> str:
        self.asked.append((step["seq"], pid))
        return self.answers.pop(0)


def test_what_happens_is_shown_stage_by_stage(capfd: pytest.CaptureFixture[str]) -> None:
    engine = Engine()
    engine.play({"plan": PLAN}, *({"step": one} for one in PLAN), {"started": 42})
    assert converse(engine.wire, Watcher(show=True), None) == 42
    assert capfd.readouterr().err.splitlines() == [
        "create  a new container is created",
        f"  C={FOLDER}",
        "  mkdir $C/upper  host 1.20 ms",
        "  hostname x  container 1.20 ms",
        "",
        "exec  the program is executed",
        "  true  host 1.20 ms",
    ]


def test_an_end_is_not_called_a_beginning(capfd: pytest.CaptureFixture[str]) -> None:
    engine = Engine()
    engine.play({"plan": PLAN}, {"step": step(9, "rmdir x", operation="RemoveCgroup")}, {"started": 1})
    converse(engine.wire, Watcher(show=True), None)
    assert capfd.readouterr().err.splitlines()[0] == "create  what was made for it is taken back"


def test_each_operation_is_asked_for_and_the_answer_sent(capfd: pytest.CaptureFixture[str]) -> None:
    engine = Engine()
    asked = Answers("next", "continue")
    about = [{"about": 1, "pid": 0}, {"step": PLAN[0]}, {"about": 2, "pid": 77}, {"step": PLAN[1]}, {"step": PLAN[2]}]
    engine.play({"plan": PLAN}, *about, {"started": 1})
    converse(engine.wire, Watcher(show=True), asked)
    assert asked.asked == [(1, 0), (2, 77)]
    assert engine.told == ["next", "continue"]
    lines = capfd.readouterr().err.splitlines()
    assert "  mkdir $C/upper   (host, by the shim)" in lines
    assert lines.count("    done in 1.20 ms") == 2


def test_what_is_left_out_is_said_even_when_nothing_else_is_shown(capfd: pytest.CaptureFixture[str]) -> None:
    engine = Engine()
    left_out = {**PLAN[1], "started": None, "seconds": None}
    engine.play({"plan": PLAN}, {"left_out": left_out}, {"step": PLAN[0]}, {"started": 1})
    converse(engine.wire, Watcher(show=False), None)
    assert capfd.readouterr().err.splitlines() == ["create  a new container is created", "  hostname x  left out"]


def test_an_error_of_the_kernel_stands_below_its_operation(capfd: pytest.CaptureFixture[str]) -> None:
    engine = Engine()
    failed = {**PLAN[0], "error": "Permission denied"}
    engine.play({"plan": PLAN}, {"step": failed}, {"error": {"message": "no permission", "status": 400}})
    with pytest.raises(ApiError) as error:
        converse(engine.wire, Watcher(show=True), None)
    assert (error.value.said, error.value.status) == ("no permission", 400)
    assert capfd.readouterr().err.splitlines()[-1] == "    Permission denied"


def test_an_engine_that_dies_in_the_middle_is_no_success() -> None:
    engine = Engine()
    engine.play({"plan": PLAN}, {"step": PLAN[0]})
    with pytest.raises(ConnectionLost):
        converse(engine.wire, Watcher(show=False), None)


def type_when_asked(master: int, slave: int, typed: bytes) -> None:
    wait_until(lambda: not termios.tcgetattr(slave)[3] & termios.ICANON)
    os.write(master, typed)


@pytest.mark.parametrize(
    ("typed", "answer"), [(b"\r", "next"), (b"n", "next"), (b"c", "continue"), (b"k\n", "skip"), (b"q", "abort")]
)
def test_one_key_of_a_terminal_is_enough(
    typed: bytes, answer: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    master, slave = pty.openpty()
    saved = os.dup(0)
    os.dup2(slave, 0)
    try:
        asking = Asking(interactive=False)
        typing = threading.Thread(target=type_when_asked, args=(master, slave, typed))
        typing.start()
        assert asking.answer(PLAN[0], 0) == answer
        typing.join()
    finally:
        os.dup2(saved, 0)
        for fd in (saved, master, slave):
            os.close(fd)


@pytest.mark.parametrize(("step_", "pid", "entered"), [(PLAN[0], 77, 0), (PLAN[1], 77, 77), (PLAN[1], 0, 0)])
def test_s_opens_a_shell_where_the_operation_will_happen(
    step_: dict[str, Any], pid: int, entered: int, capfd: pytest.CaptureFixture[str]
) -> None:
    read, write = os.pipe()
    os.write(write, b"s\nx\n\n")
    saved = os.dup(0)
    os.dup2(read, 0)
    shells: list[int] = []
    try:
        assert Asking(interactive=False, enter=shells.append).answer(step_, pid) == "next"
    finally:
        os.dup2(saved, 0)
        for fd in (saved, read, write):
            os.close(fd)
    assert shells == [entered]


def test_the_end_of_input_means_all_the_rest(capfd: pytest.CaptureFixture[str]) -> None:
    saved = os.dup(0)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    try:
        assert Asking(interactive=False).answer(PLAN[0], 0) == "continue"
    finally:
        os.dup2(saved, 0)
        os.close(saved)
        os.close(null)


def test_nobody_to_ask_is_said_before_anything_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_terminal(path: str, flags: int) -> int:
        raise OSError(6, "No such device or address")

    monkeypatch.setattr("kernelkit.cli.steps.os.open", no_terminal)
    monkeypatch.setattr("kernelkit.cli.steps.os.isatty", lambda fd: False)
    with pytest.raises(Failure, match="--step needs a terminal"):
        Asking(interactive=True)


def test_the_container_s_folder_is_found_in_shell_lines() -> None:
    assert container_folder(f"mount -o upperdir={FOLDER}/upper,workdir={FOLDER}/work overlay") == FOLDER
    assert container_folder(f"printf %s 'x' > {FOLDER}/hosts") == FOLDER
    assert container_folder(f"echo 1 > /sys/fs/cgroup/pids/containers/{ID}/tasks") == ""
    assert container_folder("ls /containers/short") == ""


def test_only_words_that_nobody_reads_are_cut() -> None:
    assert readable("hostname " + "a" * 500) == "hostname " + "a" * 500
    cut = readable("load " + "b" * 3000 + " sh")
    assert len(cut) < 60
    assert "…" in cut


def test_the_question_fits_into_one_line_of_a_terminal() -> None:
    """It is wiped out by a return and an erase, which reach one row only."""
    assert len(QUESTION) < 80
