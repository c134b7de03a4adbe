"""The states of a container's life, with the present one marked."""

from __future__ import annotations

from lessons.graphs.graph import Edge, Graph, Group, Node
from lessons.state import State

# Docker's words; "none" is before the first and after the last.
STATES = (
    ("none", "no container"),
    ("created", "created"),
    ("running", "running"),
    ("paused", "paused"),
    ("exited", "exited"),
    ("removed", "removed"),
)
EDGES = (
    Edge("none", "created", "create", arrow="forward"),
    Edge("created", "running", "start", arrow="forward"),
    Edge("running", "exited", "exit", arrow="forward"),
    Edge("exited", "removed", "rm", arrow="forward"),
    Edge("paused", "running", arrow="both"),
)


def life(state: State) -> Graph:
    """All states, the present one filled, with what the kernel knows of it."""
    present = state.status or "none"
    found = {name: _state(name, title, state, is_now=name == present) for name, title in STATES}
    middle = Group("alive", "", (found["running"], found["paused"]), "column", kind="plain")
    row = (found["none"], found["created"], middle, found["exited"], found["removed"])
    return Graph("life", Group("life", "", row, align="top"), EDGES, f"Life: {dict(STATES).get(present, present)}")


def _state(name: str, title: str, state: State, *, is_now: bool) -> Node:
    if not is_now:
        return Node(name, title, kind="state")
    aside = f"process {state.inside.pid}" if state.inside and name != "none" else ""
    return Node(name, title, aside=aside, kind="now")
