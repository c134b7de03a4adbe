"""`update`: new limits, or another restart policy, for containers that exist."""

from __future__ import annotations

from kernelkit.cli.connect import connect
from kernelkit.cli.each import for_each
from kernelkit.cli.flags import STRING, Command, Flag
from kernelkit.cli.output import Failure, say
from kernelkit.cli.settings import restart_policy
from kernelkit.cli.settings_flags import CHANGEABLE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from kernelkit.cli.flags import Options

# Resources that this command never sets, and that the API expects to be named.
UNSET = (
    "BlkioDeviceReadBps BlkioDeviceReadIOps BlkioDeviceWriteBps BlkioDeviceWriteIOps BlkioWeightDevice "
    "DeviceCgroupRules DeviceRequests Devices MemorySwappiness OomKillDisable Ulimits"
).split()
ZERO = "CpuCount CpuPercent IOMaximumBandwidth IOMaximumIOps".split()


def update(options: Options) -> int:
    """Change the containers and print their names; warnings follow."""
    if not options.given:
        raise Failure("you must provide one or more flags when using this command")
    try:
        policy = restart_policy(options.text("restart"))
    except ValueError as error:
        raise Failure(str(error)) from None
    body: dict[str, Any] = {
        **dict.fromkeys(UNSET),
        **dict.fromkeys(ZERO, 0),
        "BlkioWeight": options.number("blkio-weight"),
        "CgroupParent": "",
        "CpuPeriod": options.number("cpu-period"),
        "CpuQuota": options.number("cpu-quota"),
        "CpuRealtimePeriod": options.number("cpu-rt-period"),
        "CpuRealtimeRuntime": options.number("cpu-rt-runtime"),
        "CpuShares": options.number("cpu-shares"),
        "CpusetCpus": options.text("cpuset-cpus"),
        "CpusetMems": options.text("cpuset-mems"),
        "Memory": options.number("memory"),
        "MemoryReservation": options.number("memory-reservation"),
        "MemorySwap": options.number("memory-swap"),
        "NanoCpus": options.number("cpus"),
        "PidsLimit": options.number("pids-limit") if "pids-limit" in options.given else None,
        "RestartPolicy": policy,
    }
    client = connect()
    warnings: list[str] = []

    def done(name: str, answer: Any) -> None:
        say(name)
        warnings.extend((answer or {}).get("Warnings") or [])

    try:
        for_each(options.arguments, lambda name: client.send("POST", f"/containers/{name}/update", None, body), done)
    finally:
        for warning in warnings:
            say(warning)
    return 0


UPDATE = Command(
    update,
    "[OPTIONS] CONTAINER [CONTAINER...]",
    "Update configuration of one or more containers",
    (*CHANGEABLE, Flag("restart", STRING, "What to do when the container exits")),
    least=1,
    most=None,
)
