"""Devices as the options name them: `--device`, `--gpus`, and the limits of one block device. ValueError as Docker."""

from __future__ import annotations

from kernelkit.cli.values import csv_fields, mapping, parse_size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def split_devices(texts: list[str]) -> tuple[list[dict[str, str]], list[dict[str, Any]]]:
    """(devices by path, requests for those that a driver knows by name), from `--device HOST[:CONTAINER][:rwm]`."""
    devices: list[dict[str, str]] = []
    named: list[str] = []
    for text in texts:
        if "=" in text and "/" in text.partition("=")[0] and not text.startswith("/"):
            named.append(text)  # a device that the Container Device Interface names: vendor/class=name
            continue
        parts = text.split(":")
        source, target, mode = parts[0], parts[0], "rwm"
        if len(parts) == 2 and _is_device_mode(parts[1]):
            mode = parts[1]
        elif len(parts) >= 2:
            target = parts[1]
        if len(parts) == 3:
            mode = parts[2]
            if not _is_device_mode(mode):
                raise ValueError(f"bad mode specified: {mode}")
        if len(parts) > 3:
            raise ValueError(f"invalid device specification: {text}")
        for path in (source, target):
            if not path.startswith("/"):
                raise ValueError(f"{path} is not an absolute path")
        devices.append({"PathOnHost": source, "PathInContainer": target, "CgroupPermissions": mode})
    if not named:
        return devices, []
    request = {"Driver": "cdi", "Count": 0, "DeviceIDs": named, "Capabilities": None, "Options": None}
    return devices, [request]


def _is_device_mode(text: str) -> bool:
    return bool(text) and not set(text) - set("rwm") and len(set(text)) == len(text)


def gpu_request(text: str) -> dict[str, Any]:
    """What `--gpus all`, `2` or `device=0,driver=nvidia` asks for, as the API has it."""
    request: dict[str, Any] = {"Driver": "", "Count": 0, "DeviceIDs": None, "Capabilities": [], "Options": {}}
    kinds: list[str] = []
    for field in csv_fields(text):
        key, equals, value = field.partition("=")
        if not equals:
            key, value = "count", field
        if key == "count":
            request["Count"] = -1 if value == "all" else int(value)
        elif key == "device":
            request["DeviceIDs"] = value.split(",")
        elif key == "driver":
            request["Driver"] = value
        elif key == "capabilities":
            kinds = value.split(",")
        elif key == "options":
            request["Options"] = mapping(value.split(","))
        else:
            raise ValueError(f"unexpected key '{key}' in '{field}'")
    request["Capabilities"] = [kinds if "gpu" in kinds else [*kinds, "gpu"]]
    return request


def check_device_rule(text: str) -> None:
    """A rule of the devices cgroup: `c 1:3 mr`."""
    words = text.split(" ")
    good = len(words) == 3 and words[0] in ("a", "b", "c") and 0 < len(words[2]) <= 3 and not set(words[2]) - set("rwm")
    numbers = words[1].split(":") if good else []
    if len(numbers) != 2 or not all(number == "*" or number.isdigit() for number in numbers):
        raise ValueError(f"invalid device cgroup format '{text}'")


def check_rate(text: str) -> None:
    """A device and a rate: `/dev/sda:1mb`."""
    _split_device(text)


def check_weight(text: str) -> None:
    """A device and a weight: `/dev/sda:100`."""
    _split_device(text)


def _split_device(text: str) -> tuple[str, str]:
    path, _, value = text.partition(":")
    if not path or not value:
        raise ValueError(f"bad format: {text}")
    if not path.startswith("/dev/"):
        raise ValueError(f"bad format for device path: {text}")
    return path, value


def device_rate(text: str, *, in_bytes: bool) -> dict[str, object]:
    """A device's limit as the API has it."""
    path, value = _split_device(text)
    try:
        rate = parse_size(value) if in_bytes else int(value)
    except ValueError:
        form = "<number>[<unit>]" if in_bytes else "<number>"
        raise ValueError(
            f"invalid rate for device: {text}. The correct format is <device-path>:{form}. Number must be a "
            f"positive integer{'. Unit is optional and can be kb, mb, or gb' if in_bytes else ''}"
        ) from None
    return {"Path": path, "Rate": rate}


def device_weight(text: str) -> dict[str, object]:
    """A device's weight as the API has it."""
    path, value = _split_device(text)
    if not value.isdigit() or (int(value) and not 10 <= int(value) <= 1000):
        raise ValueError(f"invalid weight for device: {text}")
    return {"Path": path, "Weight": int(value)}
