"""All files of a container as one archive: `docker export`.

What the container sees when nothing is mounted in it: its sheets as overlayfs shows them, read without mounting them.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

from kernelkit.engine.changes import below
from kernelkit.engine.engine import Engine
from kernelkit.engine.model import Container
from kernelkit.errors import Conflict
from kernelkit.kernel.pack import pack


def export(engine: Engine, container: Container) -> Iterator[bytes]:
    """A tar archive in pieces; Conflict when the container is going, NotFound when its image has gone."""
    if container.removed or container.state.status in ("removing", "dead"):
        raise Conflict(f"You cannot export container {container.id} which is being removed")
    upper = engine.folder(container.id) / "upper"
    sheets = [*([os.fspath(upper)] if upper.is_dir() else []), *below(engine, container)]
    pieces = pack(*sheets) if sheets else iter([bytes(1024)])
    engine.events.container(container, "export")
    return pieces
