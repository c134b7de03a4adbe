"""Looking on at a start: shown, stopped between any two operations, incomplete, given up."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from typing import Any, ClassVar
from urllib.parse import urlencode

import pytest

from tests.conftest import Kernelkit
from tests.e2e.test_script import ask
from tests.e2e.test_strace import await_next, engine_of
from tests.patience import PATIENCE, wait_until


class Start:
    """A start under the eyes of a client: POST /kernelkit/containers/{id}/start."""

    open: ClassVar[list[Start]] = []

    def __init__(self, kk: Kernelkit, name: str, **query: Any) -> None:
        Start.open.append(self)
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(PATIENCE)
        self._socket.connect(str(kk.socket))
        target = f"/kernelkit/containers/{name}/start?{urlencode(query, doseq=True)}"
        self._socket.sendall(
            f"POST {target} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n".encode()
        )
        self._lines = self._socket.makefile("rb")
        assert self._lines.readline().startswith(b"HTTP/1.1 101 ")
        while self._lines.readline().strip():
            continue

    def hear(self) -> dict[str, Any]:
        """What the engine says next; empty at the end."""
        line = self._lines.readline()
        return json.loads(line) if line else {}

    def all(self) -> list[dict[str, Any]]:
        """All that it says from here on."""
        return list(iter(self.hear, {}))

    def say(self, word: str) -> None:
        """Tell the engine how to go on."""
        self._socket.sendall(json.dumps({"do": word}).encode() + b"\n")

    def until(self, operation: str) -> dict[str, Any]:
        """Step until that operation is about to happen; the message about it."""
        plan = {step["seq"]: step for step in self.hear()["plan"]}
        while message := self.hear():
            assert "error" not in message, message
            if "about" in message:
                if plan[message["about"]]["operation"] == operation:
                    return message
                self.say("next")
        raise AssertionError(f"{operation} is not in the plan")

    def leave(self) -> None:
        """Go away without a word."""
        self._lines.close()
        self._socket.close()


@pytest.fixture
def kk(shared_kk: Kernelkit) -> Iterator[Kernelkit]:
    yield shared_kk
    while Start.open:
        Start.open.pop().leave()
    shared_kk.empty()


def create(kk: Kernelkit, *options: str) -> str:
    return kk.docker("create", *options, "busybox", "sleep", "1000").stdout.strip()


def in_host(kk: Kernelkit, *words: str) -> str:
    init = (kk.home / "run" / "init.pid").read_text()
    return kk.run(["nsenter", "-t", init, "-a", "--", *words], check=False).stdout


def links(kk: Kernelkit) -> list[str]:
    return sorted(link["ifname"] for link in json.loads(in_host(kk, "ip", "-j", "link")))


def held(kk: Kernelkit) -> dict[str, str]:
    """What the practice host holds that a start makes, with no container in it."""
    # The kernel takes a network namespace apart a moment after its last process has gone.
    wait_until(lambda: not any(link.startswith("veth") for link in links(kk)))
    await_next(kk)
    return {
        "links": " ".join(links(kk)),
        "rules": in_host(kk, "nft", "list", "ruleset"),
        "cgroups": in_host(kk, "sh", "-c", "find /sys/fs/cgroup -path '*/containers/*' -type d | sort"),
        "processes": in_host(kk, "ps", "-e", "-o", "args="),
        "mounts": in_host(kk, "cat", "/proc/1/mountinfo"),
    }


def test_a_shown_start_tells_each_step_once_and_in_order(kk: Kernelkit) -> None:
    name = create(kk, "-p", "8095:80")
    said = Start(kk, name, show=1).all()
    plan = said[0]["plan"]
    steps = [message["step"] for message in said if "step" in message]

    assert [step["seq"] for step in steps] == list(range(1, len(steps) + 1))
    assert [step["operation"] for step in steps[: len(plan)]] == [step["operation"] for step in plan]
    # Where there is a practice host, the real machine's ports are led into it once somebody is behind them.
    assert {step["where"] for step in steps[len(plan) :]} <= {"machine"}
    assert all(step["started"] and not step["error"] for step in steps)
    assert list(dict.fromkeys(step["stage"] for step in plan)) == [
        "create", "filesystem", "rw-layer", "interface", "ip", "nat", "exec",
    ]  # fmt: skip
    assert said[-1] == {"started": int(kk.docker("inspect", "-f", "{{.State.Pid}}", name).stdout)}


def test_between_two_operations_the_kernel_is_as_the_steps_so_far_have_made_it(kk: Kernelkit) -> None:
    name = create(kk, "-h", "renamed")
    start = Start(kk, name, step=1)
    about = start.until("SetHostname")
    enter = ["nsenter", "-t", str(about["pid"]), "-u", "hostname"]
    assert in_host(kk, *enter) == in_host(kk, "hostname")
    start.say("next")
    assert start.hear()["step"]["operation"] == "SetHostname"
    assert in_host(kk, *enter) == "renamed\n"
    assert "overlay" not in in_host(kk, "cat", f"/proc/{about['pid']}/mountinfo")
    assert "about" in start.hear()
    start.say("continue")
    assert "started" in start.all()[-1]
    assert kk.docker("exec", name, "hostname").stdout == "renamed\n"


def test_one_operation_can_be_skipped_on_the_way(kk: Kernelkit) -> None:
    name = create(kk, "-h", "renamed")
    start = Start(kk, name, step=1)
    start.until("SetHostname")
    start.say("skip")
    assert start.hear()["left_out"]["operation"] == "SetHostname"
    assert "about" in start.hear()
    start.say("continue")
    assert "started" in start.all()[-1]
    assert kk.docker("exec", name, "hostname").stdout == in_host(kk, "hostname")


@pytest.mark.parametrize(
    "operation", ["MakeCgroup", "Clone", "SetHostname", "AddVeth", "AddSetElement", "AddMapElement", "Exec"]
)
@pytest.mark.parametrize("politely", [True, False], ids=["aborted", "vanished"])
def test_a_start_that_is_given_up_leaves_nothing_behind(kk: Kernelkit, operation: str, politely: bool) -> None:
    before = held(kk)
    name = create(kk, "-p", "8095:80", "-m", "64m")
    start = Start(kk, name, step=1)
    start.until(operation)
    if politely:
        start.say("abort")
        last = start.all()[-1]
        assert "aborted" in last["error"]["message"]
    else:
        start.leave()
    kk.docker("rm", "-f", name)  # waits until the start is over
    assert held(kk) == before
    # The address and the port are free again.
    again = create(kk, "-p", "8095:80")
    assert "started" in Start(kk, again, show=1).all()[-1]


@pytest.mark.parametrize(
    ("left_out", "missing"),
    [("SetHostname", "hostname"), ("ip", "address"), ("nat", "map"), ("MaskPath", "mask"), ("LoadSeccomp", "filter")],
)
def test_what_is_left_out_is_not_done_and_is_said(kk: Kernelkit, left_out: str, missing: str) -> None:
    name = create(kk, "-h", "renamed", "-p", "8095:80")
    said = Start(kk, name, show=1, without=[left_out]).all()
    gone = [message["left_out"] for message in said if "left_out" in message]

    assert gone
    assert all(left_out in (step["stage"], step["operation"]) and step["error"] == "left out" for step in gone)
    assert "started" in said[-1]
    pid = kk.docker("inspect", "-f", "{{.State.Pid}}", name).stdout.strip()
    status, rules = in_host(kk, "cat", f"/proc/{pid}/status"), in_host(kk, "nft", "list", "ruleset")
    found = {
        "hostname": in_host(kk, "nsenter", "-t", pid, "-u", "hostname") == in_host(kk, "hostname"),
        "address": "172.17." not in in_host(kk, "nsenter", "-t", pid, "-n", "ip", "address"),
        "map": "8095 :" not in rules and "elements = { 172.17.0.2 }" not in rules,
        "mask": " /proc/keys " not in in_host(kk, "cat", f"/proc/{pid}/mountinfo"),
        "filter": "Seccomp:\t0" in status,
    }
    assert found == {key: key == missing for key in found}


def test_a_start_that_fails_for_what_was_left_out_says_so(kk: Kernelkit) -> None:
    before = held(kk)
    said = Start(kk, create(kk), show=1, without=["rw-layer"]).all()[-1]
    assert "left out: Mount" in said["error"]["message"]
    said = Start(kk, create(kk), show=1, without=["Exec"]).all()[-1]
    assert "left out: Exec" in said["error"]["message"]
    assert held(kk) == before


def test_a_name_that_means_nothing_is_refused_with_what_there_is(kk: Kernelkit) -> None:
    said = Start(kk, create(kk), show=1, without=["nosuch"]).all()
    error = said[-1]["error"]
    assert "there is no stage or operation 'nosuch' to leave out" in error["message"]
    assert "stages: create, filesystem" in error["message"]
    assert "SetHostname" in error["message"]
    assert error["status"] == 400
    refused = Start(kk, create(kk), show=1, without=["Clone"]).all()[-1]
    assert "'Clone' cannot be left out" in refused["error"]["message"]


def test_the_record_is_followed_whoever_asks(kk: Kernelkit) -> None:
    follower = socket.socket(socket.AF_UNIX)
    follower.settimeout(PATIENCE)
    follower.connect(str(kk.socket))
    follower.sendall(b"GET /kernelkit/trace?follow=1 HTTP/1.1\r\nHost: x\r\n\r\n")
    head = b""
    while b"\r\n\r\n" not in head:
        head += follower.recv(4096)
    identity = create(kk)
    kk.docker("start", identity)
    kk.docker("kill", identity)
    content = b""
    wanted = [identity.encode(), b"MakeCgroup", b"Clone", b"PivotRoot", b"Exec", b"RemoveCgroup"]
    while not all(word in content for word in wanted):
        piece = follower.recv(65536)
        assert piece, content
        content += piece
    follower.close()


def test_a_record_outlives_the_engine_that_made_it(kk: Kernelkit) -> None:
    identity = kk.docker("run", "-d", "busybox", "sleep", "1000").stdout.strip()
    file = kk.home / "containers" / identity / "trace.jsonl"
    wait_until(file.exists)
    whole = file.read_text().splitlines()
    kk.run(["kill", "-KILL", str(engine_of(kk))])
    wait_until(lambda: kk.docker("ps", "-q", check=False).stdout)
    kk.docker("exec", identity, "true")
    wait_until(lambda: len(file.read_text().splitlines()) > len(whole))
    after = [json.loads(line) for line in file.read_text().splitlines()]
    assert [step["seq"] for step in after] == list(range(1, len(after) + 1))
    assert [step["operation"] for step in after[: len(whole)]] == [json.loads(line)["operation"] for line in whole]
    assert after[-1]["fields"]["arguments"] == ["true"]
    assert kk.docker("exec", identity, "grep", "CapEff", "/proc/self/status").stdout.split()[1] == "00000000a80425fb"


def test_a_start_that_failed_is_in_the_record_with_what_was_refused(kk: Kernelkit) -> None:
    identity = kk.docker("create", "busybox", "nosuch").stdout.strip()
    assert kk.docker("start", identity, check=False).returncode == 1
    steps = json.loads(ask(kk, f"/kernelkit/trace/{identity}"))
    refused = [step for step in steps if step["error"]]
    assert [(step["operation"], step["error"]) for step in refused] == [("Exec", "No such file or directory")]
    assert all(step["started"] for step in steps), "and everything before it was done"
    assert steps[-1]["operation"] == "RemoveCgroup", "and undone"
