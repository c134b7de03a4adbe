"""What a container uses, in the words of `docker stats`: counters of its cgroups, its network, its processor time."""

from __future__ import annotations

import os
from typing import Any

from kernelkit.container.cgroup import Usage, usage
from kernelkit.engine.engine import Engine
from kernelkit.engine.model import NEVER, Container, now

NOTHING: dict[str, Any] = {
    "cpu_usage": {"total_usage": 0, "usage_in_kernelmode": 0, "usage_in_usermode": 0},
    "throttling_data": {"periods": 0, "throttled_periods": 0, "throttled_time": 0},
}

Json = dict[str, Any]


def sample(engine: Engine, container: Container, before: Json | None = None) -> Json:
    """Docker's `ContainerStatsResponse` now; `before` is the sample that percentages are counted from."""
    about = {"name": f"/{container.name}", "id": container.id, "num_procs": 0, "storage_stats": {}}
    earlier = {
        "preread": before["read"] if before else NEVER,
        "precpu_stats": before["cpu_stats"] if before else NOTHING,
    }
    if not container.state.running or not container.state.pid:
        return {
            **about,
            **earlier,
            "read": NEVER,
            "pids_stats": {},
            "blkio_stats": _blkio(Usage()),
            "cpu_stats": NOTHING,
            "memory_stats": {},
        }
    used = usage(engine.layout, engine.cgroup_path(container))
    found: Json = {
        **about,
        **earlier,
        "read": now(),
        "pids_stats": {"current": used.pids, **({"limit": used.pids_limit} if used.pids_limit else {})},
        "blkio_stats": _blkio(used),
        "cpu_stats": _cpu(used),
        "memory_stats": _memory(engine, used),
    }
    networks = _networks(container.state.pid)
    if networks:
        found["networks"] = networks
    return found


def _cpu(used: Usage) -> Json:
    each = {"percpu_usage": list(used.cpu_each)} if used.cpu_each else {}
    return {
        "cpu_usage": {
            "total_usage": used.cpu,
            **each,
            "usage_in_kernelmode": used.cpu_system,
            "usage_in_usermode": used.cpu_user,
        },
        "system_cpu_usage": _system_time(),
        "online_cpus": os.cpu_count() or 1,
        "throttling_data": {
            "periods": used.periods,
            "throttled_periods": used.throttled_periods,
            "throttled_time": used.throttled_time,
        },
    }


def _memory(engine: Engine, used: Usage) -> Json:
    hierarchy = engine.layout.of("memory")
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    found: Json = {"usage": used.memory, "stats": dict(used.memory_detail), "limit": used.memory_limit or machine}
    if hierarchy and hierarchy.version == 1:
        found |= {"max_usage": used.memory_peak, "failcnt": used.memory_failures}
    return found


def _blkio(used: Usage) -> Json:
    def rows(counters: tuple[tuple[int, int, str, int], ...]) -> list[Json] | None:
        found = [{"major": a, "minor": b, "op": word.lower(), "value": n} for a, b, word, n in counters]
        return found or None

    names = ("io_queue", "io_service_time", "io_wait_time", "io_merged", "io_time", "sectors")
    return {
        "io_service_bytes_recursive": rows(used.io_bytes),
        "io_serviced_recursive": rows(used.io_operations),
        **{f"{name}_recursive": None for name in names},
    }


def _networks(pid: int) -> dict[str, Json]:
    """The counters of the links in a process's network namespace, but for loopback: proc_pid_net(5)."""
    found = {}
    try:
        with open(f"/proc/{pid}/net/dev") as file:
            lines = file.read().splitlines()[2:]
    except OSError:
        return {}
    for line in lines:
        name, _, rest = line.strip().partition(":")
        numbers = [int(word) for word in rest.split()]
        if name == "lo" or len(numbers) < 12:
            continue
        words = ("bytes", "packets", "errors", "dropped")
        found[name] = {f"rx_{word}": numbers[i] for i, word in enumerate(words)}
        found[name] |= {f"tx_{word}": numbers[8 + i] for i, word in enumerate(words)}
    return found


def _system_time() -> int:
    """Nanoseconds that all processors together have spent, idle or not: proc_stat(5)."""
    with open("/proc/stat") as file:
        fields = file.readline().split()[1:8]
    return sum(map(int, fields)) * 1_000_000_000 // os.sysconf("SC_CLK_TCK")
