"""Devices of a container: what there is no driver for, and what is not there."""

from __future__ import annotations

from typing import Any

import pytest

from kernelkit.engine import devices, limits
from kernelkit.errors import InvalidRequest, KernelkitError


@pytest.mark.parametrize(
    ("request_", "said"),
    [
        ({"Driver": "", "Capabilities": [["gpu"]]}, 'could not select device driver "" with capabilities: [[gpu]]'),
        (
            {"Driver": "nvidia", "Capabilities": [["gpu", "utility"], ["tpu"]]},
            'could not select device driver "nvidia" with capabilities: [[gpu utility] [tpu]]',
        ),
        ({"Driver": "cdi", "Capabilities": None}, 'could not select device driver "cdi" with capabilities: []'),
    ],
)
def test_requests_for_devices_are_refused_as_by_a_docker_without_drivers(request_: dict[str, Any], said: str) -> None:
    with pytest.raises(KernelkitError) as refused:
        devices.refuse_requests({"DeviceRequests": [request_]})
    assert (str(refused.value), refused.value.status) == (said, 500)
    devices.refuse_requests({"DeviceRequests": None})


def test_block_devices_are_known_by_their_numbers() -> None:
    host = {
        "BlkioDeviceReadBps": [{"Path": "/dev/null", "Rate": 5}, {"Path": "/dev/zero", "Rate": 6}],
        "BlkioWeightDevice": [{"Path": "/dev/null", "Weight": 100}],
        "BlkioDeviceWriteIOps": [],
    }
    assert devices.block(host) == {
        "throttleReadBpsDevice": [{"major": 1, "minor": 3, "rate": 5}, {"major": 1, "minor": 5, "rate": 6}],
        "weightDevice": [{"major": 1, "minor": 3, "weight": 100}],
    }


def test_a_block_device_that_is_not_there_is_said_as_docker_says_it() -> None:
    with pytest.raises(KernelkitError, match=r"^stat /dev/nope: no such file or directory$"):
        devices.block({"BlkioDeviceReadBps": [{"Path": "/dev/nope", "Rate": 5}]})


def test_real_time_needs_a_kernel_that_schedules_groups() -> None:
    for wish in ({"CpuRealtimePeriod": 1}, {"CpuRealtimeRuntime": 1}):
        limits.real_time(wish, scheduler=True)
        with pytest.raises(InvalidRequest, match=r"^kernel does not support CPU real-time scheduler$"):
            limits.real_time(wish, scheduler=False)
    limits.real_time({}, scheduler=False)
