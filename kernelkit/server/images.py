"""Images over HTTP: pulled, listed, named, removed."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from typing import Any

from kernelkit.engine import distribution as in_registry
from kernelkit.engine import images, rmi
from kernelkit.engine.engine import Engine
from kernelkit.engine.fetch import Fetch
from kernelkit.errors import InvalidRequest, KernelkitError
from kernelkit.image.credentials import Credentials
from kernelkit.image.manifest import Platform
from kernelkit.image.reference import Reference
from kernelkit.server.messages import Answer, Request, Stream, as_json, empty, line, words


def create(engine: Engine, request: Request) -> Answer:
    """`POST /images/create`: a pull, and the progress of it."""
    name, tag = request.text("fromImage"), request.text("tag")
    if not name:
        raise InvalidRequest("neither 'fromImage' nor 'fromSrc' says where the image is to come from")
    if tag:
        name = f"{name}@{tag}" if ":" in tag else f"{Reference.parse(name).familiar_repository}:{tag}"
    header = request.headers.get("x-registry-auth", "")
    credentials = Credentials.from_header(header)
    fetch = Fetch(engine, Reference.parse(name), request.text("platform"), credentials or None)
    return progress(fetch.messages())


def platform(request: Request, name: str = "platform") -> Platform | None:
    """The one platform that is asked for, as a JSON object; InvalidRequest for several."""
    texts = [text for text in request.texts(name) if text]
    if len(texts) > 1:
        raise InvalidRequest("multiple platforms are not supported")
    return Platform.read(texts[0]) if texts else None


def progress(messages: Iterator[dict[str, Any]]) -> Stream:
    """Messages as a stream; an error before the first is the answer's own, a later one is the last message."""
    first = next(messages, None)

    def lines() -> Iterator[bytes]:
        try:
            for message in chain([first] if first is not None else [], messages):
                yield line(message)
        except (KernelkitError, OSError) as error:
            yield line({"errorDetail": {"message": words(error)}, "error": words(error)})

    return Stream(lines())


def list_all(engine: Engine, request: Request) -> Answer:
    """`GET /images/json`."""
    filters = request.filters()
    if request.text("filter"):
        filters.setdefault("reference", []).append(request.text("filter"))
    shared = request.flag("shared-size")
    found = images.listing(engine, filters, everything=request.flag("all"), shared=shared)
    for image in found:
        if request.version >= (1, 44):
            del image["VirtualSize"]
        if request.version < (1, 43) and not image["RepoTags"] and not image["RepoDigests"]:
            image["RepoTags"], image["RepoDigests"] = ["<none>:<none>"], ["<none>@<none>"]
    return as_json(found)


def inspect(engine: Engine, request: Request) -> Answer:
    """`GET /images/{name}/json`."""
    wanted = platform(request)
    if wanted and request.flag("manifests"):
        raise InvalidRequest("conflicting options: manifests and platform options cannot both be set")
    found = images.inspect(engine, images.find(engine, request["name"], wanted))
    if request.version >= (1, 44):
        del found["VirtualSize"]
    if request.version >= (1, 45):
        del found["Container"], found["ContainerConfig"]
    return as_json(found)


def history(engine: Engine, request: Request) -> Answer:
    """`GET /images/{name}/history`."""
    return as_json(images.history(engine, images.find(engine, request["name"], platform(request))))


def tag(engine: Engine, request: Request) -> Answer:
    """`POST /images/{name}/tag`."""
    images.tag(engine, images.find(engine, request["name"]), request.text("repo"), request.text("tag"))
    return empty(201)


def remove(engine: Engine, request: Request) -> Answer:
    """`DELETE /images/{name}`."""
    if not request["name"].strip():
        raise InvalidRequest("image name cannot be blank")
    force, keep_parents = request.flag("force"), request.flag("noprune")
    gone = rmi.remove(
        engine, request["name"], force=force, prune=not keep_parents, platform=platform(request, "platforms")
    )
    return as_json(gone)


def prune(engine: Engine, request: Request) -> Answer:
    """`POST /images/prune`."""
    return as_json(rmi.prune(engine, request.filters()))


def distribution(engine: Engine, request: Request) -> Answer:
    """`GET /distribution/{name}/json`."""
    credentials = Credentials.from_header(request.headers.get("x-registry-auth", "")) or None
    return as_json(in_registry.distribution(engine, Reference.parse(request["name"]), credentials))


def search(engine: Engine, request: Request) -> Answer:
    """`GET /images/search`: what only Docker Hub can answer."""
    raise InvalidRequest("search is not supported by kernelkit: look for images on https://hub.docker.com")
