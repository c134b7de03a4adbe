"""What lessons and their checks see the kernel with: the host's facts, its tools, operations named by their class."""

from __future__ import annotations

import dataclasses
import os
import shutil
import subprocess
from collections.abc import Sequence
from types import ModuleType
from typing import Any

from kernelkit.engine.engine import Engine
from kernelkit.errors import Conflict, InvalidRequest, NotFound
from kernelkit.host.perform import Job
from kernelkit.host.perform import perform as perform_elsewhere
from kernelkit.kernel import (
    bridge,
    cgroup,
    cgroup_procs,
    device_filter,
    files,
    hostname,
    ip,
    keyctl,
    mount,
    mount_setattr,
    mount_volume,
    nft,
    prlimit,
    process,
    seccomp,
    setpriv,
    unshare,
)
from kernelkit.trace import Operation

PATIENCE = 60.0  # seconds for a tool
MODULES: tuple[ModuleType, ...] = (
    bridge, cgroup, cgroup_procs, device_filter, files, hostname, ip, keyctl, mount, mount_setattr, mount_volume, nft,
    prlimit, process, seccomp, setpriv, unshare,
)  # fmt: skip
KINDS = ("mount", "uts", "ipc", "net", "pid", "cgroup")
# With the container's mounts the host's tools would be out of sight, so those are entered only when asked for.
USUAL = ("uts", "ipc", "net", "cgroup")
# Of a pid namespace only children made later are members, and what is performed makes none.
INSIDE = ("cgroup", "ipc", "uts", "net", "mount")

Json = dict[str, Any]


def facts(engine: Engine) -> Json:
    """What the practice host is: its mode, processes, cgroups, cable and bridge."""
    host, layout = engine.host, engine.layout
    default = next((n for n in engine.state.networks() if n.name == "bridge"), None)
    return {
        "mode": host.mode,
        "pid": os.getpid(),
        "hostname": os.uname().nodename,
        "kernel": os.uname().release,
        "home": os.fspath(engine.home),
        "capabilities": sorted(engine.bounding),
        "cgroups": {
            "layout": layout.mode,
            "path": host.cgroups,
            "hierarchies": [
                {"name": h.name, "controllers": list(h.controllers), "directory": h.home, "version": h.version}
                for h in layout.hierarchies
            ],
        },
        "uplink": dataclasses.asdict(host.cable) if host.cable else None,
        "bridge": {
            "name": host.bridge,
            "subnet": default.subnet if default else "",
            "gateway": default.gateway if default else "",
        },
        "table": host.table,
    }


def run(engine: Engine, words: Sequence[str], container: str, kinds: Sequence[str], text: str = "") -> Json:
    """Run a tool to its end: its exit code and what it said. `kinds` are the container's namespaces to enter."""
    for kind in kinds:
        if kind not in KINDS:
            raise InvalidRequest(f"there is no namespace '{kind}'", f"one of {', '.join(KINDS)}")
    environment = dict(os.environ)
    if container:
        pid, entered = pid_of(engine, container), tuple(kinds) or USUAL
        environment["CONTAINER_PID"] = str(pid)
    else:
        pid, entered = _host(engine)
        if not shutil.which(words[0]):
            raise NotFound(f"the practice host has no program '{words[0]}'")
    prefix = ["nsenter", "-t", str(pid), *(f"--{kind}" for kind in entered), "--"] if entered else []
    try:
        ran = subprocess.run(
            [*prefix, *words], input=text.encode(), capture_output=True, timeout=PATIENCE, env=environment
        )
    except subprocess.TimeoutExpired:
        raise Conflict(f"'{words[0]}' took longer than {PATIENCE:.0f} seconds") from None
    out, err = ran.stdout.decode(errors="replace"), ran.stderr.decode(errors="replace")
    return {"code": ran.returncode, "stdout": out, "stderr": err}


def perform(engine: Engine, stage: str, wishes: Sequence[Json], container: str) -> list[Json]:
    """Perform operations, given by name and fields, in the host or a container; their steps, up to a failed one."""
    operations = tuple(_operation(wish) for wish in wishes)
    found = engine.state.container(container) if container else None
    if found:
        job = Job(stage, operations, pid_of(engine, found.id), INSIDE, "container")
    else:
        job = Job(stage, operations, *_host(engine))
    steps = perform_elsewhere(job)
    if found:
        engine.records.add(found.id, steps, engine.folder(found.id))
    else:
        for step in steps:
            engine.records.tell(step)
    return [{**step.as_json(), "seq": number} for number, step in enumerate(steps, 1)]


def _host(engine: Engine) -> tuple[int, tuple[str, ...]]:
    """A process in the practice host's network, which the engine itself has left, and what to enter of it."""
    return (1, ("net",)) if engine.host.mode == "practice" else (0, ())


def pid_of(engine: Engine, container: str) -> int:
    """The container's first process, or what will become it while somebody steps through its start; Conflict."""
    found = engine.state.container(container)
    pid = found.state.pid or engine.building.get(found.id, 0)
    if not pid:
        raise Conflict(f"container {found.id} is not running")
    return pid


def operation_types() -> dict[str, type[Any]]:
    """All operations there are, by name."""
    return {
        name: kind
        for module in MODULES
        for name, kind in vars(module).items()
        if isinstance(kind, type) and dataclasses.is_dataclass(kind) and hasattr(kind, "perform")
    }


def _operation(wish: Any) -> Operation:
    if not isinstance(wish, dict) or not isinstance(wish.get("fields") or {}, dict):
        raise InvalidRequest("invalid JSON: an operation is {'operation': NAME, 'fields': {…}}")
    name, known = wish.get("operation") or "", operation_types()
    if name not in known:
        raise InvalidRequest(f"there is no operation '{name}'", f"there are {', '.join(sorted(known))}")
    kind = known[name]
    types = {field.name: field.type for field in dataclasses.fields(kind)}
    values = {}
    for field, value in (wish.get("fields") or {}).items():
        if field not in types:
            raise InvalidRequest(f"'{name}' has no field '{field}'", f"it has {', '.join(types) or 'none'}")
        values[field] = bytes.fromhex(value) if types[field] == "bytes" else _frozen(value)
    try:
        made: Operation = kind(**values)
        made.shell()
    except (TypeError, ValueError, AttributeError, KeyError) as error:
        raise InvalidRequest(f"'{name}' cannot be made of these fields: {error}") from None
    return made


def _frozen(value: Any) -> Any:
    return tuple(map(_frozen, value)) if isinstance(value, list) else value
