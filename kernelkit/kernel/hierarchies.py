"""Which cgroup hierarchies a machine has, and where this process stands in each. cgroups(7).

Version 1 has a hierarchy a controller (or a few), each with a tree of its own; version 2 has one for all.  A machine
has the one, the other, or both ("hybrid").  Nothing is guessed: /proc/self/mountinfo says where each is mounted,
/proc/self/cgroup where in it we are.
"""

from __future__ import annotations

import os
import posixpath
from collections.abc import Iterator
from dataclasses import dataclass, replace

UNIFIED_ONLY = ("devices", "freezer")  # in version 2 these are in every cgroup and no controller's


@dataclass(frozen=True)
class Hierarchy:
    """One tree of cgroups: the controllers in it, where it is mounted, and where in it new cgroups are to go."""

    controllers: tuple[str, ...]
    mount_point: str
    home: str  # a directory: our own cgroup, below which others are made
    version: int = 1
    nested: bool = False  # of version 2: below the real root, so it has processes or hands controllers on, never both

    @property
    def name(self) -> str:
        """The last component of where it is mounted: `memory`, `cpu,cpuacct`, `unified`."""
        return posixpath.basename(self.mount_point)

    def directory(self, path: str) -> str:
        """The directory of the cgroup `path`, counted from our own."""
        return posixpath.join(self.home, path.strip("/")).rstrip("/")


@dataclass(frozen=True)
class Layout:
    """All hierarchies of this machine, as they were when it was read; `swap` is whether swap can be limited.

    `bfq` is whether version 2 takes weights of block I/O for the BFQ scheduler, which only a cgroup that is not the
    root can tell: `knowing` looks.

    Paths of cgroups are counted from where the process stood that read it. Read it once, before going anywhere.
    """

    hierarchies: tuple[Hierarchy, ...] = ()
    swap: bool = True
    bfq: bool = False

    @classmethod
    def parse(cls, mountinfo: str, cgroup: str, controllers: str = "", *, from_top: bool = False) -> Layout:
        """From the texts of /proc/self/mountinfo, /proc/self/cgroup and version 2's `cgroup.controllers`.

        `from_top` puts new cgroups of version 2 at the top of what is mounted, not below our own cgroup: there a cgroup
        with processes in it, as ours is, cannot hand controllers on.
        """
        places = _places(cgroup)
        found: list[Hierarchy] = []
        for root, mount_point, kind, options in _mounts(mountinfo):
            version = 2 if kind == "cgroup2" else 1
            names = tuple(controllers.split()) if version == 2 else _controllers(options, places)
            place = places.get("" if version == 2 else ",".join(names), places.get(names[0] if names else ""))
            below = None if place is None else _below(place, root)
            if below is None or any((h.version, h.controllers) == (version, names) for h in found):
                continue
            home = mount_point if version == 2 and from_top else posixpath.join(mount_point, below).rstrip("/")
            found.append(Hierarchy(names, mount_point, home, version))
        return cls(tuple(found))

    def knowing(self, path: str) -> Layout:
        """The same, with what the cgroup `path` tells by the files that it has."""
        return replace(self, bfq=self.has(path, "blkio", "io.bfq.weight"))

    def has(self, path: str, controller: str, file: str) -> bool:
        """Whether the cgroup `path` has this file of a controller's."""
        hierarchy = self.of(controller)
        return hierarchy is not None and os.path.exists(f"{hierarchy.directory(path)}/{file}")

    @property
    def mode(self) -> str:
        """`v1`, `v2`, `hybrid`, or `none`."""
        versions = {h.version for h in self.hierarchies}
        return "hybrid" if len(versions) == 2 else f"v{versions.pop()}" if versions else "none"

    @property
    def unified(self) -> Hierarchy | None:
        """The hierarchy of version 2."""
        return next((h for h in self.hierarchies if h.version == 2), None)

    def of(self, controller: str) -> Hierarchy | None:
        """The hierarchy in which this controller, by its name in version 1, works; None when it works in none."""
        for hierarchy in self.hierarchies:
            if hierarchy.version == 1 and controller in hierarchy.controllers:
                return hierarchy
        unified = self.unified
        if not unified:
            return None
        name = {"cpuacct": "cpu", "blkio": "io"}.get(controller, controller)
        return unified if name in unified.controllers or name in UNIFIED_ONLY else None


def read_layout() -> Layout:
    """This machine's hierarchies, as this process sees them now."""
    mountinfo, cgroup = _read("/proc/self/mountinfo"), _read("/proc/self/cgroup")
    unified = Layout.parse(mountinfo, cgroup).unified
    from_top = unified is not None and os.geteuid() == 0 and os.access(unified.mount_point, os.W_OK)
    top = "" if unified is None else unified.mount_point if from_top else unified.home
    controllers = _read(f"{top}/cgroup.controllers")
    layout = Layout.parse(mountinfo, cgroup, controllers, from_top=from_top)
    memory = layout.of("memory")
    if memory and memory.version == 1:
        swap = os.path.exists(f"{memory.home}/memory.memsw.limit_in_bytes")
    else:
        # The root cgroup has no memory.swap.max to look for; the file is there when the kernel can swap at all.
        swap = os.path.exists("/proc/swaps")
    nested = os.path.exists(f"{top}/cgroup.type")  # the root has no such file
    here = tuple(replace(h, nested=nested) if h.version == 2 else h for h in layout.hierarchies)
    return Layout(here, swap)


def unified_home(pid: int) -> str:
    """The directory of a process's cgroup of version 2, as this process sees it; empty where there is none."""
    unified = Layout.parse(_read("/proc/self/mountinfo"), _read(f"/proc/{pid}/cgroup")).unified
    return unified.home if unified else ""


def _mounts(mountinfo: str) -> Iterator[tuple[str, str, str, str]]:
    """(root, mount point, kind, options of the file system) of each cgroup mount: proc_pid_mountinfo(5)."""
    for line in mountinfo.splitlines():
        left, _, right = line.partition(" - ")
        kind, *rest = right.split()
        if kind in ("cgroup", "cgroup2"):
            _, _, _, root, mount_point, *_ = left.split()
            yield root, mount_point, kind, rest[-1]


def _places(cgroup: str) -> dict[str, str]:
    """Controllers, all of a hierarchy and each alone -> our path; version 2's under the empty name: cgroups(7)."""
    found: dict[str, str] = {}
    for line in cgroup.splitlines():
        _, names, path = line.split(":", 2)
        for name in (names, *names.split(",")):
            found[name] = path
    return found


def _controllers(options: str, places: dict[str, str]) -> tuple[str, ...]:
    return tuple(word for word in options.split(",") if word in places and word)


def _below(place: str, root: str) -> str | None:
    """Our path as seen from the directory that is mounted; None when it is not in what is mounted."""
    # Mounted from outside our cgroup namespace, the root is shown as `/..` or further up.
    if root.startswith("/.."):
        return None
    relative = posixpath.relpath(place, root)
    return None if relative.startswith("..") else "" if relative == "." else relative


def _read(path: str) -> str:
    try:
        with open(path) as file:
            return file.read()
    except FileNotFoundError:
        return ""
