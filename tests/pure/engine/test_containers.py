"""The list of containers, on paper: how long ago, which commands, which ports."""

from __future__ import annotations

import pytest

from kernelkit.engine.containers import HOUR, MINUTE, SECOND, command, duration, ports
from kernelkit.engine.listing import label_matches, labels_match
from kernelkit.engine.model import Container
from kernelkit.engine.top import parse


def container(**more: object) -> Container:
    settings = {"id": "1", "name": "a", "created": "", "image": "", "image_id": "", "config": {}, "host_config": {}}
    return Container(**{**settings, **more})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("nanoseconds", "said"),
    [
        (999_999_999, "Less than a second"),
        (SECOND, "1 second"),
        (59 * SECOND, "59 seconds"),
        (MINUTE, "About a minute"),
        (2 * MINUTE, "2 minutes"),
        (59 * MINUTE, "59 minutes"),
        (HOUR, "About an hour"),
        (47 * HOUR, "47 hours"),
        (48 * HOUR, "2 days"),
        (14 * 24 * HOUR, "2 weeks"),
        (61 * 24 * HOUR, "2 months"),
        (800 * 24 * HOUR, "2 years"),
    ],
)
def test_time_spans_are_rounded_as_docker_rounds_them(nanoseconds: int, said: str) -> None:
    assert duration(nanoseconds) == said


def test_words_with_blanks_are_quoted_in_the_command() -> None:
    assert command(container(config={"Cmd": ["sh", "-c", "echo a; b"]})) == "sh -c 'echo a; b'"


def test_exposed_ports_have_no_public_side() -> None:
    found = ports(container(ports={"80/tcp": [{"HostIp": "0.0.0.0", "HostPort": "8080"}], "53/udp": None}))

    assert found == [
        {"IP": "0.0.0.0", "PrivatePort": 80, "PublicPort": 8080, "Type": "tcp"},
        {"PrivatePort": 53, "Type": "udp"},
    ]


def test_labels_match_by_name_or_by_name_and_value() -> None:
    assert label_matches({"a": "b"}, "a")
    assert label_matches({"a": "b"}, "a=b")
    assert not label_matches({"a": "b"}, "a=c")
    assert not label_matches(None, "a")
    assert not labels_match({"a": "b"}, {"label": ["a"], "label!": ["a=b"]})


def test_top_keeps_the_container_s_rows_and_the_last_column_whole() -> None:
    text = "UID PID CMD\nroot 1 init\nroot 20 sleep 1000\nbad 30 x\n"

    assert parse(text, {20}) == {"Titles": ["UID", "PID", "CMD"], "Processes": [["root", "20", "sleep 1000"]]}
