"""Listens to the shims: what they say of their containers becomes state, and sometimes a removal or a restart."""

from __future__ import annotations

import threading
import time

from kernelkit.engine import exec as execution
from kernelkit.engine import finish, remove
from kernelkit.engine.engine import Engine
from kernelkit.engine.facts import Restarting
from kernelkit.engine.model import Container
from kernelkit.engine.start import start
from kernelkit.errors import NotFound
from kernelkit.host.channel import ExecExited, ExecStarted, Exited

SOON, SELDOM = 0.1, 60.0  # seconds before a restart: doubled each time, up to
SETTLED = 10.0  # seconds after which a program counts as having run
PATIENCE = 0.5  # seconds before another look at whom it joins, and who restarts as well
LOST = 255  # the exit code of a container whose shim was killed


def hear(engine: Engine, identity: str, message: object) -> None:
    """Act on one message of a container's shim; None means that the shim is gone."""
    try:
        container = engine.state.container(identity)
    except NotFound:
        return
    if isinstance(message, ExecStarted):
        engine.answer(message.process, message)
    elif isinstance(message, ExecExited):
        execution.ended(engine, container, message)
    elif isinstance(message, Exited):
        ended(engine, container, message)
    elif message is None:
        engine.answer_all(identity)
        ended(engine, container, lost(engine, container))


def lost(engine: Engine, container: Container) -> Exited:
    """End a container whose shim is gone: nobody can say how its program ends, nor when."""
    finish.end_all(engine, container)
    return Exited(LOST, time.time())


def ended(engine: Engine, container: Container, exited: Exited) -> None:
    """Note a container's end, then do what its settings want next."""
    go_on(engine, container, exited, finish.ended(engine, container, exited))


def go_on(engine: Engine, container: Container, exited: Exited, then: str) -> None:
    """Do what a container's settings want after its end: `restart`, `remove` or nothing."""
    if then == "remove":
        remove.remove_ended(engine, container)
    elif then == "restart":
        _restart_in(_pause(engine, container, exited.at), engine, container)


def start_anew(engine: Engine, container: Container) -> None:
    """Start a container that has ended, as its restart policy wants when the engine begins."""
    with container.lock:
        container.state.status, container.state.stopped_by_hand = "restarting", False
        engine.state.save(container)
    _restart_in(SOON, engine, container)


def _restart_in(seconds: float, engine: Engine, container: Container) -> None:
    timer = threading.Timer(seconds, _restart, (engine, container))
    timer.daemon = True
    timer.start()


def _pause(engine: Engine, container: Container, ended_at: float) -> float:
    ran = ended_at - engine.started_at.get(container.id, 0.0)
    pause = SOON if ran > SETTLED else min(engine.pauses.get(container.id, SOON / 2) * 2, SELDOM)
    engine.pauses[container.id] = pause
    return pause


def _restart(engine: Engine, container: Container) -> None:
    with container.lock:
        state = container.state
        if state.status != "restarting" or state.stopped_by_hand or container.removed:
            return
        state.restart_count += 1
        try:
            start(engine, container, again=True)
        except Restarting:
            state.restart_count -= 1
            _restart_in(PATIENCE, engine, container)
        except Exception as error:
            # Whatever it was: this thread is the only one that can say that it is not restarting any more.
            engine.complain(f"restart {container.short_id}: {error}")
            state.status = "exited"
            engine.state.save(container)
