"""The container's file tree: what is mounted into it, its /dev, and what is hidden from it.

Every path is taken inside `root`, the merged view, before the container's root directory is changed to it: the tools a
person needs for these steps are the host's, the image may have none.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from kernelkit.kernel.files import MakeDevice, MakeDirectory, MakeLink, SetOwner
from kernelkit.kernel.mount import (
    PROPAGATION,
    Bind,
    MakeMountPoint,
    MaskPath,
    Mount,
    PivotRoot,
    ProtectPath,
    Remount,
    SetPropagation,
    ShareMount,
    Unmount,
)
from kernelkit.kernel.mount_setattr import ProtectTree
from kernelkit.kernel.mount_volume import BindBelow
from kernelkit.trace import Operation

# A place in another process's mount namespace, where a bind mount cannot come from.
ELSEWHERE = re.compile(r"/proc/(\d+)/root(/.*)")
# The kernel's own file systems, whose places an image must leave to them.
KERNELS = ("proc", "sysfs")

DEVICE_LINKS = (
    ("/proc/self/fd", "fd"),
    ("/proc/self/fd/0", "stdin"),
    ("/proc/self/fd/1", "stdout"),
    ("/proc/self/fd/2", "stderr"),
    ("pts/ptmx", "ptmx"),
)


def isolate() -> list[Operation]:
    """Keep what is mounted from here on out of every other mount namespace."""
    return [SetPropagation("/", "rprivate")]


def mounts(
    wanted: Sequence[Mapping[str, Any]],
    root: str,
    *,
    files: frozenset[str] = frozenset(),
    hierarchies: Sequence[tuple[str, str]] = (),
    devices: Sequence[Mapping[str, Any]] = (),
    bind_devices: bool = False,
) -> list[Operation]:
    """Mount what the OCI spec lists, in its order (config.md, Mounts).

    `files` are the destinations of bind mounts whose source is a file; `hierarchies` the cgroup hierarchies as (name,
    options), with the single name "" for the unified one; `devices` the spec's `linux.devices`.
    """
    plan: list[Operation] = []
    for mount in wanted:
        target, kind = mount["destination"], mount.get("type", "bind")
        options = tuple(mount.get("options") or ())
        if kind == "bind" and (elsewhere := ELSEWHERE.fullmatch(mount["source"])):
            plan += _share(int(elsewhere[1]), elsewhere[2], target, options, root, directory=target not in files)
        elif kind == "bind":
            part = mount.get("subpath") or ""
            plan += _bind(mount["source"], target, options, root, directory=target not in files, part=part)
        elif kind == "overlay" and "subpath" in mount:
            # There is no way to lay only a part of the sheets on each other: first all of them, out of sight.
            plan += [MakeDirectory(mount["source"]), Mount("overlay", "overlay", mount["source"], options)]
            directory = target not in files
            plan += _bind(mount["source"], target, ("rbind",), root, directory=directory, part=mount["subpath"])
        elif kind == "cgroup":
            plan += _cgroups(target, options, root, hierarchies)
        else:
            plain = tuple(o for o in options if o not in PROPAGATION)
            ordinary = kind in KERNELS or target == "/dev"
            plan.append(MakeMountPoint(target, directory=True, root=root, ordinary=ordinary))
            plan.append(Mount(kind, mount.get("source", kind), target, plain, root))
        if target == "/dev" and kind == "tmpfs":
            plan += device_tree(f"{root}/dev", devices, bind=bind_devices)
    return plan


def device_tree(dev: str, devices: Sequence[Mapping[str, Any]], *, bind: bool = False) -> list[Operation]:
    """Fill a fresh /dev: the nodes, and the links every program counts on (OCI config-linux.md, Devices).

    `bind` takes the host's nodes instead of making new ones: in a user namespace mknod(2) is refused.
    """
    plan: list[Operation] = []
    for device in devices:
        path = dev + device["path"].removeprefix("/dev")
        if "/" in device["path"].removeprefix("/dev/"):
            plan.append(MakeDirectory(path.rpartition("/")[0]))
        if bind:
            plan.append(MakeMountPoint(path.removeprefix(dev), directory=False, root=dev))
            plan.append(Bind(device.get("source", device["path"]), path))
            continue
        plan.append(MakeDevice(path, device["type"], device["major"], device["minor"], device.get("fileMode", 0o666)))
        if device.get("uid") or device.get("gid"):
            plan.append(SetOwner(path, device.get("uid", 0), device.get("gid", 0)))
    return plan + [MakeLink(target, f"{dev}/{name}") for target, name in DEVICE_LINKS]


def conceal(masked: Sequence[str], protected: Sequence[str], root: str) -> list[Operation]:
    """Hide the kernel's more talkative files, and make its switches read-only."""
    null = f"{root}/dev/null"
    return [*(MaskPath(root + path, null) for path in masked), *(ProtectPath(root + path) for path in protected)]


def enter(root: str, *, readonly: bool = False) -> list[Operation]:
    """Make the merged view the root directory, and let go of the host's."""
    plan: list[Operation] = [PivotRoot(root), Unmount(".", lazy=True)]
    return [Remount(root, ("ro",)), *plan] if readonly else plan


def _bind(
    source: str, target: str, options: tuple[str, ...], root: str, *, directory: bool, part: str = ""
) -> list[Operation]:
    recursive = "rbind" in options
    bind = BindBelow(source, part, target, recursive, root) if part else Bind(source, target, recursive, root)
    return [MakeMountPoint(target, directory, root), bind, *_change(target, options, root)]


def _share(
    pid: int, source: str, target: str, options: tuple[str, ...], root: str, *, directory: bool
) -> list[Operation]:
    """A bind mount from the mount namespace of a process: the only one that is told of what is mounted over there."""
    passed_on = any(o in PROPAGATION and o not in ("private", "rprivate") for o in options)
    return [
        MakeMountPoint(target, directory, root),
        ShareMount(pid, source, target, root, recursive=passed_on and "rbind" in options),
        *(_change(target, options, root) if passed_on or {"ro", "rro"} & set(options) else ()),
    ]


def _change(target: str, options: tuple[str, ...], root: str) -> list[Operation]:
    """What a bind mount takes only once it is there."""
    flags = tuple(o for o in options if o in ("ro", "nosuid", "nodev", "noexec", "noatime"))
    plan: list[Operation] = [Remount(target, flags, root)] if flags else []
    if "rro" in options:
        plan.append(ProtectTree(target, root))
    return plan + [SetPropagation(target, o, root) for o in options if o in PROPAGATION and o != "rprivate"]


def _cgroups(
    target: str, options: tuple[str, ...], root: str, hierarchies: Sequence[tuple[str, str]]
) -> list[Operation]:
    plan: list[Operation] = [MakeMountPoint(target, directory=True, root=root)]
    if [name for name, _ in hierarchies] == [""]:
        return [*plan, Mount("cgroup2", "cgroup", target, options, root)]
    # Version 1: a small tmpfs that holds a directory a hierarchy; only the hierarchies themselves are read-only.
    base = tuple(o for o in options if o != "ro")
    plan.append(Mount("tmpfs", "tmpfs", target, (*base, "mode=755"), root))
    for name, controllers in hierarchies:
        place = f"{target}/{name}"
        kind = "cgroup" if controllers else "cgroup2"
        data = (controllers,) if controllers else ()
        plan += [
            MakeMountPoint(place, directory=True, root=root),
            Mount(kind, "cgroup", place, (*options, *data), root),
        ]
    return plan
