"""Health checks as Docker's: a container that says how it is."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.conftest import Kernelkit
from tests.patience import wait_until

HOSTS = ("practice", "real")

EVERY = ["--health-interval", "100ms", "--health-retries", "2"]


@pytest.fixture
def kk(shared_kk: Kernelkit) -> Iterator[Kernelkit]:
    yield shared_kk
    shared_kk.empty()


def health(kk: Kernelkit, name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(kk.docker("inspect", "-f", "{{json .State.Health}}", name).stdout)
    return found


def await_status(kk: Kernelkit, name: str, status: str) -> None:
    wait_until(lambda: health(kk, name)["Status"] == status, f"{name} never became {status}")


def test_a_container_becomes_healthy_and_unhealthy_and_healthy_again(kk: Kernelkit) -> None:
    command = ["--health-cmd", "echo checked; test -e /tmp/well", *EVERY]
    since = str(time.time())
    kk.docker("run", "-d", "--name", "h1", *command, "busybox", "sleep", "1000")
    await_status(kk, "h1", "unhealthy")
    assert "(unhealthy)" in kk.docker("ps").stdout
    assert kk.docker("ps", "-q", "--filter", "health=unhealthy").stdout
    kk.docker("exec", "h1", "touch", "/tmp/well")
    await_status(kk, "h1", "healthy")
    found = health(kk, "h1")
    assert found["FailingStreak"] == 0
    assert len(found["Log"]) <= 5
    assert (found["Log"][-1]["ExitCode"], found["Log"][-1]["Output"]) == (0, "checked\n")
    assert found["Log"][-1]["Start"] < found["Log"][-1]["End"]

    def told() -> list[str]:
        wanted = ["--since", since, "--until", str(time.time()), "--filter", "event=health_status"]
        return kk.docker("events", *wanted, "--format", "{{.Action}}").stdout.splitlines()

    wait_until(lambda: told()[:2] == ["health_status: unhealthy", "health_status: healthy"])
    kk.docker("stop", "-t", "0", "h1")
    assert health(kk, "h1")["Status"] == "unhealthy"


def test_a_container_that_was_not_asked_yet_is_starting(kk: Kernelkit) -> None:
    kk.docker(
        "run", "-d", "--name", "h0", "--health-cmd", "true", "--health-interval", "1h", "busybox", "sleep", "1000"
    )
    assert health(kk, "h0") == {"Status": "starting", "FailingStreak": 0, "Log": []}
    assert "(health: starting)" in kk.docker("ps").stdout


def test_in_the_start_period_failures_do_not_count(kk: Kernelkit) -> None:
    period = ["--health-cmd", "false", "--health-start-period", "1h", "--health-start-interval", "50ms", *EVERY]
    kk("run", "-d", "--name", "h2", *period, "busybox", "sleep", "1000")  # Debian 12's docker has no such interval
    wait_until(lambda: len(health(kk, "h2")["Log"]) >= 3)
    found = health(kk, "h2")
    assert (found["Status"], found["FailingStreak"]) == ("starting", 0)


def test_a_check_that_takes_too_long_is_ended(kk: Kernelkit) -> None:
    slow = ["--health-cmd", "sleep 555", "--health-timeout", "200ms", "--health-interval", "100ms"]
    kk.docker("run", "-d", "--name", "h3", *slow, "--health-retries", "1", "busybox", "sleep", "1000")
    await_status(kk, "h3", "unhealthy")
    found = health(kk, "h3")["Log"][-1]
    assert (found["ExitCode"], found["Output"]) == (-1, "Health check exceeded timeout (200ms)")
    wait_until(lambda: kk.docker("top", "h3").stdout.count("sleep 555") <= 1, "those before the last are not ended")


def test_a_check_may_close_its_streams_long_before_it_ends(kk: Kernelkit) -> None:
    quiet = ["--health-cmd", "exec >/dev/null 2>&1; sleep 1.5", "--health-interval", "100ms"]
    kk.docker("run", "-d", "--name", "h5", *quiet, "busybox", "sleep", "1000")
    wait_until(lambda: health(kk, "h5")["Log"])
    assert health(kk, "h5")["Log"][0]["ExitCode"] == 0


def test_no_healthcheck_means_none(kk: Kernelkit) -> None:
    kk.docker("run", "-d", "--name", "h4", "--no-healthcheck", "busybox", "sleep", "1000")
    assert "Health" not in json.loads(kk.docker("inspect", "h4").stdout)[0]["State"]
