"""The cgroups between the engine's own and a container's, when `--cgroup-parent` names some.

They are made where they are missing. Those that we have made are in the book, whoever starts or kills the engine
meanwhile, and go when the last container in them has gone; others are not ours to remove.
"""

from __future__ import annotations

import os
import posixpath

from kernelkit.container import cgroup
from kernelkit.engine.engine import Engine
from kernelkit.engine.model import Container
from kernelkit.errors import InvalidRequest


def check(engine: Engine, asked: str) -> None:
    """Refuse, by InvalidRequest, a parent whose limits would not hold: one that the real machine has beside ours."""
    path = posixpath.normpath(f"/{asked}").strip("/")
    if not asked or not path or not engine.cgroup_root:
        return
    if any(os.path.isdir(directory) for directory in cgroup.directories(engine.layout, path)):
        said = f"'--cgroup-parent {asked}' is not supported by kernelkit: the machine's own cgroup of this name"
        raise InvalidRequest(said, f"ours are all below {engine.cgroup_root}, to go with it")


def above(engine: Engine, container: Container) -> tuple[str, ...]:
    """The cgroups above a container's that it asked for, the outermost first; none where it asked for no parent."""
    if not container.host_config.get("CgroupParent"):
        return ()
    innermost = posixpath.dirname(engine.cgroup_path(container))
    parts = innermost.removeprefix(engine.cgroup_root).strip("/").split("/")
    paths = ("/".join(parts[: number + 1]) for number in range(len(parts)) if parts[0])
    return tuple(f"{engine.cgroup_root}/{path}".lstrip("/") for path in paths)


def note(engine: Engine, container: Container) -> tuple[str, ...]:
    """The same, before they are made: what is missing of them is noted as ours."""
    wanted = above(engine, container)
    directories = [directory for path in wanted for directory in cgroup.directories(engine.layout, path)]
    if missing := [directory for directory in directories if not os.path.isdir(directory)]:
        engine.state.note_cgroups(missing)
    return wanted


def ours(engine: Engine, container: Container) -> tuple[str, ...]:
    """The directories above a container's that we have made, the innermost first."""
    wanted = above(engine, container)
    if not wanted:
        return ()
    made = engine.state.cgroups()
    return tuple(
        directory
        for path in reversed(wanted)
        for directory in cgroup.directories(engine.layout, path)
        if directory in made
    )


def forget(engine: Engine, directories: tuple[str, ...]) -> None:
    """Note which of them have gone."""
    if gone := [directory for directory in directories if not os.path.isdir(directory)]:
        engine.state.forget_cgroups(gone)
