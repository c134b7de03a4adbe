"""How large a box has to be for its text: sizes and fonts of every picture, in pixels.

Text is measured by rule of thumb, a little generously, for nobody knows which font a browser will choose.
"""

from __future__ import annotations

from lessons.graphs.graph import CHANGED, NEW, Node

TITLE, LINE, LABEL = 12.5, 11, 10.5  # font sizes
SANS, MONO = "Helvetica,Arial,sans-serif", "Menlo,Consolas,DejaVu Sans Mono,monospace"
# Colours as they are in the text of a picture; lessons/widgets/style.css maps each to the page's theme.
INK, DETAIL, FRESH = "#1b1f24", "#57606a", "#b34700"
PAD_X, PAD_Y, LEADING = 10, 6, 1.32
BOLD = 1.1  # how much wider bold letters are
_NARROW, _WIDE = set("iljtfrI.,:;'|!()[]/ "), set("mwMW@—→")
_TAGS = {NEW: "new", CHANGED: "changed"}


def tag(node: Node) -> str:
    """The word beside a node's title that says why it stands out; empty when it does not."""
    return "now" if node.kind == "now" else _TAGS.get(node.mark, "")


def text_width(text: str, size: float, *, mono: bool = False) -> float:
    """About how wide a text is."""
    if mono:
        return len(text) * size * 0.61
    return sum(size * (0.32 if c in _NARROW else 0.9 if c in _WIDE else 0.6) for c in text)


def node_size(node: Node) -> tuple[float, float]:
    """A node's width and height."""
    head = text_width(node.title, TITLE) * BOLD
    head += text_width(node.aside, LINE, mono=True) + 8 if node.aside else 0
    head += text_width(tag(node), LABEL) + 8 if tag(node) else 0
    width = max([head, *(text_width(line, LINE, mono=True) for line in node.lines)])
    return width + 2 * PAD_X, (TITLE + len(node.lines) * LINE) * LEADING + 2 * PAD_Y
