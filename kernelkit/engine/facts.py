"""Finds out what a container's settings leave open: users, devices, volumes, whose namespaces it shares."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from kernelkit.container import seccomp_profile, security
from kernelkit.container.spec import Facts, User
from kernelkit.container.user import find
from kernelkit.engine import peek
from kernelkit.engine.engine import Engine
from kernelkit.engine.model import Container
from kernelkit.errors import Conflict, InvalidRequest, NotFound

ETC = ("resolv.conf", "hostname", "hosts")
# HostConfig key -> the OCI specification's word for the namespace.
MODES = {"NetworkMode": "network", "IpcMode": "ipc", "PidMode": "pid", "UTSMode": "uts", "CgroupnsMode": "cgroup"}


def gather(engine: Engine, container: Container) -> Facts:
    """Everything that `container.spec.config` needs to know; NotFound or Conflict when something is missing."""
    host = container.host_config
    folder = engine.folder(container.id)
    capabilities = security.capabilities(
        host.get("CapAdd") or [], host.get("CapDrop") or [], bool(host.get("Privileged")), engine.bounding
    )
    joined, shared = namespaces(engine, container)
    nodes = devices(host)
    return Facts(
        id=container.id,
        hostname=hostname(engine, container, shared),
        root=f"{folder}/merged",
        user=user(engine, container, container.config.get("User") or ""),
        capabilities=capabilities,
        cgroup_path=engine.cgroup_path(container.id),
        etc=_etc(engine, container, joined),
        mounts=[*_mounts(engine, container), *_tmpfs(host), *_device_mounts(nodes)],
        devices=[*(_all_devices() if host.get("Privileged") else ()), *(n for n in nodes if _in_dev(n["path"]))],
        device_rules=device_rules(host),
        joined=joined,
        shared=shared,
        seccomp=filter_of(host, capabilities),
    )


def hostname(engine: Engine, container: Container, shared: frozenset[str]) -> str:
    """The name the container's machine has: the host's own when it shares the host's UTS namespace.

    Who shares another container's network has its name too: it is the one in the /etc/hosts that goes with the network.
    """
    mode = container.host_config["NetworkMode"]
    if mode.startswith("container:"):
        container = other(engine, mode)
    return os.uname().nodename if "uts" in shared else container.config.get("Hostname") or container.short_id


def user(engine: Engine, container: Container, wanted: str) -> User:
    """The user that `wanted` means in this container's files as they are now."""
    layers = tuple(reversed(engine.store.find(container.image_id).layers))
    upper = engine.folder(container.id) / "upper"
    extra = tuple(container.host_config.get("GroupAdd") or ())
    if os.path.lexists(upper / "etc"):
        return _find((upper, *layers), wanted, extra)
    return _find_in_image(layers, wanted, extra)


def _find(layers: tuple[Path, ...], wanted: str, extra: tuple[str, ...]) -> User:
    return find(wanted, peek.read(layers, "/etc/passwd"), peek.read(layers, "/etc/group"), extra)


# An image's own files never change.
_find_in_image = lru_cache(maxsize=64)(_find)


def namespaces(engine: Engine, container: Container) -> tuple[dict[str, int], frozenset[str]]:
    """Which namespaces it joins (kind -> pid of a process in it), and which it shares with the host."""
    joined: dict[str, int] = {}
    shared: set[str] = set()
    for key, kind in MODES.items():
        mode = container.host_config.get(key) or ""
        if mode == "host":
            shared.add(kind)
        elif mode.startswith("container:"):
            joined[kind] = other(engine, mode, kind).state.pid
    if container.host_config.get("Privileged") and not container.host_config.get("CgroupnsMode"):
        shared.add("cgroup")
    return joined, frozenset(shared)


def other(engine: Engine, mode: str, kind: str = "network") -> Container:
    """The running container that `container:ID` names; Conflict when its namespace of that kind cannot be joined."""
    name = mode.partition(":")[2]
    found = engine.state.container(name)
    if not found.state.running:
        what = kind if kind == "network" else kind.upper()
        raise Conflict(f"cannot join {what} of a non running container: {found.id}")
    if kind == "ipc" and found.host_config.get("IpcMode") in ("private", "none", ""):
        hint = "hint: use IpcMode:shareable for the donor container"
        raise Conflict(f"cannot join IPC of {found.id}: non-shareable IPC ({hint})")
    return found


def devices(host: Mapping[str, Any]) -> list[dict[str, Any]]:
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
                found.append({**node, "path": place, **({} if _in_dev(place) else {"source": path})})
            elif path == source:
                why = "not a device node" if os.path.exists(source) else "no such file or directory"
                raise NotFound(f'error gathering device information while adding custom device "{source}": {why}')
    return found


def device_rules(host: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What `--device` and `--device-cgroup-rule` allow."""
    rules = []
    for wish, node in ((wish, _node(wish["PathOnHost"])) for wish in host.get("Devices") or []):
        if node:
            access = wish.get("CgroupPermissions") or "rwm"
            rule = {"allow": True, "type": node["type"], "major": node["major"], "minor": node["minor"]}
            rules.append({**rule, "access": access})
    for text in host.get("DeviceCgroupRules") or []:
        try:
            kind, numbers, access = text.split()
            major, minor = numbers.split(":")
        except ValueError:
            raise InvalidRequest(f"invalid device cgroup rule format: '{text}'") from None
        rule = {"allow": True, "type": kind, "access": access}
        rule |= {"major": int(major)} if major != "*" else {}
        rules.append(rule | ({"minor": int(minor)} if minor != "*" else {}))
    return rules


def filter_of(host: Mapping[str, Any], capabilities: tuple[str, ...]) -> Mapping[str, Any] | None:
    """The seccomp section: Docker's default profile, a given one, or none."""
    if host.get("Privileged"):
        return None
    for option in host.get("SecurityOpt") or []:
        name, _, value = option.partition("=" if "=" in option.partition(":")[0] else ":")
        if name != "seccomp":
            continue
        if value == "unconfined":
            return None
        if value != "builtin":
            try:
                given = json.loads(value)
            except ValueError as error:
                raise InvalidRequest(f"Decoding seccomp profile failed: {error}") from None
            return seccomp_profile.resolve(given, frozenset(capabilities), os.uname().machine)
    return seccomp_profile.profile(frozenset(capabilities), os.uname().machine)


def _etc(engine: Engine, container: Container, joined: Mapping[str, int]) -> dict[str, str]:
    """The three files Docker mounts over the image's; a joined network brings its owner's."""
    folder = engine.folder(container.id)
    if "network" in joined:
        folder = engine.folder(other(engine, container.host_config["NetworkMode"]).id)
    return {f"/etc/{name}": f"{folder}/{name}" for name in ETC}


def _all_devices() -> list[dict[str, Any]]:
    """Every node in the host's /dev but terminals, which a container has its own of."""
    found = []
    for folder, folders, names in os.walk("/dev"):
        folders[:] = [name for name in folders if name not in ("pts", "shm", "fd", "mqueue", "hugepages")]
        for path in (os.path.join(folder, name) for name in names if name not in ("console", "ptmx")):
            node = None if os.path.islink(path) else _node(path)
            if node:
                found.append(node)
    return found


def _in_dev(path: str) -> bool:
    return path.startswith("/dev/")


def _device_mounts(nodes: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Nodes wanted elsewhere than in /dev: the host's own, shown there; only a fresh /dev is safe to make nodes in."""
    return [
        {"destination": node["path"], "type": "bind", "source": node["source"], "options": ["rbind", "rprivate"]}
        for node in nodes
        if not _in_dev(node["path"])
    ]


def _mounts(engine: Engine, container: Container) -> list[dict[str, Any]]:
    return [_mount(engine, mount) for mount in container.mounts if mount.get("Type") != "tmpfs"]


def _mount(engine: Engine, mount: Mapping[str, Any]) -> dict[str, Any]:
    """A volume or bind as an OCI mount."""
    options = ["rbind", mount.get("Propagation") or "rprivate"]
    if not mount.get("RW", True):
        options.append("ro")
    source = mount["Source"]
    if mount.get("Type") == "bind" and not os.path.exists(source):
        raise InvalidRequest(f'invalid mount config for type "bind": bind source path does not exist: {source}')
    _check_propagation(source, options[1])
    return {"destination": mount["Destination"], "type": "bind", "source": source, "options": options}


def _check_propagation(source: str, wanted: str) -> None:
    """Refuse what would not be: a mount can only pass on what its source is told, mount_namespaces(7)."""
    kind = wanted.removeprefix("r")
    if kind not in ("shared", "slave"):
        return
    where, tags = _mounted_on(os.path.realpath(source))
    said = f"path {source} is mounted on {where} but it is not a shared"
    if kind == "shared" and not any(tag.startswith("shared:") for tag in tags):
        raise InvalidRequest(f"{said} mount", f"mount --make-shared {where}")
    if kind == "slave" and not any(tag.startswith(("shared:", "master:")) for tag in tags):
        raise InvalidRequest(f"{said} or slave mount", f"mount --make-shared {where}")
    if kind == "shared":
        raise InvalidRequest(f"bind propagation '{wanted}' is not supported by kernelkit", "rslave is")


def _mounted_on(path: str) -> tuple[str, list[str]]:
    """The mount point that a path is below, and its propagation: proc(5), /proc/PID/mountinfo, optional fields."""
    found: tuple[str, list[str]] = ("/", [])
    with open("/proc/self/mountinfo") as table:
        for fields in map(str.split, table):
            place = fields[4].replace("\\040", " ")
            inside = path == place or path.startswith(place.rstrip("/") + "/")
            if inside and len(place) >= len(found[0]):
                found = place, fields[6 : fields.index("-")]
    return found


def _tmpfs(host: Mapping[str, Any]) -> list[dict[str, Any]]:
    mounts = []
    for target, text in (host.get("Tmpfs") or {}).items():
        options = ["noexec", "nosuid", "nodev", *(text.split(",") if text else [])]
        mounts.append({"destination": os.path.normpath(target), "type": "tmpfs", "source": "tmpfs", "options": options})
    for wish in host.get("Mounts") or []:
        if wish.get("Type") == "tmpfs":
            wanted = wish.get("TmpfsOptions") or {}
            options = ["noexec", "nosuid", "nodev"]
            options += [f"size={wanted['SizeBytes']}"] if wanted.get("SizeBytes") else []
            options += [f"mode={wanted['Mode']:o}"] if wanted.get("Mode") else []
            options += ["ro"] if wish.get("ReadOnly") else []
            target = os.path.normpath(wish["Target"])
            mounts.append({"destination": target, "type": "tmpfs", "source": "tmpfs", "options": options})
    return mounts


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
