"""What happens when a container's program has ended: noted, and what it held given back."""

from __future__ import annotations

import contextlib
import errno
import os

from kernelkit.container import cgroup, plan
from kernelkit.engine import endpoints, facts, health, parents, volume_mounts, volumes, when
from kernelkit.engine.engine import Engine
from kernelkit.engine.model import Container, timestamp
from kernelkit.errors import Conflict, NotFound
from kernelkit.host.channel import Exited
from kernelkit.kernel.ip import DeleteLink
from kernelkit.trace import Stage, Trace, explain


def ended(engine: Engine, container: Container, exited: Exited) -> str:
    """Note how it ended and give back what it held; `restart`, `remove` or nothing: what its settings want next."""
    with container.lock:
        state = container.state
        if not state.running:
            return ""
        path = engine.cgroup_path(container)
        state.oom_killed = cgroup.oom_killed(engine.layout, path)
        left = endpoints.networks(engine, container)
        undo(engine, container, quietly=True)
        health.end(container)
        finished, again = timestamp(int(exited.at * 1e9)), wants_restart(container, exited.code)
        # All at once: whoever looks on takes no lock, and must not see a pause before a restart as the end.
        state.pid, state.exit_code, state.finished_at = 0, exited.code, finished
        state.status = "restarting" if again else "exited"
        if state.oom_killed:
            engine.events.container(container, "oom")
        ran = int(exited.at) - when.parse(state.started_at) // 10**9
        engine.events.container(container, "die", exitCode=str(exited.code), execDuration=str(max(0, ran)))
        endpoints.tell_left(engine, container, left)
        volumes.tell(engine, container, "unmount")
        engine.state.save(container)
        engine.link.part(container.id)
        for_good = container.host_config.get("AutoRemove") and not container.goes_on
    return "restart" if again else "remove" if for_good else ""


def undo(engine: Engine, container: Container, *, quietly: bool = False) -> None:
    """Take back what the kernel does not throw away with the container's namespaces; `quietly` without an event."""
    published = endpoints.published(engine, container)
    outside = Stage("nat", "engine", "machine", tuple(engine.uplink.unpublish(published)))
    # Whoever has joined its network keeps that alive, and would go on with an address that is somebody else's soon.
    cables = endpoints.cables(container) if _is_joined(engine, container) else ()
    plugs = Stage("interface", "engine", "host", tuple(DeleteLink(cable, where="host") for cable in cables))
    inside = plan.stop(
        engine.layout,
        engine.cgroup_path(container),
        engine.uplink.inner(published),
        endpoints.let_out(engine, container),
        engine.host.table,
    )
    made = parents.ours(engine, container)
    above = Stage("create", "engine", "host", tuple(cgroup.abandon(made)))
    trace = Trace()
    for stage in (outside, *inside, plugs, above):
        for operation in stage.operations:
            try:
                trace.perform(stage.name, operation, actor=stage.actor, where=stage.where)
            except OSError as error:
                if stage is plugs and error.errno == errno.ENODEV:
                    continue  # it went with a host that was switched off
                engine.complain(f"clean up after {container.short_id}: {operation.shell()}: {explain(error)}")
    if container.mounts:
        volume_mounts.release(engine, container, trace)
    # Only now: whoever gets the ports and the address next must not find our rules.
    endpoints.release(engine, container, quietly=quietly)
    parents.forget(engine, made)
    engine.records.add(container.id, trace.steps, engine.folder(container.id))


def _is_joined(engine: Engine, container: Container) -> bool:
    """Whether a container runs in this one's network namespace, be it by way of another one."""
    for other in engine.state.containers():
        with contextlib.suppress(NotFound, Conflict):  # whom it joined has been removed
            if other is not container and other.state.running and facts.network_of(engine, other) is container:
                return True
    return False


def end_all(engine: Engine, container: Container) -> None:
    """End all processes of a container that nobody looks after any more, frozen ones too."""
    path = engine.cgroup_path(container)
    if not any(map(os.path.isdir, cgroup.directories(engine.layout, path))):
        return
    trace = Trace()
    for operation in (*cgroup.thaw(engine.layout, path), *cgroup.kill(engine.layout, path)):
        try:
            trace.perform("stop", operation)
        except OSError as error:
            engine.complain(f"end the processes of {container.short_id}: {explain(error)}")
    engine.records.add(container.id, trace.steps, engine.folder(container.id))


def wants_restart(container: Container, exit_code: int) -> bool:
    """What its restart policy says, now that it has ended so."""
    policy = container.host_config.get("RestartPolicy") or {}
    name, state = policy.get("Name") or "no", container.state
    if state.stopped_by_hand or name == "no":
        return False
    if name == "on-failure":
        most = policy.get("MaximumRetryCount") or 0
        return exit_code != 0 and (most == 0 or state.restart_count < most)
    return name in ("always", "unless-stopped")
