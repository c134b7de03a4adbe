"""A picture as SVG without any program: boxes in rows and columns, as a letterpress compositor would set them.

Every box is as large as its text, a group as large as its members; then the lines are drawn between the boxes' edges.
The classes are those that Graphviz writes for lessons/graphs/dot.py, so both look alike.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from html import escape

from lessons.graphs.graph import Edge, Graph, Group, Node
from lessons.graphs.measure import (
    DETAIL,
    FRESH,
    INK,
    LABEL,
    LEADING,
    LINE,
    MONO,
    PAD_Y,
    SANS,
    TITLE,
    node_size,
    tag,
    text_width,
)

GAP, APART, MARGIN, HEAD = 7, 30, 10, 18  # between nodes, between things with lines between them, in a group, its title


@dataclass(frozen=True)
class _Box:
    """A place on the page, in pixels."""

    item: Node | Group
    x: float
    y: float
    width: float
    height: float

    @property
    def middle(self) -> tuple[float, float]:
        return self.x + self.width / 2, self.y + self.height / 2


def as_svg(graph: Graph) -> str:
    """The picture as SVG text."""
    labels = [text_width(edge.label, LABEL) + 26 for edge in graph.edges if edge.label]
    along = max([APART, *labels]) if graph.edges else 2 * GAP
    size = _size(graph.top, along, is_outermost=True)
    boxes = list(_place(graph.top, MARGIN / 2, MARGIN / 2, size, along, is_outermost=True))
    by_name = {box.item.name: box for box in boxes if isinstance(box.item, Node)}
    width, height = size[0] + MARGIN, size[1] + MARGIN
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{height:.0f}"'
            f' viewBox="0 0 {width:.0f} {height:.0f}">',
            *(
                _draw_group(box, box.item)
                for box in boxes[1:]
                if isinstance(box.item, Group) and box.item.kind != "plain"
            ),
            *(_draw_edge(edge, by_name[edge.tail], by_name[edge.head]) for edge in graph.edges),
            *(_draw_node(box, box.item) for box in boxes if isinstance(box.item, Node)),
            "</svg>",
            "",
        ]
    )


# --- sizes and places


def _size(item: Node | Group, along: float, *, is_outermost: bool = False) -> tuple[float, float]:
    if isinstance(item, Node):
        return node_size(item)
    sizes = [_size(member, along) for member in item.members]
    gap = _gap(item, along)
    if item.flow == "row":
        width, height = sum(w for w, _ in sizes) + gap * (len(sizes) - 1), max(h for _, h in sizes)
    else:
        width, height = max(w for w, _ in sizes), sum(h for _, h in sizes) + gap * (len(sizes) - 1)
    if is_outermost or item.kind == "plain":
        return width, height
    return max(width, text_width(item.title, LINE)) + 2 * MARGIN, height + 2 * MARGIN + HEAD


def _gap(group: Group, along: float) -> float:
    return along if group.flow == "row" else GAP if group.kind != "plain" else 3 * GAP


def _place(
    item: Node | Group, x: float, y: float, size: tuple[float, float], along: float, *, is_outermost: bool = False
) -> Iterator[_Box]:
    """The item's own box, then those of its members; in a column all are as wide as the widest."""
    yield _Box(item, x, y, *size)
    if isinstance(item, Node):
        return
    inner_width, inner_height = size
    if not is_outermost and item.kind != "plain":
        x, y = x + MARGIN, y + MARGIN + HEAD
        inner_width, inner_height = inner_width - 2 * MARGIN, inner_height - 2 * MARGIN - HEAD
    for member in item.members:
        width, height = _size(member, along)
        if item.flow == "row":
            down = 0 if item.align == "top" else (inner_height - height) / 2
            yield from _place(member, x, y + down, (width, height), along)
            x += width + _gap(item, along)
        else:
            yield from _place(member, x, y, (inner_width, height), along)
            y += height + _gap(item, along)


# --- drawing


def _classes(what: str, kind: str, mark: str) -> str:
    return " ".join(filter(None, (what, kind, mark)))


def _rect(box: _Box) -> str:
    return (
        f'<rect x="{box.x:.1f}" y="{box.y:.1f}" width="{box.width:.1f}" height="{box.height:.1f}" rx="6"'
        f' fill="white" stroke="{DETAIL}"/>'
    )


def _draw_group(box: _Box, group: Group) -> str:
    title = _text(box.x + MARGIN, box.y + HEAD - 2, group.title, LINE, DETAIL)
    return f'<g class="{_classes("cluster", group.kind, group.mark)}">{_rect(box)}{title}</g>'


def _draw_node(box: _Box, node: Node) -> str:
    middle, y = box.middle[0], box.y + PAD_Y + TITLE
    weight = "normal" if node.kind in ("state", "absent") else "bold"
    head = f'<tspan font-weight="{weight}">{escape(node.title)}</tspan>'
    if node.aside:
        head += f'<tspan dx="8" font-family="{MONO}" font-size="{LINE}" fill="{DETAIL}">{escape(node.aside)}</tspan>'
    if tag(node):
        colour = FRESH if node.mark else INK
        head += f'<tspan dx="8" font-size="{LABEL}" fill="{colour}">{tag(node)}</tspan>'
    text = [f'<text x="{middle:.1f}" y="{y:.1f}" text-anchor="middle" font-size="{TITLE}" fill="{INK}">{head}</text>']
    for line in node.lines:
        y += LINE * LEADING
        text.append(_text(middle, y, line, LINE, FRESH if line in node.fresh else DETAIL, MONO, "middle"))
    return f'<g class="{_classes("node", node.kind, node.mark)}">{_rect(box)}{"".join(text)}</g>'


def _draw_edge(edge: Edge, tail: _Box, head: _Box) -> str:
    (x1, y1), (x2, y2), bend = _ends(tail, head)
    path = f'<path d="M{x1:.1f},{y1:.1f} {bend} {x2:.1f},{y2:.1f}" fill="none" stroke="{DETAIL}"/>'
    arrows = ""
    is_upright = abs(y2 - y1) > abs(x2 - x1)
    if edge.arrow:
        arrows += _arrow(x2, y2, is_upright, 1 if (y2 > y1 if is_upright else x2 > x1) else -1)
    if edge.arrow == "both":
        arrows += _arrow(x1, y1, is_upright, -1 if (y2 > y1 if is_upright else x2 > x1) else 1)
    label = ""
    if edge.label:
        x, y, anchor = (
            ((x1 + x2) / 2, (y1 + y2) / 2 - 5, "middle") if not is_upright else (x1 + 7, (y1 + y2) / 2 + 4, "start")
        )
        label = _text(x, y, edge.label, LABEL, DETAIL, SANS, anchor)
    return f'<g class="{_classes("edge", edge.kind, edge.mark)}">{path}{arrows}{label}</g>'


def _ends(tail: _Box, head: _Box) -> tuple[tuple[float, float], tuple[float, float], str]:
    """Where a line leaves the one box and reaches the other, and how it gets there."""
    if tail.x + tail.width <= head.x or head.x + head.width <= tail.x:
        first, last = (tail.x + tail.width, head.x) if tail.x < head.x else (tail.x, head.x + head.width)
        y1, y2, half = tail.middle[1], head.middle[1], (first + last) / 2
        return (first, y1), (last, y2), f"C{half:.1f},{y1:.1f} {half:.1f},{y2:.1f}"
    first, last = (tail.y + tail.height, head.y) if tail.y < head.y else (tail.y, head.y + head.height)
    x1, x2, half = tail.middle[0], head.middle[0], (first + last) / 2
    return (x1, first), (x2, last), f"C{x1:.1f},{half:.1f} {x2:.1f},{half:.1f}"


def _arrow(x: float, y: float, is_upright: bool, sign: int) -> str:
    back = 7 * sign
    points = (
        [(x, y), (x - 3, y - back), (x + 3, y - back)] if is_upright else [(x, y), (x - back, y - 3), (x - back, y + 3)]
    )
    return f'<polygon points="{" ".join(f"{a:.1f},{b:.1f}" for a, b in points)}" fill="{DETAIL}"/>'


def _text(x: float, y: float, text: str, size: float, colour: str, family: str = SANS, anchor: str = "start") -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-family="{family}" font-size="{size}"'
        f' fill="{colour}">{escape(text)}</text>'
    )
