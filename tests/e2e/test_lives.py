"""What becomes of a container when one thing happens to it in the middle of another, as with Docker."""

from __future__ import annotations

import contextlib
import json
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Kernelkit
from tests.patience import wait_until

SLEEP = ("busybox", "sleep", "1000")


@pytest.fixture
def clean(shared_kk: Kernelkit) -> Iterator[Kernelkit]:
    """The shared engine, without what other tests have made."""
    yield shared_kk
    shared_kk.empty()
    shared_kk.docker("network", "prune", "-f")


def inspect(kk: Kernelkit, name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(kk.docker("inspect", name).stdout)[0]
    return found


def status(kk: Kernelkit, name: str) -> str:
    return str(inspect(kk, name)["State"]["Status"])


def ready(kk: Kernelkit, name: str) -> None:
    """Wait until it has said that it is."""
    wait_until(lambda: "ready" in kk.docker("logs", name).stdout)


def trapping(*traps: str) -> tuple[str, ...]:
    """A program that says "ready" once these traps are set."""
    lines = [f"trap {trap}" for trap in traps]
    return "busybox", "sh", "-c", "; ".join([*lines, "echo ready", "while :; do sleep 0.1; done"])


def test_one_that_goes_with_its_end_outlives_a_restart(clean: Kernelkit) -> None:
    docker = clean.docker
    script = "echo x >> /data/lives; exec sleep 1000"
    docker("run", "-d", "--rm", "--name", "r1", "-v", "/data", "busybox", "sh", "-c", script)
    for lives in (2, 3):
        docker("restart", "-t", "0", "r1")
        wait_until(lambda: docker("exec", "r1", "cat", "/data/lives").stdout.split() == ["x"] * lives)  # noqa: B023
    docker("stop", "-t", "0", "r1")
    wait_until(lambda: docker("ps", "-aq").stdout == "")


def test_its_new_name_is_known_in_its_networks_at_once(clean: Kernelkit) -> None:
    docker = clean.docker
    docker("network", "create", "n1")
    docker("run", "-d", "--name", "old", "--network", "n1", *SLEEP)
    docker("run", "-d", "--name", "asks", "--network", "n1", *SLEEP)
    docker("rename", "old", "new")
    assert "1 packets received" in docker("exec", "asks", "ping", "-c", "1", "new").stdout
    names = inspect(clean, "new")["NetworkSettings"]["Networks"]["n1"]["DNSNames"]
    assert "new" in names
    assert "old" not in names
    taken = docker("rename", "new", "asks", check=False).stderr
    assert 'Error when allocating new name: Conflict. The container name "/asks" is already in use' in taken


def test_who_is_in_a_network_that_is_gone_can_leave_it(clean: Kernelkit) -> None:
    docker = clean.docker
    docker("network", "create", "n1")
    docker("run", "-d", "--name", "in1", "--network", "n1", *SLEEP)
    docker("stop", "-t", "0", "in1")
    docker("network", "rm", "n1")
    assert "network n1 not found" in docker("start", "in1", check=False).stderr
    assert inspect(clean, "in1")["State"]["ExitCode"] == 137, "of its latest life, for there was no other"
    docker("network", "connect", "bridge", "in1")
    docker("network", "disconnect", "n1", "in1")
    assert "is not connected" in docker("network", "disconnect", "n1", "in1", check=False).stderr
    docker("start", "in1")
    assert list(inspect(clean, "in1")["NetworkSettings"]["Networks"]) == ["bridge"]
    assert "network n1 not found" in docker("network", "disconnect", "n1", "in1", check=False).stderr


def test_a_network_asked_for_again_is_asked_for_anew(clean: Kernelkit) -> None:
    docker = clean.docker
    docker("network", "create", "--subnet", "10.99.1.0/24", "n1")
    docker("create", "--name", "in1", "--network", "n1", *SLEEP)
    docker("network", "connect", "--ip", "10.99.1.9", "--alias", "also", "n1", "in1")
    docker("start", "in1")
    place = inspect(clean, "in1")["NetworkSettings"]["Networks"]["n1"]
    assert (place["IPAddress"], place["Aliases"]) == ("10.99.1.9", ["also"])
    for address, said in (
        ("10.99.1.0", "Address already in use"),
        ("10.99.1.255", "Address already in use"),
        ("nope", "invalid IPv4 address: nope"),
    ):
        assert said in docker("run", "--rm", "--network", "n1", "--ip", address, "busybox", check=False).stderr
    assert "already exists in network n1" in docker("network", "connect", "n1", "in1", check=False).stderr


def test_a_network_is_joined_by_way_of_another_that_joined_it(clean: Kernelkit) -> None:
    docker = clean.docker
    docker("run", "-d", "--name", "aa", *SLEEP)
    docker("run", "-d", "--name", "bb", "--network", "container:aa", *SLEEP)
    docker("run", "-d", "--name", "cc", "--network", "container:bb", *SLEEP)
    address = inspect(clean, "aa")["NetworkSettings"]["IPAddress"]
    assert address in docker("exec", "cc", "ip", "-4", "address").stdout
    assert docker("exec", "cc", "hostname").stdout == docker("exec", "aa", "hostname").stdout
    assert address in docker("exec", "cc", "cat", "/etc/hosts").stdout
    docker("stop", "-t", "0", "bb")
    docker("start", "bb")
    docker("rm", "-f", "aa")
    assert "eth0" not in docker("exec", "cc", "ip", "address").stdout, "its address is somebody else's soon"


def test_who_waits_sees_the_end_of_a_life_though_another_one_follows(clean: Kernelkit) -> None:
    clean.docker("run", "-d", "--name", "w1", "--restart", "always", "busybox", "sh", "-c", "sleep 0.5; exit 3")
    assert clean.docker("wait", "w1").stdout == "3\n"


def test_nobody_enters_who_is_between_two_lives(clean: Kernelkit) -> None:
    docker = clean.docker
    docker("run", "-d", "--name", "loops", "--restart", "always", "busybox", "false")
    said = "is restarting, wait until the container is running"
    for command in (
        ["exec", "loops", "true"],
        ["run", "--rm", "--network", "container:loops", "busybox", "true"],
        ["run", "--rm", "--pid", "container:loops", "busybox", "true"],
    ):
        # In the middle of a life it is let in, or finds that just over.
        wait_until(lambda: said in docker(*command, check=False).stderr)  # noqa: B023
    docker("network", "create", "n1")
    for verb in ("connect", "disconnect"):
        wait_until(lambda: docker("network", verb, "n1", "loops", check=False).returncode == 0)  # noqa: B023


@pytest.mark.parametrize("how", ["SIGRTMIN+3", "37"])
def test_real_time_signals_end_whom_they_are_to_end(clean: Kernelkit, how: str) -> None:
    docker = clean.docker
    docker("run", "-d", "--name", "k1", "--stop-signal", how, *trapping("'exit 9' 37"))
    ready(clean, "k1")
    docker("stop", "-t", "100", "k1")
    assert inspect(clean, "k1")["State"]["ExitCode"] == 9
    docker("start", "k1")
    wait_until(lambda: docker("logs", "k1").stdout.count("ready") == 2)
    docker("kill", "-s", how, "k1")
    wait_until(lambda: status(clean, "k1") == "exited")
    assert "invalid signal: RTMIN+99" in docker("kill", "-s", "RTMIN+99", "k1", check=False).stderr


@pytest.mark.parametrize("paused", [False, True], ids=["running", "paused"])
def test_whom_a_signal_ended_by_hand_is_not_started_again(clean: Kernelkit, *, paused: bool) -> None:
    docker = clean.docker
    docker("run", "-d", "--name", "k1", "--restart", "always", *trapping("'exit 3' HUP"))
    ready(clean, "k1")
    if paused:
        docker("pause", "k1")
    docker("kill", "-s", "HUP", "k1")
    wait_until(lambda: status(clean, "k1") == "exited")
    state = inspect(clean, "k1")
    assert (state["State"]["ExitCode"], state["RestartCount"]) == (3, 0)


def test_who_says_which_signal_is_the_last_is_started_again_after_others(clean: Kernelkit) -> None:
    docker = clean.docker
    traps = trapping("'exit 3' HUP", "'exit 6' INT")
    docker("run", "-d", "--name", "k1", "--restart", "always", "--stop-signal", "INT", *traps)
    ready(clean, "k1")
    docker("kill", "-s", "HUP", "k1")
    wait_until(lambda: docker("logs", "k1").stdout.count("ready") == 2)
    docker("kill", "-s", "INT", "k1")
    wait_until(lambda: status(clean, "k1") == "exited")
    assert inspect(clean, "k1")["State"]["ExitCode"] == 6


def test_a_port_that_was_not_asked_for_is_another_one_after_a_restart(clean: Kernelkit) -> None:
    docker = clean.docker
    docker("run", "-d", "--name", "p1", "-p", "80", *SLEEP)
    before = docker("port", "p1", "80").stdout
    docker("restart", "-t", "0", "p1")
    assert docker("port", "p1", "80").stdout not in ("", before)


def test_ports_are_free_while_their_container_is_in_no_network(clean: Kernelkit) -> None:
    docker = clean.docker
    docker("run", "-d", "--name", "p1", "-p", "18473:80", *SLEEP)
    docker("network", "disconnect", "bridge", "p1")
    assert docker("port", "p1").stdout == ""
    docker("run", "-d", "--name", "p2", "-p", "18473:80", *SLEEP)
    taken = docker("network", "connect", "bridge", "p1", check=False).stderr
    assert "Bind for 0.0.0.0:18473 failed: port is already allocated" in taken
    docker("rm", "-f", "p2")
    docker("network", "connect", "bridge", "p1")
    assert "80/tcp -> 0.0.0.0:18473" in docker("port", "p1").stdout


def test_nobody_asks_a_paused_container_how_it_is(clean: Kernelkit) -> None:
    docker = clean.docker
    docker("run", "-d", "--name", "h1", "--health-cmd", "true", "--health-interval", "200ms", *SLEEP)

    def health() -> str:
        return str(inspect(clean, "h1")["State"]["Health"]["Status"])

    wait_until(lambda: health() == "healthy")
    docker("pause", "h1")
    assert health() == "unhealthy"
    docker("unpause", "h1")
    wait_until(lambda: health() == "healthy")
    docker("update", "--restart", "no", "h1")
    docker("restart", "-t", "0", "h1")
    assert inspect(clean, "h1")["State"]["Health"]["Log"], "of its earlier life"


def test_events_say_it_as_docker_does(clean: Kernelkit) -> None:
    docker = clean.docker
    docker("run", "-d", "--name", "e1", *SLEEP)
    docker("exec", "e1", "true")
    docker("exec", "e1", "echo", "a", "b")
    docker("commit", "e1", "made:of-e1")
    seconds = docker("exec", "e1", "date", "+%s").stdout.strip()
    said = docker("events", "--since", "10m", "--until", str(int(seconds) + 1), "--format", "{{.Action}} {{.Actor.ID}}")
    lines = said.stdout.splitlines()
    identity, image = (inspect(clean, name)["Id"] for name in ("e1", "made:of-e1"))
    assert f"exec_create: true  {identity}" in lines
    assert f"exec_start: echo a b {identity}" in lines
    assert lines.index(f"tag {image}") < lines.index(f"commit {identity}")
    docker("rmi", "made:of-e1")


def test_a_folder_that_is_gone_is_made_again_for_who_did_not_insist_on_it(clean: Kernelkit, tmp_path: Path) -> None:
    docker, folder = clean.docker, tmp_path / "shared"
    folder.mkdir()
    docker("create", "--name", "v1", "-v", f"{folder}:/x", "busybox", "ls", "-d", "/x")
    docker("create", "--name", "v2", "--mount", f"type=bind,source={folder},target=/x", "busybox", "ls", "-d", "/x")
    folder.rmdir()
    assert "bind source path does not exist" in docker("start", "-a", "v2", check=False).stderr
    assert docker("start", "-a", "v1").stdout == "/x\n"
    assert docker("start", "-a", "v2").stdout == "/x\n"


def test_the_end_is_told_before_what_comes_of_it(clean: Kernelkit) -> None:
    docker = clean.docker
    docker("run", "-d", "--name", "e2", "-v", "/data", *SLEEP)
    identity = inspect(clean, "e2")["Id"]
    docker("stop", "-t", "0", "e2")
    seconds = docker("run", "--rm", "busybox", "date", "+%s").stdout.strip()
    form = "{{.Type}} {{.Action}} {{.Actor.ID}} {{.Actor.Attributes.container}}"
    said = docker("events", "--since", "10m", "--until", str(int(seconds) + 1), "--format", form).stdout
    about = [" ".join(line.split()[:2]) for line in said.splitlines() if identity in line]
    last = about[about.index("container die") :]
    assert last == ["container die", "network disconnect", "volume unmount", "container stop"]


def test_who_always_runs_runs_when_an_engine_begins(kk: Kernelkit) -> None:
    docker = kk.docker
    kk("up")
    docker("run", "-d", "--name", "beside", "--restart", "always", "--pull", "missing", *SLEEP)
    for name, policy in (("always", "always"), ("unless", "unless-stopped"), ("never", "no")):
        docker("run", "-d", "--name", name, "--restart", policy, *SLEEP)
        docker("stop", "-t", "0", name)
    docker("create", "--name", "created", "--restart", "always", *SLEEP)
    docker("run", "-d", "--name", "joined", "--restart", "always", "--network", "container:beside", *SLEEP)
    docker("run", "-d", "--name", "watches", "--restart", "always", "--pid", "container:beside", *SLEEP)
    kk("down")
    kk("up")
    for name in ("beside", "always", "joined", "watches"):
        wait_until(lambda: status(kk, name) == "running")  # noqa: B023
    assert [status(kk, name) for name in ("unless", "never", "created")] == ["exited", "exited", "created"]
    docker("exec", "joined", "true")


def test_the_way_out_is_by_the_network_of_the_highest_priority_then_by_name(clean: Kernelkit) -> None:
    docker = clean.docker
    for number, name in enumerate(("na", "nb", "nc")):
        docker("network", "create", "--subnet", f"10.99.{number}.0/24", name)

    def way_out() -> str:
        routes = docker("exec", "g1", "ip", "route").stdout.splitlines()
        (found,) = (line.split()[2] for line in routes if line.startswith("default"))
        return found

    def reaches_it() -> bool:
        number = docker("port", "g1", "80").stdout.split(":")[1].split()[0]
        with contextlib.suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{number}", timeout=10) as answer:
            return bool(answer.read() == b"hello\n")
        return False

    serve = "echo hello > /index.html; exec httpd -f -h /"
    docker("run", "-d", "--name", "g1", "--network", "nb", "-p", "80", "busybox", "sh", "-c", serve)
    for command, expected in (
        (["connect", "nc", "g1"], "10.99.1.1"),
        (["connect", "na", "g1"], "10.99.0.1"),
        (["disconnect", "na", "g1"], "10.99.1.1"),
        (["disconnect", "nc", "g1"], "10.99.1.1"),
        (["connect", "--gw-priority", "1", "nc", "g1"], "10.99.2.1"),
        (["connect", "na", "g1"], "10.99.2.1"),
    ):
        clean("network", *command)  # not every stock client knows the priority
        assert way_out() == expected, command
        wait_until(reaches_it)
    docker("restart", "-t", "0", "g1")
    assert way_out() == "10.99.2.1"
    wait_until(reaches_it)
