"""A container's limits: the OCI `linux.resources` turned into cgroups made, set, joined and removed.

A container is always in the cgroups that its walls, its statistics and `pause` need (TRACKED); in all others only when
there is a limit to set, for each one costs a tenth of a millisecond at its start and again at its end.

Meanings of the values: OCI config-linux.md, Control groups; conversions from version 1's ranges to version 2's:
crun(1), cgroup v2.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from kernelkit.container import blkio
from kernelkit.container.device_filter import compile_filter
from kernelkit.errors import InvalidRequest, Unavailable
from kernelkit.kernel.cgroup import (
    EnableControllers,
    InheritCpuset,
    JoinCgroup,
    LimitMemory,
    MakeCgroup,
    RemoveCgroup,
    RemoveEmptyCgroup,
    RestrictDevices,
    WriteCgroup,
)
from kernelkit.kernel.cgroup_procs import Freeze, KillCgroup, MoveProcesses, Thaw
from kernelkit.kernel.device_filter import AttachDeviceFilter
from kernelkit.kernel.hierarchies import Hierarchy, Layout
from kernelkit.kernel.usage import Usage, oom_killed, usage
from kernelkit.trace import Operation

__all__ = [
    "Layout",
    "Usage",
    "abandon",
    "birthplace",
    "directories",
    "freeze",
    "join",
    "kill",
    "limits",
    "mounted",
    "oom_killed",
    "prepare",
    "teardown",
    "thaw",
    "update",
    "usage",
]

TRACKED = ("memory", "pids", "cpuacct", "devices", "freezer")
LIMITING = ("cpu", "cpuset", "blkio")
DELEGATED = ("cpu", "cpuset", "io", "memory", "pids")  # version 2's controllers that containers' cgroups want
# Where version 2 keeps processes out of the way of the no-internal-process rule; systemd's name for the same.
LEAF = "init.scope"

Resources = Mapping[str, Any]


def prepare(layout: Layout, base: str) -> list[Operation]:
    """Make the cgroup below which containers' cgroups will be; `base` is a path counted from our own cgroups."""
    plan: list[Operation] = []
    for hierarchy in _hierarchies(layout, (*TRACKED, *LIMITING)):
        directory = hierarchy.directory(base)
        plan.append(MakeCgroup(directory))
        if "cpuset" in hierarchy.controllers and hierarchy.version == 1:
            plan.append(InheritCpuset(directory))
        if hierarchy.version == 2:
            wanted = tuple(name for name in DELEGATED if name in hierarchy.controllers)
            if wanted and hierarchy.nested:
                # Whoever is here, us included, must make room for the controllers; beside the base, not below it, for
                # that is removed with all who are in it.
                leaf = hierarchy.directory(LEAF)
                plan += [MakeCgroup(leaf), MoveProcesses(hierarchy.home, leaf)]
            if wanted:
                plan += [EnableControllers(hierarchy.home, wanted), EnableControllers(directory, wanted)]
    return plan


def directories(layout: Layout, path: str) -> list[str]:
    """All the directories that the cgroup `path` of a container can be."""
    return [hierarchy.directory(path) for hierarchy in _hierarchies(layout, (*TRACKED, *LIMITING))]


def limits(resources: Resources, layout: Layout, path: str, parents: Sequence[str] = ()) -> list[Operation]:
    """Make a container's cgroups and set its limits, with nobody in them yet.

    `parents` are the cgroups above it that may have to be made, the outermost first.

    Raises InvalidRequest for values that contradict each other, Unavailable for a limit this machine cannot set.
    """
    plan: list[Operation] = []
    for hierarchy in _wanted(layout, resources):
        plan += [operation for parent in parents for operation in _parent(hierarchy, parent)]
        plan += _made(hierarchy, path)
    return [*plan, *_values(resources, layout, path), *_devices(resources.get("devices") or (), layout, path)]


def birthplace(layout: Layout, path: str, resources: Resources) -> str:
    """The version 2 cgroup for a process to be born in (`Clone`'s `cgroup`), which costs nothing; empty without one."""
    return next((h.directory(path) for h in _wanted(layout, resources) if h.version == 2), "")


def join(layout: Layout, path: str, resources: Resources) -> list[Operation]:
    """Put this process, born in the `birthplace`, into the other cgroups that `limits` made of the same resources."""
    return [JoinCgroup(h.directory(path)) for h in _wanted(layout, resources) if h.version == 1]


def update(resources: Resources, layout: Layout, path: str, before: Resources) -> list[Operation]:
    """Change a running container's limits; `before` are the resources it was made with."""
    plan: list[Operation] = []
    had = _wanted(layout, before)
    for hierarchy in _wanted(layout, {**before, **resources}):
        if hierarchy not in had:
            plan += [*_made(hierarchy, path), MoveProcesses(had[0].directory(path), hierarchy.directory(path))]
    return plan + _values(resources, layout, path)


def mounted(layout: Layout, resources: Resources) -> list[tuple[str, str]]:
    """What a container sees in /sys/fs/cgroup: (name, options) a hierarchy it is in; no name is version 2."""
    found = _wanted(layout, resources)
    if [h.version for h in found] == [2]:
        return [("", "")]
    return [(h.name, ",".join(h.controllers) if h.version == 1 else "") for h in found]


def freeze(layout: Layout, path: str) -> list[Operation]:
    """Stop all of a container's processes where they are."""
    hierarchy = _need(layout, "freezer", "pause")
    return [Freeze(hierarchy.directory(path), hierarchy.version)]


def thaw(layout: Layout, path: str) -> list[Operation]:
    """Let them go on."""
    hierarchy = _need(layout, "freezer", "unpause")
    return [Thaw(hierarchy.directory(path), hierarchy.version)]


def kill(layout: Layout, path: str) -> list[Operation]:
    """End whoever is left in a container's cgroups."""
    found = _hierarchies(layout, ("freezer", "pids", "memory"))
    return [KillCgroup(found[0].directory(path))] if found else []


def teardown(layout: Layout, path: str, resources: Resources | None = None) -> list[Operation]:
    """Remove a container's cgroups, made of these resources, when nobody is in them any more.

    Without resources, all that there could be: with the base's path what `prepare` made.
    """
    found = _hierarchies(layout, (*TRACKED, *LIMITING)) if resources is None else _wanted(layout, resources)
    return [RemoveCgroup(h.directory(path)) for h in found]


def abandon(made: Sequence[str]) -> list[Operation]:
    """Remove these directories of cgroups, the innermost first, in which nobody is any more."""
    return [RemoveEmptyCgroup(directory) for directory in made]


def _made(hierarchy: Hierarchy, path: str) -> list[Operation]:
    directory = hierarchy.directory(path)
    cpuset = "cpuset" in hierarchy.controllers and hierarchy.version == 1
    return [MakeCgroup(directory), *([InheritCpuset(directory)] if cpuset else [])]


def _parent(hierarchy: Hierarchy, path: str) -> list[Operation]:
    """A cgroup that has a container's below it: version 2's hands the controllers on."""
    offered = tuple(name for name in DELEGATED if name in hierarchy.controllers) if hierarchy.version == 2 else ()
    enable = [EnableControllers(hierarchy.directory(path), offered)] if offered else []
    return [*_made(hierarchy, path), *enable]


def _hierarchies(layout: Layout, controllers: Sequence[str]) -> list[Hierarchy]:
    """Each hierarchy in which one of these works, once."""
    found = [hierarchy for name in controllers if (hierarchy := layout.of(name))]
    return list(dict.fromkeys(found))


def _wanted(layout: Layout, resources: Resources) -> list[Hierarchy]:
    # With any limit, all: a Java machine, for one, looks for its limits only where every hierarchy is to be seen.
    sections = (resources.get(name) or {} for name in ("memory", "cpu", "pids", "blockIO", "unified"))
    limited = any(any(section.values()) for section in sections)
    return _hierarchies(layout, (*TRACKED, *LIMITING) if limited else TRACKED)


def _need(layout: Layout, controller: str, wish: str) -> Hierarchy:
    hierarchy = layout.of(controller)
    if not hierarchy:
        raise Unavailable(
            f'cannot set "{wish}": the cgroup controller "{controller}" is not there',
            "mount it, or boot with cgroup_enable; /proc/cgroups lists what the kernel has",
        )
    return hierarchy


def _values(resources: Resources, layout: Layout, path: str) -> list[Operation]:
    return [
        *_memory(resources.get("memory") or {}, layout, path),
        *_cpu(resources.get("cpu") or {}, layout, path),
        *_cpuset(resources.get("cpu") or {}, layout, path),
        *_pids(resources.get("pids") or {}, layout, path),
        *_blkio(resources.get("blockIO") or {}, layout, path),
        *_unified(resources.get("unified") or {}, layout, path),
    ]


def _memory(memory: Mapping[str, Any], layout: Layout, path: str) -> list[Operation]:
    limit, both = memory.get("limit") or 0, (memory.get("swap") or 0) if layout.swap else 0
    if limit > 0 and 0 < both < limit:
        raise InvalidRequest("Minimum memoryswap limit should be larger than memory limit, see usage")
    if not any(memory.values()) and memory.get("swappiness") is None:
        return []
    hierarchy = _need(layout, "memory", "memory")
    place = hierarchy.directory(path)
    plan: list[Operation] = []
    if hierarchy.version == 1:
        if limit or both:
            plan.append(LimitMemory(place, limit, both))
        same = (("reservation", "memory.soft_limit_in_bytes"), ("swappiness", "memory.swappiness"))
        plan += [WriteCgroup(f"{place}/{file}", str(memory[key])) for key, file in same if memory.get(key) is not None]
        if memory.get("disableOOMKiller"):
            plan.append(WriteCgroup(f"{place}/memory.oom_control", "1"))
        return plan
    if both:
        # Version 2 counts swap alone, version 1 memory and swap together; both may be -1, for no bound.
        alone = str(both - max(limit, 0)) if both > 0 else "max"
        plan.append(WriteCgroup(f"{place}/memory.swap.max", alone))
    if limit:
        plan.append(WriteCgroup(f"{place}/memory.max", _or_max(limit)))
    if memory.get("reservation"):
        plan.append(WriteCgroup(f"{place}/memory.low", _or_max(memory["reservation"])))
    return plan


def _cpu(cpu: Mapping[str, Any], layout: Layout, path: str) -> list[Operation]:
    shares, quota, period = cpu.get("shares"), cpu.get("quota"), cpu.get("period")
    runtime, every = cpu.get("realtimeRuntime"), cpu.get("realtimePeriod")
    if not any((shares, quota, period, runtime, every)):
        return []
    hierarchy = _need(layout, "cpu", "cpu")
    place = hierarchy.directory(path)
    if hierarchy.version == 1:
        # The period first: the quota is checked against it.
        files = (
            ("cpu.shares", shares),
            ("cpu.cfs_period_us", period),
            ("cpu.cfs_quota_us", quota),
            ("cpu.rt_period_us", every),
            ("cpu.rt_runtime_us", runtime),
        )
        return [WriteCgroup(f"{place}/{file}", str(value)) for file, value in files if value]
    plan: list[Operation] = []
    if shares:
        plan.append(WriteCgroup(f"{place}/cpu.weight", str(blkio.scaled(shares, (2, 262_144), (1, 10_000)))))
    if quota or period:
        share = str(quota) if quota and quota > 0 else "max"
        plan.append(WriteCgroup(f"{place}/cpu.max", f"{share} {period or 100_000}"))
    return plan


def _cpuset(cpu: Mapping[str, Any], layout: Layout, path: str) -> list[Operation]:
    files = [(f"cpuset.{key}", cpu[key]) for key in ("cpus", "mems") if cpu.get(key)]
    if not files:
        return []
    place = _need(layout, "cpuset", "cpuset").directory(path)
    return [WriteCgroup(f"{place}/{file}", value) for file, value in files]


def _pids(pids: Mapping[str, Any], layout: Layout, path: str) -> list[Operation]:
    if not pids.get("limit"):
        return []
    place = _need(layout, "pids", "pids limit").directory(path)
    return [WriteCgroup(f"{place}/pids.max", _or_max(pids["limit"]))]


def _blkio(block: Mapping[str, Any], layout: Layout, path: str) -> list[Operation]:
    if not any(block.values()):
        return []
    hierarchy = _need(layout, "blkio", "block I/O")
    return blkio.values(block, hierarchy.directory(path), hierarchy.version, bfq=layout.bfq)


def _unified(files: Mapping[str, str], layout: Layout, path: str) -> list[Operation]:
    if not files:
        return []
    if not layout.unified:
        raise Unavailable("version 2 cgroup settings on a machine that has only version 1")
    return [WriteCgroup(f"{layout.unified.directory(path)}/{file}", value) for file, value in files.items()]


def _devices(rules: Sequence[Mapping[str, Any]], layout: Layout, path: str) -> list[Operation]:
    if not rules or (len(rules) == 1 and rules[0]["allow"] and not _particular(rules[0])):
        return []  # a new cgroup may use what the one above it may
    hierarchy = _need(layout, "devices", "devices")
    if hierarchy.version == 2:
        return [AttachDeviceFilter(hierarchy.directory(path), compile_filter(rules))]
    return [RestrictDevices(hierarchy.directory(path), tuple(word for rule in rules for word in _rule(rule)))]


def _rule(rule: Mapping[str, Any]) -> list[str]:
    """A rule as version 1 writes it; one about both kinds with numbers needs two."""
    verb, access = "allow" if rule["allow"] else "deny", rule.get("access") or "rwm"
    if not _particular(rule):
        return [f"{verb} a *:* rwm"]
    numbers = ":".join("*" if (n := rule.get(key)) is None or n < 0 else str(n) for key in ("major", "minor"))
    kinds = (rule["type"],) if rule.get("type") in ("c", "b") else ("c", "b")
    return [f"{verb} {kind} {numbers} {access}" for kind in kinds]


def _particular(rule: Mapping[str, Any]) -> bool:
    everything = rule.get("type") in (None, "", "a") and set(rule.get("access") or "rwm") == set("rwm")
    return not everything or any(rule.get(key) is not None and rule[key] >= 0 for key in ("major", "minor"))


def _or_max(value: int) -> str:
    return str(value) if value > 0 else "max"
