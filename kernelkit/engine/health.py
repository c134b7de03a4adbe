"""Health checks: a program run in the container now and then, whose exit code says how the container is.

A container begins as `starting`; one good answer makes it `healthy`, `Retries` bad ones in a row `unhealthy`.  In the
start period a bad answer does not count as long as there has been no good one.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import threading
import time
from dataclasses import dataclass
from typing import Any

from kernelkit.engine import exec as executing
from kernelkit.engine.engine import Engine
from kernelkit.engine.model import Container, now
from kernelkit.errors import KernelkitError
from kernelkit.host.channel import Attach

SECOND = 1_000_000_000  # nanoseconds, in which Docker's settings count
INTERVAL, TIMEOUT, START_INTERVAL, RETRIES = 30 * SECOND, 30 * SECOND, 5 * SECOND, 3  # what 0 stands for
KEPT = 5  # answers that can be seen
LONGEST = 4096  # bytes of an answer

Json = dict[str, Any]


@dataclass(frozen=True)
class Check:
    """A health check: the program's words, times in seconds."""

    words: tuple[str, ...]
    interval: float
    timeout: float
    start_period: float
    start_interval: float
    retries: int


def check_of(config: Json) -> Check | None:
    """The check that a container's `Config` asks for; None without one."""
    health = config.get("Healthcheck") or {}
    test = health.get("Test") or []
    if len(test) < 2 or test[0] == "NONE":
        return None
    shell = config.get("Shell") or ["/bin/sh", "-c"]
    words = [*shell, test[1]] if test[0] == "CMD-SHELL" else test[1:]

    def seconds(key: str, default: int) -> float:
        return float(health.get(key) or default) / SECOND

    return Check(
        tuple(words),
        seconds("Interval", INTERVAL),
        seconds("Timeout", TIMEOUT),
        seconds("StartPeriod", 0),
        seconds("StartInterval", START_INTERVAL),
        int(health.get("Retries") or RETRIES),
    )


def begin(engine: Engine, container: Container) -> None:
    """Look after a container that has just started; the caller holds its lock and saves its state."""
    check = check_of(container.config)
    before = container.state.health or {"Log": []}
    container.state.health = {"Status": "starting", "FailingStreak": 0, "Log": before["Log"]} if check else None
    if check:
        _watch(engine, container, check)


def resume(engine: Engine, container: Container) -> None:
    """Look after a container that an earlier engine started."""
    check = check_of(container.config)
    if check and container.state.health:
        _watch(engine, container, check)


def end(container: Container) -> None:
    """Nobody looks after it any more: to Docker that is unhealthy."""
    if container.state.health:
        container.state.health = {**container.state.health, "Status": "unhealthy"}


def judge(health: Json, answer: Json, check: Check, *, starting_up: bool) -> Json:
    """Docker's `Health` after one more answer."""
    log = [*health["Log"], answer][-KEPT:]
    if answer["ExitCode"] == 0:
        return {"Status": "healthy", "FailingStreak": 0, "Log": log}
    if starting_up and health["Status"] == "starting":
        return {**health, "Log": log}
    streak = health["FailingStreak"] + 1
    status = "unhealthy" if streak >= check.retries else health["Status"]
    return {"Status": status, "FailingStreak": streak, "Log": log}


def _watch(engine: Engine, container: Container, check: Check) -> None:
    life = container.state.started_at
    threading.Thread(target=_look_after, args=(engine, container, check, life), name="health", daemon=True).start()


def _look_after(engine: Engine, container: Container, check: Check, life: str) -> None:
    """Ask again and again, as long as it is this life of the container."""
    began = engine.started_at.get(container.id, time.time())

    def is_over() -> bool:
        return not container.state.running or container.state.started_at != life or container.removed

    while True:
        health = container.state.health or {}
        starting_up = time.time() - began < check.start_period
        early = starting_up and health.get("Status") == "starting"
        with container.changed:
            if container.changed.wait_for(
                is_over, min(check.start_interval, check.interval) if early else check.interval
            ):
                return
        if container.state.paused:
            continue
        answer = _ask(engine, container, check)
        with container.lock:
            if is_over() or not container.state.health:
                return
            if container.state.paused:
                continue
            before = container.state.health["Status"]
            container.state.health = judge(
                container.state.health, answer, check, starting_up=time.time() - began < check.start_period
            )
            status = container.state.health["Status"]
            engine.state.save(container)
        if status != before:
            engine.events.container(container, f"health_status: {status}")


def _ask(engine: Engine, container: Container, check: Check) -> Json:
    """Run the program once: Docker's `HealthcheckResult`; exit code -1 when it took too long or did not run."""
    began = now()
    ours, theirs = socket.socketpair()
    try:
        config = {"Cmd": list(check.words), "AttachStdout": True, "AttachStderr": True}
        execution = executing.create(engine, container, config)
        wish = Attach(execution.id, framed=False)
        executing.start(engine, execution, theirs.detach(), wish)
        until = time.monotonic() + check.timeout
        output, closed = _read(ours, until)
        code = _exit_code(execution, until) if closed else None
        if code is None:
            if pid := execution.pid:  # or it has just ended, and 0 would be ourselves: kill(2)
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            output, code = f"Health check exceeded timeout ({_span(check.timeout)})".encode(), -1
    except KernelkitError as error:
        output, code = str(error).encode(), -1
    finally:
        ours.close()
        theirs.close()
    return {"Start": began, "End": now(), "ExitCode": code, "Output": output.decode(errors="replace")}


def _read(connection: socket.socket, until: float) -> tuple[bytes, bool]:
    """What the program says, as far as it is kept, and whether it ended in time."""
    output = b""
    poll = select.poll()
    poll.register(connection, select.POLLIN)
    while (left := until - time.monotonic()) > 0:
        if not poll.poll(left * 1000):
            break
        data = connection.recv(65536)
        if not data:
            return output, True
        output = (output + data)[:LONGEST]
    return output, False


def _exit_code(execution: executing.Execution, until: float) -> int | None:
    """Its exit code, which is known some time after its streams have closed; None when it is not known by then."""
    with execution.container.changed:
        left = max(0.0, until - time.monotonic())
        execution.container.changed.wait_for(lambda: execution.exit_code is not None, left)
    return execution.exit_code


def _span(seconds: float) -> str:
    """Seconds as Go writes a duration: `1m30s`, `500ms`."""
    if seconds < 1:
        return f"{seconds * 1000:g}ms"
    minutes, rest = divmod(seconds, 60)
    hours, minutes = divmod(int(minutes), 60)
    return (f"{hours}h" if hours else "") + (f"{minutes}m" if hours or minutes else "") + f"{rest:g}s"
