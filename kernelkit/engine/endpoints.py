"""A container's addresses and ports: held while it runs, noted as Docker's `NetworkSettings`, given back.

network      address        leased from the book, the lowest free one
cable        name           from the endpoint's id
ports        held           in the book and on the machine
/etc         hosts, hostname, resolv.conf
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from kernelkit.container.nat import Publication
from kernelkit.container.network import Endpoint, mac_of
from kernelkit.container.spec import Facts
from kernelkit.engine import bridges, etc, links, ports
from kernelkit.engine.engine import Engine
from kernelkit.engine.model import Container, Network, new_id
from kernelkit.errors import Conflict, InvalidRequest, OperationFailed

WITHOUT_BRIDGE = ("host", "none")

Json = dict[str, Any]

# What an endpoint's settings say while the container does not run.
NOTHING: Json = {
    "EndpointID": "",
    "Gateway": "",
    "IPAddress": "",
    "IPPrefixLen": 0,
    "IPv6Gateway": "",
    "GlobalIPv6Address": "",
    "GlobalIPv6PrefixLen": 0,
    "DNSNames": None,
}


@dataclass(frozen=True)
class Held:
    """What a start has to build: `etc` has the texts of `hosts`, `hostname` and `resolv.conf`."""

    endpoints: tuple[Endpoint, ...] = ()
    publications: tuple[Publication, ...] = ()
    etc: Mapping[str, str] = field(default_factory=dict)


def hold(engine: Engine, container: Container, facts: Facts) -> Held:
    """Hold an address in each of the container's networks, and the ports it publishes.

    NotFound for a network that is not there, Conflict or OperationFailed in Docker's words for an address or a port
    that is taken; then nothing is held.
    """
    if "network" in facts.joined:
        return Held()
    try:
        endpoints: list[Endpoint] = []
        for name in container.order:
            endpoint = join(engine, container, name, f"eth{len(endpoints)}")
            endpoints += [endpoint] if endpoint else []
        gate = gateway(engine, container)
        if gate:
            container.ports = ports.hold(engine, container, container.networks[gate]["EndpointID"])
        return Held(tuple(endpoints), published(engine, container), files(engine, container, facts.hostname))
    except BaseException:
        release(engine, container)
        raise


def published(engine: Engine, container: Container) -> tuple[Publication, ...]:
    """What the rules lead into the container, as noted in its settings."""
    gate = gateway(engine, container)
    address = container.networks[gate]["IPAddress"] if gate else ""
    if not address or not container.ports:
        return ()
    cables, table = engine.state.leases.cables(container.id), engine.host.table
    found = []
    for key, entries in container.ports.items():
        port, _, proto = key.partition("/")
        for entry in entries or []:
            host_ip, number = entry["HostIp"], int(entry["HostPort"])
            cable = cables.get((proto, host_ip, number)) or cables.get((proto, ports.ANYWHERE, number), 0)
            found.append(Publication(proto, _shortened(host_ip), number, address, int(port), table, cable))
    return tuple(found)


def let_out(engine: Engine, container: Container) -> tuple[str, ...]:
    """The container's addresses that go out under the host's, as noted in its settings."""
    open_ones = {network.name for network in engine.state.networks() if bridges.lets_out(network)}
    named = ((name, settings.get("IPAddress")) for name, settings in container.networks.items())
    return tuple(address for name, address in named if address and name in open_ones)


def release(engine: Engine, container: Container, *, quietly: bool = False) -> tuple[Publication, ...]:
    """Give back all addresses and ports; what was published. To be called when the rules are gone, or never were.

    With `quietly` the caller tells of it, by `tell_left`.
    """
    before = published(engine, container)
    engine.resolver.close(container.id)
    ports.release(engine, container)
    engine.state.leases.release(container.id)
    left = networks(engine, container)
    for name in container.networks:
        leave(container, name)
    container.ports = {}
    if not quietly:
        tell_left(engine, container, left)
    return before


def resume(engine: Engine, container: Container) -> None:
    """Do for a running container again what an earlier engine did: answer its questions for names."""
    if embedded(container):
        try:
            engine.resolver.open(container)
        except OSError as error:
            engine.complain(f"answer the questions of {container.short_id}: {error}")


def join(engine: Engine, container: Container, name: str, link: str) -> Endpoint | None:
    """Hold the container's place in a network and note it in its settings; None where there is no cable to lay.

    `link` is what the cable's end inside is to be called.
    """
    network, settings = engine.state.network(name), container.networks[name]
    settings |= {**NOTHING, "NetworkID": network.id, "EndpointID": new_id()}
    endpoint = None
    if network.driver == "bridge":
        try:
            endpoint = _lease(engine, container, network, settings, link)
        except BaseException:
            settings |= NOTHING
            raise
    engine.events.publish("network", "connect", network.id, _about(container, network))
    return endpoint


def leave(container: Container, name: str) -> None:
    """Clear what the settings say of a network, its address being given back already."""
    settings = container.networks[name]
    if not settings.get("EndpointID"):
        return
    if settings["IPAddress"] and settings["MacAddress"] == mac_of(settings["IPAddress"]):
        settings["MacAddress"] = ""  # one that was asked for stays
    settings |= NOTHING


def networks(engine: Engine, container: Container) -> list[Network]:
    """Those in which it has an endpoint now."""
    joined = [s["NetworkID"] for s in container.networks.values() if s.get("EndpointID")]
    return [network for network in engine.state.networks() if network.id in joined]


def tell_left(engine: Engine, container: Container, left: Sequence[Network]) -> None:
    """Tell whoever follows the events that it is in these networks no more."""
    for network in left:
        engine.events.publish("network", "disconnect", network.id, _about(container, network))


def gateway(engine: Engine, container: Container) -> str:
    """The network through which the container is reached and gets out: the first one that leads out; or nothing."""
    for name in container.order:
        settings = container.networks[name]
        if settings.get("IPAddress") and settings.get("Gateway"):
            return name
    return ""


def files(engine: Engine, container: Container, hostname: str) -> dict[str, str]:
    """The texts of /etc/hosts, /etc/hostname and /etc/resolv.conf."""
    host, names = container.host_config, container.networks
    extra = [*(host.get("ExtraHosts") or []), *(links.hosts(engine, container) if host.get("Links") else ())]
    gate = engine.state.network("bridge").gateway
    in_host = "host" in names
    own = [s[key] for s in names.values() for key in ("IPAddress", "GlobalIPv6Address") if s.get(key)]
    domain = container.config.get("Domainname") or ""
    resolv_conf = etc.resolv_conf(host, embedded=embedded(container), verbatim=in_host)
    container.state.resolv_conf = etc.digest(resolv_conf)
    return {
        "hosts": etc.hosts_of_the_host(extra, gate) if in_host else etc.hosts(own, hostname, domain, extra, gate),
        "hostname": f"{hostname}\n",
        "resolv.conf": resolv_conf,
    }


def cable_of(settings: Mapping[str, Any]) -> str:
    """The name of the cable's end at the bridge."""
    return f"veth{settings['EndpointID'][:7]}"


def cables(container: Container) -> list[str]:
    """The ends of all its cables at their bridges."""
    plugged = (settings for settings in container.networks.values() if settings.get("EndpointID"))
    return [cable_of(settings) for settings in plugged]


def embedded(container: Container) -> bool:
    """Whether the container finds others by name: whether one of its networks is user-defined."""
    return any(name not in ("bridge", *WITHOUT_BRIDGE) for name in container.networks)


def hosts_name(container: Container) -> str:
    """What its own address is called in its /etc/hosts."""
    return etc.own_names(
        container.config.get("Hostname") or container.short_id, container.config.get("Domainname") or ""
    )


def names_of(container: Container, name: str) -> list[str]:
    """The names by which others in a user-defined network find the container."""
    aliases = container.networks[name].get("Aliases") or []
    hostname = container.config.get("Hostname") or ""
    wanted = [container.name, *aliases, container.short_id, hostname]
    return list(dict.fromkeys(filter(None, wanted)))


def _lease(engine: Engine, container: Container, network: Network, settings: Json, link: str) -> Endpoint:
    wish = settings.get("IPAMConfig") or {}
    address = _take(engine, container, network, network.subnet, wish.get("IPv4Address") or "")
    length = int(network.subnet.partition("/")[2])
    way_out = "" if network.internal else network.gateway
    asked = settings.get("MacAddress") or (
        container.config.get("MacAddress") or "" if _is_first(container, network) else ""
    )
    settings |= {"IPAddress": address, "IPPrefixLen": length, "Gateway": way_out}
    settings["MacAddress"] = asked or mac_of(address)
    address6 = ""
    if network.enable_ipv6 and network.subnet6:
        address6 = _take(engine, container, network, network.subnet6, wish.get("IPv6Address") or "")
        length6 = int(network.subnet6.partition("/")[2])
        settings |= {"GlobalIPv6Address": address6, "GlobalIPv6PrefixLen": length6}
        settings["IPv6Gateway"] = "" if network.internal else network.gateway6
        address6 = f"{address6}/{length6}"
    if not network.predefined:
        settings["DNSNames"] = names_of(container, network.name)
    return Endpoint(
        bridge=network.bridge,
        cable=cable_of(settings),
        link=link,
        mac=settings["MacAddress"],
        address=f"{address}/{length}",
        gateway=way_out,
        address6=address6,
        gateway6=settings["IPv6Gateway"],
        mtu=bridges.mtu(network),
        ipv6=_wants_ipv6(container),
        container=container.id,
        names="" if network.predefined else engine.resolver.address,
        table=engine.host.table if bridges.lets_out(network) else "",
    )


def _take(engine: Engine, container: Container, network: Network, subnet: str, wanted: str) -> str:
    """Lease that address of a network, or the lowest free one."""
    if not wanted:
        address = engine.state.leases.lease(network.id, _candidates(network, subnet), container.id)
        if not address:
            raise Conflict(f"no available addresses on this network's address pools: {network.name} ({network.id})")
        return address
    if ipaddress.ip_address(wanted) not in ipaddress.ip_network(subnet):
        raise InvalidRequest(
            f"invalid config for network {network.name}: invalid endpoint settings:\n"
            f"no configured subnet contains IP address {wanted}"
        )
    if wanted in _never(network, subnet) or not engine.state.leases.lease(network.id, [wanted], container.id):
        raise OperationFailed("Address already in use", f"{wanted} in network {network.name}")
    return wanted


def _candidates(network: Network, subnet: str) -> Iterator[str]:
    """The addresses of a network that a container may have, the lowest first."""
    whole = ipaddress.ip_network(subnet)
    part = ipaddress.ip_network(network.ip_range) if network.ip_range and whole.version == 4 else whole
    never = _never(network, subnet)
    first, size = int(part.network_address), whole.max_prefixlen // 8
    family = socket.AF_INET if whole.version == 4 else socket.AF_INET6
    for number in range(first, first + min(part.num_addresses, 1 << 20)):
        address = socket.inet_ntop(family, number.to_bytes(size))
        if address not in never:
            yield address


def _never(network: Network, subnet: str) -> set[str]:
    """The addresses of a network that no container may have."""
    whole = ipaddress.ip_network(subnet)
    never = {str(whole.network_address), network.gateway, network.gateway6, *network.reserved.values()}
    return never | {str(whole.broadcast_address)} if whole.version == 4 else never


def _is_first(container: Container, network: Network) -> bool:
    return next(iter(container.networks)) == network.name


def _wants_ipv6(container: Container) -> bool:
    """Whether `--sysctl` says itself what is to become of IPv6."""
    return any(name.endswith(".disable_ipv6") for name in container.host_config.get("Sysctls") or {})


def _shortened(host_ip: str) -> str:
    return "" if host_ip == ports.ANYWHERE else host_ip


def _about(container: Container, network: Network) -> dict[str, str]:
    return {"container": container.id, "name": network.name, "type": network.driver}
