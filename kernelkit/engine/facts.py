"""Finds out what a container's settings leave open: users, devices, volumes, whose namespaces it shares."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from kernelkit.container import seccomp_profile, security
from kernelkit.container.spec import Facts, User
from kernelkit.container.user import find
from kernelkit.engine import binds, devices, links, peek
from kernelkit.engine.engine import Engine
from kernelkit.engine.model import Container
from kernelkit.errors import Conflict, InvalidRequest

TMPFS_MODE = 0o1777  # unless it is told otherwise: tmpfs(5)
ETC = ("resolv.conf", "hostname", "hosts")
# HostConfig key -> the OCI specification's word for the namespace.
MODES = {"NetworkMode": "network", "IpcMode": "ipc", "PidMode": "pid", "UTSMode": "uts", "CgroupnsMode": "cgroup"}


class Restarting(Conflict):
    """Whose namespace is to be joined waits for its next restart."""


def gather(engine: Engine, container: Container) -> Facts:
    """Everything that `container.spec.config` needs to know; NotFound or Conflict when something is missing."""
    host = container.host_config
    devices.refuse_requests(host)
    joined, shared = namespaces(engine, container)
    nodes = devices.nodes(host)
    return replace(
        program(engine, container),
        hostname=hostname(engine, container, shared),
        etc=_etc(engine, container, joined),
        mounts=[*binds.mounts(engine, container), *_tmpfs(engine, container), *devices.mounts(nodes)],
        devices=[
            *(devices.everything() if host.get("Privileged") else ()),
            *(n for n in nodes if devices.in_dev(n["path"])),
        ],
        joined=joined,
        shared=shared,
    )


def program(engine: Engine, container: Container) -> Facts:
    """What one more program in a running container needs, whether those it was started with are still there or not."""
    host = container.host_config
    capabilities = security.capabilities(
        host.get("CapAdd") or [], host.get("CapDrop") or [], bool(host.get("Privileged")), engine.bounding
    )
    return Facts(
        id=container.id,
        hostname=_own_hostname(container, shared=host.get("UTSMode") == "host"),
        root=f"{engine.folder(container.id)}/merged",
        user=user(engine, container, container.config.get("User") or ""),
        capabilities=capabilities,
        cgroup_path=engine.cgroup_path(container),
        device_rules=devices.rules(host),
        block=devices.block(host),
        linked=links.environment(engine, container) if host.get("Links") else (),
        seccomp=filter_of(host, capabilities),
    )


def hostname(engine: Engine, container: Container, shared: frozenset[str]) -> str:
    """The name the container's machine has: the host's own when it shares the host's UTS namespace.

    Who shares another container's network has its name too: it is the one in the /etc/hosts that goes with the network.
    """
    mode = container.host_config["NetworkMode"]
    if mode.startswith("container:"):
        container = other(engine, mode)
    return _own_hostname(container, shared="uts" in shared)


def _own_hostname(container: Container, *, shared: bool) -> str:
    return os.uname().nodename if shared else container.config.get("Hostname") or container.short_id


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
    if found.state.status == "restarting":
        raise Restarting(f"Container {found.id} is restarting, wait until the container is running")
    if kind == "ipc" and found.host_config.get("IpcMode") in ("private", "none", ""):
        hint = "hint: use IpcMode:shareable for the donor container"
        raise Conflict(f"cannot join IPC of {found.id}: non-shareable IPC ({hint})")
    return found


def network_of(engine: Engine, container: Container) -> Container:
    """Whose network a container is in: its own, or that of whom it joined, who may have joined another.

    NotFound when one of them has been removed, Conflict when each joins the other.
    """
    passed = []
    while (mode := container.host_config["NetworkMode"]).startswith("container:"):
        if container in passed:
            raise Conflict("cannot join own network")
        passed.append(container)
        container = engine.state.container(mode.partition(":")[2])
    return container


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
        folder = engine.folder(network_of(engine, container).id)
    return {f"/etc/{name}": f"{folder}/{name}" for name in ETC}


def _tmpfs(engine: Engine, container: Container) -> list[dict[str, Any]]:
    """The OCI mounts of its temporary file systems; a directory that one is mounted on keeps its mode."""
    host = container.host_config
    mounts: list[dict[str, Any]] = []
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
    if mounts:
        layers = (engine.folder(container.id) / "upper", *reversed(engine.store.find(container.image_id).layers))
        for mount in mounts:
            there = peek.status(layers, mount["destination"])
            if there and stat.S_IMODE(there.st_mode) != TMPFS_MODE and not any(map(_is_mode, mount["options"])):
                mount["options"].append(f"mode={stat.S_IMODE(there.st_mode):o}")
    return mounts


def _is_mode(option: str) -> bool:
    return option.startswith("mode=")
