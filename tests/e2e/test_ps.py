"""What `docker ps` lists with which filter, where Docker's own rules are not the first that come to mind."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.conftest import Kernelkit


@pytest.fixture(scope="module")
def kk(shared_kk: Kernelkit) -> Iterator[Kernelkit]:
    shared_kk.docker("run", "-d", "--name", "up", "-p", "18099:80", "-p", "18098:81/udp", "busybox", "sleep", "1000")
    shared_kk.docker("run", "--name", "down", "busybox", "sh", "-c", "exit 4", check=False)
    yield shared_kk
    shared_kk.docker("rm", "-f", "up", "down")


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("--filter exited=4", []),
        ("-a --filter exited=4", ["down"]),
        ("--filter since=up", []),
        ("-a --filter since=up", ["down"]),
        ("--filter before=down", ["up"]),
        ("--filter status=exited", ["down"]),
        ("--filter publish=18099", ["up"]),
        ("--filter publish=18099/udp", []),
        ("--filter publish=18098", []),
        ("--filter publish=18098/udp", ["up"]),
        ("--filter publish=18000-18100", ["up"]),
        ("--filter expose=80", ["up"]),
        ("--filter expose=80-90/udp", ["up"]),
        ("-a --filter is-task=true", []),
        ("-a --filter is-task=false", ["down", "up"]),
    ],
)
def test_a_filter_lets_through(kk: Kernelkit, words: str, expected: list[str]) -> None:
    assert kk.docker("ps", "--format", "{{.Names}}", *words.split()).stdout.split() == expected


@pytest.mark.parametrize(
    ("condition", "said"),
    [
        ("status=bad", "invalid filter 'status=bad': invalid value for state (bad): must be one of created, "),
        ("health=bad", "invalid filter 'health=bad': invalid value for health (bad): must be one of none, "),
        ("exited=x", "invalid filter 'exited=x'"),
        ("is-task=x", "invalid filter 'is-task=[x]'"),
        ("publish=1:2", "filter for 'publish' should not contain ':': 1:2"),
        ("publish=x", "error while looking up for publish x: "),
        ("before=nosuch", "No such container: nosuch"),
        ("nosuch=1", "invalid filter 'nosuch'"),
    ],
)
def test_a_filter_is_refused(kk: Kernelkit, condition: str, said: str) -> None:
    assert said in kk.docker("ps", "-a", "--filter", condition, check=False).stderr


def test_a_name_that_means_another_image_now_is_shown_as_an_id(kk: Kernelkit) -> None:
    kk.docker("tag", "busybox", "moving:1")
    kk.docker("create", "--name", "old", "moving:1")
    first = kk.docker("images", "-q", "moving:1").stdout
    kk.docker("commit", "-c", "LABEL other=1", "old", "moving:1")
    assert kk.docker("ps", "-a", "--filter", "name=old", "--format", "{{.Image}}").stdout == first
    kk.docker("rm", "old")
    kk.docker("rmi", "moving:1")
