"""Limits of block I/O as files of a cgroup, in either version."""

from __future__ import annotations

from typing import Any

import pytest

from kernelkit.container import blkio
from kernelkit.kernel.cgroup import WriteCgroup

SDA, SDB = {"major": 8, "minor": 0}, {"major": 8, "minor": 16}


def written(block: dict[str, Any], version: int, *, bfq: bool = False) -> list[tuple[str, str]]:
    """The files that are set in the cgroup /c, and to what."""
    plan = blkio.values(block, "/c", version, bfq=bfq)
    return [(op.path.removeprefix("/c/"), op.value) for op in plan if isinstance(op, WriteCgroup)]


@pytest.mark.parametrize(
    ("name", "first", "second"),
    [
        ("throttleReadBpsDevice", "blkio.throttle.read_bps_device", "rbps"),
        ("throttleWriteBpsDevice", "blkio.throttle.write_bps_device", "wbps"),
        ("throttleReadIOPSDevice", "blkio.throttle.read_iops_device", "riops"),
        ("throttleWriteIOPSDevice", "blkio.throttle.write_iops_device", "wiops"),
    ],
)
def test_each_device_has_a_rate_of_its_own(name: str, first: str, second: str) -> None:
    block = {name: [{**SDA, "rate": 1000}, {**SDB, "rate": 0}]}
    assert written(block, 1) == [(first, "8:0 1000"), (first, "8:16 0")]
    assert written(block, 2) == [("io.max", f"8:0 {second}=1000"), ("io.max", f"8:16 {second}=max")]


def test_weights_are_docker_s_for_bfq_and_scaled_for_the_cost_model() -> None:
    block = {"weight": 500, "weightDevice": [{**SDA, "weight": 10}, {**SDB, "weight": 1000}]}
    assert written(block, 1) == [
        ("blkio.bfq.weight", "500"),
        ("blkio.bfq.weight_device", "8:0 10"),
        ("blkio.bfq.weight_device", "8:16 1000"),
    ]
    assert written(block, 2, bfq=True) == [
        ("io.bfq.weight", "500"),
        ("io.bfq.weight", "8:0 10"),
        ("io.bfq.weight", "8:16 1000"),
    ]
    assert written(block, 2) == [("io.weight", "4950"), ("io.weight", "8:0 1"), ("io.weight", "8:16 10000")]


def test_a_device_s_weight_can_be_taken_away() -> None:
    block = {"weightDevice": [{**SDA, "weight": 0}]}
    assert written(block, 1) == [("blkio.bfq.weight_device", "8:0 0")]
    assert written(block, 2) == [("io.weight", "8:0 default")]
