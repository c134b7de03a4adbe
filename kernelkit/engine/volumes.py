"""Volumes: folders below the home with a name, which outlive the containers that use them."""

from __future__ import annotations

import contextlib
import os
import re
from pathlib import Path
from typing import Any

from kernelkit.engine.engine import Engine
from kernelkit.engine.listing import label_matches
from kernelkit.engine.model import Container, Volume, new_id, now
from kernelkit.engine.names import ALLOWED
from kernelkit.errors import Conflict, InvalidRequest, NotFound
from kernelkit.kernel.mount import Unmount
from kernelkit.kernel.mount_volume import is_mounted
from kernelkit.trace import Trace

ANONYMOUS = "com.docker.volume.anonymous"  # the label by which Docker's own clients know them

Json = dict[str, Any]


def folder(engine: Engine, name: str) -> Path:
    """Where a volume's content is."""
    return engine.home / "volumes" / name / "_data"


def tell(engine: Engine, container: Container, action: str) -> None:
    """Tell of each volume of a container that it is in use now, `action` being `mount`, or no longer, `unmount`."""
    for mount in container.mounts:
        if mount["Type"] != "volume":
            continue
        about = {"container": container.id, "driver": mount["Driver"]}
        if action == "mount":
            writable = "true" if mount["RW"] else "false"
            about |= {"destination": mount["Destination"], "propagation": "", "read/write": writable}
        engine.events.publish("volume", action, mount["Name"], about)


def create(engine: Engine, body: Json) -> Volume:
    """Make a volume; one of that name that is there already is returned as it is. InvalidRequest, NotFound."""
    name, driver = body.get("Name") or "", body.get("Driver") or "local"
    labels, options = dict(body.get("Labels") or {}), dict(body.get("DriverOpts") or {})
    volume = Volume(name or new_id(), now(), labels, options, anonymous=not name)
    if driver != "local":
        raise NotFound(f'create {volume.name}: error looking up volume plugin {driver}: plugin "{driver}" not found')
    if len(volume.name) < 2:
        said = "volume name is too short, names should be at least two alphanumeric characters"
        raise InvalidRequest(f"create {name}: {said}")
    if not re.fullmatch(f"{ALLOWED}+", volume.name):
        raise InvalidRequest(
            f'create {name}: "{name}" includes invalid characters for a local volume name, only "{ALLOWED}" are '
            "allowed. If you intended to pass a host directory, use absolute path"
        )
    if options:
        check_options(volume)
    if not name:
        labels.setdefault(ANONYMOUS, "")
    # The folder first: a volume that is in the book always has one.
    os.makedirs(folder(engine, volume.name), exist_ok=True)
    kept = engine.state.add_volume(volume)
    if kept is volume:
        engine.events.publish("volume", "create", volume.name, {"driver": volume.driver})
    return kept


def check_options(volume: Volume) -> None:
    """Refuse, by InvalidRequest, what means nothing to the local driver: a device needs its type, and both what to do.

    Of `size`, a quota, Docker has none but on XFS.
    """
    options = volume.options
    for option in options:
        if option not in ("type", "o", "device", "size"):
            raise InvalidRequest(f'create {volume.name}: invalid option: "{option}"')
    if "size" in options:
        if not re.fullmatch(r"\d+(\.\d+)? ?[kmgtp]?(i?b)?", options["size"], re.IGNORECASE):
            raise InvalidRequest(f"create {volume.name}: invalid size: '{options['size']}'")
        if float(re.split("[^0-9.]", options["size"])[0]):
            raise InvalidRequest(f"create {volume.name}: quota size requested but no quota support")
    if any(word.startswith(("password=", "pass=")) for word in options.get("o", "").split(",")):
        raise InvalidRequest(
            f"create {volume.name}: a password in a volume's options is not supported by kernelkit",
            "it would stand in the record of each start",
        )
    needed = {"device": ("type",), "type": ("device",), "o": ("device", "type")}
    for option in options.keys() & needed.keys():
        for other in needed[option]:
            if other not in options:
                raise InvalidRequest(f'create {volume.name}: missing required option: "{other}"')


def inspect(engine: Engine, volume: Volume) -> Json:
    """Docker's `Volume` object."""
    return {
        "CreatedAt": volume.created[:19] + "Z",
        "Driver": volume.driver,
        "Labels": volume.labels or None,
        "Mountpoint": os.fspath(folder(engine, volume.name)),
        "Name": volume.name,
        "Options": volume.options or None,
        "Scope": "local",
    }


def users(engine: Engine, name: str) -> list[Container]:
    """The containers, running or not, that have it mounted."""
    return [c for c in engine.state.containers() if any(_is(mount, name) for mount in c.mounts)]


def remove(engine: Engine, volume: Volume, *, force: bool = False) -> None:
    """Remove a volume and what is in it; Conflict while any container has it."""
    using = users(engine, volume.name)
    if using:
        raise Conflict(f"remove {volume.name}: volume is in use - [{', '.join(c.id for c in using)}]")
    if volume.options:
        _detach(engine, volume)
    engine.state.remove_volume(volume)
    _discard(engine, volume.name)
    engine.events.publish("volume", "destroy", volume.name, {"driver": volume.driver})


def remove_anonymous(engine: Engine, name: str) -> None:
    """Remove a volume that nobody named, with its last container; any other is left alone."""
    volume = engine.state.volume(name)
    if volume.anonymous and not users(engine, name):
        remove(engine, volume)


def _detach(engine: Engine, volume: Volume) -> None:
    """Unmount a volume that is to be removed, whatever it is that has left it mounted."""
    place = os.fspath(folder(engine, volume.name))
    if is_mounted(place):
        Trace(engine.records.tell).perform("remove", Unmount(place, lazy=True))


def _discard(engine: Engine, name: str) -> None:
    """Out of the way at once; what is in it is deleted in the background."""
    engine.trash.mkdir(exist_ok=True)
    with contextlib.suppress(FileNotFoundError):
        os.rename(engine.home / "volumes" / name, engine.trash / f"{name[:64]}.{new_id()[:12]}")
    engine.trash_has_grown.set()


def listing(engine: Engine, filters: dict[str, list[str]]) -> list[Json]:
    """`docker volume ls`: dangling, driver, label, name."""
    _check_filters(filters, "dangling", "driver", "label", "name")
    found = []
    for volume in engine.state.volumes():
        if "dangling" in filters:
            wanted = filters["dangling"][0].lower() in ("1", "true")
            if wanted == bool(users(engine, volume.name)):
                continue
        if filters.get("driver") and volume.driver not in filters["driver"]:
            continue
        if filters.get("name") and not any(word in volume.name for word in filters["name"]):
            continue
        if all(label_matches(volume.labels, wanted) for wanted in filters.get("label", ())):
            found.append(inspect(engine, volume))
    return found


def prune(engine: Engine, filters: dict[str, list[str]]) -> Json:
    """Remove those no container has: the anonymous ones, or with the filter `all` all of them."""
    _check_filters(filters, "all", "label", "label!")
    everything = any(word.lower() in ("1", "true") for word in filters.get("all", ()))
    deleted, freed = [], 0
    for volume in engine.state.volumes():
        if not (everything or volume.anonymous) or users(engine, volume.name):
            continue
        if not all(label_matches(volume.labels, wanted) for wanted in filters.get("label", ())):
            continue
        if any(label_matches(volume.labels, unwanted) for unwanted in filters.get("label!", ())):
            continue
        size = disk_use(folder(engine, volume.name))
        with contextlib.suppress(Conflict):
            remove(engine, volume)
            deleted.append(volume.name)
            freed += size
    engine.events.publish("volume", "prune", "", {"reclaimed": str(freed)})
    return {"VolumesDeleted": deleted, "SpaceReclaimed": freed}


def disk_use(path: Path) -> int:
    """Bytes of the files below a folder, each counted once however many names it has."""
    total, seen, waiting = 0, set(), [os.fspath(path)]
    while waiting:
        with contextlib.suppress(OSError), os.scandir(waiting.pop()) as entries:
            for entry in entries:
                found = entry.stat(follow_symlinks=False)
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(entry.path)
                elif (found.st_dev, found.st_ino) not in seen:
                    seen.add((found.st_dev, found.st_ino))
                    total += found.st_size
    return total


def _is(mount: Json, name: str) -> bool:
    return mount.get("Type") == "volume" and mount.get("Name") == name


def _check_filters(filters: dict[str, list[str]], *known: str) -> None:
    for name in filters:
        if name not in known:
            raise InvalidRequest(f"invalid filter '{name}'")
