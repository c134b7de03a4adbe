"""`--link NAME:ALIAS` on the default bridge, where nobody else has names: another's address, told at the start.

    /etc/hosts     the other's address for its alias, its host name and its name
    environment    what it exposes, and its own variables, below the alias

In networks of one's own a link is an alias that only one container knows, see `resolver`.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping, Sequence
from typing import Any

from kernelkit.engine import etc
from kernelkit.engine.engine import Engine
from kernelkit.engine.model import Container
from kernelkit.errors import InvalidRequest, KernelkitError, NotFound
from kernelkit.kernel.files import WriteFile

DEFAULT = ("default", "bridge")
APART = "can't be used with links. This would result in undefined behavior"


def resolve(engine: Engine, host: Mapping[str, Any]) -> list[str] | None:
    """The links of a container to be made as `ID:ALIAS`, so that names may change; InvalidRequest in Docker's words."""
    mode, found = host["NetworkMode"], list[str]()
    for text in host["Links"] or []:
        name, alias = parse(text)
        if mode == "host":
            raise InvalidRequest(f"conflicting options: host type networking {APART}")
        if mode.startswith("container:"):
            raise InvalidRequest(f"conflicting options: container type network {APART}")
        if mode not in (*DEFAULT, "none"):
            return None  # there they are the endpoint's
        other = _existing(engine, name)
        while other.host_config["NetworkMode"].startswith("container:"):
            other = _existing(engine, other.host_config["NetworkMode"].partition(":")[2])
        if other.host_config["NetworkMode"] == "host":
            raise InvalidRequest(f"conflicting options: host type networking {APART}")
        if alias not in [link.partition(":")[2] for link in found]:
            found.append(f"{other.id}:{alias}")
    targets(engine).update(link.partition(":")[0] for link in found)
    return found or None


def parse(text: str) -> tuple[str, str]:
    """A link's container and alias; one without is its name, and `/name:/other/alias` is how `inspect` says it."""
    name, _, alias = text.partition(":")
    if not text:
        raise InvalidRequest("empty string specified for links")
    if ":" in alias:
        raise InvalidRequest(f"bad format for links: {text}")
    return name.removeprefix("/"), (alias or name).rpartition("/")[2]


def children(engine: Engine, container: Container) -> list[tuple[str, Container]]:
    """Whom a container is linked to, by alias; those that are gone are not."""
    found = []
    for link in container.host_config["Links"] or []:
        identity, _, alias = link.partition(":")
        try:
            found.append((alias, engine.state.container(identity)))
        except NotFound:
            continue
    return found


def parents(engine: Engine, container: Container) -> list[tuple[str, Container]]:
    """Who is linked to a container, and what it is called there."""
    if container.id not in targets(engine):
        return []
    pairs = ((parent, link) for parent in engine.state.containers() for link in parent.host_config["Links"] or [])
    return [
        (alias, parent) for parent, link in pairs for other, _, alias in [link.partition(":")] if other == container.id
    ]


def targets(engine: Engine) -> set[str]:
    """The ids of all whom somebody is linked to: for nearly every container there is no more to know."""
    if engine.linked is None:
        links = (link for container in engine.state.containers() for link in container.host_config["Links"] or [])
        engine.linked = {link.partition(":")[0] for link in links}
    return engine.linked


def shown(engine: Engine, container: Container) -> list[str] | None:
    """The links as `inspect` shows them."""
    found = [f"/{other.name}:/{container.name}/{alias}" for alias, other in children(engine, container)]
    return found or None


def names(engine: Engine, container: Container) -> list[str]:
    """What a container is called by those who are linked to it: `/parent/alias`."""
    return [f"/{parent.name}/{alias}" for alias, parent in parents(engine, container)]


def environment(engine: Engine, container: Container) -> list[str]:
    """The variables that tell of its links; KernelkitError when one of them is not running, or not on the bridge."""
    found: list[str] = []
    for alias, other in children(engine, container) if "bridge" in container.networks else ():
        full = f"/{container.name}/{alias}"
        if not other.state.running:
            raise KernelkitError(f"Cannot link to a non running container: /{other.name} AS {full}")
        if "bridge" not in other.networks:
            raise KernelkitError(f"Cannot link to /{other.name}, as it does not belong to the default network")
        address = other.networks["bridge"]["IPAddress"]
        found += variables(full, address, list(other.config.get("ExposedPorts") or ()), other.config.get("Env") or [])
    return found


def variables(name: str, address: str, ports: Sequence[str], env: Sequence[str]) -> list[str]:
    """What Docker tells of a link `/container/alias`: each port, each row of neighbouring ports, its name and `env`."""
    alias = name.rpartition("/")[2].upper().replace("-", "_")
    numbered = sorted(_port(port) for port in ports)
    found = [f"{alias}_PORT={proto}://{address}:{number}" for _, proto, number in numbered[:1]]
    for _, proto, number in numbered:
        prefix = f"{alias}_PORT_{number}_{proto.upper()}"
        found += [f"{prefix}={proto}://{address}:{number}", f"{prefix}_ADDR={address}"]
        found += [f"{prefix}_PORT={number}", f"{prefix}_PROTO={proto}"]
    # In a row of neighbours number and place grow alike.
    rows = itertools.groupby(enumerate(numbered), key=lambda entry: (entry[1][1], entry[1][2] - entry[0]))
    for (proto, _), group in rows:
        row = [number for _, (_, _, number) in group]
        if len(row) > 1:
            prefix = f"{alias}_PORT_{row[0]}_{proto.upper()}"
            found += [f"{prefix}_START={proto}://{address}:{row[0]}", f"{prefix}_PORT_START={row[0]}"]
            found += [f"{prefix}_END={proto}://{address}:{row[-1]}", f"{prefix}_PORT_END={row[-1]}"]
    found.append(f"{alias}_NAME={name}")
    own = (entry.partition("=") for entry in env)
    return found + [f"{alias}_ENV_{key}={value}" for key, sign, value in own if sign and key not in ("HOME", "PATH")]


def hosts(engine: Engine, container: Container) -> list[str]:
    """The entries of its links for its /etc/hosts, as `--add-host` has them."""
    found = []
    for alias, other in children(engine, container) if "bridge" in container.networks else ():
        settings = other.networks.get("bridge") or {}
        known = [alias, other.config["Hostname"], *([other.name] if other.name != alias else [])]
        addresses = (settings.get(key) for key in ("IPAddress", "GlobalIPv6Address"))
        found += [f"{' '.join(filter(None, known))}={address}" for address in addresses if address]
    return found


def tell(engine: Engine, container: Container) -> list[WriteFile]:
    """What gives a container's present address to those who run and are linked to it, for it had another one before."""
    plan: list[WriteFile] = []
    address = str((container.networks.get("bridge") or {}).get("IPAddress") or "")
    for alias, parent in parents(engine, container) if address else ():
        path = engine.folder(parent.id) / "hosts"
        text = etc.written(path) if parent.state.pid else None
        if text is not None:
            # The first word of a line in which the alias is the first name.
            told = re.sub(rf"^[^\s#:]+(?=\t{re.escape(alias)}(\s|\.))", address, text, flags=re.MULTILINE)
            plan += [WriteFile(str(path), told)] if told != text else []
    return plan


def unlink(engine: Engine, name: str) -> None:
    """Forget the link `parent/alias`: `docker rm --link`; KernelkitError in Docker's words when it cannot be."""
    parent, slash, alias = name.strip("/").rpartition("/")
    if not slash:
        raise KernelkitError("Conflict, cannot remove the default link name of the container")
    try:
        container = engine.state.container(parent)
    except NotFound:
        raise KernelkitError(f"Cannot get parent /{parent} for link name /{parent}/{alias}") from None
    kept = [link for link in container.host_config["Links"] or [] if link.partition(":")[2] != alias]
    if len(kept) == len(container.host_config["Links"] or []):
        raise NotFound(f"No such container: {name}")
    container.host_config["Links"] = kept or None
    engine.state.save(container, settings=True)


def _existing(engine: Engine, name: str) -> Container:
    try:
        return engine.state.container(name)
    except NotFound as error:
        # Answering 404 here would make Docker's client look for the image.
        raise InvalidRequest(f"could not get container for {name}: {error}") from None


def _port(text: str) -> tuple[bool, str, int]:
    """A port for sorting: those of TCP first."""
    number, _, proto = text.partition("/")
    return (proto or "tcp") != "tcp", proto or "tcp", int(number.partition("-")[0])
