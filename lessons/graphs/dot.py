"""A picture as DOT, the language of Graphviz.

Looks come from lessons/widgets/style.css through class names, so that one drawing serves light and dark pages; the
sizes here are what Graphviz measures with.  https://graphviz.org/doc/info/lang.html
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from lessons.graphs.graph import Edge, Graph, Group, Node, nodes
from lessons.graphs.measure import DETAIL, FRESH, INK, LABEL, LINE, MONO, SANS, TITLE, node_size, tag

INCH = 72  # pixels of ours; Graphviz measures boxes in inches, text in points


def as_dot(graph: Graph) -> str:
    """The picture as DOT text."""
    return "\n".join(
        [
            f"digraph {_quote(graph.name)} {{",
            f"  rankdir={'LR' if graph.top.flow == 'row' else 'TB'}; bgcolor=transparent; pad=0.05;",
            f"  nodesep=0.12; ranksep={0.42 if graph.top.flow == 'row' else 0.1}; newrank=true; compound=true;",
            f'  fontname="{SANS}"; fontsize={LINE}; fontcolor="{DETAIL}"; color="{DETAIL}";',
            "  labeljust=l; style=rounded;",
            f'  node [shape=box, style="rounded,filled", fillcolor=white, color="{DETAIL}", fontname="{SANS}",'
            f' fontsize={TITLE}, margin="0.05,0.02", height=0.28];',
            f'  edge [fontname="{SANS}", fontsize={LABEL}, color="{DETAIL}", arrowsize=0.6];',
            *(f"  {line}" for line in _members(graph.top, graph.top.flow, {(e.tail, e.head) for e in graph.edges})),
            *(f"  {_edge(edge)}" for edge in graph.edges),
            "}",
            "",
        ]
    )


def _members(group: Group, direction: str, linked: set[tuple[str, str]]) -> Iterator[str]:
    widest = max(node_size(node)[0] for node in nodes(group)) if group.flow == "column" else 0
    for member in group.members:
        if isinstance(member, Group) and member.kind == "plain":
            yield from _members(member, direction, linked)
        elif isinstance(member, Group):
            yield f"subgraph {_quote(f'cluster_{member.name}')} {{"
            yield f"  label={_quote(member.title)}; class={_classes(member.kind, member.mark)}; margin=9;"
            yield from (f"  {line}" for line in _members(member, direction, linked))
            yield "}"
        else:
            size = f"width={(widest or node_size(member)[0]) / INCH:.2f}, height={node_size(member)[1] / INCH:.2f}"
            looks = f"class={_classes(member.kind, member.mark)}, {size}"
            yield f"{_quote(member.name)} [label=<{_label(member)}>, {looks}];"
    yield from _order(group, direction, linked)


def _order(group: Group, direction: str, linked: set[tuple[str, str]]) -> Iterator[str]:
    """Invisible lines that keep neighbours in the order they have in the graph, where no visible line does."""
    members = list(group.members)
    if group.flow != direction:
        if not all(isinstance(member, Node) for member in members):
            return
        yield f"{{ rank=same; {' '.join(f'{_quote(member.name)};' for member in members)} }}"
        members.reverse()  # Graphviz turns a left-to-right drawing by 90 degrees, and then its first is the lowest
    for one, other in itertools.pairwise(members):
        between = {(a, b) for a in _names(one) for b in _names(other)}
        if not (between | {pair[::-1] for pair in between}) & linked:
            last = _names(one)[-1 if isinstance(one, Group) and one.flow == direction else 0]
            yield f"{_quote(last)} -> {_quote(_names(other)[0])} [style=invis];"


def _names(member: Node | Group) -> list[str]:
    return [node.name for node in nodes(member)] if isinstance(member, Group) else [member.name]


def _label(node: Node) -> str:
    title = _escape(node.title) if node.kind in ("state", "absent") else f"<B>{_escape(node.title)}</B>"
    head = f'<FONT COLOR="{INK}">{title}</FONT>'
    if node.aside:
        head += f'<FONT POINT-SIZE="{LINE}" FACE="{MONO}" COLOR="{DETAIL}">  {_escape(node.aside)}</FONT>'
    if tag(node):
        head += f'<FONT POINT-SIZE="{LABEL}" COLOR="{FRESH if node.mark else INK}">   {tag(node)}</FONT>'
    rows = [head, *(_line(line, is_fresh=line in node.fresh) for line in node.lines)]
    cells = "".join(f"<TR><TD>{row}</TD></TR>" for row in rows)
    return f'<TABLE BORDER="0" CELLSPACING="0" CELLPADDING="1">{cells}</TABLE>'


def _line(line: str, *, is_fresh: bool) -> str:
    text = f"<B>{_escape(line)}</B>" if is_fresh else _escape(line)
    return f'<FONT POINT-SIZE="{LINE}" FACE="{MONO}" COLOR="{FRESH if is_fresh else DETAIL}">{text}</FONT>'


def _edge(edge: Edge) -> str:
    attributes = [f"class={_classes(edge.kind, edge.mark)}"]
    if edge.label:
        attributes.append(f"label={_quote(f' {edge.label} ')}")
    attributes.append(f"dir={edge.arrow or 'none'}")
    return f"{_quote(edge.tail)} -> {_quote(edge.head)} [{', '.join(attributes)}];"


def _classes(*words: str) -> str:
    return _quote(" ".join(filter(None, words)))


def _quote(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _escape(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
