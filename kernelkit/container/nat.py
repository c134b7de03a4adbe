"""The host's rules: what leaves a bridge is given the host's address, what comes for a published port is led inside.

    prerouting, output    a packet for this host, to a port that is in a map     → the container's address and port
    postrouting           a packet from an address in a set that leaves its bridge    → the host's address
    forward               bridges are kept apart; only published ports can be reached from outside

Everything that comes and goes is an element of a map or set; the rules never change.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from kernelkit.kernel.nft import AddMapElement, AddSetElement, DeleteMapElement, DeleteSetElement, RunNft
from kernelkit.trace import Operation

TABLE = "kernelkit"
MASQUERADED = "masqueraded"  # the set of addresses that are let out
ANYWHERE = ("", "0.0.0.0")
PROTOCOLS = ("tcp", "udp")
MAPS = tuple(f"{proto}_{kind}" for proto in PROTOCOLS for kind in ("ports", "at"))

# `same` holds pairs of a bridge and itself, for nft compares no two names of one packet.
# The last masquerade is for who calls a published port from inside: the answer must come back the way the call went.
RULES = """\
add table ip {table}
flush table ip {table}
table ip {table} {{
    map tcp_ports {{ type inet_service : ipv4_addr . inet_service; }}
    map udp_ports {{ type inet_service : ipv4_addr . inet_service; }}
    map tcp_at {{ type ipv4_addr . inet_service : ipv4_addr . inet_service; }}
    map udp_at {{ type ipv4_addr . inet_service : ipv4_addr . inet_service; }}
    set bridges {{ type ifname; }}
    set internal {{ type ifname; }}
    set same {{ type ifname . ifname; }}
    set subnets {{ type ipv4_addr; flags interval; }}
    set masqueraded {{ type ipv4_addr; }}

    chain published {{
        dnat ip to ip daddr . tcp dport map @tcp_at
        dnat ip to ip daddr . udp dport map @udp_at
        dnat ip to tcp dport map @tcp_ports
        dnat ip to udp dport map @udp_ports
    }}
    chain prerouting {{
        type nat hook prerouting priority dstnat; policy accept;
        fib daddr type local jump published
    }}
    chain output {{
        type nat hook output priority -100; policy accept;
        fib daddr type local jump published
    }}
    chain postrouting {{
        type nat hook postrouting priority srcnat; policy accept;
        ip saddr @subnets ip saddr @masqueraded oifname != @bridges masquerade
        ip saddr 127.0.0.0/8 oifname @bridges masquerade
        ip saddr @subnets oifname @bridges ct status dnat masquerade
    }}
    chain loopback {{
        type filter hook prerouting priority raw; policy accept;
        iifname @bridges ip daddr 127.0.0.0/8 drop
    }}
    chain forward {{
        type filter hook forward priority filter; policy accept;
        ct state established,related accept
        iifname . oifname @same accept
        iifname @internal drop
        oifname @internal drop
        ct status dnat accept
        oifname @bridges drop
    }}
}}
"""


@dataclass(frozen=True)
class Publication:
    """A port of the host that leads to a port of a container; `host_ip` is empty for all the host's addresses.

    `cable` is the port at which it arrives in the practice host, if there is one between; 0 for the same.
    """

    proto: str
    host_ip: str
    host_port: int
    address: str
    port: int
    table: str = TABLE
    cable: int = 0


def table(name: str = TABLE, where: str = "") -> list[Operation]:
    """The rules themselves, with empty maps; what the maps hold stays when the rules are there already."""
    return [RunNft(RULES.format(table=name), where=where)]


def remove_table(name: str = TABLE, where: str = "") -> list[Operation]:
    """All of it gone."""
    return [RunNft(f"delete table ip {name}", where=where)]


def masquerade(
    subnet: str, bridge: str, table: str = TABLE, where: str = "", *, internal: bool = False
) -> list[Operation]:
    """A bridge under these rules, whose addresses can be let out; those of an internal one cannot."""
    return [RunNft(_elements("add", subnet, bridge, table, internal=internal), where=where)]


def unmasquerade(
    subnet: str, bridge: str, table: str = TABLE, where: str = "", *, internal: bool = False
) -> list[Operation]:
    """The bridge no longer under these rules."""
    return [RunNft(_elements("delete", subnet, bridge, table, internal=internal), where=where)]


def let_out(addresses: Sequence[str], table: str = TABLE, where: str = "host") -> list[Operation]:
    """What these addresses send out of their bridge goes under the host's: one element of a set each."""
    return [AddSetElement(table, MASQUERADED, address, where=where) for address in addresses]


def keep_in(addresses: Sequence[str], table: str = TABLE, where: str = "host") -> list[Operation]:
    """What these addresses send out goes under their own again, which nobody outside knows the way back to."""
    return [DeleteSetElement(table, MASQUERADED, address, where=where) for address in addresses]


def publish(publications: Sequence[Publication], table: str = "", where: str = "host") -> list[Operation]:
    """The ports led in: one element of a map each. `table` if it is another one than the publications'."""
    return [AddMapElement(table or p.table, *_element(p), where=where) for p in publications]


def unpublish(publications: Sequence[Publication], table: str = "", where: str = "host") -> list[Operation]:
    """The ports led in no more; connections that are open go on."""
    return [DeleteMapElement(table or p.table, *_element(p), where=where) for p in publications]


def strays(
    held: Mapping[str, Sequence[tuple[str, str]]],
    addresses: Sequence[str],
    publications: Sequence[Publication],
    table: str = TABLE,
    where: str = "host",
) -> list[Operation]:
    """What the set and the maps hold (name → key, value) and none of these has a use for, taken out."""
    wanted = {(MASQUERADED, address, "") for address in addresses} | {_element(p) for p in publications}
    plan: list[Operation] = []
    for name, elements in held.items():
        for key, value in elements:
            if (name, key, value) in wanted:
                continue
            if value:
                plan.append(DeleteMapElement(table, name, key, value, where=where))
            else:
                plan.append(DeleteSetElement(table, name, key, where=where))
    return plan


def _element(publication: Publication) -> tuple[str, str, str]:
    """Which map says it, for which key, and what it says."""
    p = publication
    value = f"{p.address} . {p.port}"
    if p.host_ip in ANYWHERE:
        return f"{p.proto}_ports", str(p.host_port), value
    return f"{p.proto}_at", f"{p.host_ip} . {p.host_port}", value


def _elements(verb: str, subnet: str, bridge: str, table: str, *, internal: bool) -> str:
    """The script that adds or deletes what the sets say about a bridge, in one transaction."""
    said = {"bridges": f'"{bridge}"', "same": f'"{bridge}" . "{bridge}"'}
    said |= {"internal": f'"{bridge}"'} if internal else {"subnets": subnet} if subnet else {}
    return "".join(f"{verb} element ip {table} {name} {{ {element} }}\n" for name, element in said.items())
