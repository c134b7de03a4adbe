"""Which namespaces a container has to itself, and which it shares: the numbers are those of /proc/PID/ns."""

from __future__ import annotations

from lessons.graphs.graph import Graph, Group, Node
from lessons.state import KINDS, State


def namespaces(state: State) -> Graph:
    """The practice host's on the left, the container's on the right, kind by kind."""
    here, inside = state.host.namespaces, state.inside
    host = tuple(Node(f"host-{kind}", kind, aside=str(here.get(kind, "")), kind="host") for kind in KINDS)
    columns = [Group("host", "practice host", host, "column", kind="host")]
    own = 0
    if inside:
        nodes = []
        for kind in KINDS:
            number = inside.namespaces.get(kind, 0)
            is_own = number != here.get(kind)
            own += is_own
            kind_of = "container" if is_own else "shared"
            nodes.append(Node(f"in-{kind}", kind, aside=str(number) if is_own else "the host's", kind=kind_of))
        title = f"container: process {inside.pid} there, 1 in here"
        columns.append(Group("container", title, tuple(nodes), "column", kind="container"))
    alt = f"Namespaces: the container has {own} of {len(KINDS)} to itself" if inside else "Namespaces: only the host's"
    return Graph("namespaces", Group("namespaces", "", tuple(columns)), alt=alt)
