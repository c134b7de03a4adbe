"""Starts a container: settings → specification → plan → performed by init, shim and child, and remembered.

find out     users, devices, volumes, namespaces to share
hold         an address in each network, the published ports
compile      the OCI specification, the plan
perform      limits here, the rest over there
note         running; or undone, and why
"""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from mmap import mmap
from typing import Any

from kernelkit.container import plan, seccomp_profile, spec
from kernelkit.container.overlay import Stack
from kernelkit.engine import (
    beside,
    endpoints,
    facts,
    finish,
    health,
    initlayer,
    logopts,
    omit,
    parents,
    refusal,
    volumes,
)
from kernelkit.engine.engine import Engine
from kernelkit.engine.model import Container, timestamp
from kernelkit.engine.records import Record
from kernelkit.errors import Conflict, NotModified, OperationFailed
from kernelkit.host.channel import Failed, Job, Signal, Started, pack
from kernelkit.kernel.files import ChangeDirectory
from kernelkit.trace import Ledger, Operation, Stage, Step, Trace, explain

Gate = Callable[[int], bool]
Json = dict[str, Any]


@dataclass
class Watch:
    """Somebody who looks on: `ready` gets the planned steps, those left out, the ledger and the record.

    `gate`, if there is one, is asked before each operation; `socket` is its other end, for the processes that perform
    what the engine does not. `left_out` are names of stages and operations.
    """

    ready: Callable[[Sequence[Step], Sequence[Step], Ledger, Record], None]
    gate: Gate | None = None
    socket: int = -1
    left_out: frozenset[str] = frozenset()


def start(engine: Engine, container: Container, watch: Watch | None = None, *, again: bool = False) -> None:
    """Start a container; returns when its program runs. `again` says that its restart policy wants it.

    NotModified when it runs already, Conflict when it cannot be started now, OperationFailed with Docker's exit code
    when the kernel refused a step; then nothing is left behind.
    """
    try:
        _start(engine, container, watch, again=again)
    finally:
        engine.link.prepare_next()  # unless that has been done


def _start(engine: Engine, container: Container, watch: Watch | None, *, again: bool) -> None:
    with container.lock:
        _check(container)
        if not again:
            container.state.restart_count = 0
        try:
            inputs = _inputs(engine, container)
            record, steps, answer = _perform(engine, container, inputs, watch)
            if isinstance(answer, Failed):
                engine.records.publish(record)
                raise _explain(container, steps, answer)
        except BaseException as error:
            finish.undo(engine, container)
            container.state.error = str(error)
            code = getattr(error, "exit_code", 0)
            # Why its program cannot be run; for any other reason it is still as it was.
            container.state.exit_code = code if code in (126, 127) else container.state.exit_code or 128
            engine.state.save(container)
            raise
        state = container.state
        state.status, state.pid, state.exit_code, state.error = "running", answer, 0, ""
        state.started_at, state.oom_killed, state.stopped_by_hand = timestamp(time.time_ns()), False, False
        engine.started_at[container.id] = time.time()
        health.begin(engine, container)
        engine.state.save(container)
        volumes.tell(engine, container, "mount")
        engine.events.container(container, "start")
        engine.records.publish(record)


class _WayIn:
    """The real machine's ports, opened while others build the container behind them."""

    def __init__(self, engine: Engine, container: Container) -> None:
        self._uplink = engine.uplink
        self._publications = endpoints.published(engine, container)
        self.trace = Trace()
        self.refused = ""

    def open(self) -> None:
        """Lead them to the practice host; `refused` says why if that cannot be."""
        try:
            for operation in self._uplink.publish(self._publications):
                self.trace.perform("nat", operation, where="machine")
            self._uplink.relay(self._publications)
        except OSError as error:
            self.refused = f"publish ports on the real machine: {explain(error)}"


def _check(container: Container) -> None:
    state = container.state
    if state.paused:
        raise Conflict("cannot start a paused container, try unpause instead")
    if state.status == "running":
        raise NotModified(f"container {container.id} is already running")
    if state.status in ("removing", "dead") or container.removed:
        raise Conflict("container is marked for removal and cannot be started")


def _inputs(engine: Engine, container: Container) -> plan.Inputs:
    found = facts.gather(engine, container)
    config, host = container.config, container.host_config
    if "network" in found.joined and config["Hostname"] != found.hostname:
        config["Hostname"] = found.hostname  # as Docker notes it: the network's owner may be gone when somebody asks
        engine.state.save(container, settings=True)
    held = endpoints.hold(engine, container, found)
    specification = spec.config(config, host, found)
    filtered = seccomp_profile.compiled(found.seccomp) if found.seccomp else None
    folder = engine.folder(container.id)
    image = engine.store.find(container.image_id)
    etc = held.etc
    return plan.Inputs(
        spec=specification,
        stack=Stack(initlayer.sheets(engine, image), os.fspath(folder)),
        layout=engine.layout,
        bounding=engine.bounding,
        seccomp=filtered,
        etc={f"{folder}/{name}": text for name, text in etc.items()},
        files=_files(specification),
        beside=beside.operations(engine, container),
        endpoints=held.endpoints,
        publications=engine.uplink.inner(held.publications),
        stdin=bool(config.get("OpenStdin")),
        window=_window(host),
        parents=parents.note(engine, container),
        init=bool(host.get("Init")),
    )


def _perform(
    engine: Engine, container: Container, inputs: plan.Inputs, watch: Watch | None
) -> tuple[Record, list[Step], int | Failed]:
    """Have the plan performed; the record, its steps, and the pid of the program or what failed."""
    stages = plan.start(inputs)
    whole = omit.without(stages, watch.left_out if watch else frozenset())
    if watch:
        stages = omit.remaining(stages, whole)
    steps = [step for step in whole if step.seq]
    job, here, inside = _job(engine, container, inputs, stages)
    memory = pack(job, inside, len(steps) - len(inside) + 1, Ledger.size(len(steps)))
    gate = watch.gate if watch else None
    try:
        shared = mmap(memory, Ledger.size(len(steps)))
        ledger = Ledger(shared, gate)
        record = engine.records.begin(container.id, engine.folder(container.id), container.image_id)
        record.extend(whole, ledger)
        record.spec = inputs.spec
        if watch:
            watch.ready(steps, [step for step in whole if not step.seq], ledger, record)
        failed = _perform_here(ledger, here)
        if failed:
            return record, whole, failed
        if gate:
            gate(job.fork_seq)
        attached, socket = engine.attached.pop(container.id, []), watch.socket if watch else -1
        way_in = _WayIn(engine, container)

        def meanwhile() -> None:
            way_in.open()
            engine.link.prepare_next()

        answer = engine.link.start(container.id, job, memory, len(steps), attached, socket, meanwhile)
        record.extend(way_in.trace.steps)
        if isinstance(answer, Started):
            ledger.ended(job.exec_seq)  # we may know before the shim does
            if way_in.refused:
                engine.link.send(container.id, Signal(signal.SIGKILL))
                engine.link.part(container.id)
                raise OperationFailed(way_in.refused)
    finally:
        os.close(memory)
    return record, whole, answer if isinstance(answer, Failed) else answer.pid


def _perform_here(ledger: Ledger, operations: Sequence[Operation]) -> Failed | None:
    """What the engine does itself; what failed, if something did."""
    try:
        ledger.perform(operations, 1)
    except OSError as error:
        return Failed(ledger.failed, error.errno or 0, explain(error))
    return None


def _job(
    engine: Engine, container: Container, inputs: plan.Inputs, stages: Sequence[Stage]
) -> tuple[Job, list[Operation], list[Operation]]:
    """What goes to the shim, what the engine performs itself before that, what the shim's child performs."""
    by: dict[str, list[Operation]] = {"engine": [], "init": [], "shim": [], "container": []}
    for stage in stages:
        by[stage.actor].extend(stage.operations)
    here, shim = by["engine"], by["shim"]
    around = len(shim) == 3
    fork_seq = len(here) + 1
    config, host = container.config, container.host_config
    job = Job(
        exec_seq=fork_seq + len(shim) + len(by["container"]),
        clone=shim[1] if around else shim[0],
        clone_seq=fork_seq + (2 if around else 1),
        enter=shim[0] if around else None,
        leave=shim[2] if around else None,
        fork_seq=fork_seq,
        terminal=bool(config.get("Tty")),
        stdin=bool(config.get("OpenStdin")),
        stdin_once=bool(config.get("StdinOnce")),
        host_sockets=plan.host_sockets(inputs),
        log=logopts.settings(engine, container, host.get("LogConfig") or {}),
    )
    return job, here, by["container"]


def _files(specification: Json) -> frozenset[str]:
    return frozenset(mount["destination"] for mount in specification["mounts"] if _is_file(mount))


def _is_file(mount: Json) -> bool:
    if "file" in mount:
        return bool(mount["file"])
    source = mount["source"] if "subpath" not in mount else f"{mount['source']}/{mount['subpath']}"
    return mount["type"] == "bind" and not os.path.isdir(source)


def _window(host: Json) -> tuple[int, int]:
    rows, columns = (host.get("ConsoleSize") or [0, 0])[:2]
    return int(rows), int(columns)


def _explain(container: Container, steps: Sequence[Step], failed: Failed) -> OperationFailed:
    """Docker's words and exit code for a program that cannot be run; for any other step, which one and why."""
    step = next((s for s in steps if s.seq == failed.seq), None) if failed.seq else None
    words = [*(container.config.get("Entrypoint") or []), *(container.config.get("Cmd") or [])]
    program = words[0] if words else ""
    gone = [step for step in steps if step.error == omit.LEFT_OUT]
    missing = f"left out: {omit.summary(gone)}" if gone else ""
    if step and (explained := beside.refused(step.operation, failed.errno)):
        return explained
    task = "failed to create task for container: failed to create shim task: OCI runtime create failed"
    if step and type(step.operation).__name__ == "Exec":
        found = "executable file not found in $PATH" if "/" not in program else f"stat {program}: {failed.error}"
        if failed.errno == 2:
            found = found if "/" not in program else f"stat {program}: no such file or directory"
            code = 127
        else:
            found, code = _lower(os.strerror(failed.errno)), 126
        name = json.dumps(program)
        said = f"{task}: unable to start container process: exec: {name}: {found}: unknown"
        return OperationFailed(said, missing, code)
    if step and isinstance(step.operation, ChangeDirectory) and step.stage == "exec":
        why = refusal.chdir(step.operation.path, failed.errno)
        return OperationFailed(f"{task}: unable to start container process: {why}: unknown", missing)
    said = f"step {failed.seq} ({step.stage}): {step.operation.shell()}" if step else "the shim"
    return OperationFailed(f"{task}: {said}: {failed.error}: unknown", missing)


def _lower(text: str) -> str:
    return text[:1].lower() + text[1:]
