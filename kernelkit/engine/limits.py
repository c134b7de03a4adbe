"""What a container may use at most, looked at before anything is made: the limits of `create` and `update`."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from typing import Any

from kernelkit.errors import InvalidRequest

LEAST_MEMORY = 6 << 20
LEAST_NANO = 10_000_000  # a hundredth of a processor
DEVICE_RATES = ("BlkioDeviceReadBps", "BlkioDeviceWriteBps", "BlkioDeviceReadIOps", "BlkioDeviceWriteIOps")


def check(host: Mapping[str, Any]) -> None:
    """Refuse, by InvalidRequest in Docker's words, limits that cannot be."""
    memory, swap, reserved = host["Memory"], host["MemorySwap"], host["MemoryReservation"]
    if 0 < memory < LEAST_MEMORY or memory < 0:
        raise InvalidRequest("Minimum memory limit allowed is 6MB")
    if swap > 0 and not memory:
        raise InvalidRequest("You should always set the Memory limit when using Memoryswap limit, see usage")
    if 0 < swap < memory:
        raise InvalidRequest("Minimum memoryswap limit should be larger than memory limit, see usage")
    if 0 < reserved < LEAST_MEMORY:
        raise InvalidRequest("Minimum memory reservation allowed is 6MB")
    if memory and reserved > memory:
        raise InvalidRequest("Minimum memory limit can not be less than memory reservation limit, see usage")
    swappiness = host.get("MemorySwappiness")
    if swappiness is not None and not 0 <= swappiness <= 100:
        raise InvalidRequest(f"Invalid value: {swappiness}, valid memory swappiness range is 0-100")
    _processor(host)
    _block(host)
    if "\0" in host["CgroupParent"]:
        raise InvalidRequest("invalid cgroup parent: a path contains no null byte")
    if host.get("ShmSize", 0) < 0:
        raise InvalidRequest("SHM size can not be less than 0")
    score = host.get("OomScoreAdj") or 0
    if not -1000 <= score <= 1000:
        raise InvalidRequest(f"Invalid value {score}, range for oom score adj is [-1000, 1000]")
    for limit in host.get("Ulimits") or []:
        if limit["Soft"] > limit["Hard"] >= 0:
            raise InvalidRequest(
                f"ulimit soft limit must be less than or equal to hard limit: {limit['Soft']} > {limit['Hard']}"
            )


def real_time(host: Mapping[str, Any], *, scheduler: bool) -> None:
    """Refuse, by InvalidRequest, what only a kernel can do that schedules groups of real-time processes: sched(7)."""
    if (host.get("CpuRealtimePeriod") or host.get("CpuRealtimeRuntime")) and not scheduler:
        raise InvalidRequest("kernel does not support CPU real-time scheduler")


def _processor(host: Mapping[str, Any]) -> None:
    cpus = os.cpu_count() or 1
    nano, period, quota = host["NanoCpus"], host["CpuPeriod"], host["CpuQuota"]
    if nano and (period or quota):
        raise InvalidRequest(
            f"Conflicting options: Nano CPUs and CPU {'Period' if period else 'Quota'} cannot both be set"
        )
    if nano < 0 or 0 < nano < LEAST_NANO or nano > cpus * 1_000_000_000:
        raise InvalidRequest(f"Range of CPUs is from 0.01 to {cpus}.00, as there are only {cpus} CPUs available")
    real_period, real_runtime = host["CpuRealtimePeriod"], host["CpuRealtimeRuntime"]
    if 0 < real_period < real_runtime:
        raise InvalidRequest("cpu real-time runtime cannot be higher than cpu real-time period")
    if period and not 1000 <= period <= 1_000_000:
        raise InvalidRequest("CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)")
    if 0 < quota < 1000:
        raise InvalidRequest("CPU cfs quota can not be less than 1ms (i.e. 1000)")
    if host["CpuShares"] < 0:
        raise InvalidRequest(f"invalid CPU shares ({host['CpuShares']}): value must be a positive integer")
    _cpuset(host["CpusetCpus"], "CPUs", "cpus", "/sys/devices/system/cpu/online")
    _cpuset(host["CpusetMems"], "memory nodes", "mems", "/sys/devices/system/node/online")


def _block(host: Mapping[str, Any]) -> None:
    if host["BlkioWeight"] and not 10 <= host["BlkioWeight"] <= 1000:
        raise InvalidRequest("Range of blkio weight is from 10 to 1000")
    for device in _devices(host, "BlkioWeightDevice", "Weight"):
        if device["Weight"] and not 10 <= device["Weight"] <= 1000:
            raise InvalidRequest(f"invalid weight for device: {device['Path']}:{device['Weight']}")
    for key in DEVICE_RATES:
        for device in _devices(host, key, "Rate"):
            if device["Rate"] < 0:
                raise InvalidRequest(f"invalid rate for device: {device['Path']}:{device['Rate']}")
    if host["IOMaximumIOps"] or host["IOMaximumBandwidth"]:
        raise InvalidRequest("Invalid QoS settings: linux does not support Maximum IO Bandwidth or Maximum IO IOps")


def _devices(host: Mapping[str, Any], key: str, value: str) -> Sequence[Mapping[str, Any]]:
    """The devices of a setting, each a path with a number."""
    found = host[key]
    for device in found:
        good = isinstance(device, dict) and isinstance(device.get("Path"), str) and "\0" not in device["Path"]
        if not good or not isinstance(device.get(value), int):
            raise InvalidRequest(f"invalid JSON: '{key}' should be a list of objects with 'Path' and '{value}'")
    return list(found)


def _cpuset(wanted: str, what: str, kind: str, file: str) -> None:
    if not wanted:
        return
    if not re.fullmatch(r"\d+(-\d+)?(,\d+(-\d+)?)*", wanted):
        raise InvalidRequest(f"Invalid value {wanted} for cpuset {kind}: invalid format: {wanted}")
    try:
        with open(file) as online:
            available = online.read().strip()
    except OSError:
        return  # a kernel without NUMA has no list of nodes; the cpuset controller will say what it thinks
    if not _numbers(wanted) <= _numbers(available):
        raise InvalidRequest(f"Requested {what} are not available - requested {wanted}, available: {available}")


def _numbers(ranges: str) -> set[int]:
    found: set[int] = set()
    for part in ranges.split(","):
        first, _, last = part.partition("-")
        found.update(range(int(first), min(int(last or first), 1 << 16) + 1))
    return found
