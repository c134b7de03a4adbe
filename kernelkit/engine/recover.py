"""Takes over from an earlier engine, which may have been killed at any moment.

runs, says the book            its shim is found, and looks after it as before; without one the container has ended
does not run, says the book    a start that was under way is ended, and what it held given back: whoever asked for
                               it has had no answer
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Sequence

from kernelkit.container import cgroup
from kernelkit.engine import endpoints, finish, health, hear, remove
from kernelkit.engine.engine import Engine
from kernelkit.engine.model import NEVER, Container
from kernelkit.host.channel import Exited, Started
from kernelkit.trace import Trace, explain

PATIENCE = 5.0  # seconds for a shim to notice that its engine is gone
DISMISSAL = 30.0  # seconds for one that is still at work on what will fail
PAUSE = 0.02  # seconds between two looks
ATTEMPTS = 3


def end_unfinished(engine: Engine) -> list[Container]:
    """End starts that were under way; what they held is still to be given back, by `take_over`.

    To be called first: from then on nobody makes anything for them any more.
    """
    idle = [c for c in engine.state.containers() if not c.state.running or c.state.status == "restarting"]
    unfinished = [container for container in idle if _has_begun(engine, container)]
    for container in unfinished:
        _end(engine, container)
    return unfinished


def take_over(engine: Engine, unfinished: Sequence[Container]) -> None:
    """Have the book and the host agree, before anybody asks for anything."""
    for container in unfinished:
        finish.undo(engine, container)
        engine.state.save(container)
        threading.Thread(target=_dismiss, args=(engine, container.id), name="dismissal", daemon=True).start()
        if container.host_config.get("AutoRemove"):
            remove.remove_ended(engine, container)
    containers = engine.state.containers()
    anew = [container for container in containers if _wants_anew(container)]
    ended = [(container, exited) for container in containers if (exited := _find(engine, container))]
    wishes = [(container, exited, finish.ended(engine, container, exited)) for container, exited in ended]
    # Only now, for one may join another, of whom it must be known whether it runs.
    for container, exited, wish in wishes:
        hear.go_on(engine, container, exited, wish)
    for container in anew:
        hear.start_anew(engine, container)


def _wants_anew(container: Container) -> bool:
    """Whether it is to run whenever an engine does: what tells `always` from `unless-stopped`."""
    state, policy = container.state, container.host_config["RestartPolicy"]["Name"]
    if state.status != "exited" or state.started_at == NEVER:
        return False
    return policy == "always" or (policy == "unless-stopped" and not state.stopped_by_hand)


def _has_begun(engine: Engine, container: Container) -> bool:
    """Whether a start has left something: it holds addresses and ports first, and makes cgroups next."""
    held = any(
        container.id in engine.state.leases.addresses(network.id).values() for network in engine.state.networks()
    )
    return held or bool(engine.state.leases.ports(container.id)) or _has_cgroup(engine, container)


def _end(engine: Engine, container: Container) -> None:
    """Without its cgroup, who is still building the container cannot go on: to join that comes first."""
    trace = Trace()
    for attempt in range(ATTEMPTS):
        finish.end_all(engine, container)
        try:
            for operation in cgroup.teardown(engine.layout, engine.cgroup_path(container)):
                trace.perform("create", operation)
            return
        except OSError as error:  # somebody has joined between the two
            if attempt == ATTEMPTS - 1:
                engine.complain(f"end the start of {container.short_id}: {explain(error)}")


def _find(engine: Engine, container: Container) -> Exited | None:
    """Have a running container's shim look after it for us; how it ended if it has none, or waits for a restart."""
    if container.state.status == "restarting":
        return Exited(container.state.exit_code, time.time())
    if not container.state.running:
        return None
    found = engine.link.find(container.id)
    until = time.monotonic() + PATIENCE
    while not found and _has_cgroup(engine, container) and time.monotonic() < until:
        if not os.path.exists(f"/proc/{container.state.pid}"):
            break
        time.sleep(PAUSE)
        found = engine.link.find(container.id)
    if isinstance(found, Started):
        container.state.pid = found.pid
        health.resume(engine, container)
        endpoints.resume(engine, container)
        return None
    return found or hear.lost(engine, container)


def _dismiss(engine: Engine, identity: str) -> None:
    """Send away the shim of a start that nobody waits for, as soon as it looks for an engine, if there is one."""
    until = time.monotonic() + DISMISSAL
    while not engine.link.dismiss(identity) and time.monotonic() < until:
        time.sleep(PAUSE)


def _has_cgroup(engine: Engine, container: Container) -> bool:
    return any(map(os.path.isdir, cgroup.directories(engine.layout, engine.cgroup_path(container))))
