"""Volumes that are file systems: `-o type=… -o device=… -o o=…`, mounted for as long as a container uses them.

    the first container's start    mounts it where an ordinary volume has its folder, so that everybody finds it there
    the last one's end             unmounts it

Who uses what is in the book for containers that run, and in the engine's memory for those that are on their way there.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager

from kernelkit.engine import volumes
from kernelkit.engine.engine import Engine
from kernelkit.engine.model import Container, Volume
from kernelkit.errors import KernelkitError
from kernelkit.kernel.mount import Unmount
from kernelkit.kernel.mount_volume import MountVolume, flags_and_data, is_mounted
from kernelkit.trace import Trace, explain


def hold(engine: Engine, container: Container) -> tuple[MountVolume, ...]:
    """Keep the container's volumes mounted from now on; what mounts those that are not."""
    return tuple(_hold(engine, volume, container.id) for volume in _file_systems(engine, container))


def release(engine: Engine, container: Container, trace: Trace) -> None:
    """Unmount those of the container's volumes that nobody else uses; what cannot be is in the engine's log."""
    for volume in _file_systems(engine, container):
        _release(engine, volume, container.id, container, trace)


@contextmanager
def mounted(engine: Engine, container: Container, trace: Trace) -> Iterator[None]:
    """The container's volumes mounted until the end of the block, though it does not run; KernelkitError."""
    found = _file_systems(engine, container)
    if not found:
        yield
        return
    try:
        for volume in found:
            operation = _hold(engine, volume, f"visitor of {container.id}")
            try:
                trace.perform("visit", operation)
            except OSError as error:
                raise KernelkitError(refused(operation, error.errno or 0)) from None
        yield
    finally:
        for volume in found:
            _release(engine, volume, f"visitor of {container.id}", container, trace)


def refused(operation: MountVolume, errno: int) -> str:
    """What the kernel says of a volume, in Docker's words."""
    flags, data = flags_and_data(operation.options)
    details = (f", flags: 0x{flags:x}" if flags else "") + (f", data: {data}" if data else "")
    reason = os.strerror(errno)
    return (
        f"error while mounting volume '{operation.target}': failed to mount local volume: "
        f"mount {operation.source}:{operation.target}{details}: {reason[:1].lower()}{reason[1:]}"
    )


def _file_systems(engine: Engine, container: Container) -> list[Volume]:
    names = {mount["Name"]: None for mount in container.mounts if mount["Type"] == "volume"}
    found = (engine.state.volume(name) for name in names)
    return [volume for volume in found if volume.options.get("device")]


def _hold(engine: Engine, volume: Volume, who: str) -> MountVolume:
    with engine.volumes_change:
        engine.volume_users.setdefault(volume.name, []).append(who)
    place, kind = os.fspath(volumes.folder(engine, volume.name)), volume.options["type"]
    words = filter(None, (volume.options.get("o") or "").split(","))
    return MountVolume(kind, volume.options["device"], place, tuple(_resolved(kind, word) for word in words))


def _resolved(kind: str, word: str) -> str:
    """An option with the address of a file server, whose name the kernel cannot look up, in place of its name."""
    key, _, name = word.partition("=")
    if kind not in ("nfs", "cifs") or key != "addr" or not name:
        return word
    try:
        return f"addr={socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)[0][4][0]}"
    except (OSError, UnicodeError) as error:
        raise KernelkitError(f"error resolving passed in network volume address: lookup {name}: {error}") from None


def _release(engine: Engine, volume: Volume, who: str, container: Container, trace: Trace) -> None:
    place = os.fspath(volumes.folder(engine, volume.name))
    with engine.volumes_change:
        users = engine.volume_users.get(volume.name, [])
        if who in users:
            users.remove(who)
        visited = who != container.id
        running = [c for c in volumes.users(engine, volume.name) if c.state.pid and (visited or c is not container)]
        if users or running or not is_mounted(place):
            return
        try:
            trace.perform("remove", Unmount(place))
        except OSError as error:
            engine.complain(f"unmount volume {volume.name}: {explain(error)}")
