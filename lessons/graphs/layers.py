"""The stack of sheets that a container's files are: overlayfs of the kernel's documentation has the words."""

from __future__ import annotations

from pathlib import PurePath

from lessons.graphs.graph import Graph, Group, Node
from lessons.state import Layer, State


def layers(state: State) -> Graph:
    """From above: the view, the writable sheet, the image's sheets with the newest on top."""
    numbered = list(enumerate(state.layers, 1))
    stack = [_merged(state), _upper(state), *_init(state)]
    stack += [_lower(number, layer) for number, layer in reversed(numbered)]
    if not state.layers:
        stack.append(Node("lower-1", "lower", ("no image here yet",), kind="absent"))
    return Graph("layers", Group("layers", "", tuple(stack), "column"), alt=_alt(state))


def _merged(state: State) -> Node:
    if state.inside and state.inside.root:
        place = "/ of the container" if state.inside.is_entered else "not yet the container's /"
        return Node("merged", "merged", ("what you see from above:", place), kind="view")
    return Node("merged", "merged", ("an empty directory" if state.folder else "does not exist",), kind="absent")


def _upper(state: State) -> Node:
    if not state.folder:
        return Node("upper", "upper", ("does not exist",), kind="absent")
    written = state.inside.written if state.inside else ()
    names = ", ".join(written[:3]) + (", …" if len(written) > 3 else "")
    is_mounted = bool(state.inside and state.inside.root)
    lines = (f"read-write: {names or 'nothing written yet'}",) if is_mounted else ("an empty directory",)
    return Node("upper", "upper", lines, kind="writable" if is_mounted else "absent")


def _init(state: State) -> tuple[Node, ...]:
    """The sheet between the writable one and the image's, if the kernel's mount has one: see overlay's lowerdir."""
    below = state.inside.root.option("lowerdir").split(":") if state.inside and state.inside.root else []
    if not any(PurePath(folder).parent.name == "init" for folder in below):
        return ()
    return (Node("init", "init", ("empty places to mount on:", "/dev, /proc, /etc/hosts …"), kind="layer"),)


def _lower(number: int, layer: Layer) -> Node:
    return Node(f"lower-{number}", f"lower {number}", (layer.made_by, f"read-only, {_size(layer.size)}"), kind="layer")


def _size(count: int) -> str:
    return f"{count / 1e6:.1f} MB" if count >= 100_000 else f"{count / 1e3:.1f} kB"


def _alt(state: State) -> str:
    if state.inside and state.inside.root:
        return f"Layer stack: merged on top of upper on top of {len(state.layers)} read-only layers, mounted"
    return f"Layer stack: {len(state.layers)} read-only layers, nothing mounted"
