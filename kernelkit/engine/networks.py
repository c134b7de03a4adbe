"""Networks: the three that every engine has, and those that are made by hand.

bridge    the default: a bridge in the practice host, whose containers find each other by address only
host      no network of one's own: the practice host's
none      a loopback and nothing more
…         a bridge each, kept apart from the others, whose containers find each other by name
"""

from __future__ import annotations

import contextlib
import re
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from kernelkit.container import nat
from kernelkit.engine import bridges, endpoints, finish, subnets
from kernelkit.engine.bridges import BRIDGE, MASQUERADE, MTU
from kernelkit.engine.engine import Engine
from kernelkit.engine.listing import check_filters, is_true, labels_match
from kernelkit.engine.model import Container, Network, new_id, now
from kernelkit.engine.resolver import Resolver
from kernelkit.engine.when import moment, parse
from kernelkit.errors import Conflict, Forbidden, InvalidRequest, NotFound
from kernelkit.kernel import nft_show

PATIENCE = 2.0  # seconds for the ports of containers that run on
NAME = f"{BRIDGE}.name"
DEFAULT_OPTIONS = {
    f"{BRIDGE}.default_bridge": "true",
    f"{BRIDGE}.enable_icc": "true",
    MASQUERADE: "true",
    f"{BRIDGE}.host_binding_ipv4": "0.0.0.0",
    MTU: "1500",
}
PREDEFINED = {"bridge": "bridge", "host": "host", "none": "null"}
# What options may say: anything else would be ignored, and is refused instead.
KNOWN = {
    NAME: re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]{0,14}"),
    MTU: re.compile(r"\d{2,5}"),
    MASQUERADE: re.compile(r"true|false|0|1"),
    f"{BRIDGE}.enable_icc": re.compile(r"true|1"),
    f"{BRIDGE}.host_binding_ipv4": re.compile(r"0\.0\.0\.0"),
}

Json = dict[str, Any]

_making = threading.Lock()  # two networks made at once must not choose the same addresses


def prepare(engine: Engine) -> None:
    """Have the predefined networks in the book and all networks in the host; to be called when the engine starts.

    What is there already stays. OperationFailed when the kernel refuses.
    """
    engine.resolver = Resolver(engine)
    _predefine(engine)
    _forget_what_ended(engine)
    is_new = not nft_show.has_set(engine.host.table, nat.MASQUERADED, "host")
    bridges.prepare(engine)
    _sweep(engine)
    if is_new:  # an earlier version of us knew no such set, and let out whoever was in a network
        bridges.let_out(engine, [a for c in engine.state.containers() for a in endpoints.let_out(engine, c)])


def create(engine: Engine, body: Json) -> Network:
    """Make a network from Docker's create request; InvalidRequest, Forbidden, Conflict, NotFound as Docker has them."""
    _check(body)
    options = {str(key): str(value) for key, value in (body.get("Options") or {}).items()}
    identity = new_id()
    with _making:
        if any(other.name == body["Name"] for other in engine.state.networks()):
            raise Conflict(f"network with name {body['Name']} already exists")
        plan = subnets.choose(body.get("IPAM") or {}, ipv6=bool(body.get("EnableIPv6")), taken=_taken(engine))
        made = Network(
            id=identity,
            name=body["Name"],
            created=now(),
            driver="bridge",
            subnet=plan.subnet,
            gateway=plan.gateway,
            ip_range=plan.ip_range,
            bridge=options.get(NAME) or f"br-{identity[:12]}",
            internal=bool(body.get("Internal")),
            attachable=bool(body.get("Attachable")),
            enable_ipv6=bool(body.get("EnableIPv6")),
            subnet6=plan.subnet6,
            gateway6=plan.gateway6,
            labels=dict(body.get("Labels") or {}),
            options=options,
            reserved=plan.reserved,
        )
        engine.state.add_network(made)
    try:
        bridges.build(engine, made)
    except BaseException:
        bridges.take_down(engine, made)
        engine.state.remove_network(made)
        raise
    engine.events.publish("network", "create", made.id, {"name": made.name, "type": made.driver})
    return made


def remove(engine: Engine, gone: Network) -> None:
    """Remove a network; Forbidden for a predefined one and for one that running containers are in."""
    if gone.predefined:
        raise Forbidden(f"{gone.name} is a pre-defined network and cannot be removed")
    active = _members(engine, gone)
    if active:
        names = ", ".join(f'name:"{c.name}" id:"{c.short_id}"' for c in active)
        raise Forbidden(
            f"error while removing network: network {gone.name} has active endpoints ({names})",
            "disconnect or stop them first",
        )
    bridges.take_down(engine, gone)
    engine.state.remove_network(gone)
    engine.events.publish("network", "destroy", gone.id, {"name": gone.name, "type": gone.driver})


def inspect(engine: Engine, found: Network) -> Json:
    """Docker's `Network` object, with the running containers that are in it."""
    containers = {
        c.id: {
            "Name": c.name,
            "EndpointID": c.networks[found.name]["EndpointID"],
            "MacAddress": c.networks[found.name]["MacAddress"],
            "IPv4Address": _with_length(c.networks[found.name], "IPAddress", "IPPrefixLen"),
            "IPv6Address": _with_length(c.networks[found.name], "GlobalIPv6Address", "GlobalIPv6PrefixLen"),
        }
        for c in _members(engine, found)
    }
    return {**summary(found), "Containers": containers, "Options": found.options, "Labels": found.labels}


def summary(found: Network) -> Json:
    """The same without what changes."""
    return {
        "Name": found.name,
        "Id": found.id,
        "Created": found.created,
        "Scope": "local",
        "Driver": found.driver,
        "EnableIPv4": True,
        "EnableIPv6": found.enable_ipv6,
        "IPAM": {"Driver": "default", "Options": None if found.predefined else {}, "Config": _pools(found)},
        "Internal": found.internal,
        "Attachable": found.attachable,
        "Ingress": False,
        "ConfigFrom": {"Network": ""},
        "ConfigOnly": False,
    }


def listing(engine: Engine, filters: dict[str, list[str]]) -> list[Json]:
    """`docker network ls`, the newest first: driver, id, label, name, scope, type, dangling."""
    check_filters(filters, "dangling", "driver", "id", "label", "name", "scope", "type")
    tests: dict[str, Callable[[Network, str], bool]] = {
        "driver": lambda n, word: n.driver == word,
        "id": lambda n, word: n.id.startswith(word),
        "name": lambda n, word: word in n.name,
        "scope": lambda n, word: word == "local",
        "type": _is_type,
    }
    dangling = is_true(filters, "dangling")
    found = []
    for each in reversed(engine.state.networks()):
        passes = all(any(tests[key](each, word) for word in words) for key, words in filters.items() if key in tests)
        if dangling is not None and dangling != (not each.predefined and not _members(engine, each)):
            continue
        if passes and labels_match(each.labels, filters):
            found.append({**summary(each), "Containers": {}, "Options": each.options, "Labels": each.labels})
    return found


def prune(engine: Engine, filters: dict[str, list[str]]) -> Json:
    """Remove the networks made by hand that no running container is in."""
    check_filters(filters, "until", "label", "label!")
    until = min((moment(text) for text in filters.get("until", ())), default=None)
    deleted = []
    for each in engine.state.networks():
        if each.predefined or _members(engine, each) or not labels_match(each.labels, filters):
            continue
        if until is not None and parse(each.created) > until:
            continue
        with contextlib.suppress(Forbidden):
            remove(engine, each)
            deleted.append(each.name)
    engine.events.publish("network", "prune", "", {"reclaimed": "0"})
    return {"NetworksDeleted": deleted or None}


def _predefine(engine: Engine) -> None:
    there = {found.name for found in engine.state.networks()}
    for name, driver in PREDEFINED.items():
        if name not in there:
            options = DEFAULT_OPTIONS if name == "bridge" else {}
            engine.state.add_network(Network(new_id(), name, now(), driver, options=dict(options)))
    default = engine.state.network("bridge")
    # Whose host this is now is not known before; the real machine may have 172.17.0.0/16 already.
    others = [n.subnet for n in engine.state.networks() if n.subnet and n is not default]
    plan = subnets.default([*others, *bridges.foreign(engine, default)])
    default.bridge, default.subnet, default.gateway = engine.host.bridge, plan.subnet, plan.gateway
    default.options[f"{BRIDGE}.name"] = default.bridge


def _forget_what_ended(engine: Engine) -> None:
    """Give back what an engine that was killed had held for containers that do not run; hold the others' ports."""
    for container in engine.state.containers():
        held = engine.state.leases.ports(container.id)
        if not container.state.running:
            if held or any(settings.get("EndpointID") for settings in container.networks.values()):
                finish.undo(engine, container)
        else:
            try:
                _take_again(engine, held)
                engine.uplink.relay(endpoints.published(engine, container))
            except (Conflict, OSError) as error:
                engine.complain(f"the ports of {container.short_id}: {error}")


def _sweep(engine: Engine) -> None:
    """Take out of the rules what an engine that was killed had put there for containers that did not come to run."""
    running = [container for container in engine.state.containers() if container.state.running]
    published = [p for container in running for p in endpoints.published(engine, container)]
    addresses = [address for container in running for address in endpoints.let_out(engine, container)]
    bridges.sweep(engine, addresses, published)


def _take_again(engine: Engine, ports: Sequence[tuple[str, str, int]]) -> None:
    """Hold ports that an earlier engine held; what it had started to serve them may take a moment to end."""
    until = time.monotonic() + PATIENCE
    while True:
        try:
            engine.uplink.take(ports)
            return
        except Conflict:
            if time.monotonic() > until:
                raise
            time.sleep(0.02)


def _taken(engine: Engine) -> list[str]:
    """The networks that a new one must not overlap with: ours, and those that the host has routes to."""
    ours = [text for n in engine.state.networks() for text in (n.subnet, n.subnet6) if text]
    return [*ours, *bridges.foreign(engine)]


def _check(body: Json) -> None:
    """Refuse what cannot be asked of a new network."""
    name, driver = body.get("Name") or "", body.get("Driver") or "bridge"
    if not re.fullmatch(r"[a-zA-Z0-9][a-zA-Z0-9_.-]*", name):
        raise InvalidRequest(f'invalid network name "{name}"', "letters, digits, '_', '.' and '-'")
    if name in (*PREDEFINED, "default"):
        raise Forbidden(f"operation is not permitted on predefined {name} network")
    if driver in ("host", "null"):
        raise Forbidden(f'only one instance of "{driver}" network is allowed')
    if driver != "bridge":
        raise NotFound(f'plugin "{driver}" not found', "kernelkit's networks have the driver 'bridge'")
    for key in ("Ingress", "ConfigOnly", "ConfigFrom"):
        if body.get(key):
            raise InvalidRequest(f"'{key}' is not supported by kernelkit")
    for option, value in (body.get("Options") or {}).items():
        known = KNOWN.get(option)
        if not known or not known.fullmatch(str(value)):
            raise InvalidRequest(f"the network option '{option}={value}' is not supported by kernelkit")


def _members(engine: Engine, found: Network) -> list[Container]:
    """The containers that have an endpoint in it now."""
    return [c for c in engine.state.containers() if (c.networks.get(found.name) or {}).get("EndpointID")]


def _pools(found: Network) -> list[Json]:
    pools: list[Json] = []
    if found.subnet:
        more = {"IPRange": found.ip_range} if found.ip_range else {}
        reserved = {"AuxiliaryAddresses": found.reserved} if found.reserved else {}
        pools.append({"Subnet": found.subnet, **more, "Gateway": found.gateway, **reserved})
    if found.subnet6:
        pools.append({"Subnet": found.subnet6, "Gateway": found.gateway6})
    return pools


def _with_length(settings: Json, address: str, length: str) -> str:
    return f"{settings[address]}/{settings[length]}" if settings.get(address) else ""


def _is_type(found: Network, word: str) -> bool:
    if word not in ("custom", "builtin"):
        raise InvalidRequest(f"invalid filter: 'type'='{word}'")
    return found.predefined == (word == "builtin")
