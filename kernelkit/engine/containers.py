"""The containers as a list, as `docker ps` shows it, and those nobody runs any more swept away."""

from __future__ import annotations

import contextlib
import re
import time
from typing import Any

from kernelkit.engine import images, links, mountpoints, when
from kernelkit.engine.engine import Engine
from kernelkit.engine.listing import Filters, check_filters, is_true, labels_match
from kernelkit.engine.model import Container
from kernelkit.engine.remove import remove
from kernelkit.engine.volumes import disk_use
from kernelkit.errors import InvalidRequest, KernelkitError, NotFound

STATUSES = ("created", "restarting", "running", "removing", "paused", "exited", "dead")
HEALTHS = ("none", "starting", "healthy", "unhealthy")
# Nanoseconds in go-units' steps: what a duration is rounded to for people.
SECOND, MINUTE, HOUR = 10**9, 60 * 10**9, 3600 * 10**9

Json = dict[str, Any]


def listing(
    engine: Engine, filters: Filters, *, everything: bool = False, limit: int = 0, size: bool = False
) -> list[Json]:
    """Docker's `ContainerSummary` of each that passes the filters, the newest first; those that run unless asked."""
    check_filters(
        filters, "ancestor", "before", "exited", "expose", "health", "id", "isolation", "is-task", "label", "name",
        "network", "publish", "since", "status", "volume",
    )  # fmt: skip
    _check_values(filters)
    everything = everything or limit > 0 or bool(filters.get("status"))
    found = []
    for container in _between(engine, filters):
        if (everything or container.state.running) and _matches(engine, container, filters):
            found.append(summary(engine, container, size=size))
            if limit > 0 and len(found) == limit:
                break
    return found


def summary(engine: Engine, container: Container, *, size: bool = False) -> Json:
    """Docker's `ContainerSummary`."""
    c = container
    found: Json = {
        "Id": c.id,
        "Names": [f"/{c.name}", *links.names(engine, c)],
        "Image": _image(engine, c),
        "ImageID": c.image_id,
        "Command": command(c),
        "Created": when.parse(c.created) // SECOND,
        "Ports": ports(c),
        "Labels": c.config.get("Labels") or {},
        "State": c.state.status,
        "Status": status(c),
        "HostConfig": {"NetworkMode": c.host_config["NetworkMode"]},
        "NetworkSettings": {"Networks": c.networks},
        "Mounts": mountpoints.shown(c.mounts),
    }
    if size:
        found["SizeRw"], found["SizeRootFs"] = sizes(engine, c)
    return found


def _image(engine: Engine, container: Container) -> str:
    """Its image as it was named, or the id when that name means another one now, or none."""
    try:
        return container.image if engine.store.find(container.image).id == container.image_id else container.image_id
    except KernelkitError:
        return container.image_id


def sizes(engine: Engine, container: Container) -> tuple[int, int]:
    """Bytes that a container has written, and those together with its image's."""
    written = disk_use(engine.folder(container.id) / "upper")
    with contextlib.suppress(NotFound):
        return written, written + engine.store.find(container.image_id).size
    return written, written


def command(container: Container) -> str:
    """What it runs, in one line as people read it: words with blanks in quotes."""
    words = [*(container.config.get("Entrypoint") or []), *(container.config.get("Cmd") or [])]
    return " ".join([*words[:1], *(f"'{word}'" if " " in word else word for word in words[1:])])


def ports(container: Container) -> list[Json]:
    """Docker's `Port`s, from what is published and what is only exposed."""
    found: list[Json] = []
    for name, bindings in container.ports.items():
        number, _, proto = name.partition("/")
        if not bindings:
            found.append({"PrivatePort": int(number), "Type": proto or "tcp"})
        for binding in bindings or []:
            public = {"PublicPort": int(binding["HostPort"]), "Type": proto or "tcp"}
            found.append({"IP": binding["HostIp"], "PrivatePort": int(number), **public})
    return found


def status(container: Container) -> str:
    """How it is and for how long, as the STATUS column says it."""
    state = container.state
    now = time.time_ns()
    if state.status == "created":
        return "Created"
    if state.status == "removing":
        return "Removal In Progress"
    if state.status == "dead":
        return "Dead"
    if state.status == "restarting":
        return f"Restarting ({state.exit_code}) {_ago(state.finished_at, now)} ago"
    if state.running:
        extra = " (Paused)" if state.paused else _health(state.health)
        return f"Up {_ago(state.started_at, now)}{extra}"
    return f"Exited ({state.exit_code}) {_ago(state.finished_at, now)} ago"


def duration(nanoseconds: int) -> str:
    """A time span as people say it, rounded as Docker's go-units rounds."""
    seconds, minutes = nanoseconds // SECOND, nanoseconds // MINUTE
    hours = (nanoseconds + HOUR // 2) // HOUR
    if seconds < 1:
        return "Less than a second"
    if seconds < 60:
        return f"{seconds} second{'s' if seconds > 1 else ''}"
    if minutes < 60:
        return f"{minutes} minutes" if minutes > 1 else "About a minute"
    if hours == 1:
        return "About an hour"
    for most, each, word in ((48, 1, "hours"), (336, 24, "days"), (1440, 168, "weeks"), (17520, 720, "months")):
        if hours < most:
            return f"{hours // each} {word}"
    return f"{nanoseconds // HOUR // 24 // 365} years"


def prune(engine: Engine, filters: Filters) -> Json:
    """Remove all that do not run; what Docker answers: which, and the bytes they had written."""
    check_filters(filters, "label", "label!", "until")
    until = when.moment(filters["until"][0]) if filters.get("until") else None
    deleted, freed = [], 0
    for container in engine.state.containers():
        if container.state.running or not labels_match(container.config.get("Labels"), filters):
            continue
        if until is not None and when.parse(container.created) > until:
            continue
        size = sizes(engine, container)[0]
        with contextlib.suppress(KernelkitError):  # started or removed by somebody else at this very moment
            remove(engine, container)
            deleted.append(container.id)
            freed += size
    engine.events.publish("container", "prune", "", {"reclaimed": str(freed)})
    return {"ContainersDeleted": deleted or None, "SpaceReclaimed": freed}


def _ago(timestamp: str, now: int) -> str:
    return duration(max(0, now - when.parse(timestamp)))


def _health(health: Json | None) -> str:
    if not health or health["Status"] == "none":
        return ""
    return " (health: starting)" if health["Status"] == "starting" else f" ({health['Status']})"


def _check_values(filters: Filters) -> None:
    for name, what, known in (("status", "state", STATUSES), ("health", "health", HEALTHS)):
        for word in filters.get(name, ()):
            if word not in known:
                raise InvalidRequest(
                    f"invalid filter '{name}={word}': invalid value for {what} ({word}): must be one of "
                    f"{', '.join(known)}"
                )
    for word in filters.get("exited", ()):
        if not word.lstrip("-").isdigit():
            raise InvalidRequest(f"invalid filter 'exited={word}'")


def _between(engine: Engine, filters: Filters) -> list[Container]:
    """All, or those made before one of them, or since."""
    everyone = engine.state.containers()
    for word in filters.get("before", ()):
        created = engine.state.container(word).created
        everyone = [c for c in everyone if c.created < created]
    for word in filters.get("since", ()):
        created = engine.state.container(word).created
        everyone = [c for c in everyone if c.created > created]
    return everyone


def _matches(engine: Engine, container: Container, filters: Filters) -> bool:
    """Whether it passes each filter that is given; of several values of one, any."""
    c, state = container, container.state
    health = (state.health or {}).get("Status", "none")
    tests = {
        "id": lambda word: c.id.startswith(word),
        "name": lambda word: bool(re.search(word, c.name) or re.search(word, f"/{c.name}")),
        "status": lambda word: state.status == word,
        "health": lambda word: health == word,
        "exited": lambda word: state.status == "exited" and state.exit_code == int(word),
        "ancestor": lambda word: _descends(engine, c, word),
        "volume": lambda word: any(word in (m.get("Name"), m["Destination"], m.get("Source")) for m in c.mounts),
        "network": lambda word: any(word == name or word in _ids(e, word) for name, e in c.networks.items()),
        "publish": lambda word: any(_in_range("publish", word, p, "PublicPort") for p in ports(c)),
        "expose": lambda word: any(_exposed(word, p) for p in (*(c.config.get("ExposedPorts") or {}), *c.ports)),
        "isolation": lambda word: word in ("", "default"),
    }
    if is_true(filters, "is-task") or not labels_match(c.config.get("Labels"), filters):
        return False
    try:
        return all(any(map(tests[key], values)) for key, values in filters.items() if key in tests and values)
    except re.error as error:
        raise InvalidRequest(f"invalid filter 'name': {error}") from None


def _ids(endpoint: Json, word: str) -> str:
    """The network's id as far as `word` goes."""
    return str(endpoint.get("NetworkID") or "")[: len(word)] if word else "-"


def _descends(engine: Engine, container: Container, word: str) -> bool:
    """Whether its image is the one that `word` means, or was made from that one."""
    try:
        wanted = images.find(engine, word).id
    except KernelkitError:
        return container.image == word
    identity = container.image_id
    while identity and identity != wanted:
        try:
            identity = engine.store.find(identity).parent
        except KernelkitError:
            return False
    return identity == wanted


def _in_range(name: str, word: str, port: Json, key: str) -> bool:
    """Whether a port is one of `FIRST[-LAST][/PROTOCOL]`, the value of the filter `name`."""
    if ":" in word:
        raise InvalidRequest(f"filter for '{name}' should not contain ':': {word}")
    ports, _, proto = word.partition("/")
    first, _, last = ports.partition("-")
    if not first.isdigit() or (last and not last.isdigit()):
        raise InvalidRequest(f"error while looking up for {name} {word}: invalid port specification: '{ports}'")
    return bool(port["Type"] == (proto or "tcp")) and int(first) <= port.get(key, -1) <= int(last or first)


def _exposed(word: str, name: str) -> bool:
    number, _, proto = name.partition("/")
    return _in_range(
        "expose", word, {"PrivatePort": int(number.partition("-")[0]), "Type": proto or "tcp"}, "PrivatePort"
    )
