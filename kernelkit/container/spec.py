"""What a container is: Docker's settings turned into the standard `config.json` of the OCI runtime specification.

Pure: everything that has to be looked up (users, devices, volumes, what the machine offers) comes in as values.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

MASKED = (
    "/proc/asound",
    "/proc/acpi",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/sys/firmware",
    "/sys/devices/virtual/powercap",
)
PROTECTED = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")

# OCI config-linux.md, Default Devices: (path, major, minor).
DEVICES = (
    ("/dev/null", 1, 3),
    ("/dev/zero", 1, 5),
    ("/dev/full", 1, 7),
    ("/dev/random", 1, 8),
    ("/dev/urandom", 1, 9),
    ("/dev/tty", 5, 0),
)
# What may be used beside the nodes above: a terminal's console, pts/*, and making any node (not using it).
DEVICE_RULES = (
    {"allow": False, "access": "rwm"},
    {"allow": True, "type": "c", "access": "m"},
    {"allow": True, "type": "b", "access": "m"},
    *({"allow": True, "type": "c", "major": major, "minor": minor, "access": "rwm"} for _, major, minor in DEVICES),
    {"allow": True, "type": "c", "major": 5, "minor": 1, "access": "rwm"},
    {"allow": True, "type": "c", "major": 5, "minor": 2, "access": "rwm"},
    {"allow": True, "type": "c", "major": 136, "access": "rwm"},
)
# Limits of the processor that the specification has as Docker has them.
SAME = (
    ("CpuPeriod", "period"),
    ("CpuQuota", "quota"),
    ("CpuRealtimePeriod", "realtimePeriod"),
    ("CpuRealtimeRuntime", "realtimeRuntime"),
    ("CpusetCpus", "cpus"),
    ("CpusetMems", "mems"),
)
NAMESPACES = ("mount", "network", "uts", "pid", "ipc", "cgroup")


@dataclass(frozen=True)
class User:
    """Who the first process is, looked up in the image's /etc/passwd and /etc/group."""

    uid: int = 0
    gid: int = 0
    groups: tuple[int, ...] = (0,)
    home: str = "/root"


@dataclass(frozen=True)
class Facts:
    """What the settings do not say and had to be found out, for one container."""

    id: str
    hostname: str
    root: str
    user: User
    capabilities: tuple[str, ...]
    cgroup_path: str
    etc: Mapping[str, str] = field(default_factory=dict)  # destination -> source of hosts, hostname, resolv.conf
    mounts: Sequence[Mapping[str, Any]] = ()  # volumes, binds and tmpfs, as OCI mounts
    devices: Sequence[Mapping[str, Any]] = ()  # of --device, as OCI linux.devices
    device_rules: Sequence[Mapping[str, Any]] = ()
    block: Mapping[str, Any] = field(default_factory=dict)  # the OCI `blockIO` of single devices, by their numbers
    linked: Sequence[str] = ()  # variables that tell of its links
    joined: Mapping[str, int] = field(default_factory=dict)  # namespace kind -> pid of the process to join
    shared: frozenset[str] = frozenset()  # namespace kinds kept from the host
    seccomp: Mapping[str, Any] | None = None


def config(settings: Mapping[str, Any], host: Mapping[str, Any], facts: Facts) -> dict[str, Any]:
    """The OCI runtime configuration for Docker's `Config` and `HostConfig`."""
    privileged = bool(host.get("Privileged"))
    return {
        "ociVersion": "1.0.2",
        "process": process(settings, host, facts),
        "root": {"path": facts.root, "readonly": bool(host.get("ReadonlyRootfs"))},
        "hostname": facts.hostname,
        **({"domainname": settings["Domainname"]} if settings.get("Domainname") else {}),
        "mounts": _mounts(host, facts, privileged=privileged),
        "annotations": dict(host.get("Annotations") or {}),
        "linux": {
            "sysctl": _sysctl(host, facts),
            "resources": resources(host, facts),
            "cgroupsPath": facts.cgroup_path,
            "namespaces": _namespaces(facts),
            "devices": _devices(facts),
            **({"seccomp": facts.seccomp} if facts.seccomp else {}),
            "maskedPaths": [] if privileged else list(_given(host, "MaskedPaths", MASKED)),
            "readonlyPaths": [] if privileged else list(_given(host, "ReadonlyPaths", PROTECTED)),
        },
    }


def process(settings: Mapping[str, Any], host: Mapping[str, Any], facts: Facts) -> dict[str, Any]:
    """The first process: its words, environment, user and rights."""
    capabilities = list(facts.capabilities)
    ambient: list[str] = []
    held = capabilities if facts.user.uid == 0 else []
    return {
        "terminal": bool(settings.get("Tty")),
        "user": {"uid": facts.user.uid, "gid": facts.user.gid, "additionalGids": list(facts.user.groups)},
        "args": [*(settings.get("Entrypoint") or []), *(settings.get("Cmd") or [])],
        "env": environment(settings, facts),
        "cwd": settings.get("WorkingDir") or "/",
        "capabilities": {
            "bounding": capabilities,
            "effective": held,
            "permitted": held,
            "inheritable": [],
            "ambient": ambient,
        },
        "noNewPrivileges": no_new_privileges(host),
        "oomScoreAdj": int(host.get("OomScoreAdj") or 0),
        "rlimits": [
            {"type": f"RLIMIT_{u['Name'].upper()}", "soft": u["Soft"], "hard": u["Hard"]}
            for u in host.get("Ulimits") or []
        ],
    }


def environment(settings: Mapping[str, Any], facts: Facts) -> list[str]:
    """Docker's own variables, then the settings', later ones winning."""
    variables = {"PATH": PATH.partition("=")[2], "HOSTNAME": facts.hostname}
    if settings.get("Tty"):
        variables["TERM"] = "xterm"
    for entry in (*facts.linked, *(settings.get("Env") or [])):
        name, equals, value = entry.partition("=")
        if equals:
            variables[name] = value
    variables.setdefault("HOME", facts.user.home)
    return [f"{name}={value}" for name, value in variables.items()]


def no_new_privileges(host: Mapping[str, Any]) -> bool:
    """Whether `--security-opt no-new-privileges` was given, in any of its spellings."""
    words = ("no-new-privileges", "no-new-privileges:true", "no-new-privileges=true")
    return any(option in words for option in host.get("SecurityOpt") or [])


def resources(host: Mapping[str, Any], facts: Facts) -> dict[str, Any]:
    """The limits, in the OCI specification's words (config-linux.md, Control groups); only what was asked for."""
    memory: dict[str, Any] = {}
    if host.get("Memory"):
        memory["limit"] = host["Memory"]
        # Docker: without --memory-swap a container may swap as much again as it has memory.
        memory["swap"] = host.get("MemorySwap") or host["Memory"] * 2
    if host.get("MemoryReservation"):
        memory["reservation"] = host["MemoryReservation"]
    if host.get("MemorySwappiness") not in (None, -1):
        memory["swappiness"] = host["MemorySwappiness"]
    if host.get("OomKillDisable"):
        memory["disableOOMKiller"] = True
    cpu: dict[str, Any] = {}
    if host.get("CpuShares"):
        cpu["shares"] = host["CpuShares"]
    if host.get("NanoCpus"):
        cpu["period"] = 100_000
        cpu["quota"] = int(host["NanoCpus"] * 100_000 // 1_000_000_000)
    for ours, theirs in SAME:
        if host.get(ours):
            cpu[theirs] = host[ours]
    found: dict[str, Any] = {"devices": _device_rules(host, facts)}
    if memory:
        found["memory"] = memory
    if cpu:
        found["cpu"] = cpu
    if host.get("PidsLimit") and host["PidsLimit"] > 0:
        found["pids"] = {"limit": host["PidsLimit"]}
    block = {**({"weight": host["BlkioWeight"]} if host.get("BlkioWeight") else {}), **facts.block}
    if block:
        found["blockIO"] = block
    return found


def _device_rules(host: Mapping[str, Any], facts: Facts) -> list[Mapping[str, Any]]:
    if host.get("Privileged"):
        return [{"allow": True, "access": "rwm"}]
    return [*DEVICE_RULES, *facts.device_rules]


def _devices(facts: Facts) -> list[Mapping[str, Any]]:
    default = [{"path": p, "type": "c", "major": one, "minor": two, "fileMode": 0o666} for p, one, two in DEVICES]
    return list({device["path"]: device for device in [*default, *facts.devices]}.values())


def _given(host: Mapping[str, Any], key: str, default: Sequence[str]) -> Sequence[str]:
    return default if host.get(key) is None else host[key]


def _namespaces(facts: Facts) -> list[dict[str, str]]:
    names = {"mount": "mnt", "network": "net"}
    found = []
    for kind in NAMESPACES:
        if kind in facts.shared:
            continue
        entry = {"type": kind}
        if kind in facts.joined:
            entry["path"] = f"/proc/{facts.joined[kind]}/ns/{names.get(kind, kind)}"
        found.append(entry)
    return found


def _sysctl(host: Mapping[str, Any], facts: Facts) -> dict[str, str]:
    # Docker since 20.10: in a network namespace of its own a container needs no right to serve port 80 or to ping.
    own = {"net.ipv4.ip_unprivileged_port_start": "0", "net.ipv4.ping_group_range": "0 2147483647"}
    if "network" in facts.shared or "network" in facts.joined:
        own = {}
    return {**own, **(host.get("Sysctls") or {})}


def _mounts(host: Mapping[str, Any], facts: Facts, *, privileged: bool) -> list[dict[str, Any]]:
    readonly = [] if privileged else ["ro"]
    shm = int(host.get("ShmSize") or 67_108_864)
    own_network = "network" not in facts.shared
    standard: list[dict[str, Any]] = [
        _mount("/proc", "proc", "proc", "nosuid", "noexec", "nodev"),
        _mount("/dev", "tmpfs", "tmpfs", "nosuid", "strictatime", "mode=755", "size=65536k"),
        _mount("/dev/pts", "devpts", "devpts", "nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=620", "gid=5"),
        _mount("/sys", "sysfs", "sysfs", "nosuid", "noexec", "nodev", *readonly)
        if own_network
        # Without what is mounted below: version 2 of cgroups is not mounted on itself once more, mount(2), EBUSY.
        else _mount("/sys", "bind", "/sys", "bind", "nosuid", "noexec", "nodev", *readonly),
        _mount("/sys/fs/cgroup", "cgroup", "cgroup", *readonly, "nosuid", "noexec", "nodev"),
        _mount("/dev/mqueue", "mqueue", "mqueue", "nosuid", "noexec", "nodev"),
    ]
    if "ipc" in facts.shared:
        # A new mount of mqueue shows the queues of the ipc namespace it is made in: the host's, here.
        standard.append(_mount("/dev/shm", "bind", "/dev/shm", "rbind", "nosuid", "noexec", "nodev"))
    elif "ipc" in facts.joined:
        shared = f"/proc/{facts.joined['ipc']}/root/dev/shm"
        standard.append(_mount("/dev/shm", "bind", shared, "rbind", "nosuid", "noexec", "nodev"))
    elif host.get("IpcMode") != "none":
        standard.append(_mount("/dev/shm", "tmpfs", "shm", "nosuid", "noexec", "nodev", "mode=1777", f"size={shm}"))
    kept = ["ro"] if host.get("ReadonlyRootfs") else []  # the engine's own files are as read-only as what they lie on
    etc = [_mount(target, "bind", source, "rbind", "rprivate", *kept) for target, source in facts.etc.items()]
    wanted = {mount["destination"]: mount for mount in standard}
    for mount in [*etc, *facts.mounts]:
        wanted[mount["destination"]] = dict(mount)
    # A mount on /a must come before one on /a/b, or it would hide it.
    return sorted(wanted.values(), key=lambda mount: mount["destination"].rstrip("/").count("/"))


def _mount(destination: str, kind: str, source: str, *options: str) -> dict[str, Any]:
    return {"destination": destination, "type": kind, "source": source, "options": list(options)}
