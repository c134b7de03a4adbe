"""The layer stack: read-only sheets, one writable sheet on top, and the view of all of them from above.

    upper   what this container has written      containers/ID/upper
    lower   the image's layers, top one first    layers/…
    merged  what the container sees              containers/ID/merged

Documentation/filesystems/overlayfs.rst of the kernel is the source for the options.
"""

from __future__ import annotations

from dataclasses import dataclass

from kernelkit.kernel.files import ChangeDirectory, MakeDirectory, MakeLink
from kernelkit.kernel.mount import Mount
from kernelkit.trace import Operation

# mount(2): the option string is copied into one page.
PAGE = 4096


@dataclass(frozen=True)
class Stack:
    """Where a container's layers are: absolute directories, `layers` bottom to top as in the image."""

    layers: tuple[str, ...]
    directory: str
    userxattr: bool = False

    @property
    def upper(self) -> str:
        """The writable sheet."""
        return f"{self.directory}/upper"

    @property
    def work(self) -> str:
        """Where overlayfs prepares what it then moves into upper in one go; same file system as upper."""
        return f"{self.directory}/work"

    @property
    def merged(self) -> str:
        """The view: the container's root directory to be."""
        return f"{self.directory}/merged"


def allocate(stack: Stack) -> list[Operation]:
    """Make the writable sheet and the place for the view."""
    return [MakeDirectory(path) for path in (stack.upper, stack.work, stack.merged)]


def stack(stack: Stack) -> list[Operation]:
    """Lay the sheets on each other: the read-write layer mounted."""
    top_first = tuple(reversed(stack.layers))
    extra = ("userxattr",) if stack.userxattr else ()
    options = _options(top_first, stack.upper, stack.work, extra)
    if len(",".join(options)) < PAGE:
        return [Mount("overlay", "overlay", stack.merged, options)]
    # Very many layers: short names for them, seen from a directory of links, so that the options fit their page.
    links = f"{stack.directory}/l"
    short = tuple(str(number) for number in range(len(top_first)))
    return [
        MakeDirectory(links),
        *(MakeLink(layer, f"{links}/{name}") for name, layer in zip(short, top_first, strict=True)),
        ChangeDirectory(links),
        Mount("overlay", "overlay", stack.merged, _options(short, stack.upper, stack.work, extra)),
    ]


def _options(lower: tuple[str, ...], upper: str, work: str, extra: tuple[str, ...]) -> tuple[str, ...]:
    return (f"lowerdir={':'.join(lower)}", f"upperdir={upper}", f"workdir={work}", *extra)
