"""What cannot be asked of a container, said in Docker's words before anything is made."""

from __future__ import annotations

import ipaddress
import os
import re
import signal
from collections.abc import Mapping, Sequence
from typing import Any

from kernelkit.engine import logs
from kernelkit.errors import InvalidRequest

MILLISECOND = 1_000_000  # in the nanoseconds of a health check
LEAST_MEMORY = 6 << 20
LEAST_NANO = 10_000_000  # a hundredth of a processor
RESTARTS = ("no", "always", "on-failure", "unless-stopped")
PORT = re.compile(r"(\d{1,5})(?:-(\d{1,5}))?(?:/(tcp|udp|sctp))?")
MAC = re.compile(r"([0-9a-fA-F]{2}:){5}[0-9a-fA-F]{2}")

# Asked for by these and not there: (key, its flag). What would be ignored is refused.
NOT_THERE = (
    ("Links", "--link"),
    ("VolumeDriver", "--volume-driver"),
    ("CgroupParent", "--cgroup-parent"),
    ("DeviceRequests", "--gpus"),
    ("StorageOpt", "--storage-opt"),
    ("BlkioWeightDevice", "--blkio-weight-device"),
    ("BlkioDeviceReadBps", "--device-read-bps"),
    ("BlkioDeviceWriteBps", "--device-write-bps"),
    ("BlkioDeviceReadIOps", "--device-read-iops"),
    ("BlkioDeviceWriteIOps", "--device-write-iops"),
    ("CpuRealtimePeriod", "--cpu-rt-period"),
    ("CpuRealtimeRuntime", "--cpu-rt-runtime"),
    ("CpuCount", "--cpu-count"),
    ("CpuPercent", "--cpu-percent"),
    ("IOMaximumIOps", "--io-maxiops"),
    ("IOMaximumBandwidth", "--io-maxbandwidth"),
    ("Cgroup", "cgroup"),
)

# What these turn off is not there in the first place.
NOTHING_TO_TURN_OFF = (
    "apparmor=unconfined",
    "apparmor:unconfined",
    "label=disable",
    "label:disable",
    "writable-cgroups=false",
)
SIZE = re.compile(r"\d+[kmgKMG]?%?")
# tmpfs(5), Mount options, and mount(8)'s words for all file systems.
TMPFS_OPTIONS = {
    "size": SIZE,
    "nr_inodes": SIZE,
    "nr_blocks": SIZE,
    "mode": re.compile("[0-7]{1,4}"),
    "uid": re.compile(r"\d+"),
    "gid": re.compile(r"\d+"),
    "mpol": re.compile(r"[a-z0-9:=,-]+"),
}
TMPFS_FLAGS = ("ro", "rw", "nosuid", "suid", "nodev", "dev", "noexec", "exec", "noatime", "relatime", "strictatime")

Json = dict[str, Any]


def settings(config: Mapping[str, Any], host: Mapping[str, Any]) -> None:
    """Refuse, by InvalidRequest, what means nothing, contradicts itself, or is not there."""
    _unsupported(config, host)
    _words(config)
    _health(config.get("Healthcheck") or {})
    limits(host)
    restart(host["RestartPolicy"], auto_remove=host["AutoRemove"])
    _modes(config, host)
    _security(host["SecurityOpt"] or [])
    _sysctls(host)
    _tmpfs(host.get("Tmpfs") or {})
    _log(host["LogConfig"])
    for port in (*(config.get("ExposedPorts") or {}), *(host["PortBindings"] or {})):
        _port(port)
    for port, bindings in (host["PortBindings"] or {}).items():
        for binding in bindings or []:
            _binding(port, binding)


def not_there(host: Mapping[str, Any]) -> None:
    """Refuse, by InvalidRequest, what would be ignored."""
    for key, flag in NOT_THERE:
        if host.get(key) and not (key == "VolumeDriver" and host[key] == "local"):
            raise InvalidRequest(f"'{flag}' ({key}) is not supported by kernelkit")


def _unsupported(config: Mapping[str, Any], host: Mapping[str, Any]) -> None:
    mode = host.get("NetworkMode") or "default"
    # In a network of one's own the links are the endpoint's, see create.endpoint.
    own = mode not in ("default", "bridge", "host", "none") and not mode.startswith("container:")
    not_there({**host, "Links": None} if own else host)
    if host["Runtime"] not in ("kernelkit", "runc", "io.containerd.runc.v2"):
        raise InvalidRequest(f"unknown or invalid runtime name: {host['Runtime']}")
    if host["Isolation"] not in ("", "default"):
        raise InvalidRequest(f"invalid isolation: '{host['Isolation']}'", "on Linux there is only 'default'")
    if config.get("NetworkDisabled"):
        raise InvalidRequest("'NetworkDisabled' is not supported by kernelkit", "use --network none")


def _words(config: Mapping[str, Any]) -> None:
    folder = config["WorkingDir"]
    if folder and not os.path.isabs(folder):
        raise InvalidRequest(f"the working directory '{folder}' is invalid, it needs to be an absolute path")
    for entry in config["Env"]:
        if not isinstance(entry, str) or entry.startswith("=") or not entry or "\0" in entry:
            raise InvalidRequest(f"invalid environment variable: {entry}")
    for word in (*(config["Entrypoint"] or []), *(config["Cmd"] or [])):
        if "\0" in word:
            raise InvalidRequest("invalid command: a word contains a null byte")
    if len(config["Hostname"]) > 64 or not re.fullmatch(r"[a-zA-Z0-9._-]*", config["Hostname"]):
        raise InvalidRequest(f"invalid hostname '{config['Hostname']}'", "64 letters, digits, '.', '-' and '_' at most")
    if config.get("StopSignal"):
        _signal(config["StopSignal"])
    if config.get("MacAddress") and not MAC.fullmatch(config["MacAddress"]):
        raise InvalidRequest(f"{config['MacAddress']} is not a valid mac address")


def _signal(word: str) -> None:
    name = word.upper()
    numbers = [str(int(s)) for s in signal.Signals]
    if name not in numbers and name.removeprefix("SIG") not in [s.name.removeprefix("SIG") for s in signal.Signals]:
        raise InvalidRequest(f"invalid signal: {word}")


def _health(check: Mapping[str, Any]) -> None:
    for key in ("Interval", "Timeout", "StartPeriod", "StartInterval"):
        if check.get(key) and check[key] < MILLISECOND:
            raise InvalidRequest(f"{key} in Healthcheck cannot be less than 1ms")
    if (check.get("Retries") or 0) < 0:
        raise InvalidRequest("Retries in Healthcheck cannot be negative")
    if check.get("Test") and check["Test"][0] not in ("NONE", "CMD", "CMD-SHELL"):
        raise InvalidRequest(f"unknown type '{check['Test'][0]}' in Healthcheck", "NONE, CMD or CMD-SHELL")


def limits(host: Mapping[str, Any]) -> None:
    """The resource limits of `create` and `update`; InvalidRequest for what cannot be."""
    memory, swap, reserved = host["Memory"], host["MemorySwap"], host["MemoryReservation"]
    if 0 < memory < LEAST_MEMORY or memory < 0:
        raise InvalidRequest("Minimum memory limit allowed is 6MB")
    if swap > 0 and not memory:
        raise InvalidRequest("You should always set the Memory limit when using Memoryswap limit, see usage")
    if 0 < swap < memory:
        raise InvalidRequest("Minimum memoryswap limit should be larger than memory limit, see usage")
    if 0 < reserved < LEAST_MEMORY:
        raise InvalidRequest("Minimum memory reservation allowed is 6MB")
    if memory and reserved > memory:
        raise InvalidRequest("Minimum memory limit can not be less than memory reservation limit, see usage")
    swappiness = host.get("MemorySwappiness")
    if swappiness is not None and not 0 <= swappiness <= 100:
        raise InvalidRequest(f"Invalid value: {swappiness}, valid memory swappiness range is 0-100")
    _cpu(host)
    if host["BlkioWeight"] and not 10 <= host["BlkioWeight"] <= 1000:
        raise InvalidRequest("Range of blkio weight is from 10 to 1000")
    if host.get("ShmSize", 0) < 0:
        raise InvalidRequest("SHM size can not be less than 0")
    score = host.get("OomScoreAdj") or 0
    if not -1000 <= score <= 1000:
        raise InvalidRequest(f"Invalid value {score}, range for oom score adj is [-1000, 1000]")
    for limit in host.get("Ulimits") or []:
        if limit["Soft"] > limit["Hard"] >= 0:
            raise InvalidRequest(
                f"ulimit soft limit must be less than or equal to hard limit: {limit['Soft']} > {limit['Hard']}"
            )


def _cpu(host: Mapping[str, Any]) -> None:
    cpus = os.cpu_count() or 1
    nano, period, quota = host["NanoCpus"], host["CpuPeriod"], host["CpuQuota"]
    if nano and (period or quota):
        raise InvalidRequest(
            f"Conflicting options: Nano CPUs and CPU {'Period' if period else 'Quota'} cannot both be set"
        )
    if nano < 0 or 0 < nano < LEAST_NANO or nano > cpus * 1_000_000_000:
        raise InvalidRequest(f"Range of CPUs is from 0.01 to {cpus}.00, as there are only {cpus} CPUs available")
    if period and not 1000 <= period <= 1_000_000:
        raise InvalidRequest("CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)")
    if 0 < quota < 1000:
        raise InvalidRequest("CPU cfs quota can not be less than 1ms (i.e. 1000)")
    if host["CpuShares"] < 0:
        raise InvalidRequest(f"invalid CPU shares ({host['CpuShares']}): value must be a positive integer")
    _cpuset(host["CpusetCpus"], "CPUs", "cpus", "/sys/devices/system/cpu/online")
    _cpuset(host["CpusetMems"], "memory nodes", "mems", "/sys/devices/system/node/online")


def _cpuset(wanted: str, what: str, kind: str, file: str) -> None:
    if not wanted:
        return
    if not re.fullmatch(r"\d+(-\d+)?(,\d+(-\d+)?)*", wanted):
        raise InvalidRequest(f"Invalid value {wanted} for cpuset {kind}")
    try:
        with open(file) as online:
            available = online.read().strip()
    except OSError:
        return  # a kernel without NUMA has no list of nodes; the cpuset controller will say what it thinks
    if not _numbers(wanted) <= _numbers(available):
        raise InvalidRequest(f"Requested {what} are not available - requested {wanted}, available: {available}")


def _numbers(ranges: str) -> set[int]:
    found: set[int] = set()
    for part in ranges.split(","):
        first, _, last = part.partition("-")
        found.update(range(int(first), min(int(last or first), 1 << 16) + 1))
    return found


def restart(policy: Mapping[str, Any], *, auto_remove: bool = False) -> None:
    """A restart policy: `no`, `always`, `unless-stopped`, `on-failure` with or without a count."""
    name, count = policy["Name"], policy["MaximumRetryCount"]
    if name not in RESTARTS:
        known = ", ".join(f"'{word}'" for word in RESTARTS)
        raise InvalidRequest(f"invalid restart policy: unknown policy '{name}'; use one of {known}")
    if count < 0:
        raise InvalidRequest("invalid restart policy: maximum retry count cannot be negative")
    if count and name != "on-failure":
        raise InvalidRequest("invalid restart policy: maximum retry count can only be used with 'on-failure'")
    if auto_remove and name != "no":
        raise InvalidRequest("can't create 'AutoRemove' container with restart policy")


def _modes(config: Mapping[str, Any], host: Mapping[str, Any]) -> None:
    network = host["NetworkMode"]
    allowed = {
        "IpcMode": ("none", "private", "shareable", "host", ""),
        "PidMode": ("host", ""),
        "UTSMode": ("host", ""),
        "UsernsMode": ("host", ""),
        "CgroupnsMode": ("host", "private", ""),
    }
    for key, words in allowed.items():
        shared = key in ("IpcMode", "PidMode") and host[key].startswith("container:") and len(host[key]) > 10
        if host[key] not in words and not shared:
            raise InvalidRequest(f"invalid {key.removesuffix('Mode')} mode: {host[key]}")
    if host["UTSMode"] == "host" and config["Hostname"]:
        raise InvalidRequest("conflicting options: hostname and the UTS mode")
    if not network.startswith("container:"):
        return
    if network == "container:":
        raise InvalidRequest("invalid network mode: container:", "name the container whose network is to be shared")
    conflicts = (
        (config["Hostname"], "hostname and the network mode"),
        (host["Dns"], "dns and the network mode"),
        (host["ExtraHosts"], "custom host-to-IP mapping and the network mode"),
        (config.get("MacAddress"), "mac-address and the network mode"),
        (host["PortBindings"] or host["PublishAllPorts"], "port publishing and the container type network mode"),
        (config.get("ExposedPorts"), "port exposing and the container type network mode"),
    )
    for given, what in conflicts:
        if given:
            raise InvalidRequest(f"conflicting options: {what}")


def _security(options: Sequence[str]) -> None:
    for number, option in enumerate(options):
        key, separator, value = option.partition("=" if "=" in option.partition(":")[0] else ":")
        if key == "no-new-privileges" and value.lower() in ("", "true", "false", "1", "0", "t", "f"):
            continue
        if key == "no-new-privileges":
            raise InvalidRequest(
                f'invalid --security-opt {number + 1}: "{option}"', "no-new-privileges is true or false"
            )
        if not separator or key not in ("seccomp", "apparmor", "label", "systempaths", "writable-cgroups"):
            raise InvalidRequest(f'invalid --security-opt {number + 1}: "{option}"')
        if key == "seccomp" or option in NOTHING_TO_TURN_OFF or (key, value) == ("systempaths", "unconfined"):
            continue
        raise InvalidRequest(f"'--security-opt {option}' is not supported by kernelkit")


def _sysctls(host: Mapping[str, Any]) -> None:
    """Only what belongs to a namespace that the container has of its own: anything else is the whole machine's."""
    owners = {
        "network": (host["NetworkMode"] == "host", ("net.",)),
        "ipc": (host["IpcMode"] == "host", ("fs.mqueue.", "kernel.msg", "kernel.sem", "kernel.shm")),
    }
    for name in host.get("Sysctls") or {}:
        # sysctl(8): either separator may be used, and then stands for the other.
        plain = name.replace("/", ".")
        owner = next((o for o, (_, prefixes) in owners.items() if plain.startswith(prefixes)), None)
        if owner is None or "/" in name or ".." in name:
            raise InvalidRequest(f"sysctl '{name}' is not in a separate kernel namespace")
        if owners[owner][0]:
            raise InvalidRequest(f"sysctl '{name}' not allowed in host {owner} namespace")


def _tmpfs(wishes: Mapping[str, str]) -> None:
    for place, text in wishes.items():
        for option in text.split(",") if text else []:
            key, equals, value = option.partition("=")
            known = TMPFS_OPTIONS.get(key) if equals else re.compile("") if option in TMPFS_FLAGS else None
            if known is None:
                raise InvalidRequest(f'invalid tmpfs option ["{option}"] for {place}')
            if not known.fullmatch(value):
                raise InvalidRequest(f'invalid value for tmpfs option "{option}" for {place}')


def _log(log: Mapping[str, Any]) -> None:
    if log["Type"] not in ("json-file", "none"):
        raise InvalidRequest(f"logger: no log driver named '{log['Type']}' is registered", "json-file and none are")
    for option, value in log["Config"].items():
        if option not in ("max-size", "max-file", "labels", "labels-regex", "env", "env-regex", "tag", "compress"):
            raise InvalidRequest(f"unknown log opt '{option}' for json-file log driver")
        if option == "max-size" and not re.fullmatch(r"-?\d+(\.\d+)?[kmg]?b?", value.lower()):
            raise InvalidRequest(f"invalid size: '{value}'")
        if option == "max-file" and not (value.isdigit() and int(value) >= 1):
            raise InvalidRequest(f"max-file cannot be less than 1: '{value}'")
        if option in ("labels-regex", "env-regex"):
            _pattern(option, value)
        if option == "tag" and "{{" in logs.WORD.sub("", value):
            raise InvalidRequest(f"log opt 'tag={value}' is not supported by kernelkit", "{{.Name}} and {{.ID}} are")
        if option == "compress" and value not in ("false", "0"):
            raise InvalidRequest("log opt 'compress' is not supported by kernelkit")


def _pattern(option: str, text: str) -> None:
    try:
        re.compile(text)
    except re.error as error:
        raise InvalidRequest(f"invalid log opt '{option}={text}': {error}") from None


def _port(text: str) -> None:
    match = PORT.fullmatch(text)
    if not match or not 1 <= int(match[1]) <= 65535 or int(match[2] or match[1]) > 65535:
        raise InvalidRequest(f'invalid port specification: "{text}"')


def _binding(port: str, binding: Mapping[str, Any]) -> None:
    host_port, address = str(binding.get("HostPort") or ""), binding.get("HostIp") or ""
    match = re.fullmatch(r"(\d{1,5})(?:-(\d{1,5}))?", host_port)
    if host_port and (not match or int(match[1]) > 65535 or int(match[2] or match[1]) > 65535):
        raise InvalidRequest(f'invalid port specification: "{host_port}"')
    if address:
        try:
            ipaddress.ip_address(address)
        except ValueError:
            raise InvalidRequest(f"invalid IP address: {address}") from None
