"""What this engine and its machine are: `docker version`, `docker info`, `docker system df`."""

from __future__ import annotations

import os
import platform
import sys
import uuid
from pathlib import Path
from typing import Any

from kernelkit import __version__
from kernelkit.engine.engine import Engine
from kernelkit.engine.model import now

NEWEST_API, OLDEST_API = "1.50", "1.24"
CONTROLLERS = ("memory", "cpu", "cpuset", "pids")
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm"}  # Go's words for them

Json = dict[str, Any]


def version(engine: Engine) -> Json:
    """Docker's `GET /version`."""
    machine = os.uname()
    details = {
        "ApiVersion": NEWEST_API,
        "Arch": ARCHITECTURES.get(machine.machine, machine.machine),
        "BuildTime": "",
        "Experimental": "false",
        "GitCommit": "",
        "GoVersion": "none",
        "KernelVersion": machine.release,
        "MinAPIVersion": OLDEST_API,
        "Os": "linux",
    }
    return {
        "Platform": {"Name": "kernelkit"},
        "Components": [
            {"Name": "Engine", "Version": __version__, "Details": details},
            {"Name": "Python", "Version": platform.python_version(), "Details": {"Path": sys.executable}},
        ],
        "Version": __version__,
        "ApiVersion": NEWEST_API,
        "MinAPIVersion": OLDEST_API,
        "GitCommit": "",
        "GoVersion": "none",
        "Os": "linux",
        "Arch": details["Arch"],
        "KernelVersion": machine.release,
        "BuildTime": "",
    }


def info(engine: Engine) -> Json:
    """Docker's `GET /info`: counts, what the machine offers, and how this engine works."""
    containers = engine.state.containers()
    machine = os.uname()
    offered = _controllers()
    release = _os_release()
    return {
        "ID": engine.state.fact("id", str(uuid.uuid4())),
        "Containers": len(containers),
        "ContainersRunning": sum(c.state.status in ("running", "restarting") for c in containers),
        "ContainersPaused": sum(c.state.paused for c in containers),
        "ContainersStopped": sum(not c.state.running for c in containers),
        "Images": len(engine.store.images()),
        "Driver": "overlay2",
        "DriverStatus": [
            ["Backing Filesystem", _file_system(engine.home)],
            ["Supports d_type", "true"],
            ["userxattr", "true" if os.geteuid() else "false"],
        ],
        "Plugins": {
            "Volume": ["local"],
            "Network": ["bridge", "host", "null"],
            "Authorization": None,
            "Log": ["json-file", "local", "none"],
        },
        "MemoryLimit": "memory" in offered,
        "SwapLimit": "memory" in offered,
        "CpuCfsPeriod": "cpu" in offered,
        "CpuCfsQuota": "cpu" in offered,
        "CPUShares": "cpu" in offered,
        "CPUSet": "cpuset" in offered,
        "PidsLimit": "pids" in offered,
        "OomKillDisable": "memory" in offered and _cgroup_version() == "1",
        "IPv4Forwarding": _reads("/proc/sys/net/ipv4/ip_forward") == "1",
        "Debug": False,
        "NFd": len(os.listdir("/proc/self/fd")),
        "NGoroutines": len(os.listdir("/proc/self/task")),
        "NEventsListener": engine.events.watchers,
        "SystemTime": now(),
        "LoggingDriver": "json-file",
        "CgroupDriver": "cgroupfs",
        "CgroupVersion": _cgroup_version(),
        "KernelVersion": machine.release,
        "OperatingSystem": release.get("PRETTY_NAME", "Linux"),
        "OSVersion": release.get("VERSION_ID", ""),
        "OSType": "linux",
        "Architecture": machine.machine,
        "IndexServerAddress": "https://index.docker.io/v1/",
        "RegistryConfig": {
            "IndexConfigs": {"docker.io": {"Name": "docker.io", "Mirrors": [], "Secure": True, "Official": True}},
            "InsecureRegistryCIDRs": ["::1/128", "127.0.0.0/8"],
            "Mirrors": [],
        },
        "NCPU": len(os.sched_getaffinity(0)),
        "MemTotal": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "GenericResources": None,
        "DockerRootDir": str(engine.home),
        "HttpProxy": os.environ.get("HTTP_PROXY", ""),
        "HttpsProxy": os.environ.get("HTTPS_PROXY", ""),
        "NoProxy": os.environ.get("NO_PROXY", ""),
        "Name": machine.nodename,
        "Labels": [],
        "ExperimentalBuild": False,
        "ServerVersion": __version__,
        "Runtimes": {"kernelkit": {"path": "kernelkit"}},
        "DefaultRuntime": "kernelkit",
        "Swarm": {
            "NodeID": "",
            "NodeAddr": "",
            "LocalNodeState": "inactive",
            "ControlAvailable": False,
            "Error": "",
            "RemoteManagers": None,
        },
        "LiveRestoreEnabled": True,  # containers outlive the engine: their shims keep them
        "Isolation": "",
        "InitBinary": "kernelkit-init",
        "ContainerdCommit": {"ID": ""},
        "RuncCommit": {"ID": ""},
        "InitCommit": {"ID": ""},
        "SecurityOptions": ["name=seccomp,profile=builtin", *(["name=rootless"] if os.geteuid() else [])],
        "CDISpecDirs": None,
        "Warnings": [f"WARNING: No {name} limit support" for name in CONTROLLERS if name not in offered] or None,
    }


def _mounts() -> list[list[str]]:
    """/proc/self/mountinfo in pieces: proc(5)."""
    return [line.split() for line in Path("/proc/self/mountinfo").read_text().splitlines()]


def _cgroup_version() -> str:
    """Which of the two holds the controllers; a hybrid machine counts as 1."""
    kinds = {fields[fields.index("-") + 1] for fields in _mounts()}
    return "1" if "cgroup" in kinds or "cgroup2" not in kinds else "2"


def _controllers() -> set[str]:
    """The controllers that limits can be set with: of v1 by their mounts, of v2 by the root's cgroup.controllers."""
    found: set[str] = set()
    for fields in _mounts():
        kind, where = fields[fields.index("-") + 1], fields[4]
        if kind == "cgroup":
            found.update(fields[-1].split(","))
        elif kind == "cgroup2":
            found.update(_reads(f"{where}/cgroup.controllers").split())
    return found & set(CONTROLLERS)


def _file_system(path: Path) -> str:
    """The type of the file system that holds a path."""
    best, kind = "", "unknown"
    for fields in _mounts():
        where = fields[4]
        if len(where) >= len(best) and (f"{path}/").startswith(where.rstrip("/") + "/"):
            best, kind = where, fields[fields.index("-") + 1]
    return "extfs" if kind.startswith("ext") else kind


def _os_release() -> dict[str, str]:
    """os-release(5)."""
    pairs = (line.partition("=") for line in _reads("/etc/os-release").splitlines())
    return {name: value.strip('"') for name, _, value in pairs}


def _reads(path: str) -> str:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return ""
