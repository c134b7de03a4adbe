"""What a container uses: the counters of its cgroups, read. admin-guide/cgroup-v1/, admin-guide/cgroup-v2.rst."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from kernelkit.kernel.hierarchies import Hierarchy, Layout

UNLIMITED = 1 << 62  # version 1 writes "no limit" as a number above any memory


@dataclass(frozen=True)
class Usage:
    """Memory in bytes, time in nanoseconds; what the machine does not count is 0 or empty."""

    memory: int = 0
    memory_limit: int = 0  # 0 is no limit
    memory_peak: int = 0
    memory_failures: int = 0
    memory_detail: Mapping[str, int] = field(default_factory=dict)  # memory.stat, in the version's own words
    cpu: int = 0
    cpu_user: int = 0
    cpu_system: int = 0
    cpu_each: tuple[int, ...] = ()  # per processor; version 1 only
    periods: int = 0
    throttled_periods: int = 0
    throttled_time: int = 0
    pids: int = 0
    pids_limit: int = 0  # 0 is no limit
    io_bytes: tuple[tuple[int, int, str, int], ...] = ()  # major, minor, Read or Write, bytes
    io_operations: tuple[tuple[int, int, str, int], ...] = ()


def usage(layout: Layout, path: str) -> Usage:
    """What the processes of a container's cgroups, and of cgroups below them, use now."""
    found: dict[str, object] = {}
    for controller, read in (
        ("memory", _memory),
        ("cpuacct", _cpu),
        ("cpu", _throttled),
        ("pids", _pids),
        ("blkio", _io),
    ):
        hierarchy = layout.of(controller)
        if hierarchy:
            found |= read(hierarchy, hierarchy.directory(path))
    return Usage(**found)  # type: ignore[arg-type]


def oom_killed(layout: Layout, path: str) -> bool:
    """Whether the kernel has ended a process of this container because its memory was used up."""
    hierarchy = layout.of("memory")
    if not hierarchy:
        return False
    file = "memory.oom_control" if hierarchy.version == 1 else "memory.events"
    return _pairs(f"{hierarchy.directory(path)}/{file}").get("oom_kill", 0) > 0


def _memory(hierarchy: Hierarchy, place: str) -> dict[str, object]:
    first = hierarchy.version == 1
    limit = _number(f"{place}/{'memory.limit_in_bytes' if first else 'memory.max'}")
    failures = _number(f"{place}/memory.failcnt") if first else _pairs(f"{place}/memory.events").get("max", 0)
    return {
        "memory": _number(f"{place}/{'memory.usage_in_bytes' if first else 'memory.current'}"),
        "memory_limit": limit if limit < UNLIMITED else 0,
        "memory_peak": _number(f"{place}/{'memory.max_usage_in_bytes' if first else 'memory.peak'}"),
        "memory_failures": failures,
        "memory_detail": _pairs(f"{place}/memory.stat"),
    }


def _cpu(hierarchy: Hierarchy, place: str) -> dict[str, object]:
    if hierarchy.version == 2:
        stat = _pairs(f"{place}/cpu.stat")
        names = (("cpu", "usage_usec"), ("cpu_user", "user_usec"), ("cpu_system", "system_usec"))
        return {ours: stat.get(theirs, 0) * 1000 for ours, theirs in names}
    return {
        "cpu": _number(f"{place}/cpuacct.usage"),
        "cpu_user": _number(f"{place}/cpuacct.usage_user"),
        "cpu_system": _number(f"{place}/cpuacct.usage_sys"),
        "cpu_each": tuple(map(int, _text(f"{place}/cpuacct.usage_percpu").split())),
    }


def _throttled(hierarchy: Hierarchy, place: str) -> dict[str, object]:
    stat = _pairs(f"{place}/cpu.stat")
    time = stat.get("throttled_time", 0) if hierarchy.version == 1 else stat.get("throttled_usec", 0) * 1000
    periods, throttled = stat.get("nr_periods", 0), stat.get("nr_throttled", 0)
    return {"periods": periods, "throttled_periods": throttled, "throttled_time": time}


def _pids(_: Hierarchy, place: str) -> dict[str, object]:
    return {"pids": _number(f"{place}/pids.current"), "pids_limit": _number(f"{place}/pids.max")}


def _io(hierarchy: Hierarchy, place: str) -> dict[str, object]:
    if hierarchy.version == 1:
        file = f"{place}/blkio.throttle.io_"
        return {
            "io_bytes": _rows_of_first(_text(f"{file}service_bytes_recursive")),
            "io_operations": _rows_of_first(_text(f"{file}serviced_recursive")),
        }
    text = _text(f"{place}/io.stat")
    return {
        "io_bytes": _rows_of_second(text, "rbytes", "wbytes"),
        "io_operations": _rows_of_second(text, "rios", "wios"),
    }


def _rows_of_first(text: str) -> tuple[tuple[int, int, str, int], ...]:
    """Lines such as `8:0 Read 4096`."""
    rows = (line.split() for line in text.splitlines())
    return tuple(
        (*_device(row[0]), row[1], int(row[2])) for row in rows if len(row) == 3 and row[1] in ("Read", "Write")
    )


def _rows_of_second(text: str, read: str, write: str) -> tuple[tuple[int, int, str, int], ...]:
    """Lines such as `8:0 rbytes=4096 wbytes=0 rios=1 wios=0 dbytes=0 dios=0`."""
    found = []
    for device, *words in (line.split() for line in text.splitlines()):
        counters = dict(word.split("=", 1) for word in words if "=" in word)
        for name, word in ((read, "Read"), (write, "Write")):
            if name in counters:  # a device that was never used has a line and no counters
                found.append((*_device(device), word, int(counters[name])))
    return tuple(found)


def _device(numbers: str) -> tuple[int, int]:
    major, _, minor = numbers.partition(":")
    return int(major), int(minor)


def _pairs(path: str) -> dict[str, int]:
    """A file of lines `name value`."""
    rows = (line.split() for line in _text(path).splitlines())
    return {row[0]: int(row[1]) for row in rows if len(row) == 2}


def _number(path: str) -> int:
    text = _text(path).strip()
    return int(text) if text.lstrip("-").isdigit() else 0


def _text(path: str) -> str:
    try:
        with open(path) as file:
            return file.read()
    except OSError:  # not a file of this kernel, or the container is gone
        return ""
