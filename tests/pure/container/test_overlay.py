"""Layers stacked: the topmost is named first, and however many there are, the options fit the kernel's page."""

from __future__ import annotations

from kernelkit.container.overlay import PAGE, Stack, allocate, stack
from kernelkit.kernel.files import ChangeDirectory, MakeDirectory, MakeLink
from kernelkit.kernel.mount import Mount


def test_the_writable_sheet_and_the_view_are_made_first() -> None:
    assert allocate(Stack(("/l/1",), "/c/x")) == [
        MakeDirectory("/c/x/upper"),
        MakeDirectory("/c/x/work"),
        MakeDirectory("/c/x/merged"),
    ]


def test_the_top_layer_is_named_first() -> None:
    options = ("lowerdir=/l/2:/l/1", "upperdir=/c/x/upper", "workdir=/c/x/work")
    assert stack(Stack(("/l/1", "/l/2"), "/c/x")) == [Mount("overlay", "overlay", "/c/x/merged", options)]


def test_in_a_user_namespace_the_file_system_keeps_its_notes_where_a_user_may() -> None:
    (mount,) = stack(Stack(("/l/1",), "/c/x", userxattr=True))
    assert isinstance(mount, Mount)
    assert mount.options[-1] == "userxattr"


def test_very_many_layers_get_short_names() -> None:
    layers = tuple(f"/var/lib/kernelkit/layers/{number:064d}" for number in range(120))
    links, *rest = stack(Stack(layers, "/c/x"))
    *named, there, mount = rest
    assert links == MakeDirectory("/c/x/l")
    assert named[0] == MakeLink(layers[-1], "/c/x/l/0"), "the top one"
    assert [step.target for step in named if isinstance(step, MakeLink)] == list(reversed(layers))
    assert there == ChangeDirectory("/c/x/l")
    assert isinstance(mount, Mount)
    assert mount.options[0] == f"lowerdir={':'.join(map(str, range(120)))}"
    assert len(",".join(mount.options)) < PAGE
