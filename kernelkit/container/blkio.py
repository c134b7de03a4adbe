"""Limits of block I/O: the OCI `linux.resources.blockIO` as files of a cgroup, in either version's words.

Admin guide of the kernel: cgroup-v1/blkio-controller.rst and cgroup-v2.rst, IO; block/bfq-iosched.rst for the weights.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kernelkit.kernel.cgroup import WriteCgroup
from kernelkit.trace import Operation

# OCI's name -> version 1's file, the key of a line in version 2's `io.max`.
RATES = {
    "throttleReadBpsDevice": ("blkio.throttle.read_bps_device", "rbps"),
    "throttleWriteBpsDevice": ("blkio.throttle.write_bps_device", "wbps"),
    "throttleReadIOPSDevice": ("blkio.throttle.read_iops_device", "riops"),
    "throttleWriteIOPSDevice": ("blkio.throttle.write_iops_device", "wiops"),
}
# BFQ is the scheduler that knows weights; version 2 has a second file, for the cost model of any scheduler.
WEIGHT, WEIGHT_DEVICE = "blkio.bfq.weight", "blkio.bfq.weight_device"
BFQ_WEIGHT, COST_WEIGHT = "io.bfq.weight", "io.weight"
OLD_RANGE, NEW_RANGE = (10, 1000), (1, 10_000)  # of Docker's weights, which are version 1's, and of `io.weight`


def values(block: Mapping[str, Any], directory: str, version: int, *, bfq: bool = True) -> list[Operation]:
    """Set these limits in a cgroup; `bfq` is whether version 2 has BFQ's file for weights."""
    return [*_weights(block, directory, version, bfq=bfq), *_rates(block, directory, version)]


def scaled(value: int, old: tuple[int, int], new: tuple[int, int]) -> int:
    """Version 1's range mapped onto version 2's, as every runtime does: linear, ends to ends."""
    inside = min(max(value, old[0]), old[1])
    return new[0] + (inside - old[0]) * (new[1] - new[0]) // (old[1] - old[0])


def _weights(block: Mapping[str, Any], directory: str, version: int, *, bfq: bool) -> list[Operation]:
    if version == 1:
        whole, single = WEIGHT, WEIGHT_DEVICE
    else:
        whole = single = BFQ_WEIGHT if bfq else COST_WEIGHT

    def said(weight: int) -> str:
        return str(weight if version == 1 or bfq else scaled(weight, OLD_RANGE, NEW_RANGE))

    plan: list[Operation] = []
    if block.get("weight"):
        plan.append(WriteCgroup(f"{directory}/{whole}", said(block["weight"])))
    for device in block.get("weightDevice") or ():
        # 0, in version 1, and "default", in version 2, take the device's own weight away.
        weight = said(device["weight"]) if device["weight"] or version == 1 else "default"
        plan.append(WriteCgroup(f"{directory}/{single}", f"{_number(device)} {weight}"))
    return plan


def _rates(block: Mapping[str, Any], directory: str, version: int) -> list[Operation]:
    plan: list[Operation] = []
    for name, (file, key) in RATES.items():
        for device in block.get(name) or ():
            # 0 is no limit in version 1, and not allowed in version 2.
            rate = device["rate"] if version == 1 else f"{key}={device['rate'] or 'max'}"
            plan.append(WriteCgroup(f"{directory}/{file if version == 1 else 'io.max'}", f"{_number(device)} {rate}"))
    return plan


def _number(device: Mapping[str, Any]) -> str:
    return f"{device['major']}:{device['minor']}"
