"""What Docker has and this engine has not, said in one clear line each: in Docker's words where clients go by them."""

from __future__ import annotations

from kernelkit.engine.engine import Engine
from kernelkit.errors import NotFound, Unavailable
from kernelkit.server.messages import Answer, Handover, Hijack, Request, as_json

NO_MANAGER = (
    'This node is not a swarm manager. Use "docker swarm init" or "docker swarm join" to connect this node to swarm '
    "and try again."
)
NO_MEMBER = "This node is not part of a swarm"


def cluster(engine: Engine, request: Request) -> Answer:
    """Nodes, services, secrets …: there is no swarm; `docker inspect` asks nevertheless, and goes by the words."""
    return as_json({"message": NO_MANAGER}, 503)


def membership(engine: Engine, request: Request) -> Answer:
    """What only a member of a swarm can ask for."""
    return as_json({"message": NO_MEMBER}, 503)


def swarm(engine: Engine, request: Request) -> Answer:
    """`docker swarm init` and `join`."""
    raise Unavailable("swarm mode is not supported by kernelkit", "it is an engine for one machine")


def build(engine: Engine, request: Request) -> Answer:
    """`docker build`, whichever way the client tries."""
    for _ in request.body:  # a client that is still sending would report a broken pipe instead of this
        pass
    raise Unavailable(
        "kernelkit does not build images yet", "change a container by hand and keep it with `docker commit`"
    )


def build_session(engine: Engine, request: Request) -> Answer:
    """What BuildKit's client opens first; refused, it would say a number, so it waits here until `build` refuses."""

    def take(handover: Handover) -> None:
        connection, _ = handover()
        with open(connection, "rb", buffering=0) as session:
            while session.read(4096):
                pass

    return Hijack(take)


def build_cache(engine: Engine, request: Request) -> Answer:
    """There is no cache of builds to prune; `docker system prune` asks nevertheless."""
    return as_json({"CachesDeleted": None, "SpaceReclaimed": 0})


def checkpoints(engine: Engine, request: Request) -> Answer:
    """`docker checkpoint`, which Docker itself has as an experiment only."""
    raise Unavailable("checkpoints are not supported by kernelkit")


def attach_by_websocket(engine: Engine, request: Request) -> Answer:
    """What browsers could attach by."""
    raise Unavailable(
        "attaching by websocket is not supported by kernelkit", f"use POST /containers/{request['id']}/attach"
    )


def plugins(engine: Engine, request: Request) -> Answer:
    """`docker plugin install` and `create`."""
    for _ in request.body:
        pass
    raise Unavailable("plugins are not supported by kernelkit")


def no_plugins(engine: Engine, request: Request) -> Answer:
    """`docker plugin ls`: there are none."""
    return as_json([])


def no_plugin(engine: Engine, request: Request) -> Answer:
    """One plugin: there are none."""
    raise NotFound(f'plugin "{request["name"]}" not found')
