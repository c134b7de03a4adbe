"""Joins a client to a container's streams: its connection goes to the shim, the engine is out of the way."""

from __future__ import annotations

import os

from kernelkit.engine.engine import Engine
from kernelkit.engine.model import Container
from kernelkit.errors import Conflict, InvalidRequest
from kernelkit.host.channel import Attach, Resize

DEFAULT_KEYS = b"\x10\x11"  # ctrl-p ctrl-q


def check(container: Container) -> None:
    """Refuse, by Conflict, a container whose streams nobody can join now."""
    if container.state.paused:
        raise Conflict(f"Container {container.id} is paused, unpause the container before attach.")
    if container.state.status == "restarting":
        raise Conflict(f"Container {container.id} is restarting, wait until the container is running")
    if container.state.status not in ("created", "exited", "running"):
        raise Conflict(f"cannot attach to a {container.state.status} container")


def attach(engine: Engine, container: Container, connection: int, wish: Attach) -> None:
    """Hand over a client's connection; it waits for the start when the container has not been started yet.

    The descriptor is taken over, whatever happens. Raises Conflict when the container cannot be attached to.
    """
    with container.lock:
        engine.events.container(container, "attach")
        if container.state.running:
            try:
                if not engine.link.send(container.id, wish, connection):
                    raise Conflict(f"container {container.id} has just ended")
            finally:
                os.close(connection)
            return
        if container.state.status not in ("created", "exited"):
            os.close(connection)
            raise Conflict(f"cannot attach to a {container.state.status} container")
        engine.attached.setdefault(container.id, []).append((connection, wish))


def resize(engine: Engine, container: Container, rows: int, columns: int) -> None:
    """Tell a container's terminal its size; Conflict when it is not running."""
    if not container.state.running:
        raise Conflict(f"Container {container.id} is not running")
    engine.link.send(container.id, Resize(rows, columns))
    engine.events.container(container, "resize", height=str(rows), width=str(columns))


def parse_keys(text: str) -> bytes:
    """The bytes of detach keys such as `ctrl-p,ctrl-q` or `a`; InvalidRequest for what is no key."""
    if not text:
        return DEFAULT_KEYS
    keys = bytearray()
    for key in text.split(","):
        if len(key) == 1:
            keys += key.encode()
        elif key.startswith("ctrl-") and len(key) == 6 and (key[5].isalpha() or key[5] in "@[\\]^_"):
            keys.append(ord(key[5].upper()) - 64)
        else:
            raise InvalidRequest(f"Invalid detach keys ({text}) provided: unknown character '{key}'")
    return bytes(keys)
