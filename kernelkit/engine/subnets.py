"""Which addresses a network has: what was asked for, checked; or the first pool that is free, as Docker chooses."""

from __future__ import annotations

import ipaddress
import os
import secrets
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from kernelkit.errors import Forbidden, InvalidRequest, Unavailable

IPV6 = "/proc/sys/net/ipv6"

Net = ipaddress.IPv4Network | ipaddress.IPv6Network
Json = dict[str, Any]


@dataclass
class Plan:
    """A network's addresses; empty texts for what it does not have."""

    subnet: str = ""
    gateway: str = ""
    ip_range: str = ""
    subnet6: str = ""
    gateway6: str = ""
    reserved: dict[str, str] = field(default_factory=dict)


def choose(ipam: Mapping[str, Any], *, ipv6: bool, taken: Iterable[str]) -> Plan:
    """The addresses of a new network from Docker's `IPAM`, beside those `taken` already.

    InvalidRequest for what is malformed, Forbidden for what overlaps, Unavailable for IPv6 on a kernel without it.
    """
    if ipam.get("Driver") not in (None, "", "default"):
        raise InvalidRequest(f"invalid ipam driver: '{ipam['Driver']}'", "there is only 'default'")
    others = [ipaddress.ip_network(text) for text in taken]
    plan = Plan()
    for wish in ipam.get("Config") or []:
        if any(wish.get(key) for key in ("Subnet", "IPRange", "Gateway", "AuxiliaryAddresses")):
            _add(plan, wish, others)
    if not plan.subnet:
        plan.subnet = str(next(_free(others)))
        plan.gateway = str(ipaddress.ip_network(plan.subnet)[1])
    if ipv6 and not os.path.isdir(IPV6):
        raise Unavailable("this kernel has no IPv6 (module ipv6)")
    if ipv6 and not plan.subnet6:
        own = ipaddress.ip_network((b"\xfd" + secrets.token_bytes(5) + bytes(10), 64))
        plan.subnet6, plan.gateway6 = str(own), str(own[1])
    if plan.subnet6 and not ipv6:
        raise InvalidRequest(f"invalid subnet {plan.subnet6}: IPv6 is not enabled for this network", "use --ipv6")
    return plan


def default(taken: Iterable[str]) -> Plan:
    """The addresses of the default bridge: 172.17.0.0/16, unless the machine has them already."""
    subnet = next(_free([ipaddress.ip_network(text) for text in taken]))
    return Plan(str(subnet), str(subnet[1]))


def _add(plan: Plan, wish: Mapping[str, Any], others: Iterable[Net]) -> None:
    subnet = _network(wish.get("Subnet") or "")
    if (subnet.version == 6 and plan.subnet6) or (subnet.version == 4 and plan.subnet):
        raise InvalidRequest(f"invalid subnet {subnet}: a network has one of each kind here")
    if any(subnet.version == other.version and subnet.overlaps(other) for other in others):
        raise Forbidden(f"Pool overlaps with other one on this address space: {subnet}")
    gateway = _inside(subnet, wish.get("Gateway") or str(subnet[1]), "gateway")
    if subnet.version == 6:
        plan.subnet6, plan.gateway6 = str(subnet), gateway
    else:
        plan.subnet, plan.gateway = str(subnet), gateway
        plan.ip_range = _range(subnet, wish.get("IPRange") or "")
    for name, address in (wish.get("AuxiliaryAddresses") or {}).items():
        plan.reserved[name] = _inside(subnet, address, "auxiliary address")


def _network(text: str) -> Net:
    if not text:
        raise InvalidRequest(
            "invalid network config: a subnet is missing", "give --subnet with --gateway or --ip-range"
        )
    try:
        loose = ipaddress.ip_network(text, strict=False)
    except ValueError:
        raise InvalidRequest(f"invalid subnet {text}: invalid CIDR block notation") from None
    if str(ipaddress.ip_interface(text).ip) != str(loose.network_address):
        raise InvalidRequest(f"invalid subnet {text}: it should be {loose}")
    if loose.num_addresses < 4:
        raise InvalidRequest(f"invalid subnet {text}: no room for a gateway and a container")
    return loose


def _inside(subnet: Net, text: str, what: str) -> str:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        raise InvalidRequest(f"invalid {what}: {text}") from None
    if address not in subnet:
        raise InvalidRequest(f"invalid {what} {text}: no matching subnet", f"the subnet is {subnet}")
    return str(address)


def _range(subnet: Net, text: str) -> str:
    if not text:
        return ""
    try:
        part = ipaddress.ip_network(text, strict=False)
    except ValueError:
        raise InvalidRequest(f"invalid ip-range {text}: invalid CIDR block notation") from None
    if part.version != subnet.version or not part.subnet_of(subnet):  # type: ignore[arg-type]
        raise InvalidRequest(f"invalid ip-range {text}: no matching subnet", f"the subnet is {subnet}")
    return str(part)


def _free(others: Iterable[Net]) -> Iterator[ipaddress.IPv4Network]:
    """Docker's default pools that overlap with nothing; Unavailable when there are no more."""
    known = [other for other in others if isinstance(other, ipaddress.IPv4Network)]
    for pool in _pools():
        if not any(pool.overlaps(other) for other in known):
            yield pool
    raise Unavailable("all predefined address pools have been fully subnetted", "give one with --subnet")


def _pools() -> Iterator[ipaddress.IPv4Network]:
    for number in range(17, 32):
        yield ipaddress.IPv4Network(f"172.{number}.0.0/16")
    yield from ipaddress.IPv4Network("192.168.0.0/16").subnets(new_prefix=20)
