"""Makes an image of what a container has changed: `docker commit`.

Exactly the changed files become a layer, and the directories on the way to them; the image below it stays as it is.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from kernelkit.engine import images, stop
from kernelkit.engine.amend import amended
from kernelkit.engine.changes import MOUNT_POINTS, below
from kernelkit.engine.engine import Engine
from kernelkit.engine.images import ALGORITHM
from kernelkit.engine.model import Container, now
from kernelkit.errors import Conflict, InvalidRequest
from kernelkit.image.catalogue import Image, Layer
from kernelkit.image.reference import Reference
from kernelkit.trace import Trace

Json = dict[str, Any]

# What an image says of the containers that are made from it; the rest of a container's settings is its own.
KEPT = (
    "User", "ExposedPorts", "Env", "Entrypoint", "Cmd", "Volumes", "WorkingDir", "Labels", "StopSignal", "Healthcheck",
    "OnBuild", "Shell", "ArgsEscaped",
)  # fmt: skip
_MOUNT_POINTS = frozenset(path.lstrip("/") for path in MOUNT_POINTS)


@dataclass(frozen=True)
class Wish:
    """What the new image is to be like; `config` stands for the container's own settings when it is given."""

    repository: str = ""
    tag: str = ""
    comment: str = ""
    author: str = ""
    changes: Sequence[str] = ()
    config: Mapping[str, Any] | None = None
    pause: bool = True


def commit(engine: Engine, container: Container, wish: Wish) -> Image:
    """Make an image of a container, running or not; InvalidRequest for a name or change that is none, Conflict."""
    names = [name(wish.repository, wish.tag)] if wish.repository else []
    if container.state.status in ("removing", "dead") or container.removed:
        raise Conflict(f"You cannot commit container {container.id} which is being removed")
    config = _merged(amended(wish.config or container.config, wish.changes), container.config)
    with _still(engine, container) if wish.pause else _as_it_is():
        layer = add_layer(engine, container)
    image = add_image(
        engine,
        engine.store.find(container.image_id),
        config,
        layer,
        names=names,
        created_by=" ".join(container.config.get("Cmd") or []),
        author=wish.author,
        comment=wish.comment,
    )
    for given in names:
        images.tell(engine, image, "tag", given.familiar())
    about = {"comment": wish.comment, "imageID": image.id, "imageRef": names[0].familiar() if names else ""}
    engine.events.container(container, "commit", **about)
    return image


def add_layer(engine: Engine, container: Container) -> Layer | None:
    """Keep what a container has changed as a layer; None when that is nothing. The same content is the same layer."""
    folder = engine.folder(container.id)
    trace = Trace(lambda step: engine.records.add(container.id, [step], folder))
    upper = folder / "upper"
    if not upper.is_dir():
        return None  # it has never been started
    return engine.store.add_upper(os.fspath(upper), below(engine, container), _MOUNT_POINTS, trace, "commit")


def add_image(
    engine: Engine,
    base: Image,
    config: Json,
    layer: Layer | None,
    *,
    names: Sequence[Reference] = (),
    created_by: str = "",
    author: str = "",
    comment: str = "",
) -> Image:
    """Make an image of another one with other settings, and one more layer if there is one."""
    moment = now()
    entry = {"created": moment, "created_by": created_by, "author": author, "comment": comment}
    step = {key: value for key, value in entry.items() if value} | ({} if layer else {"empty_layer": True})
    whole = {
        **base.config,
        "created": moment,
        "config": {key: config[key] for key in KEPT if config.get(key)},
        "history": [*_history(base), step],
    }
    for key, value in (("author", author), ("comment", comment)):
        whole.pop(key, None)
        whole |= {key: value} if value else {}
    layers: list[Layer | str] = [*base.diff_ids, *([layer] if layer else [])]
    return engine.store.add_image(
        whole, layers, names=names, parent="" if base.retired else base.id, tagged=moment if names else ""
    )


def name(repository: str, tag: str) -> Reference:
    """A name for a new image; InvalidRequest for one with a digest, or for what is no name."""
    found = Reference.parse(f"{repository}:{tag}" if tag else repository)
    if found.digest:
        raise InvalidRequest("cannot import digest reference")
    if found.familiar_repository == ALGORITHM:
        raise InvalidRequest("refusing to create an ambiguous tag using digest algorithm as name")
    return found


def _history(image: Image) -> list[Json]:
    """An image's history, with an entry for each of its layers even when nobody wrote one."""
    history = list(image.config.get("history") or [])
    told = sum(not entry.get("empty_layer") for entry in history)
    missing = [{"created": image.created} if image.created else {} for _ in image.diff_ids[told:]]
    return [*missing, *history]


@contextmanager
def _still(engine: Engine, container: Container) -> Iterator[None]:
    """Nothing in the container moves meanwhile, unless it is still already."""
    try:
        stop.pause(engine, container)
    except Conflict:  # it does not run, or somebody has paused it
        yield
        return
    try:
        yield
    finally:
        if container.state.paused:
            stop.unpause(engine, container)


@contextmanager
def _as_it_is() -> Iterator[None]:
    yield


def _merged(wanted: Json, own: Mapping[str, Any]) -> Json:
    """What was asked for, completed from the container's own settings, as Docker does it."""
    result = dict(wanted)
    for key in ("User", "WorkingDir", "StopSignal", "Healthcheck", "Shell", "OnBuild"):
        result[key] = wanted.get(key) or own.get(key)
    for key in ("ExposedPorts", "Volumes", "Labels"):
        result[key] = {**(own.get(key) or {}), **(wanted.get(key) or {})}
    known = {entry.partition("=")[0] for entry in wanted.get("Env") or []}
    missing = [entry for entry in own.get("Env") or [] if entry.partition("=")[0] not in known]
    result["Env"] = [*(wanted.get("Env") or []), *missing]
    if not wanted.get("Entrypoint"):
        result["Cmd"] = wanted.get("Cmd") or own.get("Cmd")
        result["Entrypoint"] = own.get("Entrypoint")
    return result
