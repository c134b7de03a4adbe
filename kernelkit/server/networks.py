"""Networks over HTTP."""

from __future__ import annotations

from kernelkit.engine import networks, plugging
from kernelkit.engine.engine import Engine
from kernelkit.engine.model import Container
from kernelkit.errors import InvalidRequest
from kernelkit.server import absent
from kernelkit.server.messages import Answer, Request, as_json, empty


def create(engine: Engine, request: Request) -> Answer:
    """`POST /networks/create`."""
    body = request.json()
    if body.get("Scope") == "swarm" or body.get("Driver") == "overlay":
        return absent.cluster(engine, request)
    network = networks.create(engine, body)
    return as_json({"Id": network.id, "Warning": ""}, 201)


def list_all(engine: Engine, request: Request) -> Answer:
    """`GET /networks`."""
    return as_json(networks.listing(engine, request.filters()))


def inspect(engine: Engine, request: Request) -> Answer:
    """`GET /networks/{id}`."""
    return as_json(networks.inspect(engine, engine.state.network(request["id"])))


def remove(engine: Engine, request: Request) -> Answer:
    """`DELETE /networks/{id}`."""
    networks.remove(engine, engine.state.network(request["id"]))
    return empty()


def connect(engine: Engine, request: Request) -> Answer:
    """`POST /networks/{id}/connect`."""
    network, body = engine.state.network(request["id"]), request.json()
    plugging.connect(engine, network, _container(engine, body), body.get("EndpointConfig") or {})
    return empty(200)


def disconnect(engine: Engine, request: Request) -> Answer:
    """`POST /networks/{id}/disconnect`."""
    body = request.json()
    plugging.disconnect(engine, request["id"], _container(engine, body), force=bool(body.get("Force")))
    return empty(200)


def prune(engine: Engine, request: Request) -> Answer:
    """`POST /networks/prune`."""
    return as_json(networks.prune(engine, request.filters()))


def _container(engine: Engine, body: dict[str, object]) -> Container:
    name = body.get("Container")
    if not isinstance(name, str) or not name:
        raise InvalidRequest("invalid JSON: 'Container' should name a container")
    return engine.state.container(name)
