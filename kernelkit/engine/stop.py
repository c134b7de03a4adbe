"""Ends, freezes and wakes containers: stop, kill, restart, pause, unpause."""

from __future__ import annotations

import contextlib
import signal
import time

from kernelkit.container import cgroup
from kernelkit.engine import health, signals
from kernelkit.engine.engine import Engine
from kernelkit.engine.model import Container
from kernelkit.engine.start import start
from kernelkit.errors import Conflict, NotModified
from kernelkit.host.channel import Signal
from kernelkit.trace import Trace

PATIENCE = 10  # seconds between SIGTERM and SIGKILL, Docker's default


def kill(engine: Engine, container: Container, word: str = "SIGKILL") -> None:
    """Send the first process a signal, by name or number; Conflict when there is none."""
    number = signals.number(word)
    if not container.state.running:
        raise Conflict(f"container {container.id} is not running")
    # To Docker any signal means the end, unless the container says which one does.
    is_last = not container.config.get("StopSignal") or number in (signal.SIGKILL, stop_signal(container))
    if is_last:
        container.state.stopped_by_hand = True
        if _stays_down(engine, container):
            return
    engine.events.container(container, "kill", signal=str(number))
    _send(engine, container, number)
    if is_last and container.state.paused:
        with contextlib.suppress(Conflict):  # somebody else was faster
            unpause(engine, container)  # a frozen process does not even die
    if number == signal.SIGKILL:
        wait_stopped(container, PATIENCE)


def stop(engine: Engine, container: Container, seconds: float | None = None, word: str = "") -> None:
    """Ask the first process to end; after `seconds` (the container's own StopTimeout, or 10) make it.

    Below 0 waits for ever. NotModified when it has ended already.
    """
    if not container.state.running:
        raise NotModified(f"container {container.id} is already stopped")
    if container.state.paused:
        unpause(engine, container)
    number = signals.number(word) if word else stop_signal(container)
    container.state.stopped_by_hand = True
    if _stays_down(engine, container):
        engine.events.container(container, "stop")
        return
    given = container.config.get("StopTimeout")
    patience = seconds if seconds is not None else float(given) if given is not None else PATIENCE
    engine.events.container(container, "kill", signal=str(number))
    _send(engine, container, number)
    if not wait_stopped(container, patience):
        engine.events.container(container, "kill", signal="9")
        _send(engine, container, signal.SIGKILL)
        wait_stopped(container, PATIENCE)
    engine.events.container(container, "stop")


def restart(engine: Engine, container: Container, seconds: float | None = None, word: str = "") -> None:
    """Stop it if it runs, then start it; `--rm` does not take this for its end."""
    container.goes_on = True
    try:
        if container.state.running:
            with contextlib.suppress(NotModified):  # it has just ended by itself
                stop(engine, container, seconds, word)
        start(engine, container)
    finally:
        container.goes_on = False
    engine.events.container(container, "restart")


def pause(engine: Engine, container: Container) -> None:
    """Freeze all its processes: the freezer of cgroups(7)."""
    with container.lock:
        if not container.state.running:
            raise Conflict(f"Container {container.id} is not running")
        if container.state.status == "restarting":
            raise Conflict(f"Container {container.id} is restarting, wait until the container is running")
        if container.state.paused:
            raise Conflict(f"Container {container.id} is already paused")
        _freeze(engine, container, frozen=True)
        health.end(container)  # nobody asks it now
        container.state.status = "paused"
        engine.state.save(container)
    engine.events.container(container, "pause")


def unpause(engine: Engine, container: Container) -> None:
    """Let its processes run again."""
    with container.lock:
        if not container.state.paused:
            raise Conflict(f"Container {container.id} is not paused")
        _freeze(engine, container, frozen=False)
        container.state.status = "running"
        engine.state.save(container)
    engine.events.container(container, "unpause")


def wait_stopped(container: Container, seconds: float) -> bool:
    """Wait until it has ended; False when it has not within that time (below 0: for ever)."""
    until = time.monotonic() + seconds if seconds >= 0 else None
    with container.changed:
        while container.state.running and not container.removed:
            left = None if until is None else until - time.monotonic()
            if left is not None and left <= 0:
                return False
            container.changed.wait(left)
    return True


def stop_signal(container: Container) -> int:
    """The signal that asks this container to end."""
    return signals.number(container.config.get("StopSignal") or "SIGTERM")


def _stays_down(engine: Engine, container: Container) -> bool:
    """Whether it was waiting for its next restart, which there will not be now."""
    with container.lock:
        if container.state.status != "restarting":
            return False
        container.state.status = "exited"
        engine.state.save(container)
    return True


def _send(engine: Engine, container: Container, number: int) -> None:
    engine.link.send(container.id, Signal(number))


def _freeze(engine: Engine, container: Container, *, frozen: bool) -> None:
    trace = Trace()
    path = engine.cgroup_path(container)
    plan = cgroup.freeze(engine.layout, path) if frozen else cgroup.thaw(engine.layout, path)
    try:
        for operation in plan:
            trace.perform("exec", operation)
    finally:
        engine.records.add(container.id, trace.steps, engine.folder(container.id))
