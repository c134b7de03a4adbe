"""Changes the limits and the restart policy of a container, running or not: `docker update`."""

from __future__ import annotations

from typing import Any

from kernelkit.container import cgroup
from kernelkit.container.spec import Facts, User, resources
from kernelkit.engine import checks, devices, discard, limits
from kernelkit.engine.engine import Engine
from kernelkit.engine.model import Container
from kernelkit.errors import Conflict, InvalidRequest, OperationFailed
from kernelkit.trace import Trace, explain

# What can be changed; 0 and "" mean "leave it", as Docker's client sends them for what was not said.
LIMITS = (
    "BlkioWeight", "CpuShares", "NanoCpus", "CpuPeriod", "CpuQuota", "CpuRealtimePeriod", "CpuRealtimeRuntime",
    "CpusetCpus", "CpusetMems", "Memory", "MemoryReservation", "MemorySwap", "PidsLimit",
)  # fmt: skip
FIXED = ("CgroupParent", "DeviceRequests", "StorageOpt")

Json = dict[str, Any]


def update(engine: Engine, container: Container, body: Json) -> list[str]:
    """Set what `body`, a part of Docker's `HostConfig`, says; warnings about what is left away.

    InvalidRequest, Conflict, KernelkitError, OSError leave it as it was.
    """
    checks.not_there(body)
    if fixed := next((key for key in FIXED if body.get(key)), ""):
        raise InvalidRequest(f"'{fixed}' cannot be updated", "create another container")
    body, warnings = discard.discard(body, engine.layout, engine.host.cgroups)
    limits.real_time(body, scheduler=engine.layout.has(engine.host.cgroups, "cpu", "cpu.rt_runtime_us"))
    changes = {key: body[key] for key in LIMITS if body.get(key)}
    for key, value in changes.items():
        if not isinstance(value, str if key.startswith("Cpuset") else int):
            raise InvalidRequest(f"invalid JSON: '{key}' has the wrong type")
    for key in devices.BLOCK:
        if body.get(key) is not None:
            changes[key] = body[key]
            if not isinstance(body[key], list):
                raise InvalidRequest(f"invalid JSON: '{key}' has the wrong type")
    policy = body.get("RestartPolicy") or {}
    with container.lock:
        before = container.host_config
        after = {**before, **changes}
        if policy.get("Name"):
            after["RestartPolicy"] = {
                "Name": policy["Name"],
                "MaximumRetryCount": policy.get("MaximumRetryCount") or 0,
            }
            if before["AutoRemove"] and policy["Name"] != "no":
                raise InvalidRequest("Restart policy cannot be updated because AutoRemove is enabled for the container")
        if container.removed or container.state.status in ("removing", "dead"):
            raise Conflict(f"Cannot update container {container.id}: Container is marked for removal")
        if not changes.get("MemorySwap") and 0 < before["MemorySwap"] < changes.get("Memory", 0):
            raise InvalidRequest(
                "Memory limit should be smaller than already set memoryswap limit, update the memoryswap at the same "
                "time"
            )
        limits.check(after)
        checks.restart(after["RestartPolicy"], auto_remove=after["AutoRemove"])
        if container.state.running and changes:
            _apply(engine, container, _resources(before), _resources(after, before))
        container.host_config = after
        engine.state.save(container, settings=True)
    engine.events.container(container, "update")
    return warnings


def _resources(host: Json, before: Json | None = None) -> Json:
    """The limits of these settings, without what devices may be used, which no update changes.

    Those that a device had `before`, and has no more, are lifted.
    """
    block = devices.block(host)
    for name, earlier in devices.block(before or {}).items():
        numbers = [(device["major"], device["minor"]) for device in block.get(name, ())]
        gone = [device for device in earlier if (device["major"], device["minor"]) not in numbers]
        lifted = [{key: value if key in ("major", "minor") else 0 for key, value in device.items()} for device in gone]
        block[name] = [*block.get(name, ()), *lifted]
    found = resources(host, Facts("", "", "", User(), (), "", block=block))
    return {key: value for key, value in found.items() if key != "devices"}


def _apply(engine: Engine, container: Container, before: Json, after: Json) -> None:
    changed = {key: value for key, value in after.items() if before.get(key) != value}
    if "pids" in before and "pids" not in after:
        changed["pids"] = {"limit": -1}
    trace = Trace()
    try:
        for operation in cgroup.update(changed, engine.layout, engine.cgroup_path(container), before):
            trace.perform("create", operation)
    except OSError as error:
        raise OperationFailed(f"Cannot update container {container.id}: {explain(error)}") from None
    finally:
        engine.records.add(container.id, trace.steps, engine.folder(container.id))
