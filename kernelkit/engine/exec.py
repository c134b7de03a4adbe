"""Runs one more program in a container: `docker exec`."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from mmap import mmap
from typing import Any

from kernelkit.container import cgroup, seccomp_profile, security, spec
from kernelkit.container.plan import STDERR, STDIN, STDOUT, SYNC
from kernelkit.container.spec import Facts, environment, resources
from kernelkit.engine import facts, refusal
from kernelkit.engine.engine import Engine
from kernelkit.engine.model import Container, new_id
from kernelkit.errors import Conflict, InvalidRequest, KernelkitError, NotFound, OperationFailed
from kernelkit.host.channel import Attach, ExecExited, ExecStarted, Job, Resize, StartExec, pack
from kernelkit.kernel.files import ChangeDirectory
from kernelkit.kernel.process import Clone, ConnectStdio, Exec, ForbidTracing, OpenTerminal, StartSession
from kernelkit.kernel.unshare import EnterNamespaces, JoinNamespace
from kernelkit.trace import Ledger, Operation, Stage, Step, number

Json = dict[str, Any]
FAILED = "OCI runtime exec failed: exec failed"
SOON = 10.0  # seconds; unless the machine is busy it takes a thousandth of that
KEPT = 256  # ended execs that can still be inspected


@dataclass(eq=False)
class Execution:
    """One exec instance, as the API calls it."""

    id: str
    container: Container
    config: Json
    starting: bool = False
    running: bool = False
    pid: int = 0
    exit_code: int | None = None
    waiting: list[Any] = field(default_factory=list)


def create(engine: Engine, container: Container, config: Json) -> Execution:
    """Prepare a program to be run in a container that is running; Conflict when it is not."""
    if not config.get("Cmd"):
        raise InvalidRequest("No exec command specified")
    if container.state.paused:
        raise Conflict(f"Container {container.id} is paused, unpause the container before exec")
    if not container.state.running:
        raise Conflict(f"container {container.id} is not running")
    if container.state.status == "restarting":
        raise Conflict(f"Container {container.id} is restarting, wait until the container is running")
    execution = Execution(new_id(), container, config)
    ended = [key for key, e in engine.executions.items() if e.exit_code is not None]
    for key in ended[: max(0, len(ended) - KEPT)]:
        engine.executions.pop(key, None)
    engine.executions[execution.id] = execution
    engine.events.container(container, f"exec_create: {_told(config)}", execID=execution.id)
    return execution


def find(engine: Engine, identity: str) -> Execution:
    """The exec instance with that id; NotFound."""
    found = engine.executions.get(identity)
    if not found:
        raise NotFound(f"No such exec instance: {identity}")
    return found


def start(engine: Engine, execution: Execution, connection: int = -1, wish: Attach | None = None) -> None:
    """Run the prepared program; the client's connection, when there is one, is handed to the shim.

    OperationFailed with Docker's exit code (126, 127) when it cannot be run. The descriptor is taken over.
    """
    container = execution.container
    execution.starting = True
    try:
        _start(engine, execution, connection, wish)
    finally:
        execution.starting = False
        container.notify()


def _start(engine: Engine, execution: Execution, connection: int, wish: Attach | None) -> None:
    container = execution.container
    try:
        if execution.running or execution.exit_code is not None:
            raise Conflict(f"exec command {execution.id} has already run")
        if not container.state.running:
            raise Conflict(f"container {container.id} is not running")
        try:
            stages = plan(engine, execution)
        except KernelkitError:
            execution.exit_code = 126
            raise
        steps = number(stages)
        # Before it starts, or its end may be told first.
        engine.events.container(container, f"exec_start: {_told(execution.config)}", execID=execution.id)
        job = _job(execution, stages)
        inside = stages[-1].operations
        memory = pack(job, inside, len(steps) - len(inside) + 1, Ledger.size(len(steps)))
        try:
            ledger = Ledger(mmap(memory, Ledger.size(len(steps))))
            answer = engine.ask(
                container.id,
                StartExec(execution.id, len(steps), wish),
                (memory,) if connection < 0 else (memory, connection),
                execution.id,
            )
        finally:
            os.close(memory)
    finally:
        if connection >= 0:
            os.close(connection)
    ledger.fill(steps)
    engine.records.add(container.id, steps, engine.folder(container.id))
    if not isinstance(answer, ExecStarted) or answer.error:
        execution.exit_code = 126
        raise _explain(execution, steps, answer)
    # Its end may be told by another thread at this very moment.
    execution.running, execution.pid = True, answer.pid
    if execution.exit_code is not None:
        execution.running, execution.pid = False, 0


def ended(engine: Engine, container: Container, message: ExecExited) -> None:
    """Note how it ended."""
    execution = engine.executions.get(message.process)
    if execution:
        # Told first: who learns the code may begin the next one at once.
        engine.events.container(container, "exec_die", execID=execution.id, exitCode=str(message.code))
        execution.running, execution.pid, execution.exit_code = False, 0, message.code
        container.notify()


def settle(execution: Execution) -> None:
    """Wait, a moment at most, for the exit code of a program that is gone: its end is told a little later.

    So may its beginning be: of a quick one the streams have ended before whoever started it has noted that it runs.
    """

    def is_clear() -> bool:
        if execution.starting:
            return False
        return not execution.running or os.path.exists(f"/proc/{execution.pid}")

    container = execution.container
    with container.changed:
        container.changed.wait_for(lambda: execution.exit_code is not None or is_clear(), SOON)


def resize(engine: Engine, execution: Execution, rows: int, columns: int) -> None:
    """Tell its terminal its size."""
    engine.link.send(execution.container.id, Resize(rows, columns, execution.id))


def plan(engine: Engine, execution: Execution) -> list[Stage]:
    """Into the container's namespaces and limits, then the same walls as its first process has."""
    container, config = execution.container, execution.config
    pid = container.state.pid
    found = facts.program(engine, container)
    limited = resources(container.host_config, found)
    place = engine.cgroup_path(container)
    child: list[Operation] = [
        *cgroup.join(engine.layout, place, limited),
        StartSession(),
        EnterNamespaces(pid, ("cgroup", "ipc", "uts", "net", "mount")),
    ]
    if config.get("Tty"):
        rows, columns = (config.get("ConsoleSize") or [0, 0])[:2]
        child.append(OpenTerminal("/dev/pts", "", SYNC, rows, columns))
    else:
        child.append(ConnectStdio(STDIN if config.get("AttachStdin") else -1, STDOUT, STDERR))
    process, filtered = _process(engine, execution, found)
    if not os.path.isabs(process["cwd"]):
        raise OperationFailed(f"{FAILED}: Cwd must be an absolute path: unknown", "", 126)
    child.append(ChangeDirectory(process["cwd"]))
    child.append(ForbidTracing())
    child += security.privileges(process, filtered, engine.bounding)
    child.append(Exec(tuple(process["args"]), tuple(process["env"])))
    clone = Clone((), cgroup.birthplace(engine.layout, place, limited))
    enter = (JoinNamespace("pid", f"/proc/{pid}/ns/pid"), clone, JoinNamespace("pid", "/proc/self/ns/pid"))
    return [Stage("exec", "shim", "host", enter), Stage("exec", "container", "container", tuple(child))]


def _process(engine: Engine, execution: Execution, found: Facts) -> tuple[Json, bytes | None]:
    """The OCI process: the container's own with what the exec says differently; and its seccomp filter."""
    container, config = execution.container, execution.config
    process = spec.process(container.config, container.host_config, found)
    capabilities = list(found.capabilities)
    if config.get("Privileged"):
        capabilities = sorted(engine.bounding)
    user = facts.user(engine, container, config["User"]) if config.get("User") else found.user
    held = capabilities if user.uid == 0 else []
    settings = {**container.config, "Tty": bool(config.get("Tty"))}
    settings["Env"] = [*(container.config.get("Env") or []), *(config.get("Env") or [])]
    process |= {
        "args": config["Cmd"],
        "env": environment(settings, found),
        "cwd": config.get("WorkingDir") or container.config.get("WorkingDir") or "/",
        "user": {"uid": user.uid, "gid": user.gid, "additionalGids": list(user.groups)},
        "capabilities": {
            "bounding": capabilities,
            "effective": held,
            "permitted": held,
            "inheritable": [],
            "ambient": [],
        },
    }
    filtered = None if config.get("Privileged") else found.seccomp
    return process, seccomp_profile.compiled(filtered) if filtered else None


def _job(execution: Execution, stages: list[Stage]) -> Job:
    shim, child = stages
    config = execution.config
    return Job(
        exec_seq=len(shim.operations) + len(child.operations),
        clone=shim.operations[1],
        clone_seq=2,
        enter=shim.operations[0],
        leave=shim.operations[2],
        terminal=bool(config.get("Tty")),
        stdin=bool(config.get("AttachStdin")),
        stdin_once=True,
    )


def _told(config: Json) -> str:
    """Its words in an event, where Docker puts a blank between the program and its arguments, be there some or not."""
    return f"{config['Cmd'][0]} {' '.join(config['Cmd'][1:])}"


def _explain(execution: Execution, steps: list[Step], answer: object) -> OperationFailed:
    if not isinstance(answer, ExecStarted):
        return OperationFailed(f"{FAILED}: the container has just ended")
    step = next((s for s in steps if s.seq == answer.seq), None)
    name = execution.config["Cmd"][0]
    if step and isinstance(step.operation, Exec):
        missing = "executable file not found in $PATH" if "/" not in name else "no such file or directory"
        why = missing if answer.errno == 2 else os.strerror(answer.errno).lower()
        why = f"stat {name}: {why}" if "/" in name and answer.errno == 2 else why
        text = f"{FAILED}: unable to start container process: exec: {json.dumps(name)}: {why}: unknown"
        # Docker's: 126 whatever was wrong; `run` alone tells 127 from it.
        return OperationFailed(text, "", 126)
    if step and isinstance(step.operation, ChangeDirectory):
        why = refusal.chdir(step.operation.path, answer.errno)
        return OperationFailed(f"{FAILED}: unable to start container process: {why}: unknown", "", 126)
    said = step.operation.shell() if step else "the shim"
    return OperationFailed(f"{FAILED}: {said}: {answer.error}: unknown", "", 126)
