"""Programs run in containers over HTTP: `docker exec`."""

from __future__ import annotations

import os
import struct
from typing import Any

from kernelkit.engine import attach as attaching
from kernelkit.engine import exec as executing
from kernelkit.engine.engine import Engine
from kernelkit.engine.exec import Execution
from kernelkit.errors import Conflict, InvalidRequest, KernelkitError
from kernelkit.host.channel import Attach
from kernelkit.server.containers import stream_type, window
from kernelkit.server.messages import Answer, Handover, Hijack, Request, as_json, empty


def create(engine: Engine, request: Request) -> Answer:
    """`POST /containers/{id}/exec`."""
    config = request.json()
    words = config.get("Cmd")
    if words is not None and (not isinstance(words, list) or not all(isinstance(word, str) for word in words)):
        raise InvalidRequest("invalid JSON: 'Cmd' should be a list of strings")
    attaching.parse_keys(config.get("DetachKeys") or "")
    execution = executing.create(engine, engine.state.container(request["id"]), config)
    return as_json({"Id": execution.id}, 201)


def start(engine: Engine, request: Request) -> Answer:
    """`POST /exec/{id}/start`: with `Detach` run it and say so; without, the connection becomes its streams."""
    execution = executing.find(engine, request["id"])
    wanted = request.json()
    if execution.running or execution.exit_code is not None:
        raise Conflict(f"exec command {execution.id} is already running")
    if wanted.get("ConsoleSize"):
        execution.config["ConsoleSize"] = wanted["ConsoleSize"]
    if wanted.get("Detach"):
        executing.start(engine, execution)
        return empty(200)
    tty = bool(execution.config.get("Tty"))

    def take(handover: Handover) -> None:
        connection, leftover = handover()
        spare = os.dup(connection)
        try:
            executing.start(engine, execution, connection, _wish(execution, leftover, tty=tty))
        except KernelkitError as error:
            # The head is sent: what went wrong is said where the program's own words would have been.
            _say(spare, f"{error}\r\n".encode(), tty=tty)
        finally:
            os.close(spare)

    return Hijack(take, stream_type(request, tty=tty))


def inspect(engine: Engine, request: Request) -> Answer:
    """`GET /exec/{id}/json`."""
    execution = executing.find(engine, request["id"])
    executing.settle(execution)
    return as_json(_as_json(execution))


def resize(engine: Engine, request: Request) -> Answer:
    """`POST /exec/{id}/resize`."""
    execution = executing.find(engine, request["id"])
    executing.resize(engine, execution, *window(request))
    return empty(200)


def _as_json(execution: Execution) -> dict[str, Any]:
    """Docker's `ExecInspectResponse`."""
    config = execution.config
    words = config["Cmd"]
    user = {"user": config["User"]} if config.get("User") else {}
    return {
        "ID": execution.id,
        "Running": execution.running,
        "ExitCode": execution.exit_code,
        "ProcessConfig": {
            "tty": bool(config.get("Tty")),
            "entrypoint": words[0],
            "arguments": words[1:],
            "privileged": bool(config.get("Privileged")),
            **user,
        },
        "OpenStdin": bool(config.get("AttachStdin")),
        "OpenStderr": bool(config.get("AttachStderr")),
        "OpenStdout": bool(config.get("AttachStdout")),
        "CanRemove": execution.exit_code is not None,
        "ContainerID": execution.container.id,
        "DetachKeys": config.get("DetachKeys") or "",
        "Pid": execution.pid,
    }


def _wish(execution: Execution, leftover: bytes, *, tty: bool) -> Attach:
    config = execution.config
    return Attach(
        execution.id,
        stdin=bool(config.get("AttachStdin")),
        stdout=bool(config.get("AttachStdout")),
        stderr=bool(config.get("AttachStderr")),
        framed=not tty,
        detach_keys=attaching.parse_keys(config.get("DetachKeys") or ""),
        leftover=leftover,
    )


def _say(connection: int, text: bytes, *, tty: bool) -> None:
    try:
        os.write(connection, text if tty else struct.pack(">BxxxI", 1, len(text)) + text)
    except OSError:
        return  # nobody is there to be told
