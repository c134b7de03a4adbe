"""Published ports and masquerading on paper."""

from __future__ import annotations

import pytest

from kernelkit.container import nat
from kernelkit.container.nat import Publication
from kernelkit.kernel.nft import AddMapElement, AddSetElement, DeleteMapElement, DeleteSetElement, RunNft


@pytest.mark.parametrize(
    ("publication", "map", "key"),
    [
        (Publication("tcp", "", 8080, "172.17.0.2", 80), "tcp_ports", "8080"),
        (Publication("udp", "0.0.0.0", 8080, "172.17.0.2", 80), "udp_ports", "8080"),
        (Publication("tcp", "127.0.0.1", 8080, "172.17.0.2", 80), "tcp_at", "127.0.0.1 . 8080"),
        (Publication("udp", "192.0.2.2", 53, "172.17.0.2", 80), "udp_at", "192.0.2.2 . 53"),
    ],
)
def test_a_published_port_is_an_element_of_a_map(publication: Publication, map: str, key: str) -> None:
    element = ("kernelkit", map, key, "172.17.0.2 . 80")
    assert nat.publish([publication]) == [AddMapElement(*element, where="host")]
    assert nat.unpublish([publication]) == [DeleteMapElement(*element, where="host")]


def test_a_publication_knows_its_table_and_can_be_led_through_another() -> None:
    publication = Publication("tcp", "", 1, "10.0.0.2", 2, table="kernelkit-1234")
    assert nat.publish([publication])[0] == AddMapElement(
        "kernelkit-1234", "tcp_ports", "1", "10.0.0.2 . 2", where="host"
    )
    there = nat.publish([publication], table="other", where="machine")
    assert there == [AddMapElement("other", "tcp_ports", "1", "10.0.0.2 . 2", where="machine")]


def test_an_address_that_is_let_out_is_an_element_of_a_set() -> None:
    (added,) = nat.let_out(["172.17.0.2"])
    assert added == AddSetElement("kernelkit", "masqueraded", "172.17.0.2", where="host")
    assert added.shell() == "nft 'add element ip kernelkit masqueraded { 172.17.0.2 }'"
    (deleted,) = nat.keep_in(["172.17.0.2"], "other")
    assert deleted == DeleteSetElement("other", "masqueraded", "172.17.0.2", where="host")
    assert deleted.shell() == "nft 'delete element ip other masqueraded { 172.17.0.2 }'"


def test_a_bridges_addresses_can_be_let_out() -> None:
    (operation,) = nat.masquerade("172.17.0.0/16", "kk0")
    assert isinstance(operation, RunNft)
    assert operation.script == (
        'add element ip kernelkit bridges { "kk0" }\n'
        'add element ip kernelkit same { "kk0" . "kk0" }\n'
        "add element ip kernelkit subnets { 172.17.0.0/16 }\n"
    )


def test_those_of_an_internal_network_cannot() -> None:
    (operation,) = nat.masquerade("172.17.0.0/16", "br-1", internal=True)
    assert isinstance(operation, RunNft)
    assert "subnets" not in operation.script
    assert 'internal { "br-1" }' in operation.script


def test_what_was_added_is_deleted() -> None:
    for internal in (True, False):
        (added,) = nat.masquerade("10.0.0.0/8", "br-1", "t", internal=internal)
        (deleted,) = nat.unmasquerade("10.0.0.0/8", "br-1", "t", internal=internal)
        assert isinstance(added, RunNft)
        assert isinstance(deleted, RunNft)
        assert deleted.script == added.script.replace("add element", "delete element")


def test_the_shell_line_is_what_a_person_types() -> None:
    (operation,) = nat.publish([Publication("tcp", "", 8080, "172.17.0.2", 80)])
    assert operation.shell() == "nft 'add element ip kernelkit tcp_ports { 8080 : 172.17.0.2 . 80 }'"


def test_what_belongs_to_nobody_is_taken_out() -> None:
    published = [Publication("tcp", "", 8080, "172.17.0.2", 80), Publication("udp", "10.0.0.1", 53, "172.17.0.2", 53)]
    held = {
        "masqueraded": [("172.17.0.2", ""), ("172.17.0.3", "")],
        "tcp_ports": [("8080", "172.17.0.2 . 80"), ("8081", "172.17.0.3 . 80")],
        "udp_at": [("10.0.0.1 . 53", "172.17.0.2 . 53")],
    }
    assert nat.strays(held, ["172.17.0.2"], published) == [
        DeleteSetElement("kernelkit", "masqueraded", "172.17.0.3", where="host"),
        DeleteMapElement("kernelkit", "tcp_ports", "8081", "172.17.0.3 . 80", where="host"),
    ]
