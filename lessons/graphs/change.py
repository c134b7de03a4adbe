"""What is new in a picture, compared with an earlier one."""

from __future__ import annotations

from dataclasses import replace

from lessons.graphs.graph import CHANGED, NEW, Edge, Graph, Group, Node, groups, nodes

# A state that is over is no news, the present one is; nor is what the container has in common with its host.
QUIET = ("state", "shared")


def highlight(before: Graph | None, after: Graph) -> Graph:
    """The later picture, with what was not in the earlier one marked as new and what differs as changed.

    Without an earlier picture nothing is marked: all of it would be.
    """
    if before is None:
        return after
    old_nodes = {node.name: node for node in nodes(before.top)}
    old_groups = {group.name for group in groups(before.top)}
    old_edges = {(edge.tail, edge.head): edge for edge in before.edges}
    return replace(
        after,
        top=_group(after.top, old_nodes, old_groups),
        edges=tuple(_edge(edge, old_edges.get((edge.tail, edge.head))) for edge in after.edges),
    )


def changes(marked: Graph) -> list[str]:
    """What is marked in a picture, in words: the pictures must not be the only way to see it."""
    found = [group.title for group in groups(marked.top) if group.mark == NEW and group.title]
    for node in nodes(marked.top):
        if node.mark == CHANGED and node.fresh:
            found.append(f"{node.title}: {', '.join(node.fresh)}")
        elif node.mark:
            found.append(f"{node.title}, {node.aside}" if node.kind == "now" and node.aside else node.title)
    return found


def _group(group: Group, old_nodes: dict[str, Node], old_groups: set[str]) -> Group:
    members = tuple(
        _group(member, old_nodes, old_groups)
        if isinstance(member, Group)
        else _node(member, old_nodes.get(member.name))
        for member in group.members
    )
    return replace(group, members=members, mark="" if group.name in old_groups else NEW)


def _node(node: Node, old: Node | None) -> Node:
    if node.kind in QUIET:
        return node
    if old is None:
        return replace(node, mark=NEW, fresh=())
    if _said(node) == _said(old):
        return node
    if old.kind == "absent" and node.kind != "absent":
        return replace(node, mark=NEW)
    return replace(node, mark=CHANGED, fresh=tuple(line for line in node.lines if line not in old.lines))


def _said(node: Node) -> tuple[object, ...]:
    return (node.title, node.lines, node.aside, node.kind)


def _edge(edge: Edge, old: Edge | None) -> Edge:
    if old is None:
        return replace(edge, mark=NEW)
    return edge if (edge.label, edge.kind) == (old.label, old.kind) else replace(edge, mark=CHANGED)
