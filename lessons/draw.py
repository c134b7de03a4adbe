"""Draws a picture as SVG: with Graphviz's program `dot` where it is installed, without it otherwise."""

from __future__ import annotations

import functools
import html
import re
import shutil

import graphviz

from lessons.graphs.boxes import as_svg
from lessons.graphs.dot import as_dot
from lessons.graphs.graph import Graph, described


def svg(graph: Graph) -> str:
    """The picture as one `<svg>` element, to be put into a page that has lessons/widgets/style.css.

    The same graph gives the same text, so what has been drawn once is remembered.
    """
    return _with_dot(graph) if has_dot() else _labelled(as_svg(graph), graph)


@functools.cache
def has_dot() -> bool:
    """Whether `dot` is there to draw with."""
    return shutil.which("dot") is not None


@functools.lru_cache(maxsize=256)
def _with_dot(graph: Graph) -> str:
    try:
        drawn = graphviz.Source(as_dot(graph)).pipe(format="svg", encoding="utf-8", quiet=True)
    except (graphviz.CalledProcessError, graphviz.ExecutableNotFound, OSError):
        # Another program of that name, or one without its plugins: the picture is worth more than the reason.
        return _labelled(as_svg(graph), graph)
    return _labelled(_embeddable(drawn), graph)


def _embeddable(drawn: str) -> str:
    """Graphviz's SVG file as an element for a page: no prolog, pixels for points, no titles that pop up as tooltips."""
    element = drawn[drawn.index("<svg") :]
    element = re.sub(r"<!--.*?-->\s*|<title>.*?</title>\s*|\sid=\"[^\"]*\"", "", element, flags=re.S)
    return re.sub(r'(width|height)="([\d.]+)pt"', r'\1="\2"', element, count=2)


def _labelled(element: str, graph: Graph) -> str:
    """With all that it says, as text that a screen reader reads out in place of the picture."""
    label = html.escape(described(graph))
    return element.replace("<svg ", f'<svg class="kk-graph" role="img" aria-label="{label}" ', 1)
