"""A new volume begins with what the image has where it is mounted, as Docker's do."""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from pathlib import Path

from kernelkit.engine import initlayer, peek, volume_mounts
from kernelkit.engine.engine import Engine
from kernelkit.engine.model import Container
from kernelkit.image.catalogue import Image
from kernelkit.kernel.fill import FillDirectory
from kernelkit.trace import Trace


def fill(engine: Engine, container: Container, image: Image) -> None:
    """Fill those of the container's volumes that are empty, but for those that were asked to stay so."""
    trace = Trace(engine.records.tell)
    if container.mounts:
        with volume_mounts.mounted(engine, container, trace):
            _fill(engine, container, image, trace)


def _fill(engine: Engine, container: Container, image: Image, trace: Trace) -> None:
    kept_empty = {
        os.path.normpath(wish["Target"])
        for wish in container.host_config.get("Mounts") or []
        if (wish.get("VolumeOptions") or {}).get("NoCopy")
    }
    for mount in container.mounts:
        place = mount["Destination"]
        if mount["Type"] != "volume" or "nocopy" in mount["Mode"].split(",") or place in kept_empty:
            continue
        if (mount.get("Spec") or {}).get("Subpath"):
            continue  # somebody has filled the volume already, or there would be no such part of it
        if not os.path.isdir(mount["Source"]) or any(os.scandir(mount["Source"])):
            continue
        sheets = [Path(sheet) for sheet in reversed(initlayer.sheets(engine, image))]
        sources = shown(sheets, peek.resolve(sheets, place))
        if sources:
            trace.perform("create", FillDirectory(tuple(sources), mount["Source"]))


def shown(layers: Sequence[Path], place: str) -> list[str]:
    """The directories, the topmost first, that overlayfs would show together at a place; `layers` top first."""
    found: list[str] = []
    for layer in layers:
        if peek.is_hidden(layer, place):
            break
        here = layer
        for part in place.strip("/").split("/"):
            here = here / part
            try:
                status = os.lstat(here)
            except OSError:
                break
            if not stat.S_ISDIR(status.st_mode):
                return found  # a file or a link: below it nothing shows
            if peek.is_opaque(here):
                return [*found, f"{layer}{place}"] if os.path.isdir(f"{layer}{place}") else found
        else:
            found.append(f"{layer}{place}")
    return found
