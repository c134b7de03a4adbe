"""Removes a container: its record, its files, and with `volumes` the anonymous volumes it came with."""

from __future__ import annotations

import contextlib
import os
import signal

from kernelkit.engine import images, rmi, stop, volumes
from kernelkit.engine.engine import Engine
from kernelkit.engine.model import NEVER, Container
from kernelkit.engine.start import Watch, start
from kernelkit.errors import Conflict, KernelkitError, NotModified
from kernelkit.kernel.files import MoveToTrash
from kernelkit.kernel.rm import remove_tree
from kernelkit.trace import Trace


def remove(engine: Engine, container: Container, *, force: bool = False, with_volumes: bool = False) -> None:
    """Remove a container that has ended, or with `force` any; Conflict when it runs."""
    if container.state.running:
        if not force:
            what = "paused" if container.state.paused else container.state.status
            how = (
                "unpause and then stop the container before removal or force remove"
                if what == "paused"
                else ("stop the container before removing or force remove")
            )
            name = container.name or container.short_id
            raise Conflict(f'cannot remove container "/{name}": container is {what}: {how}')
        with contextlib.suppress(Conflict):
            stop.kill(engine, container, str(int(signal.SIGKILL)))
    with container.lock:
        if container.removed and force:
            return  # `--rm` was faster
        if container.removed:
            raise Conflict(f"removal of container {container.id} is already in progress")
        _forget(engine, container, with_volumes=with_volumes)


def start_or_remove(engine: Engine, container: Container, watch: Watch | None = None) -> None:
    """Start it; when that fails and it was to be removed at its end, this is its end. Raises what `start` raises."""
    never_ran = container.state.started_at == NEVER
    try:
        start(engine, container, watch)
    except NotModified:
        raise
    except Exception:
        # Whatever it was: somebody waits for the removal.
        if container.host_config.get("AutoRemove") and never_ran:
            remove_ended(engine, container)
        raise


def remove_ended(engine: Engine, container: Container) -> None:
    """What `--rm` asked for: once it has ended, remove it with its anonymous volumes."""
    with contextlib.suppress(KernelkitError):
        remove(engine, container, with_volumes=True)


def _forget(engine: Engine, container: Container, *, with_volumes: bool) -> None:
    for connection, _ in engine.attached.pop(container.id, []):
        os.close(connection)
    trace = Trace()
    trace.perform("remove", MoveToTrash(os.fspath(engine.folder(container.id)), os.fspath(engine.trash)))
    engine.records.add(container.id, trace.steps, engine.folder(container.id))
    container.state.status = "removing"
    engine.state.remove(container)
    try:
        for mount in container.mounts if with_volumes else ():
            if mount.get("Type") == "volume":
                with contextlib.suppress(KernelkitError):
                    volumes.remove_anonymous(engine, mount["Name"])
        for image in (container.image_id, *images.mounted_images(container)):
            rmi.let_go(engine, image)
        engine.events.container(container, "destroy")
        engine.trash_has_grown.set()
    finally:
        # Last, for whoever waits for this finds nothing of it any more, and all that is to be told of it.
        container.removed = True
        container.notify()


def empty_trash(engine: Engine) -> None:
    """Delete what has been thrown away, whenever there is some; never returns."""
    rmi.sweep(engine)
    while True:
        engine.trash_has_grown.wait()
        engine.trash_has_grown.clear()
        with contextlib.suppress(OSError):
            for name in os.listdir(engine.trash):
                remove_tree(engine.trash / name)
