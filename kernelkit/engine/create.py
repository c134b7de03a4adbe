"""Creates a container: settings checked and completed, its record and folder made; nothing runs yet."""

from __future__ import annotations

import ipaddress
import os
import shutil
import stat
from collections.abc import Mapping
from typing import Any

from kernelkit.engine import (
    checks,
    copyup,
    discard,
    endpoints,
    images,
    limits,
    links,
    logs,
    mountpoints,
    names,
    parents,
    peek,
    settings,
)
from kernelkit.engine.engine import Engine
from kernelkit.engine.model import Container, new_id, now
from kernelkit.errors import Conflict, InvalidRequest, KernelkitError, NotFound
from kernelkit.image.catalogue import Image
from kernelkit.image.manifest import Platform

ATTEMPTS = 16  # at a name that is free

Json = dict[str, Any]


def create(
    engine: Engine, name: str, body: Json, platform: str = "", *, old: bool = False
) -> tuple[Container, list[str]]:
    """Make a container from Docker's create request (`Config` with `HostConfig` and `NetworkingConfig` in it).

    `old` says that read-only means what it did before version 1.44 of the API.

    Returns warnings as well, about what was left away. InvalidRequest for what cannot be asked, NotFound without the
    image, Conflict when the name is taken, KernelkitError for what Docker's driver of storage cannot do.
    """
    image = _image(engine, body.get("Image") or "", platform)
    if name:
        name = names.check(name)
    config = settings.config(body, image.config.get("config") or {})
    asked = settings.host_config(_object(body, "HostConfig"))
    host, warnings = discard.discard(asked, engine.layout, engine.host.cgroups)
    checks.settings(config, host)
    if body.get("WorkingDir"):
        _workplace(image, config["WorkingDir"])
    limits.real_time(host, scheduler=engine.layout.has(engine.host.cgroups, "cpu", "cpu.rt_runtime_us"))
    checks.storage(host)
    parents.check(engine, host["CgroupParent"])
    networks = _networks(engine, body, host)
    host["NetworkMode"] = _network_mode(engine, host["NetworkMode"])
    if host["Links"]:
        host["Links"] = links.resolve(engine, host)
    identity = new_id()
    if host["NetworkMode"] == "host" or host["UTSMode"] == "host":
        config["Hostname"] = config["Hostname"] or os.uname().nodename
    elif not host["NetworkMode"].startswith("container:"):
        config["Hostname"] = config["Hostname"] or identity[:12]
    container = Container(
        id=identity,
        name=name,
        created=now(),
        image=body["Image"],
        image_id=image.id,
        config=config,
        host_config=host,
        networks=networks,
        mounts=mountpoints.resolve(engine, config, host, folder=os.fspath(engine.folder(identity)), old=old),
    )
    os.makedirs(engine.folder(identity), mode=0o710)
    try:
        if host["LogConfig"]["Type"] == "local":
            os.mkdir(logs.path_of(engine, container, "local").parent, 0o700)
        copyup.fill(engine, container, image)
        _register(engine, container)
    except BaseException:
        shutil.rmtree(engine.folder(identity), ignore_errors=True)
        raise
    engine.events.container(container, "create")
    return container, warnings


def rename(engine: Engine, container: Container, name: str) -> None:
    """Give it another name; InvalidRequest for none or a malformed one, Conflict when it is taken."""
    if not name:
        raise InvalidRequest("Neither old nor new names may be empty")
    name = names.check(name)
    if name == container.name:
        raise InvalidRequest("Renaming a container with the same name as its current name")
    before = container.name
    with container.lock:
        try:
            engine.state.rename(container, name)
        except Conflict as error:
            raise Conflict(f"Error when allocating new name: {error.message}") from None
        for network, place in container.networks.items():
            if place.get("DNSNames"):
                place["DNSNames"] = endpoints.names_of(container, network)
        engine.state.save(container)
    engine.events.container(container, "rename", oldName=f"/{before}")


def _register(engine: Engine, container: Container) -> None:
    if container.name:
        engine.state.add(container)
        return
    for attempt in range(ATTEMPTS):
        container.name = names.suggest(attempt)
        try:
            engine.state.add(container)
            return
        except Conflict:
            continue
    container.name = container.short_id
    engine.state.add(container)


def _image(engine: Engine, name: str, platform: str) -> Image:
    if not name:
        raise InvalidRequest("no image specified")
    return images.find(engine, name, Platform.parse(platform) if platform else None)


def _workplace(image: Image, folder: str) -> None:
    """Refuse a working directory, or a way to it, that is a file in the image: nobody could make it at the start."""
    layers = tuple(reversed(image.layers))
    parts = os.path.normpath(folder).strip("/").split("/")
    for number in range(len(parts)):
        place = "/" + "/".join(parts[: number + 1])
        found = peek.status(layers, place)
        if found and not stat.S_ISDIR(found.st_mode):
            raise KernelkitError(f"Cannot mkdir: {place} is not a directory")


def _object(body: Mapping[str, Any], key: str) -> Json:
    value = {} if body.get(key) is None else body[key]
    if not isinstance(value, dict):
        raise InvalidRequest(f"invalid JSON: '{key}' should be an object")
    return value


def _networks(engine: Engine, body: Mapping[str, Any], host: Mapping[str, Any]) -> dict[str, Json]:
    """The networks it will be in, by name, with what was asked of each; none in somebody else's."""
    mode = host["NetworkMode"]
    if mode.startswith("container:"):
        return {}
    asked = {_network_name(engine, name): dict(wish or {}) for name, wish in _endpoints(body).items()}
    first = _network_name(engine, mode)
    if first in ("host", "none") and len(asked.keys() | {first}) > 1:
        raise InvalidRequest(f"conflicting options: cannot attach both user-defined and {first} network-mode endpoints")
    wishes = {first: asked.pop(first, {}), **asked}
    return {name: endpoint(name, wish) for name, wish in wishes.items()}


def _network_mode(engine: Engine, mode: str) -> str:
    """With the id of the container whose network is shared, for names change; one that is made later keeps its name."""
    kind, _, word = mode.partition(":")
    if kind != "container":
        return mode
    try:
        return f"container:{engine.state.container(word).id}"
    except NotFound:
        return mode  # whether it is there by then, `start` says


def _endpoints(body: Mapping[str, Any]) -> Json:
    return _object(_object(body, "NetworkingConfig"), "EndpointsConfig")


def _network_name(engine: Engine, word: str) -> str:
    """A network's name for its name, id or beginning of an id; one that is not there is reported by `start`."""
    if word in ("default", "bridge"):
        return "bridge"
    try:
        return engine.state.network(word).name
    except NotFound:
        # Answering 404 here would make Docker's client pull the image and try again.
        return word


def endpoint(name: str, wish: Json) -> Json:
    """A container's settings in the network of that name from Docker's `EndpointSettings`; InvalidRequest."""
    addresses = wish.get("IPAMConfig") or {}
    wanted = {key: addresses[key] for key in ("IPv4Address", "IPv6Address") if addresses.get(key)}
    for key, text in wanted.items():
        try:
            (ipaddress.IPv4Address if key == "IPv4Address" else ipaddress.IPv6Address)(text)
        except ValueError:
            raise InvalidRequest(f"invalid {key[:4]} address: {text}") from None
    if wanted and name in ("bridge", "host", "none"):
        raise InvalidRequest(
            "user specified IP address is supported on user defined networks only", "make one with `network create`"
        )
    if addresses.get("LinkLocalIPs"):
        raise InvalidRequest("'--link-local-ip' (LinkLocalIPs) is not supported by kernelkit")
    if wish.get("Links") and name in ("bridge", "host", "none"):
        raise InvalidRequest("'--link' (Links) is not supported by kernelkit", "it is in user defined networks")
    if wish.get("Aliases") and name in ("bridge", "host", "none"):
        raise InvalidRequest("network-scoped alias is supported only for containers in user defined networks")
    return {
        "IPAMConfig": addresses or None,
        "Links": wish.get("Links"),
        "Aliases": wish.get("Aliases"),
        "MacAddress": wish.get("MacAddress") or "",
        "DriverOpts": wish.get("DriverOpts"),
        "GwPriority": wish.get("GwPriority") or 0,
        "NetworkID": "",
        **endpoints.NOTHING,
    }
