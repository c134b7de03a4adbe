"""The networks in the kernel: a bridge each in the practice host, and what its packet filter knows of it."""

from __future__ import annotations

import ipaddress
import secrets
from collections.abc import Sequence

from kernelkit.container import nat, network
from kernelkit.container.nat import Publication
from kernelkit.engine.engine import Engine
from kernelkit.engine.model import Network
from kernelkit.errors import OperationFailed
from kernelkit.kernel import ip_show, nft_show
from kernelkit.kernel.files import WriteFile
from kernelkit.kernel.nft import RunNft
from kernelkit.trace import Operation, Trace, explain

BRIDGE = "com.docker.network.bridge"
MTU = "com.docker.network.driver.mtu"
MASQUERADE = f"{BRIDGE}.enable_ip_masquerade"
STAGE = "network"


def prepare(engine: Engine) -> None:
    """Have the rules, and a bridge for every network of the book; those that are there already stay as they are."""
    there = {link.name for link in ip_show.links("host")}
    plan = nat.table(engine.host.table, where="host")
    for each in _bridged(engine):
        plan += [] if each.bridge in there else _make(engine, each)
        plan += _rules(engine, each)
    _perform(engine, plan)


def sweep(engine: Engine, addresses: Sequence[str], published: Sequence[Publication]) -> None:
    """Take out of the rules, on both ends of the cable, what belongs to none of these; refusals are complained of."""
    own, outer = engine.host.table, engine.uplink.table
    held = {name: nft_show.held(own, name, "host") for name in (nat.MASQUERADED, *nat.MAPS)}
    plan = nat.strays(held, addresses, engine.uplink.inner(published), own)
    if outer:
        held = {name: nft_show.held(outer, name, "machine") for name in nat.MAPS}
        plan += nat.strays(held, (), engine.uplink.outer(published), outer, "machine")
    for operation in plan:
        try:
            _perform(engine, [operation])
        except OperationFailed as error:
            engine.complain(f"sweep the rules: {error}")


def let_out(engine: Engine, addresses: Sequence[str]) -> None:
    """Have these addresses let out; OperationFailed when the kernel refuses."""
    _perform(engine, nat.let_out(addresses, engine.host.table))


def build(engine: Engine, made: Network) -> None:
    """Make one network's bridge and rules; OperationFailed when the kernel refuses."""
    _perform(engine, [*_make(engine, made), *_rules(engine, made)])


def take_down(engine: Engine, gone: Network) -> None:
    """Remove one network's bridge and rules; what is not there is already gone."""
    subnet = gone.subnet if _masqueraded(gone) else ""
    unruled = nat.unmasquerade(subnet, gone.bridge, engine.host.table, "host", internal=gone.internal)
    for operation in [*unruled, *network.remove_bridge(gone.bridge)]:
        try:
            _perform(engine, [operation])
        except OperationFailed as error:
            engine.complain(f"remove network {gone.name}: {error}")


def foreign(engine: Engine, *mine: Network) -> list[str]:
    """The networks that the host has routes to, but not by our bridges; `mine` count as ours."""
    ours = {each.bridge for each in (*_bridged(engine), *mine)} | {engine.host.bridge}
    found = []
    for route in ip_show.routes("host"):
        if route.destination != "default" and route.link not in ours:
            found.append(str(ipaddress.ip_network(route.destination)))
    return found


def mtu(found: Network) -> int:
    """How many bytes its links carry at once; 0 where nothing was asked for."""
    return 0 if found.predefined else int(found.options.get(MTU) or 0)


def lets_out(found: Network) -> bool:
    """Whether what its containers send out goes under the host's address."""
    return found.driver == "bridge" and not found.internal and _masqueraded(found)


def _bridged(engine: Engine) -> list[Network]:
    return [each for each in engine.state.networks() if each.driver == "bridge" and each.bridge]


def _make(engine: Engine, made: Network) -> list[Operation]:
    mac = "02:42:" + secrets.token_bytes(4).hex(":")
    pairs = ((made.gateway, made.subnet), (made.gateway6, made.subnet6))
    gateways = [f"{gateway}/{ipaddress.ip_network(subnet).prefixlen}" for gateway, subnet in pairs if gateway]
    plan = network.bridge(made.bridge, mac, gateways, mtu(made))
    if engine.host.mode == "real":
        # In a host of our own this is set for all links; see also the chain `loopback` of our rules.
        plan.append(WriteFile(f"/proc/sys/net/ipv4/conf/{made.bridge}/route_localnet", "1"))
    return plan


def _rules(engine: Engine, made: Network) -> list[Operation]:
    subnet = made.subnet if _masqueraded(made) else ""
    return nat.masquerade(subnet, made.bridge, engine.host.table, "host", internal=made.internal)


def _masqueraded(found: Network) -> bool:
    return found.options.get(MASQUERADE, "true") in ("true", "1")


def _perform(engine: Engine, plan: Sequence[Operation]) -> None:
    trace = Trace(engine.records.tell)
    for operation in plan:
        try:
            trace.perform(STAGE, operation)
        except OSError as error:
            what = "nft" if isinstance(operation, RunNft) else operation.shell()
            raise OperationFailed(f"{what}: {explain(error)}", "see kernelkit doctor") from None
