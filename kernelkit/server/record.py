"""The record over HTTP: what was asked of the kernel, stored, as a script, and while it happens."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator

from kernelkit.engine import gate
from kernelkit.engine.engine import Engine
from kernelkit.engine.script import script
from kernelkit.errors import NotFound
from kernelkit.server.messages import Answer, Handover, Hijack, Reply, Request, Stream, as_json


def of_container(engine: Engine, request: Request) -> Answer:
    """`GET /kernelkit/trace/{id}`: the steps of one container, as a list."""
    return as_json(_steps(engine, request["id"]))


def as_script(engine: Engine, request: Request) -> Answer:
    """`GET /kernelkit/trace/{id}/script`: the same as a program for sh."""
    return Reply(200, script(_steps(engine, request["id"]), request["id"]).encode(), "text/plain; charset=utf-8")


def newest(engine: Engine, request: Request) -> Answer:
    """`GET /kernelkit/trace`: with `last` the newest record (with `script` as well, that as a program for sh), with
    `follow` every step from now on, as it happens."""
    if request.flag("follow"):
        return _follow(engine, request)
    last = engine.records.last()
    if not last:
        raise NotFound("nothing has been recorded yet")
    steps = engine.records.of(last, engine.folder(last))
    if request.flag("script"):
        return Reply(200, script(steps, last[:12]).encode(), "text/plain; charset=utf-8")
    return as_json(steps)


def start(engine: Engine, request: Request) -> Answer:
    """`POST /kernelkit/containers/{id}/start`: a start that is shown, stepped through, or done without something."""
    container = engine.state.container(request["id"])
    stepping, left_out = request.flag("step"), request.texts("without")

    def take(handover: Handover) -> None:
        connection, leftover = handover()
        gate.start(engine, container, connection, leftover, stepping=stepping, left_out=left_out)

    return Hijack(take)


def _steps(engine: Engine, word: str) -> list[dict[str, object]]:
    """The record of a container, which may be gone already if it is named by its id."""
    try:
        identity = engine.state.container(word).id
    except NotFound:
        identity = engine.records.find(word)
        if not identity:
            raise
    found = engine.records.of(identity, engine.folder(identity))
    if not found:
        raise NotFound(f"nothing is recorded of container {word}: it has not been started")
    return found


def _follow(engine: Engine, request: Request) -> Stream:
    listening = contextlib.ExitStack()
    # Before the head is sent: whoever has that may ask at once for what is to be seen.
    listener = listening.enter_context(engine.records.listen())

    def happening() -> Iterator[bytes]:
        goes_on = True
        while goes_on:
            # A client that says no more, with shutdown(2), still hears what has been until then.
            goes_on = request.await_either(listener.bell.fileno())
            for step in listener.take():
                yield json.dumps(step, separators=(",", ":")).encode() + b"\n"

    return Stream(happening(), close=listening.close)
