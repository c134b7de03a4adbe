"""What is asked of the kernel and it does not have: left away, with a warning in Docker's words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kernelkit.kernel.hierarchies import Layout

# HostConfig's key -> version 1's file, version 2's files, what is not supported, what is therefore discarded.
BLOCK = {
    "BlkioWeight": ("blkio.bfq.weight", ("io.bfq.weight", "io.weight"), "Block I/O weight", "Weight"),
    "BlkioWeightDevice": (
        "blkio.bfq.weight_device",
        ("io.bfq.weight", "io.weight"),
        "Block I/O weight_device",
        "Weight-device",
    ),
    "BlkioDeviceReadBps": (
        "blkio.throttle.read_bps_device",
        ("io.max",),
        "BPS Block I/O read limit",
        "Block I/O BPS read limit",
    ),
    "BlkioDeviceWriteBps": (
        "blkio.throttle.write_bps_device",
        ("io.max",),
        "BPS Block I/O write limit",
        "Block I/O BPS write limit",
    ),
    "BlkioDeviceReadIOps": (
        "blkio.throttle.read_iops_device",
        ("io.max",),
        "IOPS Block read limit",
        "Block I/O IOPS read limit",
    ),
    "BlkioDeviceWriteIOps": (
        "blkio.throttle.write_iops_device",
        ("io.max",),
        "IOPS Block write limit",
        "Block I/O IOPS write limit",
    ),
}

Json = dict[str, Any]


def discard(host: Mapping[str, Any], layout: Layout, path: str) -> tuple[Json, list[str]]:
    """A `HostConfig`, or a part of one, without what containers below the cgroup `path` cannot have; the warnings."""
    kept, warnings = dict(host), []
    if host.get("MemorySwappiness") not in (None, -1) and not layout.has(path, "memory", "memory.swappiness"):
        kept["MemorySwappiness"] = None
        what = "memory swappiness capabilities or the cgroup is not mounted. Memory swappiness"
        warnings.append(f"Your kernel does not support {what} discarded.")
    if host.get("OomKillDisable") and not layout.has(path, "memory", "memory.oom_control"):
        kept["OomKillDisable"] = False
        warnings.append("Your kernel does not support OomKillDisable. OomKillDisable discarded.")
    for key, (one, two, what, wish) in BLOCK.items():
        if host.get(key) and not any(layout.has(path, "blkio", file) for file in (one, *two)):
            kept[key] = type(host[key])()
            warnings.append(f"Your kernel does not support {what} or the cgroup is not mounted. {wish} discarded.")
    if host.get("CpuPercent"):
        kept["CpuPercent"] = 0
        warnings.append("linux does not support CPU percent. Percent discarded.")
    if kept.get("OomKillDisable") and not host.get("Memory"):
        said = "OOM killer is disabled for the container, but no memory limit is set"
        warnings.append(f"{said}, this can result in the system running out of resources.")
    if host.get("NetworkMode") == "host" and host.get("PortBindings"):
        warnings.append("Published ports are discarded when using host network mode")
    return kept, warnings
