"""The devices of a container: nodes of its own, what it may do with them, and how fast."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Mapping, Sequence
from typing import Any

from kernelkit.errors import InvalidRequest, KernelkitError, NotFound

# HostConfig key -> the OCI specification's word for such limits, and what each device has of them.
BLOCK = {
    "BlkioWeightDevice": ("weightDevice", "Weight"),
    "BlkioDeviceReadBps": ("throttleReadBpsDevice", "Rate"),
    "BlkioDeviceWriteBps": ("throttleWriteBpsDevice", "Rate"),
    "BlkioDeviceReadIOps": ("throttleReadIOPSDevice", "Rate"),
    "BlkioDeviceWriteIOps": ("throttleWriteIOPSDevice", "Rate"),
}


def nodes(host: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The nodes of `--device`, as OCI devices; a folder stands for all the nodes in it."""
    found = []
    for wish in host.get("Devices") or []:
        source, target = wish["PathOnHost"], os.path.normpath(wish.get("PathInContainer") or wish["PathOnHost"])
        paths = [source]
        if os.path.isdir(source):
            paths = [os.path.join(folder, name) for folder, _, names in os.walk(source) for name in names]
        for path in paths:
            node = _node(path)
            if node:
                place = target + path.removeprefix(source)
                found.append({**node, "path": place, **({} if in_dev(place) else {"source": path})})
            elif path == source:
                why = "not a device node" if os.path.exists(source) else "no such file or directory"
                raise NotFound(f'error gathering device information while adding custom device "{source}": {why}')
    return found


def refuse_requests(host: Mapping[str, Any]) -> None:
    """Refuse `--gpus` in Docker's words, by KernelkitError: there is no driver for such requests."""
    for request in host.get("DeviceRequests") or []:
        driver = request.get("Driver") or ""
        kinds = " ".join(f"[{' '.join(map(str, group))}]" for group in request.get("Capabilities") or [])
        raise KernelkitError(f"could not select device driver {json.dumps(driver)} with capabilities: [{kinds}]")


def block(host: Mapping[str, Any]) -> dict[str, list[dict[str, int]]]:
    """The limits of block devices by the OCI specification's names; KernelkitError for a device that is not there."""
    found: dict[str, list[dict[str, int]]] = {}
    for key, (name, value) in BLOCK.items():
        for wish in host.get(key) or []:
            try:
                number = os.stat(wish["Path"]).st_rdev
            except OSError as error:
                raise KernelkitError(f"stat {wish['Path']}: {os.strerror(error.errno or 0).lower()}") from None
            device = {"major": os.major(number), "minor": os.minor(number), value.lower(): wish[value]}
            found.setdefault(name, []).append(device)
    return found


def rules(host: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What `--device` and `--device-cgroup-rule` allow."""
    found = []
    for wish, node in ((wish, _node(wish["PathOnHost"])) for wish in host.get("Devices") or []):
        if node:
            access = wish.get("CgroupPermissions") or "rwm"
            rule = {"allow": True, "type": node["type"], "major": node["major"], "minor": node["minor"]}
            found.append({**rule, "access": access})
    for text in host.get("DeviceCgroupRules") or []:
        try:
            kind, numbers, access = text.split()
            major, minor = numbers.split(":")
        except ValueError:
            raise InvalidRequest(f"invalid device cgroup rule format: '{text}'") from None
        rule = {"allow": True, "type": kind, "access": access}
        rule |= {"major": int(major)} if major != "*" else {}
        found.append(rule | ({"minor": int(minor)} if minor != "*" else {}))
    return found


def everything() -> list[dict[str, Any]]:
    """Every node in the host's /dev but terminals, which a container has its own of."""
    found = []
    for folder, folders, names in os.walk("/dev"):
        folders[:] = [name for name in folders if name not in ("pts", "shm", "fd", "mqueue", "hugepages")]
        for path in (os.path.join(folder, name) for name in names if name not in ("console", "ptmx")):
            node = None if os.path.islink(path) else _node(path)
            if node:
                found.append(node)
    return found


def mounts(nodes: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Nodes wanted elsewhere than in /dev: the host's own, shown there; only a fresh /dev is safe to make nodes in."""
    return [
        {"destination": node["path"], "type": "bind", "source": node["source"], "options": ["rbind", "rprivate"]}
        for node in nodes
        if not in_dev(node["path"])
    ]


def in_dev(path: str) -> bool:
    """Whether a node is one that a container finds in its own /dev."""
    return path.startswith("/dev/")


def _node(path: str) -> dict[str, Any] | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    if not stat.S_ISCHR(found.st_mode) and not stat.S_ISBLK(found.st_mode):
        return None
    return {
        "path": path,
        "type": "c" if stat.S_ISCHR(found.st_mode) else "b",
        "major": os.major(found.st_rdev),
        "minor": os.minor(found.st_rdev),
        "fileMode": stat.S_IMODE(found.st_mode),
        "uid": found.st_uid,
        "gid": found.st_gid,
    }
