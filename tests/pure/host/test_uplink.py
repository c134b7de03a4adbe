"""Published ports on both ends of the cable, on paper."""

from __future__ import annotations

from kernelkit.container.nat import Publication
from kernelkit.host.uplink import Cable, Uplink
from kernelkit.kernel.nft import AddMapElement, DeleteMapElement

CABLE = Cable("kk12", "10.244.7.1", "10.244.7.2", 30, "kernelkit-12")
PUBLISHED = (
    Publication("tcp", "", 8080, "172.17.0.2", 80, cable=8080),
    Publication("tcp", "127.0.0.2", 80, "172.17.0.2", 80, cable=65535),
    Publication("tcp", "::", 8080, "172.17.0.2", 80, cable=8080),
    Publication("tcp", "::1", 90, "172.17.0.2", 80, cable=90),
)


def test_each_port_arrives_at_one_of_its_own() -> None:
    assert Uplink(CABLE).inner(PUBLISHED) == (
        Publication("tcp", "", 8080, "172.17.0.2", 80),
        Publication("tcp", "10.244.7.2", 65535, "172.17.0.2", 80),
        Publication("tcp", "10.244.7.2", 90, "172.17.0.2", 80),
    )


def test_what_was_held_before_there_were_such_numbers_arrives_as_itself() -> None:
    earlier = (Publication("tcp", "127.0.0.1", 80, "172.17.0.2", 80),)
    (inner,) = Uplink(CABLE).inner(earlier)
    assert (inner.host_ip, inner.host_port) == ("", 80)


def test_the_real_machine_leads_ipv4_to_where_it_arrives() -> None:
    where = {"where": "machine"}
    assert Uplink(CABLE).publish(PUBLISHED) == [
        AddMapElement("kernelkit-12", "tcp_ports", "8080", "10.244.7.2 . 8080", **where),
        AddMapElement("kernelkit-12", "tcp_at", "127.0.0.2 . 80", "10.244.7.2 . 65535", **where),
    ]
    assert [type(operation) for operation in Uplink(CABLE).unpublish(PUBLISHED)] == [DeleteMapElement] * 2


def test_without_a_cable_the_machine_is_the_host() -> None:
    assert Uplink(None).inner(PUBLISHED) == PUBLISHED[:2]
    assert Uplink(None).publish(PUBLISHED) == []
