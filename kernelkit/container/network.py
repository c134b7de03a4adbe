"""A container's place in networks: the cable from a bridge to it, its addresses and routes, as plans.

the host                               the container
bridge kk0 172.17.0.1/16 ── cable ════ eth0 172.17.0.2/16
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

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
from kernelkit.trace import Operation

RESOLVER = ("127.0.0.11", 53)  # where a container of a user-defined network asks for names


@dataclass(frozen=True)
class Endpoint:
    """Where a container meets a network: `cable` is the name of the end at the bridge, `link` of the end inside.

    Addresses are written with the length of their network's part; `gateway` is empty where no way leads out.
    """

    bridge: str
    cable: str
    link: str
    mac: str
    address: str
    gateway: str = ""
    address6: str = ""
    gateway6: str = ""
    mtu: int = 0  # bytes; 0 leaves the kernel's 1500
    ipv6: bool = False  # whether IPv6 stays switched on, as it does when there is an address
    container: str = ""  # whose it is, for whoever answers its questions
    names: str = ""  # where he listens, if names can be asked for in this network
    table: str = ""  # of the host's rules, which let the address out under the host's own; empty where none do


def interface(endpoint: Endpoint, netns: str = "self") -> list[Operation]:
    """On the host: the cable laid into the network namespace, its end here plugged into the bridge and switched on.

    The port lets packets turn round (hairpin), for a container that calls itself through the host's port.
    """
    plan: list[Operation] = [AddVeth(endpoint.cable, endpoint.link, netns, where="host")]
    if endpoint.mtu:
        plan.append(SetMtu(endpoint.cable, endpoint.mtu, where="host"))
    plan.append(SetMaster(endpoint.cable, endpoint.bridge, hairpin=True, where="host"))
    plan.append(ReplaceFdb(endpoint.cable, endpoint.mac, where="host"))
    plan.append(SetLinkUp(endpoint.cable, where="host"))
    return plan


def addresses(endpoints: Sequence[Endpoint]) -> list[Operation]:
    """In the container: its loopback, and for each cable's end hardware address, address, and the way out.

    As with Docker, a container without an IPv6 address does not speak IPv6 at all.
    """
    plan: list[Operation] = []
    if not any(endpoint.ipv6 or endpoint.address6 for endpoint in endpoints):
        plan.append(DisableIpv6())
    plan.append(SetLinkUp("lo"))
    for endpoint in endpoints:
        plan += attach(endpoint)
    # Only now: a gateway must be reachable when a route names it. The first network that leads out is the way out.
    plan += [AddRoute("default", e.gateway) for e in endpoints if e.gateway][:1]
    plan += [AddRoute("default", e.gateway6) for e in endpoints if e.gateway6][:1]
    plan += [AwaitLink(endpoint.cable, where="host") for endpoint in endpoints]
    return plan + [HandOverSockets(*RESOLVER, e.names, e.container) for e in endpoints if e.names][:1]


def attach(endpoint: Endpoint, where: str = "") -> list[Operation]:
    """In the container, or from outside in `where`: one cable's end with its addresses, switched on."""
    plan: list[Operation] = [SetAddress(endpoint.link, endpoint.mac, where=where)]
    if endpoint.mtu:
        plan.append(SetMtu(endpoint.link, endpoint.mtu, where=where))
    given = [address for address in (endpoint.address, endpoint.address6) if address]
    plan += [AddAddress(endpoint.link, address, where=where) for address in given]
    plan.append(SetLinkUp(endpoint.link, where=where))
    return plan


def bridge(name: str, mac: str, gateways: Sequence[str], mtu: int = 0, where: str = "host") -> list[Operation]:
    """A network's bridge, which is itself in the network at the addresses `gateways`.

    It gets a hardware address, or it would take that of one container, and lose it with that container.
    """
    plan: list[Operation] = [AddBridge(name, where=where), SetAddress(name, mac, where=where)]
    if mtu:
        plan.append(SetMtu(name, mtu, where=where))
    plan += [AddAddress(name, gateway, where=where) for gateway in gateways]
    return [*plan, SetLinkUp(name, where=where)]


def remove_bridge(name: str, where: str = "host") -> list[Operation]:
    """The bridge gone, and with it its addresses and routes."""
    return [DeleteLink(name, where=where)]


def mac_of(address: str) -> str:
    """The hardware address that goes with an IPv4 address, which nobody else in the network has: Docker's rule."""
    return ":".join(["02", "42", *(f"{int(part):02x}" for part in address.partition("/")[0].split("."))])
