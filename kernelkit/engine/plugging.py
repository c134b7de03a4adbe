"""Containers plugged into networks, and out of them, while they run or not: `docker network connect`, `disconnect`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kernelkit.container import nat, network
from kernelkit.container.nat import Publication
from kernelkit.engine import bridges, create, endpoints, etc, ports
from kernelkit.engine.engine import Engine
from kernelkit.engine.model import Container, Network
from kernelkit.errors import Conflict, Forbidden, NotFound, OperationFailed
from kernelkit.kernel import ip_show
from kernelkit.kernel.files import WriteFile
from kernelkit.kernel.ip import DeleteLink, ReplaceRoute
from kernelkit.trace import Operation, Trace, explain

HOST_IS_APART = "container cannot be disconnected from host network or connected to host network"

Json = dict[str, Any]


def connect(engine: Engine, wanted: Network, container: Container, config: Json) -> None:
    """Put a container into a network as well; `config` is Docker's `EndpointConfig`.

    Forbidden in Docker's words when it is there already or cannot be; OperationFailed when the kernel refuses.
    """
    with container.lock:
        _check(wanted, container)
        if wanted.name in container.networks and container.state.pid:  # else it is as if it were asked for anew
            raise Forbidden(f"endpoint with name {container.name} already exists in network {wanted.name}")
        container.networks[wanted.name] = create.endpoint(wanted.name, config)
        trace = Trace()
        try:
            if container.state.pid:
                _plug(engine, container, wanted, trace)
        except BaseException:
            _unplug(engine, container, wanted, trace)
            del container.networks[wanted.name]
            raise
        finally:
            engine.records.add(container.id, trace.steps, engine.folder(container.id))
            engine.state.save(container)


def disconnect(engine: Engine, word: str, container: Container, *, force: bool = False) -> None:
    """Take a container out of a network; Forbidden when it is not there or cannot be taken out.

    NotFound for a network that is not there, but who does not run may have been in it, and would never start again.
    """
    with container.lock:
        gone = _network(engine, word, container, force=force)
        name = gone.name if gone else word
        if name == "host" or "host" in container.networks:
            raise Forbidden(HOST_IS_APART)
        if name not in container.networks:
            raise Forbidden(f"container {container.id} is not connected to network {name}")
        trace = Trace()
        if gone and container.state.running:
            _unplug(engine, container, gone, trace)
        del container.networks[name]
        engine.records.add(container.id, trace.steps, engine.folder(container.id))
        engine.state.save(container)


def _network(engine: Engine, word: str, container: Container, *, force: bool) -> Network | None:
    try:
        return engine.state.network(word)
    except NotFound:
        if container.state.running and not force:
            raise
        return None


def _check(wanted: Network, container: Container) -> None:
    if wanted.name in ("host", "none") or "host" in container.networks:
        raise Forbidden(HOST_IS_APART)
    if "none" in container.networks:
        raise Forbidden(
            "container cannot be connected to multiple networks with one of the networks in private (none) mode"
        )
    if container.host_config["NetworkMode"].startswith("container:"):
        raise Forbidden(
            "container sharing network namespace with another container or host "
            "cannot be connected to any other network"
        )
    if container.removed or container.state.status in ("removing", "dead"):
        raise Conflict(f"container {container.id} is marked for removal and cannot be connected")


def _plug(engine: Engine, container: Container, wanted: Network, trace: Trace) -> None:
    """Lay the cable to a running container, give it addresses and, if it had none, a way out."""
    gate, published = endpoints.gateway(engine, container), endpoints.published(engine, container)
    inside = str(container.state.pid)
    taken = {link.name for link in ip_show.links(inside)}
    link = next(name for number in range(len(taken) + 1) if (name := f"eth{number}") not in taken)
    endpoint = endpoints.join(engine, container, wanted.name, link)
    assert endpoint
    _perform(trace, "interface", network.interface(endpoint, inside))
    _perform(trace, "ip", network.attach(endpoint, inside))
    if endpoint.table:
        _perform(trace, "nat", nat.let_out([container.networks[wanted.name]["IPAddress"]], endpoint.table))
    if endpoints.gateway(engine, container) == wanted.name:
        _perform(trace, "ip", [ReplaceRoute("default", endpoint.gateway, where=inside)])
        if gate:
            _lead_out(engine, published, trace)
        else:
            container.ports = ports.hold(engine, container, container.networks[wanted.name]["EndpointID"])
        _lead_in(engine, container, trace)
    if endpoint.names:
        engine.resolver.open(container)
    _perform(trace, "ip", _files(engine, container))


def _unplug(engine: Engine, container: Container, gone: Network, trace: Trace) -> None:
    """Pull the cable; if it was the way out, another network becomes it, and the published ports go with it.

    Everything is attempted, what the kernel refuses is in the engine's log.
    """
    settings = container.networks[gone.name]
    if not settings.get("EndpointID"):
        return
    address, addresses = settings["IPAddress"], _addresses(container, gone.name)
    was_gate = endpoints.gateway(engine, container) == gone.name
    published = endpoints.published(engine, container) if was_gate else ()
    _lead_out(engine, published, trace)
    if address and bridges.lets_out(gone):
        _attempt(engine, trace, "nat", nat.keep_in([address], engine.host.table))
    _attempt(engine, trace, "interface", [DeleteLink(endpoints.cable_of(settings), where="host")])
    engine.state.leases.release_address(gone.id, container.id)
    endpoints.leave(container, gone.name)
    endpoints.tell_left(engine, container, [gone])
    gate = endpoints.gateway(engine, container)
    if was_gate and gate:
        way_out = ReplaceRoute("default", container.networks[gate]["Gateway"], where=str(container.state.pid))
        _attempt(engine, trace, "ip", [way_out])
        _lead_in(engine, container, trace)
    elif was_gate:
        ports.release(engine, container)
        engine.state.leases.release_ports(container.id)
        container.ports = {}
    _attempt(engine, trace, "ip", _files(engine, container, addresses))


def _lead_out(engine: Engine, published: Sequence[Publication], trace: Trace) -> None:
    """Lead published ports no more to where they led."""
    engine.uplink.unrelay(published)
    _attempt(engine, trace, "nat", engine.uplink.unpublish(published), "machine")
    _attempt(engine, trace, "nat", nat.unpublish(engine.uplink.inner(published)))


def _lead_in(engine: Engine, container: Container, trace: Trace) -> None:
    """Lead the published ports to the container's present way out."""
    published = endpoints.published(engine, container)
    _perform(trace, "nat", nat.publish(engine.uplink.inner(published)))
    _perform(trace, "nat", engine.uplink.publish(published), "machine")
    try:
        engine.uplink.relay(published)
    except OSError as error:
        raise OperationFailed(f"publish ports at IPv6 addresses: {explain(error)}") from None


def _files(engine: Engine, container: Container, gone: Sequence[str] = ()) -> list[Operation]:
    """The container's /etc/hosts with the addresses that it has now; its /etc/resolv.conf unless it has changed it."""
    path = engine.folder(container.id) / "hosts"
    plan: list[Operation] = []
    before = etc.written(path)
    if before is not None:
        after = etc.change_hosts(before, gone, _addresses(container), endpoints.hosts_name(container))
        plan += [WriteFile(str(path), after)] if after != before else []
    path = path.with_name("resolv.conf")
    before = etc.written(path)
    if before is not None and etc.digest(before) == container.state.resolv_conf:
        after = etc.resolv_conf(container.host_config, embedded=endpoints.embedded(container))
        container.state.resolv_conf = etc.digest(after)
        plan += [WriteFile(str(path), after)] if after != before else []
    return plan


def _addresses(container: Container, name: str = "") -> list[str]:
    """Its addresses, all of them or those in one network."""
    wanted = [container.networks[name]] if name else list(container.networks.values())
    return [s[key] for s in wanted for key in ("IPAddress", "GlobalIPv6Address") if s.get(key)]


def _perform(trace: Trace, stage: str, plan: Sequence[Operation], where: str = "host") -> None:
    for operation in plan:
        try:
            trace.perform(stage, operation, where=where)
        except OSError as error:
            raise OperationFailed(f"{operation.shell()}: {explain(error)}") from None


def _attempt(engine: Engine, trace: Trace, stage: str, plan: Sequence[Operation], where: str = "host") -> None:
    for operation in plan:
        try:
            trace.perform(stage, operation, where=where)
        except OSError as error:
            engine.complain(f"{operation.shell()}: {explain(error)}")
