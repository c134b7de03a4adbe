"""Where the disk has gone: `docker system df`."""

from __future__ import annotations

from typing import Any

from kernelkit.engine import containers, images, volumes
from kernelkit.engine.engine import Engine

Json = dict[str, Any]


def disk_use(engine: Engine) -> Json:
    """Docker's `SystemDataUsageResponse`."""
    counted = []
    for volume in volumes.listing(engine, {}):
        size = volumes.disk_use(volumes.folder(engine, volume["Name"]))
        users = len(volumes.users(engine, volume["Name"]))
        counted.append({**volume, "UsageData": {"RefCount": users, "Size": size}})
    return {
        "LayersSize": images.disk_use(engine),
        "Images": images.listing(engine, {}, everything=True, shared=True),
        "Containers": containers.listing(engine, {}, everything=True, size=True),
        "Volumes": counted,
        "BuildCache": [],
    }
