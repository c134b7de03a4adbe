"""What `-p` and `-P` ask for."""

from __future__ import annotations

from typing import Any

import pytest

from kernelkit.engine.ports import Wish, wishes
from kernelkit.errors import InvalidRequest


def asked(bindings: dict[str, Any], exposed: tuple[str, ...] = (), *, everything: bool = False) -> list[Wish]:
    host = {"PortBindings": bindings, "PublishAllPorts": everything}
    return wishes({"ExposedPorts": {port: {} for port in exposed}}, host)


def test_a_port_at_all_addresses() -> None:
    assert asked({"80/tcp": [{"HostIp": "", "HostPort": "8080"}]}) == [Wish(80, "tcp", "0.0.0.0", 8080, 8080)]


def test_a_port_at_one_address() -> None:
    assert asked({"53/udp": [{"HostIp": "127.0.0.1", "HostPort": "53"}]}) == [Wish(53, "udp", "127.0.0.1", 53, 53)]


def test_where_ipv6_is_spoken_all_addresses_are_those_of_ipv6_as_well() -> None:
    bindings = {"80/tcp": [{"HostIp": address, "HostPort": "80"} for address in ("", "0.0.0.0", "::", "0::1")]}
    found = wishes({}, {"PortBindings": bindings}, ipv6=True)
    assert [wish.at(80) for wish in found] == [
        [("tcp", "0.0.0.0", 80), ("tcp", "::", 80)],
        [("tcp", "0.0.0.0", 80)],
        [("tcp", "::", 80)],
        [("tcp", "::1", 80)],
    ]


def test_any_port_will_do_where_none_is_named() -> None:
    for binding in ([{"HostIp": "", "HostPort": ""}], [{"HostPort": "0"}], [], None):
        assert asked({"80": binding}) == [Wish(80, "tcp", "0.0.0.0", 0, 0)]


def test_one_of_a_range_will_do() -> None:
    assert asked({"80/tcp": [{"HostPort": "8000-8010"}]}) == [Wish(80, "tcp", "0.0.0.0", 8000, 8010)]


def test_a_container_port_may_be_at_several_host_ports() -> None:
    found = asked({"80/tcp": [{"HostPort": "8080"}, {"HostPort": "8081"}]})
    assert [wish.first for wish in found] == [8080, 8081]


def test_everything_exposed_is_published_when_that_was_asked_for() -> None:
    exposed = ("80/tcp", "9000-9001/udp", "443")
    found = asked({"80/tcp": [{"HostPort": "8080"}]}, exposed, everything=True)
    assert found == [
        Wish(80, "tcp", "0.0.0.0", 8080, 8080),
        Wish(443, "tcp", "0.0.0.0", 0, 0),
        Wish(9000, "udp", "0.0.0.0", 0, 0),
        Wish(9001, "udp", "0.0.0.0", 0, 0),
    ]
    assert asked({}, exposed) == []


@pytest.mark.parametrize(
    ("bindings", "words"),
    [
        ({"80/sctp": [{"HostPort": "80"}]}, "cannot publish 80/sctp"),
        ({"80/tcp": [{"HostIp": "::1", "HostPort": "80"}]}, "cannot publish at ::1"),
        ({"80/tcp": [{"HostPort": "x"}]}, 'invalid port specification: "x"'),
        ({"80/tcp": [{"HostPort": "70000"}]}, 'invalid port specification: "70000"'),
    ],
)
def test_what_cannot_be_published_is_refused(bindings: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidRequest, match=words):
        asked(bindings)
