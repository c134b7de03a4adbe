"""What is mounted into a container: `-v`, `--mount`, `--volumes-from`, its image's volumes; Docker's `MountPoint`s."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

from kernelkit.engine import volumes
from kernelkit.engine.engine import Engine
from kernelkit.engine.model import Volume
from kernelkit.errors import InvalidRequest, NotFound

PROPAGATIONS = ("private", "rprivate", "shared", "rshared", "slave", "rslave")
# What the mode of `-v` may say, one word of each kind. The second and the last mean nothing on Linux without SELinux.
WORDS = (("ro", "rw"), ("z", "Z"), PROPAGATIONS, ("nocopy",), ("consistent", "cached", "delegated"))
# What a mount of the API says for one kind only.
OPTIONS_OF = {"bind": "BindOptions", "volume": "VolumeOptions", "image": "ImageOptions", "tmpfs": "TmpfsOptions"}
# Of these a start has to know, and `inspect` does not tell: they are in the mount point's `Spec`.
KEPT = ("NonRecursive", "ReadOnlyNonRecursive", "ReadOnlyForceRecursive", "Subpath")

# What may be laid over in /proc: figures that are not the container's own otherwise, as lxcfs does.
IN_PROC = ("cpuinfo", "diskstats", "loadavg", "meminfo", "net/dev", "slabinfo", "stat", "swaps", "uptime")

Json = dict[str, Any]


def resolve(
    engine: Engine, config: Mapping[str, Any], host: Mapping[str, Any], *, folder: str = "", old: bool = False
) -> list[Json]:
    """All mount points of a container to be made, whose own files will be in `folder`; makes the volumes not yet there.

    Before version 1.44 of the API, which is `old`, read-only meant only the mount itself and nothing mounted below it.
    InvalidRequest for a malformed one or two at one place, NotFound for a container or folder that is not there.
    """
    found: dict[str, Json] = {}
    for source in host["VolumesFrom"] or []:
        try:
            for mount in _from_container(engine, source, folder):
                found[mount["Destination"]] = mount
        except NotFound as error:  # answering 404 would make Docker's client pull the image and try again
            raise InvalidRequest(error.message) from None
    named = {text: parse(text) for text in host["Binds"] or []}
    wishes = [check(wish) for wish in host.get("Mounts") or []]
    places = [mount["Destination"] for mount in named.values()] + [wish["Target"] for wish in wishes]
    for place in places:
        if places.count(place) > 1 or place in (host.get("Tmpfs") or {}):
            raise InvalidRequest(f"Duplicate mount point: {place}")
    for place in host.get("Tmpfs") or {}:
        _check_target(place, f"{place}")
    driver = host.get("VolumeDriver") or ""
    for mount in named.values():
        # That several containers may use a volume is a matter of SELinux, and Docker's default.
        mode = mount["Mode"] or ("z" if mount["Type"] == "volume" else "")
        found[mount["Destination"]] = _backed(engine, {**mount, "Mode": mode}, driver)
    for wish in wishes:
        mount = _wished(engine, wish, folder)
        found[mount["Destination"]] = mount
    if old:
        for mount in found.values():
            if mount["Type"] == "bind" and not mount["RW"]:
                mount["Spec"] = {**mount.get("Spec", {}), "ReadOnlyNonRecursive": True}
    for place in config.get("Volumes") or {}:
        place = _clean(place)
        _check_proc(place)
        if place not in found and place not in (host.get("Tmpfs") or {}):
            anonymous: Json = {"Type": "volume", "Name": "", "Destination": place, "Mode": "", "RW": True}
            found[place] = _backed(engine, anonymous, driver)
    return list(found.values())


def shown(mounts: Sequence[Mapping[str, Any]]) -> list[Json]:
    """The mount points as `inspect` and `ps` show them."""
    return [{key: value for key, value in mount.items() if key != "Spec"} for mount in mounts]


def parse(text: str) -> Json:
    """`source:target[:mode]` as a mount point: a folder of the host when the source is absolute, else a volume."""
    parts = text.split(":")
    if len(parts) > 3 or not all(parts):
        raise InvalidRequest(f"invalid volume specification: '{text}'")
    source, target, mode = ("", *parts, "") if len(parts) == 1 else (*parts, "")[:3]
    _check_target(target, text)
    words = mode.split(",") if mode else []
    kinds = [next((kind for kind in WORDS if word in kind), None) for word in words]
    if None in kinds or len(set(kinds)) < len(kinds):
        raise InvalidRequest(f"invalid mode: {mode}")
    bind = os.path.isabs(source)
    misplaced = "VolumeOptions" if bind and "nocopy" in words else "BindOptions"
    if misplaced == "VolumeOptions" or (not bind and PROPAGATIONS in kinds):
        kind = "bind" if bind else "volume"
        said = f'invalid mount config for type "{kind}": field {misplaced} must not be specified'
        raise InvalidRequest(f"invalid volume specification: '{text}': {said}")
    rest = {"Destination": _clean(target), "Mode": mode, "RW": "ro" not in words}
    if not bind:
        return {"Type": "volume", "Name": source, **rest}
    propagation = next((word for word in words if word in PROPAGATIONS), "rprivate")
    return {"Type": "bind", "Source": os.path.normpath(source), **rest, "Propagation": propagation}


def check(wish: Mapping[str, Any]) -> Mapping[str, Any]:
    """A `Mount` of the API, as it is; InvalidRequest when it cannot be."""
    kind, target, source = wish.get("Type") or "volume", wish.get("Target") or "", wish.get("Source") or ""
    said = f'invalid mount config for type "{kind}"'
    for owner, field in OPTIONS_OF.items():
        if owner != kind and wish.get(field) is not None:
            raise InvalidRequest(f"{said}: field {field} must not be specified")
    if not target:
        raise InvalidRequest(f"{said}: field Target must not be empty")
    if _clean(target) == "/":
        raise InvalidRequest(f"{said}: invalid specification: destination can't be '/'")
    if not os.path.isabs(target):
        raise InvalidRequest(f"{said}: invalid mount path: '{target}' mount path must be absolute")
    _check_proc(_clean(target))
    if kind not in OPTIONS_OF:
        raise InvalidRequest(f"{said}: mount type unknown")
    if kind in ("bind", "image") and not source:
        raise InvalidRequest(f"{said}: field Source must not be empty")
    if kind == "tmpfs" and source:
        raise InvalidRequest(f"{said}: field Source must not be specified")
    options = wish.get(OPTIONS_OF[kind]) or {}
    if kind == "bind":
        if options.get("Propagation") and options["Propagation"] not in PROPAGATIONS:
            raise InvalidRequest(f"{said}: invalid propagation mode: {options['Propagation']}")
        if not os.path.isabs(source):
            raise InvalidRequest(f"{said}: invalid mount path: '{source}' mount path must be absolute")
        if not os.path.lexists(source) and not options.get("CreateMountpoint"):
            raise InvalidRequest(f"{said}: bind source path does not exist: {source}")
    if kind in ("volume", "image") and options.get("Subpath"):
        if not source:
            raise InvalidRequest(f"{said}: must not set Subpath when using anonymous volumes")
        below = os.path.normpath(options["Subpath"])
        if os.path.isabs(below) or below.split("/")[0] == "..":
            raise InvalidRequest(f"{said}: subpath must be a relative path within the volume")
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


def _backed(engine: Engine, mount: Json, driver: str = "") -> Json:
    """The mount point with what stands behind it: the volume or folder, made when it is missing."""
    if mount["Type"] == "bind":
        if not os.path.lexists(mount["Source"]):
            os.makedirs(mount["Source"], exist_ok=True)  # as `docker run -v` does
        return mount
    volume = volumes.create(engine, {"Name": mount["Name"], "Driver": driver})
    return _of_volume(volume, folder_of(engine, volume), mount["Destination"], mount["Mode"], writable=mount["RW"])


def folder_of(engine: Engine, volume: Volume) -> str:
    """Where a volume's content is, as a mount point says it."""
    return os.fspath(volumes.folder(engine, volume.name))


def _of_volume(volume: Volume, source: str, target: str, mode: str, *, writable: bool) -> Json:
    return {
        "Type": "volume",
        "Name": volume.name,
        "Source": source,
        "Destination": target,
        "Driver": volume.driver,
        "Mode": mode,
        "RW": writable,
        "Propagation": "",
    }


def _wished(engine: Engine, wish: Mapping[str, Any], folder: str) -> Json:
    kind, target, writable = wish.get("Type") or "volume", _clean(wish["Target"]), not wish.get("ReadOnly")
    options = wish.get(OPTIONS_OF[kind]) or {}
    mount: Json = {"Type": kind, "Source": "", "Destination": target, "Mode": "", "RW": writable, "Propagation": ""}
    spec = {key: options[key] for key in KEPT if options.get(key)}
    if kind == "bind":
        propagation = options.get("Propagation") or "rprivate"
        mount |= {"Source": os.path.normpath(wish["Source"]), "Propagation": propagation}
        _backed(engine, mount)
    elif kind == "image":
        place = _place_of_image(folder, target)
        mount |= {"Name": wish["Source"], "Source": place, "RW": False, "Propagation": "rprivate"}
        spec["Image"] = engine.store.find(wish["Source"]).id
    elif kind == "volume":
        driver = options.get("DriverConfig") or {}
        known = {"Driver": driver.get("Name"), "DriverOpts": driver.get("Options"), "Labels": options.get("Labels")}
        volume = volumes.create(engine, {"Name": wish.get("Source") or "", **known})
        mount = _of_volume(volume, folder_of(engine, volume), target, "z", writable=writable)
    return {**mount, "Spec": spec} if spec else mount


def _place_of_image(folder: str, target: str) -> str:
    """Where an image's files are put together when only a part of them is to be shown."""
    return f"{folder}/image{target.replace('/', '-')}"


def _from_container(engine: Engine, text: str, folder: str) -> list[Json]:
    """The mount points of another container, all of them read-only with `:ro`; what SELinux was told is forgotten."""
    name, _, mode = text.partition(":")
    words = mode.split(",") if mode else []
    kinds = [next((kind for kind in WORDS if word in kind), None) for word in words]
    if {None, PROPAGATIONS, ("nocopy",)} & set(kinds) or len(set(kinds)) < len(kinds):
        raise InvalidRequest(f"invalid mode: {mode}")
    found = []
    for mount in engine.state.container(name).mounts:
        if mount["Type"] == "image":
            mount = {**mount, "Source": _place_of_image(folder, mount["Destination"])}
        if mount["Type"] != "tmpfs":
            found.append({**mount, "Mode": "", "RW": mount["RW"] and "ro" not in words})
    return found
