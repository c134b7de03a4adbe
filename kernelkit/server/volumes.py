"""Volumes over HTTP."""

from __future__ import annotations

from kernelkit.engine import volumes
from kernelkit.engine.engine import Engine
from kernelkit.errors import NotFound
from kernelkit.server.messages import Answer, Request, as_json, empty


def create(engine: Engine, request: Request) -> Answer:
    """`POST /volumes/create`."""
    return as_json(volumes.inspect(engine, volumes.create(engine, request.json())), 201)


def list_all(engine: Engine, request: Request) -> Answer:
    """`GET /volumes`."""
    return as_json({"Volumes": volumes.listing(engine, request.filters()), "Warnings": None})


def inspect(engine: Engine, request: Request) -> Answer:
    """`GET /volumes/{name}`."""
    return as_json(volumes.inspect(engine, engine.state.volume(request["name"])))


def remove(engine: Engine, request: Request) -> Answer:
    """`DELETE /volumes/{name}`; with `force` one that is not there is no error."""
    try:
        volume = engine.state.volume(request["name"])
    except NotFound:
        if request.flag("force"):
            return empty()
        raise
    volumes.remove(engine, volume, force=request.flag("force"))
    return empty()


def prune(engine: Engine, request: Request) -> Answer:
    """`POST /volumes/prune`; before API 1.42 that meant the named ones too."""
    filters = request.filters()
    if request.version < (1, 42):
        filters.setdefault("all", ["true"])
    return as_json(volumes.prune(engine, filters))
