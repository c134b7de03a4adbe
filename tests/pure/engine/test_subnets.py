"""Which addresses a network gets."""

from __future__ import annotations

from typing import Any

import pytest

from kernelkit.engine import subnets
from kernelkit.errors import Forbidden, InvalidRequest, KernelkitError, Unavailable


def ipam(**config: Any) -> dict[str, Any]:
    return {"Config": [config]}


def test_the_first_pool_that_is_free_is_taken() -> None:
    plan = subnets.choose({}, ipv6=False, taken=["172.17.0.0/16", "172.18.4.0/24"])
    assert (plan.subnet, plan.gateway) == ("172.19.0.0/16", "172.19.0.1")


def test_after_the_large_pools_come_small_ones() -> None:
    plan = subnets.choose({}, ipv6=False, taken=["172.16.0.0/12", "192.168.0.0/24"])
    assert (plan.subnet, plan.gateway) == ("192.168.16.0/20", "192.168.16.1")


def test_when_there_are_no_more_that_is_said() -> None:
    with pytest.raises(Unavailable, match="fully subnetted"):
        subnets.choose({}, ipv6=False, taken=["172.16.0.0/12", "192.168.0.0/16"])


def test_the_default_bridge_keeps_its_place_unless_it_is_taken() -> None:
    assert subnets.default([]).subnet == "172.17.0.0/16"
    assert subnets.default(["172.17.3.0/24"]).subnet == "172.18.0.0/16"


def test_what_was_asked_for_is_given() -> None:
    wish = ipam(
        Subnet="10.9.0.0/24", IPRange="10.9.0.128/25", Gateway="10.9.0.254", AuxiliaryAddresses={"r": "10.9.0.5"}
    )
    plan = subnets.choose(wish, ipv6=False, taken=[])
    assert plan == subnets.Plan("10.9.0.0/24", "10.9.0.254", "10.9.0.128/25", reserved={"r": "10.9.0.5"})


def test_a_subnet_without_a_gateway_gets_its_first_address() -> None:
    assert subnets.choose(ipam(Subnet="10.9.0.0/24"), ipv6=False, taken=[]).gateway == "10.9.0.1"


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"Subnet": "nonsense"}, "invalid subnet nonsense: invalid CIDR block notation"),
        ({"Subnet": "10.9.0.1/24"}, "invalid subnet 10.9.0.1/24: it should be 10.9.0.0/24"),
        ({"Subnet": "10.9.0.0/31"}, "no room"),
        ({"Subnet": "10.9.0.0/24", "Gateway": "10.8.0.1"}, "invalid gateway 10.8.0.1: no matching subnet"),
        ({"Subnet": "10.9.0.0/24", "Gateway": "x"}, "invalid gateway: x"),
        ({"Subnet": "10.9.0.0/24", "IPRange": "10.8.0.0/25"}, "invalid ip-range 10.8.0.0/25: no matching subnet"),
        ({"Subnet": "10.9.0.0/24", "IPRange": "?"}, "invalid ip-range"),
        ({"Subnet": "10.9.0.0/24", "AuxiliaryAddresses": {"a": "1.1.1.1"}}, "invalid auxiliary address 1.1.1.1"),
        ({"Gateway": "10.9.0.1"}, "a subnet is missing"),
        ({"Subnet": "fd00::/64"}, "IPv6 is not enabled"),
    ],
)
def test_what_cannot_be_is_refused(config: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidRequest, match=words):
        subnets.choose({"Config": [config]}, ipv6=False, taken=[])


def test_what_overlaps_is_refused_in_dockers_words() -> None:
    with pytest.raises(Forbidden, match="Pool overlaps with other one on this address space"):
        subnets.choose(ipam(Subnet="172.18.5.0/24"), ipv6=False, taken=["172.18.0.0/16"])


def test_with_ipv6_a_network_has_addresses_of_both_kinds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subnets, "IPV6", "/")
    plan = subnets.choose({}, ipv6=True, taken=[])
    assert plan.subnet == "172.17.0.0/16"
    assert plan.subnet6.startswith("fd")
    assert plan.gateway6 == plan.subnet6.replace("::/64", "::1")


def test_without_ipv6_in_the_kernel_that_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subnets, "IPV6", "/nowhere")
    with pytest.raises(KernelkitError, match="this kernel has no IPv6"):
        subnets.choose({}, ipv6=True, taken=[])
