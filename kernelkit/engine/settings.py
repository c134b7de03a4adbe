"""What a container is to be: the create request completed by Docker's defaults and by its image's configuration."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kernelkit.container.spec import MASKED, PROTECTED
from kernelkit.errors import InvalidRequest

Json = dict[str, Any]

WORDS: dict[type, str] = {int: "a number", float: "a number", str: "a string", list: "a list", dict: "an object"}

CONFIG: Json = {
    "Hostname": "",
    "Domainname": "",
    "User": "",
    "AttachStdin": False,
    "AttachStdout": False,
    "AttachStderr": False,
    "Tty": False,
    "OpenStdin": False,
    "StdinOnce": False,
    "Env": None,
    "Cmd": None,
    "Image": "",
    "Volumes": None,
    "WorkingDir": "",
    "Entrypoint": None,
    "OnBuild": None,
    "Labels": None,
}
# Shown only when they say something.
CONFIG_OPTIONAL = ("ExposedPorts", "Healthcheck", "NetworkDisabled", "MacAddress", "StopSignal", "StopTimeout", "Shell")

HOST_CONFIG: Json = {
    "Binds": None,
    "ContainerIDFile": "",
    "LogConfig": {"Type": "json-file", "Config": {}},
    "NetworkMode": "default",
    "PortBindings": {},
    "RestartPolicy": {"Name": "no", "MaximumRetryCount": 0},
    "AutoRemove": False,
    "VolumeDriver": "",
    "VolumesFrom": None,
    "ConsoleSize": [0, 0],
    "CapAdd": None,
    "CapDrop": None,
    "CgroupnsMode": "private",
    "Dns": [],
    "DnsOptions": [],
    "DnsSearch": [],
    "ExtraHosts": None,
    "GroupAdd": None,
    "IpcMode": "private",
    "Cgroup": "",
    "Links": None,
    "OomScoreAdj": 0,
    "PidMode": "",
    "Privileged": False,
    "PublishAllPorts": False,
    "ReadonlyRootfs": False,
    "SecurityOpt": None,
    "UTSMode": "",
    "UsernsMode": "",
    "ShmSize": 64 << 20,
    "Runtime": "kernelkit",
    "Isolation": "",
    "CpuShares": 0,
    "Memory": 0,
    "NanoCpus": 0,
    "CgroupParent": "",
    "BlkioWeight": 0,
    "BlkioWeightDevice": [],
    "BlkioDeviceReadBps": [],
    "BlkioDeviceWriteBps": [],
    "BlkioDeviceReadIOps": [],
    "BlkioDeviceWriteIOps": [],
    "CpuPeriod": 0,
    "CpuQuota": 0,
    "CpuRealtimePeriod": 0,
    "CpuRealtimeRuntime": 0,
    "CpusetCpus": "",
    "CpusetMems": "",
    "Devices": [],
    "DeviceCgroupRules": None,
    "DeviceRequests": None,
    "MemoryReservation": 0,
    "MemorySwap": 0,
    "MemorySwappiness": None,
    "OomKillDisable": False,
    "PidsLimit": None,
    "Ulimits": [],
    "CpuCount": 0,
    "CpuPercent": 0,
    "IOMaximumIOps": 0,
    "IOMaximumBandwidth": 0,
}
HOST_CONFIG_OPTIONAL = ("Mounts", "Tmpfs", "Sysctls", "Init", "StorageOpt", "Annotations")
# What those are that are null unless asked for; all lists are of strings.
KINDS: dict[str, type] = {
    **dict.fromkeys(("Env", "OnBuild", "Binds", "VolumesFrom", "CapAdd", "CapDrop", "ExtraHosts", "GroupAdd"), list),
    **dict.fromkeys(("Links", "SecurityOpt", "DeviceCgroupRules"), list),
    **dict.fromkeys(("Volumes", "Labels"), dict),
    **dict.fromkeys(("MemorySwappiness", "PidsLimit"), int),
}
# Empty means Docker's default here, not "nothing".
FILLED = ("NetworkMode", "CgroupnsMode", "IpcMode", "ShmSize", "Runtime", "LogConfig", "RestartPolicy")


def config(body: Mapping[str, Any], image: Mapping[str, Any]) -> Json:
    """Docker's `Config`: what was asked for, the image's `config` for what was not; InvalidRequest for wrong types."""
    asked = _typed(CONFIG, body)
    asked.update({key: body[key] for key in CONFIG_OPTIONAL if body.get(key)})
    asked["Cmd"], asked["Entrypoint"] = _command(body, image)
    asked["Env"] = _environment(asked["Env"] or [], image.get("Env") or [])
    asked["Labels"] = {**(image.get("Labels") or {}), **(asked["Labels"] or {})}
    for key in ("User", "WorkingDir"):
        asked[key] = asked[key] or image.get(key) or ""
    for key in ("ExposedPorts", "Volumes"):
        united = {**(image.get(key) or {}), **(asked.get(key) or {})}
        if united:
            asked[key] = united
    asked["Volumes"] = asked["Volumes"] or None
    for key in ("StopSignal", "Shell"):
        if not asked.get(key) and image.get(key):
            asked[key] = image[key]
    health = _healthcheck(asked.get("Healthcheck"), image.get("Healthcheck"))
    if health:
        asked["Healthcheck"] = health
    return asked


def host_config(body: Mapping[str, Any]) -> Json:
    """Docker's `HostConfig` with its defaults; InvalidRequest for wrong types."""
    asked = _typed(HOST_CONFIG, body)
    asked.update({key: body[key] for key in HOST_CONFIG_OPTIONAL if body.get(key) is not None})
    for key in FILLED:
        if not asked[key]:
            asked[key] = _copy(HOST_CONFIG[key])
    asked["LogConfig"] = {
        "Type": asked["LogConfig"].get("Type") or "json-file",
        "Config": asked["LogConfig"].get("Config") or {},
    }
    policy = asked["RestartPolicy"]
    asked["RestartPolicy"] = {
        "Name": policy.get("Name") or "no",
        "MaximumRetryCount": policy.get("MaximumRetryCount") or 0,
    }
    if asked["MemorySwappiness"] == -1:
        asked["MemorySwappiness"] = None
    if asked["Memory"] > 0 and not asked["MemorySwap"]:
        asked["MemorySwap"] = 2 * asked["Memory"]  # as much swap as memory
    if not asked["PidsLimit"]:
        asked["PidsLimit"] = None
    masked: list[str] | None = list(MASKED)
    readonly: list[str] | None = list(PROTECTED)
    if asked["Privileged"] or "systempaths=unconfined" in (asked["SecurityOpt"] or []):
        masked = readonly = None
    asked["MaskedPaths"] = masked if body.get("MaskedPaths") is None else body["MaskedPaths"]
    asked["ReadonlyPaths"] = readonly if body.get("ReadonlyPaths") is None else body["ReadonlyPaths"]
    return asked


def _typed(defaults: Json, body: Mapping[str, Any]) -> Json:
    """The defaults with what the body says in their place; a number where a text should be is refused."""
    found: Json = {}
    for key, default in defaults.items():
        value = body.get(key)
        if value is None:
            found[key] = _copy(default)
            continue
        expected = type(default) if default is not None else KINDS.get(key)
        wrong = expected is not None and not isinstance(value, expected)
        if wrong and expected is list and isinstance(value, str):
            raise InvalidRequest(f"invalid JSON: '{key}' is a string and should be a list")
        if wrong and not (expected is bool and isinstance(value, int)):
            meant = _kind(default) if default is not None else WORDS[expected or str]
            raise InvalidRequest(f"invalid JSON: '{key}' is {_kind(value)} and should be {meant}")
        if KINDS.get(key) is list and not all(isinstance(word, str) for word in value):
            raise InvalidRequest(f"invalid JSON: '{key}' should be a list of strings")
        found[key] = value
    return found


def _copy(default: Any) -> Any:
    if isinstance(default, dict):
        return dict(default)
    return list(default) if isinstance(default, list) else default


def _kind(value: object) -> str:
    if isinstance(value, bool):
        return "a boolean"
    return WORDS.get(type(value), "null")


def _command(body: Mapping[str, Any], image: Mapping[str, Any]) -> tuple[list[str] | None, list[str] | None]:
    """Command and entry point: asking for another entry point takes the image's command away as well."""
    command, entrypoint = _words(body, "Cmd"), _words(body, "Entrypoint")
    if not entrypoint:
        command = command or image.get("Cmd")
        entrypoint = image.get("Entrypoint") if entrypoint is None else entrypoint
    if entrypoint == [""]:
        entrypoint = None  # `--entrypoint ""` takes the image's away
    if not command and not entrypoint:
        raise InvalidRequest("no command specified")
    return command, entrypoint


def _words(body: Mapping[str, Any], key: str) -> list[str] | None:
    value = body.get(key)
    if isinstance(value, str):
        return [value]
    if value is not None and (not isinstance(value, list) or not all(isinstance(word, str) for word in value)):
        raise InvalidRequest(f"invalid JSON: '{key}' should be a list of strings")
    return value


def _environment(asked: list[str], image: list[str]) -> list[str]:
    """The image's variables come after the asked ones, except those that were asked for too: Docker's order."""
    names = {entry.partition("=")[0] for entry in asked}
    return [*asked, *(entry for entry in image if entry.partition("=")[0] not in names)]


def _healthcheck(asked: Json | None, image: Json | None) -> Json | None:
    if not asked:
        return image
    merged = dict(asked)
    for key, value in (image or {}).items():
        if not merged.get(key):
            merged[key] = value
    return merged
