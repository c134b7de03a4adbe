"""Cables, addresses and bridges on paper."""

from __future__ import annotations

from kernelkit.container.network import Endpoint, addresses, attach, bridge, interface, mac_of, remove_bridge
from kernelkit.kernel.bridge import ReplaceFdb
from kernelkit.kernel.ip import (
    AddAddress,
    AddBridge,
    AddRoute,
    AddVeth,
    AwaitLink,
    DeleteLink,
    DisableIpv6,
    SetAddress,
    SetLinkUp,
    SetMaster,
    SetMtu,
)
from kernelkit.kernel.sockets import HandOverSockets

MAC = "02:42:ac:11:00:02"
ENDPOINT = Endpoint("kk0", "veth1", "eth0", MAC, "172.17.0.2/16", "172.17.0.1")
SECOND = Endpoint("br-1", "veth2", "eth1", "02:42:ac:12:00:02", "172.18.0.2/16", "172.18.0.1")


def test_the_cable_is_laid_from_the_host_to_whoever_performs() -> None:
    assert interface(ENDPOINT) == [
        AddVeth("veth1", "eth0", "self", where="host"),
        SetMaster("veth1", "kk0", hairpin=True, where="host"),
        ReplaceFdb("veth1", MAC, where="host"),
        SetLinkUp("veth1", where="host"),
    ]


def test_the_cable_is_laid_to_a_running_container_by_its_pid() -> None:
    assert interface(ENDPOINT, "4711")[0] == AddVeth("veth1", "eth0", "4711", where="host")


def test_the_container_gets_what_dockers_gets() -> None:
    assert addresses([ENDPOINT]) == [
        DisableIpv6(),
        SetLinkUp("lo"),
        SetAddress("eth0", MAC),
        AddAddress("eth0", "172.17.0.2/16"),
        SetLinkUp("eth0"),
        AddRoute("default", "172.17.0.1"),
        AwaitLink("veth1", where="host"),
    ]


def test_without_a_network_there_is_a_loopback() -> None:
    assert addresses([]) == [DisableIpv6(), SetLinkUp("lo")]


def test_of_several_networks_the_first_that_leads_out_is_the_way_out() -> None:
    internal = Endpoint("br-0", "veth0", "eth0", "02:42:0a:00:00:02", "10.0.0.2/24")
    routes = [op for op in addresses([internal, ENDPOINT, SECOND]) if isinstance(op, AddRoute)]
    assert routes == [AddRoute("default", "172.17.0.1")]


def test_every_route_comes_after_every_address() -> None:
    kinds = [type(op) for op in addresses([ENDPOINT, SECOND])]
    assert kinds.index(AddRoute) > max(i for i, kind in enumerate(kinds) if kind in (AddAddress, SetLinkUp))


def test_with_an_ipv6_address_ipv6_stays_on() -> None:
    plan = addresses([Endpoint("br-1", "veth1", "eth0", MAC, "10.0.0.2/24", "10.0.0.1", "fd00::2/64", "fd00::1")])
    assert DisableIpv6() not in plan
    assert AddAddress("eth0", "fd00::2/64") in plan
    assert plan[-3:-1] == [AddRoute("default", "10.0.0.1"), AddRoute("default", "fd00::1")]


def test_where_names_can_be_asked_for_the_sockets_are_handed_over_once() -> None:
    asked = [Endpoint("b", "v", f"eth{i}", MAC, "10.0.0.2/24", names="/run/n", container="c" * 64) for i in (0, 1)]
    handed = [op for op in addresses(asked) if isinstance(op, HandOverSockets)]
    assert handed == [HandOverSockets("127.0.0.11", 53, "/run/n", "c" * 64)]


def test_a_networks_mtu_holds_at_both_ends_and_at_the_bridge() -> None:
    endpoint = Endpoint("br-1", "veth1", "eth0", MAC, "10.0.0.2/24", mtu=1400)
    assert SetMtu("veth1", 1400, where="host") in interface(endpoint)
    assert SetMtu("eth0", 1400, where="5") in attach(endpoint, "5")
    assert SetMtu("br-1", 1400, where="host") in bridge("br-1", MAC, [], 1400)


def test_a_bridge_has_a_hardware_address_of_its_own_before_it_is_on() -> None:
    assert bridge("kk0", MAC, ["172.17.0.1/16", "fd00::1/64"], where="") == [
        AddBridge("kk0"),
        SetAddress("kk0", MAC),
        AddAddress("kk0", "172.17.0.1/16"),
        AddAddress("kk0", "fd00::1/64"),
        SetLinkUp("kk0"),
    ]
    assert remove_bridge("kk0") == [DeleteLink("kk0", where="host")]


def test_the_hardware_address_says_the_ip_address() -> None:
    assert mac_of("172.17.0.2") == mac_of("172.17.0.2/16") == MAC
