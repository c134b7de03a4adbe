"""What is mounted into a container: `-v`, `--mount`, `--volumes-from`, its image's volumes; Docker's `MountPoint`s."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from kernelkit.engine import volumes
from kernelkit.engine.engine import Engine
from kernelkit.errors import InvalidRequest

PROPAGATIONS = ("private", "rprivate", "shared", "rshared", "slave", "rslave")
# Words of other systems that mean nothing on Linux without SELinux, and which Docker takes all the same.
NO_MEANING = ("z", "Z", "consistent", "cached", "delegated", "default")

# What may be laid over in /proc: figures that are not the container's own otherwise, as lxcfs does.
IN_PROC = ("cpuinfo", "diskstats", "loadavg", "meminfo", "net/dev", "slabinfo", "stat", "swaps", "uptime")

Json = dict[str, Any]


def resolve(engine: Engine, config: Mapping[str, Any], host: Mapping[str, Any]) -> list[Json]:
    """All mount points of a container to be made; makes the volumes that are not there yet.

    InvalidRequest for a malformed one or two at one place, NotFound for a container or folder that is not there.
    """
    found: dict[str, Json] = {}
    for source in host["VolumesFrom"] or []:
        for mount in _from_container(engine, source):
            found[mount["Destination"]] = mount
    named = {text: parse(text) for text in host["Binds"] or []}
    wishes = [check(wish) for wish in host.get("Mounts") or []]
    places = [mount["Destination"] for mount in named.values()] + [wish["Target"] for wish in wishes]
    for place in places:
        if places.count(place) > 1 or place in (host.get("Tmpfs") or {}):
            raise InvalidRequest(f"Duplicate mount point: {place}")
    for place in host.get("Tmpfs") or {}:
        _check_target(place, f"{place}")
    for mount in named.values():
        found[mount["Destination"]] = _backed(engine, mount)
    for wish in wishes:
        found[_clean(wish["Target"])] = _wished(engine, wish)
    for place in config.get("Volumes") or {}:
        place = _clean(place)
        _check_proc(place)
        if place not in found and place not in (host.get("Tmpfs") or {}):
            found[place] = _backed(engine, {"Type": "volume", "Name": "", "Destination": place, "Mode": "", "RW": True})
    return list(found.values())


def parse(text: str) -> Json:
    """`source:target[:mode]` as a mount point: a folder of the host when the source is absolute, else a volume."""
    parts = text.split(":")
    if len(parts) > 3 or not all(parts):
        raise InvalidRequest(f"invalid volume specification: '{text}'")
    source, target, mode = ("", *parts, "") if len(parts) == 1 else (*parts, "")[:3]
    _check_target(target, text)
    mount: Json = {"Type": "volume", "Name": source, "Destination": _clean(target), "Mode": mode, "RW": True}
    if os.path.isabs(source):
        mount = {"Type": "bind", "Source": os.path.normpath(source), **mount, "Propagation": "rprivate"}
        mount["Type"] = "bind"
        del mount["Name"]
    for word in mode.split(",") if mode else []:
        if word in ("ro", "rw"):
            mount["RW"] = word == "rw"
        elif word in PROPAGATIONS and mount["Type"] == "bind":
            mount["Propagation"] = word
        elif word not in NO_MEANING and not (word == "nocopy" and mount["Type"] == "volume"):
            raise InvalidRequest(f"invalid mode: {mode}")
    return mount


def check(wish: Mapping[str, Any]) -> Mapping[str, Any]:
    """A `Mount` of the API, as it is; InvalidRequest or NotFound when it cannot be."""
    kind, target, source = wish.get("Type") or "volume", wish.get("Target") or "", wish.get("Source") or ""
    said = f'invalid mount config for type "{kind}"'
    if kind not in ("bind", "volume", "tmpfs"):
        raise InvalidRequest(f'mount type "{kind}" is not supported by kernelkit')
    if not target:
        raise InvalidRequest(f"{said}: field Target must not be empty")
    if not os.path.isabs(target):
        raise InvalidRequest(f"{said}: invalid mount path: '{target}' mount path must be absolute")
    if _clean(target) == "/":
        raise InvalidRequest(f"{said}: invalid specification: destination can't be '/'")
    _check_proc(_clean(target))
    if kind == "bind":
        if not source:
            raise InvalidRequest(f"{said}: field Source must not be empty")
        if not os.path.isabs(source):
            raise InvalidRequest(f"{said}: invalid mount path: '{source}' mount path must be absolute")
        options = wish.get("BindOptions") or {}
        if not os.path.lexists(source) and not options.get("CreateMountpoint"):
            raise InvalidRequest(f"{said}: bind source path does not exist: {source}")
        if options.get("Propagation") and options["Propagation"] not in PROPAGATIONS:
            raise InvalidRequest(f"{said}: invalid propagation mode: {options['Propagation']}")
        for wanted in ("NonRecursive", "ReadOnlyForceRecursive"):
            if options.get(wanted):
                raise InvalidRequest(f"{said}: '{wanted}' is not supported by kernelkit")
    if kind == "tmpfs" and source:
        raise InvalidRequest(f"{said}: field Source must not be specified")
    if kind == "volume" and (wish.get("VolumeOptions") or {}).get("Subpath"):
        raise InvalidRequest(f"{said}: 'Subpath' is not supported by kernelkit")
    return wish


def _check_target(target: str, text: str) -> None:
    if not os.path.isabs(target):
        raise InvalidRequest(
            f"invalid volume specification: '{text}': invalid mount path: '{target}' mount path must be absolute"
        )
    if _clean(target) == "/":
        raise InvalidRequest(f"invalid volume specification: '{text}': invalid specification: destination can't be '/'")
    _check_proc(_clean(target))


def _check_proc(target: str) -> None:
    """Refuse what would hide what is hidden in /proc, and let a file of one's own pass for the kernel's."""
    inside = target == "/proc" or target.startswith("/proc/")
    if inside and target.removeprefix("/proc/") not in IN_PROC:
        raise InvalidRequest(f'"{target}" cannot be mounted because it is inside /proc')


def _clean(path: str) -> str:
    return os.path.normpath("/" + path.lstrip("/"))


def _backed(engine: Engine, mount: Json) -> Json:
    """The mount point with what stands behind it: the volume or folder, made when it is missing."""
    if mount["Type"] == "bind":
        if not os.path.lexists(mount["Source"]):
            os.makedirs(mount["Source"], exist_ok=True)  # as `docker run -v` does
        return mount
    volume = volumes.create(engine, {"Name": mount["Name"]})
    return {
        "Type": "volume",
        "Name": volume.name,
        "Source": os.fspath(volumes.folder(engine, volume.name)),
        "Destination": mount["Destination"],
        "Driver": volume.driver,
        "Mode": mount["Mode"] or "z",
        "RW": mount["RW"],
        "Propagation": "",
    }


def _wished(engine: Engine, wish: Mapping[str, Any]) -> Json:
    kind, target, writable = wish.get("Type") or "volume", _clean(wish["Target"]), not wish.get("ReadOnly")
    if kind == "tmpfs":
        return {"Type": "tmpfs", "Source": "", "Destination": target, "Mode": "", "RW": writable, "Propagation": ""}
    if kind == "bind":
        propagation = (wish.get("BindOptions") or {}).get("Propagation") or "rprivate"
        source = os.path.normpath(wish["Source"])
        mount = {"Type": "bind", "Source": source, "Destination": target, "Mode": "", "RW": writable}
        return _backed(engine, {**mount, "Propagation": propagation})
    options = wish.get("VolumeOptions") or {}
    driver = (options.get("DriverConfig") or {}).get("Name") or "local"
    known = {"Name": wish.get("Source") or "", "Driver": driver, "Labels": options.get("Labels") or {}}
    name = volumes.create(engine, known).name
    return _backed(engine, {"Type": "volume", "Name": name, "Destination": target, "Mode": "z", "RW": writable})


def _from_container(engine: Engine, text: str) -> list[Json]:
    """The mount points of another container, all of them read-only with `:ro`."""
    name, _, mode = text.partition(":")
    if mode not in ("", "ro", "rw", "z", "Z"):
        raise InvalidRequest(f"invalid mode for volumes-from: {mode}")
    mounts = [mount for mount in engine.state.container(name).mounts if mount["Type"] != "tmpfs"]
    return [{**mount, "RW": mount["RW"] and mode != "ro"} for mount in mounts]
