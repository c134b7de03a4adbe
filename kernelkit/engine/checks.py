"""What cannot be asked of a container, said in Docker's words before anything is made."""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Mapping, Sequence
from typing import Any

from kernelkit.engine import limits, logopts, signals
from kernelkit.errors import InvalidRequest, KernelkitError

MILLISECOND = 1_000_000  # in the nanoseconds of a health check
RESTARTS = ("no", "always", "on-failure", "unless-stopped")
PORT = re.compile(r"(\d{1,5})(?:-(\d{1,5}))?(?:/(tcp|udp|sctp))?")
MAC = re.compile(r"([0-9a-fA-F]{2}:){5}[0-9a-fA-F]{2}")

# Asked for by these and not there: (key, its flag). What would be ignored is refused.
NOT_THERE = (
    ("CpuCount", "--cpu-count"),
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
    _requests(host["DeviceRequests"])
    _health(config.get("Healthcheck") or {})
    limits.check(host)
    restart(host["RestartPolicy"], auto_remove=host["AutoRemove"])
    _modes(config, host)
    _security(host["SecurityOpt"] or [])
    _sysctls(host)
    _tmpfs(host.get("Tmpfs") or {})
    logopts.check(host["LogConfig"])
    for port in (*(config.get("ExposedPorts") or {}), *(host["PortBindings"] or {})):
        _port(port)
    for port, bindings in (host["PortBindings"] or {}).items():
        for binding in bindings or []:
            _binding(port, binding)


def not_there(host: Mapping[str, Any]) -> None:
    """Refuse, by InvalidRequest, what would be ignored."""
    for key, flag in NOT_THERE:
        if host.get(key):
            raise InvalidRequest(f"'{flag}' ({key}) is not supported by kernelkit")


def _unsupported(config: Mapping[str, Any], host: Mapping[str, Any]) -> None:
    not_there(host)
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
        signals.number(config["StopSignal"])
    if config.get("MacAddress") and not MAC.fullmatch(config["MacAddress"]):
        raise InvalidRequest(f"{config['MacAddress']} is not a valid mac address")


def _health(check: Mapping[str, Any]) -> None:
    for key in ("Interval", "Timeout", "StartPeriod", "StartInterval"):
        if check.get(key) and check[key] < MILLISECOND:
            raise InvalidRequest(f"{key} in Healthcheck cannot be less than 1ms")
    if (check.get("Retries") or 0) < 0:
        raise InvalidRequest("Retries in Healthcheck cannot be negative")
    if check.get("Test") and check["Test"][0] not in ("NONE", "CMD", "CMD-SHELL"):
        raise InvalidRequest(f"unknown type '{check['Test'][0]}' in Healthcheck", "NONE, CMD or CMD-SHELL")


def _requests(wanted: object) -> None:
    """The form of `--gpus`; whether there is a driver for them, `facts.gather` says."""
    requests = wanted or []
    if not isinstance(requests, list) or not all(isinstance(request, dict) for request in requests):
        raise InvalidRequest("invalid JSON: 'DeviceRequests' should be a list of objects")


def storage(host: Mapping[str, Any]) -> None:
    """Refuse, by KernelkitError, the options of Docker's storage driver, as it does where there are no quotas."""
    options = host.get("StorageOpt") or {}
    if not isinstance(options, dict):
        raise InvalidRequest("invalid JSON: 'StorageOpt' should be an object")
    for option in options:
        if option.lower() != "size":
            raise KernelkitError(f"Unknown option {option}")
        raise KernelkitError("--storage-opt is supported only for overlay over xfs with 'pquota' mount option")


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
