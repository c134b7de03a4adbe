"""What a picture says, without how it looks: boxes in boxes, and lines between them.

A graph is a value.  Two of them can be compared, which is how a picture knows what is new in it (change.py); one can be
written as DOT (dot.py), or laid out without any program (boxes.py).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

NEW, CHANGED = "new", "changed"


@dataclass(frozen=True)
class Node:
    """A thing: a bold title, perhaps a word beside it, and lines of detail below.

    `name` is its identity from one picture to the next.  `kind` chooses the colour.  `mark` is NEW, CHANGED or empty,
    and `fresh` are the lines that were not there before; both are filled in by a comparison.
    """

    name: str
    title: str
    lines: tuple[str, ...] = ()
    aside: str = ""
    kind: str = ""
    mark: str = ""
    fresh: tuple[str, ...] = ()


@dataclass(frozen=True)
class Group:
    """A place that holds things; `flow` says whether they stand in a `row` or a `column`.

    `align` is where a row's members stand beside taller ones: `middle` or `top`.  A group of the kind `plain` only
    keeps its members together and is not drawn.
    """

    name: str
    title: str
    members: tuple[Node | Group, ...]
    flow: str = "row"
    kind: str = ""
    mark: str = ""
    align: str = "middle"


@dataclass(frozen=True)
class Edge:
    """A line between two nodes; `arrow` is empty, `forward` or `both`."""

    tail: str
    head: str
    label: str = ""
    kind: str = ""
    arrow: str = ""
    mark: str = ""


@dataclass(frozen=True)
class Graph:
    """A picture: one outermost group, lines, and a sentence for those who cannot see it."""

    name: str
    top: Group
    edges: tuple[Edge, ...] = ()
    alt: str = ""


def nodes(group: Group) -> Iterator[Node]:
    """All nodes, in reading order."""
    for member in group.members:
        if isinstance(member, Group):
            yield from nodes(member)
        else:
            yield member


def groups(group: Group) -> Iterator[Group]:
    """The group and all groups in it, outermost first."""
    yield group
    for member in group.members:
        if isinstance(member, Group):
            yield from groups(member)


def described(graph: Graph) -> str:
    """The whole picture in words: its sentence, then every box with what it says, group by group."""
    places = "; ".join(said for member in graph.top.members if (said := _described(member)))
    return f"{graph.alt or graph.name}. {places}"


def _described(member: Node | Group) -> str:
    if isinstance(member, Group):
        inner = ", ".join(_described(each) for each in member.members)
        return f"{member.title}: {inner}" if member.title else inner
    mark = member.mark or ("now" if member.kind == "now" else "")
    details = ", ".join(filter(None, (mark, member.aside, *member.lines)))
    return f"{member.title} ({details})" if details else member.title
