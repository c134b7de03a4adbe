"""Published ports: what was asked for, held for a container so that nobody else gets it, given back.

A port is held twice: in the book, against other containers; by the uplink, against every other program.
"""

from __future__ import annotations

import ipaddress
import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from kernelkit.engine.engine import Engine
from kernelkit.engine.model import Container
from kernelkit.errors import Conflict, InvalidRequest, OperationFailed

RANGE = "/proc/sys/net/ipv4/ip_local_port_range"
ANYWHERE, ANYWHERE6 = "0.0.0.0", "::"

Json = dict[str, Any]


@dataclass(frozen=True)
class Wish:
    """A container's port to be reached at a port of the host from `first` to `last`; at any port where they are 0.

    With `ipv6` at the same port of all IPv6 addresses as well.
    """

    port: int
    proto: str
    host_ip: str
    first: int
    last: int
    ipv6: bool = False

    def at(self, number: int) -> list[tuple[str, str, int]]:
        """What is to be held, once the number is known: (proto, host address, number)."""
        addresses = [self.host_ip, ANYWHERE6] if self.ipv6 else [self.host_ip]
        return [(self.proto, address, number) for address in addresses]


def hold(engine: Engine, container: Container, endpoint: str) -> dict[str, list[Json] | None]:
    """Hold the ports that the container's settings publish; Docker's `Ports`.

    OperationFailed in Docker's words, naming the endpoint, when one is taken; what is held then is for `release`.
    """
    found: dict[str, list[Json] | None] = {f"{port}/{proto}": None for port, proto in _exposed(container.config)}
    try:
        wanted = wishes(container.config, container.host_config, ipv6=engine.uplink.ipv6)
        for wish, number in _held(engine, container, wanted):
            entries = [{"HostIp": address, "HostPort": str(number)} for _, address, number in wish.at(number)]
            found[f"{wish.port}/{wish.proto}"] = [*(found.get(f"{wish.port}/{wish.proto}") or []), *entries]
    except Conflict as conflict:
        raise OperationFailed(
            f"driver failed programming external connectivity on endpoint {container.name} ({endpoint}): "
            f"{conflict.message}"
        ) from None
    return found


def release(engine: Engine, container: Container) -> None:
    """Give back to the machine what the container holds; the book's side goes with its addresses."""
    held = engine.state.leases.ports(container.id)
    if held:
        engine.uplink.free(held)


def wishes(config: Mapping[str, Any], host: Mapping[str, Any], *, ipv6: bool = False) -> list[Wish]:
    """What `-p` and `-P` ask for, by the container's ports; InvalidRequest for what cannot be had.

    `ipv6` says whether the machine speaks it: then no address means those of IPv6 as well.
    """
    bindings = host.get("PortBindings") or {}
    found = [
        _wish(port, proto, binding, ipv6=ipv6)
        for key in bindings
        for port, proto in _expand(key)
        for binding in bindings[key] or [{}]
    ]
    if host.get("PublishAllPorts"):
        asked = {(wish.port, wish.proto) for wish in found}
        found += [_wish(port, proto, {}, ipv6=ipv6) for port, proto in _exposed(config) if (port, proto) not in asked]
    return sorted(found, key=lambda wish: (wish.port, wish.proto))


def _held(engine: Engine, container: Container, wanted: list[Wish]) -> Iterator[tuple[Wish, int]]:
    """Each wish with the number of the host's port; those that leave no choice are held first, all at once."""
    fixed = [port for w in wanted if w.first and w.first == w.last for port in w.at(w.first)]
    if fixed:
        taken = engine.state.leases.hold_ports(container.id, fixed)
        if taken:
            raise Conflict(f"Bind for {taken[1]}:{taken[2]} failed: port is already allocated")
        engine.uplink.take(fixed)
    for wish in wanted:
        yield wish, wish.first if wish.first and wish.first == wish.last else _choose(engine, container, wish)


def _choose(engine: Engine, container: Container, wish: Wish) -> int:
    """Hold the first port of the wish's range that nobody has; of any, one that nobody has just given back."""
    first, last = (wish.first, wish.last) if wish.first else _dynamic()
    begin = first if wish.first else max(first, min(last, engine.next_port.get(wish.proto, first)))
    held = {(proto, number) for proto, _, number in engine.state.leases.ports()}
    for number in itertools.chain(range(begin, last + 1), range(first, begin)):
        if (wish.proto, number) in held:
            continue
        try:
            engine.uplink.take(wish.at(number))
        except Conflict:
            continue
        if engine.state.leases.hold_ports(container.id, wish.at(number)) is None:
            if not wish.first:
                engine.next_port[wish.proto] = number + 1
            return number
        engine.uplink.free(wish.at(number))
    raise Conflict(f"Bind for {wish.host_ip}:{first}-{last} failed: all ports are allocated")


def _dynamic() -> tuple[int, int]:
    """The range from which the machine itself gives ports to programs that ask for none: ip(7)."""
    try:
        with open(RANGE) as file:
            first, last = map(int, file.read().split())
    except (OSError, ValueError):
        return 49153, 65535
    return first, last


def _wish(port: int, proto: str, binding: Mapping[str, Any], *, ipv6: bool) -> Wish:
    both = ipv6 and not binding.get("HostIp")
    address, text = binding.get("HostIp") or ANYWHERE, str(binding.get("HostPort") or "0")
    if proto not in ("tcp", "udp"):
        raise InvalidRequest(f"cannot publish {port}/{proto}: kernelkit publishes tcp and udp ports")
    if ":" in address and not ipv6:
        raise InvalidRequest(f"cannot publish at {address}: this machine has no IPv6")
    first, _, last = text.partition("-")
    if not first.isdigit() or not (last or first).isdigit() or int(last or first) > 65535:
        raise InvalidRequest(f'invalid port specification: "{text}"')
    return Wish(port, proto, str(ipaddress.ip_address(address)), int(first), int(last or first), both)


def _exposed(config: Mapping[str, Any]) -> list[tuple[int, str]]:
    return [port for key in config.get("ExposedPorts") or {} for port in _expand(key)]


def _expand(key: str) -> list[tuple[int, str]]:
    """`80/tcp`, `80`, `3000-3005/udp` → each port with its protocol."""
    numbers, _, proto = key.partition("/")
    first, _, last = numbers.partition("-")
    return [(number, proto or "tcp") for number in range(int(first), int(last or first) + 1)]
