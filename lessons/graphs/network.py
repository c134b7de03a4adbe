"""Who is connected to whom: the real machine, the practice host with its bridge, the cable, the container."""

from __future__ import annotations

from lessons.graphs.graph import Edge, Graph, Group, Node
from lessons.state import Host, Inside, Link, State


def network(state: State) -> Graph:
    """Left to right, the way a packet takes from outside to the container."""
    host, inside = state.host, state.inside
    bridge = next((link for link in host.links if link.name == host.bridge), None)
    uplink = next((link for link in host.links if link.name == host.uplink), None)
    own_network = inside is not None and inside.namespaces.get("net") != host.namespaces.get("net")
    cable = _cable(host, inside) if own_network else None
    places = [_machine(host, uplink), _host(host, uplink, bridge, cable)]
    if inside and own_network:
        places.append(_container(inside))
    edges = [Edge("machine", "uplink", kind="cable host")] if uplink else []
    edges += [Edge("uplink", "nat")] if uplink else []
    edges += [Edge("nat", "bridge")] if bridge else []
    if cable:
        edges += [Edge("bridge", "plug", kind="" if cable.master else "loose")]
        edges += [Edge("plug", f"in-{_first(inside)}", kind="cable")] if inside else []
    return Graph("network", Group("network", "", tuple(places)), tuple(edges), _alt(state, cable))


def _machine(host: Host, uplink: Link | None) -> Group:
    lines = tuple(f"port {published.port}" for published in host.published)
    return Group("machine", "the real machine", (Node("machine", "outside", lines, kind="machine"),), kind="machine")


def _host(host: Host, uplink: Link | None, bridge: Link | None, cable: Link | None) -> Group:
    members = []
    if uplink:
        members.append(Node("uplink", uplink.name, _details(uplink), kind="host"))
    out = tuple(f"{source} → out" for source in host.masquerades)
    back = tuple(f"{p.port} → {p.address}:{p.inside}" for p in host.published)
    members.append(Node("nat", "NAT", out + back or ("no entries",), kind="rule"))
    if bridge:
        members.append(Node("bridge", bridge.name, ("bridge", *_details(bridge)), kind="host"))
    if cable:
        plugged = f"cable's end, in {cable.master}" if cable.master else "cable's end, loose"
        members.append(Node("plug", cable.name, (plugged, *(("down",) if not cable.is_up else ())), kind="host"))
    return Group("host", "practice host", tuple(members), kind="host")


def _container(inside: Inside) -> Group:
    members = []
    for link in inside.links:
        if link.name != "lo":
            routes = tuple(
                f"{r.destination} via {r.gateway}" for r in inside.routes if r.link == link.name and r.gateway
            )
            lines = (*_details(link), *routes)
            members.append(Node(f"in-{link.name}", link.name, lines, kind="container"))
    lo = next((link for link in inside.links if link.name == "lo"), None)
    if lo:
        members.append(Node("in-lo", "lo", _details(lo), kind="container"))
    return Group("container", "container: network namespace", tuple(members), "column", kind="container")


def _details(link: Link) -> tuple[str, ...]:
    return (*link.addresses, *(() if link.addresses else ("no address",)), *(() if link.is_up else ("down",)))


def _cable(host: Host, inside: Inside | None) -> Link | None:
    """The end of the container's cable that is on the host: each end knows the other's index."""
    ends = {link.peer for link in inside.links if link.peer} if inside else set()
    return next((link for link in host.links if link.index in ends and link.kind == "veth"), None)


def _first(inside: Inside | None) -> str:
    return next((link.name for link in inside.links if link.peer), "lo") if inside else "lo"


def _alt(state: State, cable: Link | None) -> str:
    ports = ", ".join(f"port {p.port} leads to {p.address}:{p.inside}" for p in state.host.published)
    reach = "a cable from the bridge to the container" if cable else "no cable to a container"
    return f"Network: {reach}" + (f"; {ports}" if ports else "")
