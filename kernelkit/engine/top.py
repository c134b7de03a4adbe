"""The processes of a container, as the host's ps(1) sees them: `docker top`."""

from __future__ import annotations

import shlex
import subprocess
from typing import Any

from kernelkit.engine.engine import Engine
from kernelkit.engine.model import Container
from kernelkit.errors import Conflict, InvalidRequest, KernelkitError, Unavailable
from kernelkit.kernel.cgroup_procs import processes

PATIENCE = 10.0  # seconds for ps

Json = dict[str, Any]


def top(engine: Engine, container: Container, arguments: str = "") -> Json:
    """Run `ps` with these arguments (`-ef`), keep the container's rows; Conflict when it does not run."""
    if not container.state.running:
        raise Conflict(f"container {container.id} is not running")
    if container.state.status == "restarting":
        raise Conflict(f"container {container.id} is restarting, wait until the container is running")
    hierarchy = engine.layout.of("pids") or engine.layout.of("freezer") or engine.layout.of("memory")
    if not hierarchy:
        raise Unavailable("cannot list a container's processes", "this machine has no cgroups to know them by")
    members = set(processes(hierarchy.directory(engine.cgroup_path(container))))
    try:
        words = shlex.split(arguments or "-ef")
        ran = subprocess.run(["ps", *words], capture_output=True, text=True, timeout=PATIENCE)
    except ValueError as error:
        raise InvalidRequest(f"ps arguments '{arguments}': {error}") from None
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Unavailable(f"run ps: {error}", "install procps") from None
    if ran.returncode:
        raise KernelkitError(f"ps: {' '.join(ran.stderr.split())}")
    found = parse(ran.stdout, members)
    engine.events.container(container, "top")
    return found


def parse(text: str, members: set[int]) -> Json:
    """Docker's `ContainerTopResponse`: the titles, and the rows of these processes, the last column whole."""
    rows = [line.split() for line in text.splitlines() if line.strip()]
    titles = rows[0] if rows else []
    if "PID" not in titles:
        raise KernelkitError("Couldn't find PID field in ps output")
    column, width = titles.index("PID"), len(titles)
    found = []
    for fields in rows[1:]:
        if len(fields) > column and fields[column].isdigit() and int(fields[column]) in members:
            found.append([*fields[: width - 1], " ".join(fields[width - 1 :])])
    return {"Titles": titles, "Processes": found}
