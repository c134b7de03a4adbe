"""Containers over HTTP: made, started, watched, ended, listed, removed."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

from kernelkit.engine import attach as attaching
from kernelkit.engine import containers, links, stats, stop, top, update, when
from kernelkit.engine import create as creating
from kernelkit.engine import inspect as inspecting
from kernelkit.engine import remove as removing
from kernelkit.engine.engine import Engine
from kernelkit.engine.logs import Reader, Wish
from kernelkit.engine.model import Container
from kernelkit.engine.waiting import Wait
from kernelkit.errors import Conflict, InvalidRequest, KernelkitError, NotFound, OperationFailed
from kernelkit.host.channel import Attach
from kernelkit.kernel.inotify import DirectoryWatch
from kernelkit.server import since
from kernelkit.server.messages import JSON, Answer, Handover, Hijack, Request, Stream, as_json, empty

RAW = "application/vnd.docker.raw-stream"
FRAMED = "application/vnd.docker.multiplexed-stream"
MULTIPLEXED_SINCE = (1, 42)  # the version of the API that names framed streams so
SAMPLE_EVERY = 1.0  # seconds between two samples of `stats`
PIECE = 1 << 16  # bytes of a log that are sent at once


def create(engine: Engine, request: Request) -> Answer:
    """`POST /containers/create`."""
    body = request.json()
    if not body:
        raise InvalidRequest("config cannot be empty in order to create a container")
    since.check(body, request.version)
    old = request.version < since.RECURSIVE
    container, warnings = creating.create(engine, request.text("name"), body, request.text("platform"), old=old)
    return as_json({"Id": container.id, "Warnings": warnings}, 201)


def list_all(engine: Engine, request: Request) -> Answer:
    """`GET /containers/json`."""
    everything, size, limit = request.flag("all"), request.flag("size"), request.number("limit") or 0
    return as_json(containers.listing(engine, request.filters(), everything=everything, limit=limit, size=size))


def inspect(engine: Engine, request: Request) -> Answer:
    """`GET /containers/{id}/json`."""
    return as_json(inspecting.inspect(engine, _find(engine, request), size=request.flag("size")))


def start(engine: Engine, request: Request) -> Answer:
    """`POST /containers/{id}/start`."""
    removing.start_or_remove(engine, _find(engine, request))
    return empty()


def stop_one(engine: Engine, request: Request) -> Answer:
    """`POST /containers/{id}/stop`."""
    stop.stop(engine, _find(engine, request), _seconds(request), request.text("signal"))
    return empty()


def restart(engine: Engine, request: Request) -> Answer:
    """`POST /containers/{id}/restart`."""
    container = _find(engine, request)
    try:
        stop.restart(engine, container, _seconds(request), request.text("signal"))
    except (Conflict, NotFound, OperationFailed) as error:
        raise type(error)(f"Cannot restart container {request['id']}: {error.message}", error.hint) from None
    return empty()


def kill(engine: Engine, request: Request) -> Answer:
    """`POST /containers/{id}/kill`."""
    try:
        stop.kill(engine, _find(engine, request), request.text("signal") or "SIGKILL")
    except (Conflict, InvalidRequest, NotFound) as error:
        raise type(error)(f"cannot kill container: {request['id']}: {error.message}", error.hint) from None
    return empty()


def pause(engine: Engine, request: Request) -> Answer:
    """`POST /containers/{id}/pause`."""
    stop.pause(engine, _find(engine, request))
    return empty()


def unpause(engine: Engine, request: Request) -> Answer:
    """`POST /containers/{id}/unpause`."""
    stop.unpause(engine, _find(engine, request))
    return empty()


def rename(engine: Engine, request: Request) -> Answer:
    """`POST /containers/{id}/rename`."""
    creating.rename(engine, _find(engine, request), request.text("name"))
    return empty()


def remove(engine: Engine, request: Request) -> Answer:
    """`DELETE /containers/{id}`."""
    if request.flag("link"):
        links.unlink(engine, request["id"])
        return empty()
    container = _find(engine, request)
    removing.remove(engine, container, force=request.flag("force"), with_volumes=request.flag("v"))
    return empty()


def prune(engine: Engine, request: Request) -> Answer:
    """`POST /containers/prune`."""
    return as_json(containers.prune(engine, request.filters()))


def change(engine: Engine, request: Request) -> Answer:
    """`POST /containers/{id}/update`."""
    container = _find(engine, request)
    return as_json({"Warnings": update.update(engine, container, request.json())})


def processes(engine: Engine, request: Request) -> Answer:
    """`GET /containers/{id}/top`."""
    return as_json(top.top(engine, _find(engine, request), request.text("ps_args")))


def resize(engine: Engine, request: Request) -> Answer:
    """`POST /containers/{id}/resize`."""
    container = _find(engine, request)
    attaching.resize(engine, container, *window(request))
    return empty(200)


def window(request: Request) -> tuple[int, int]:
    """The parameters `h` and `w`: rows and columns; InvalidRequest for what a terminal cannot have."""
    rows, columns = request.number("h", 0) or 0, request.number("w", 0) or 0
    if not (0 <= rows < 1 << 16 and 0 <= columns < 1 << 16):
        raise InvalidRequest(f"invalid window size: {rows} rows, {columns} columns")
    return rows, columns


def wait(engine: Engine, request: Request) -> Answer:
    """`POST /containers/{id}/wait`: the head at once, the exit code when it is known."""
    container = _find(engine, request)
    waiting = Wait(container, request.text("condition"))

    def ending() -> Iterator[bytes]:
        with container.bell() as bell:
            while (answer := waiting.answer()) is None:
                if not request.await_either(bell.fileno()):
                    return
                bell.hush()
        yield as_json(answer).body

    return Stream(ending())


def attach(engine: Engine, request: Request) -> Answer:
    """`POST /containers/{id}/attach`: the connection becomes the container's streams."""
    container = _find(engine, request)
    keys = attaching.parse_keys(request.text("detachKeys"))
    tty = bool(container.config.get("Tty"))
    attaching.check(container)
    stdout, stderr = request.flag("stdout"), request.flag("stderr")
    stdin = request.flag("stdin") and bool(container.config.get("OpenStdin"))

    def join(connection: int, leftover: bytes) -> None:
        attaching.attach(engine, container, connection, Attach("", stdin, stdout, stderr, not tty, keys, leftover))

    def take(handover: Handover) -> None:
        if request.flag("logs"):
            connection, leftover = handover()
            try:
                for piece in _read(Reader(engine, container, Wish(stdout, stderr, framed=not tty))):
                    _send(connection, piece)
            except (OSError, KernelkitError):
                os.close(connection)
                return
            if request.flag("stream"):
                join(connection, leftover)
            else:
                os.close(connection)
            return
        # With the lock from before the head is sent: a client that has it may ask for the start at once.
        with container.lock:
            join(*handover())

    return Hijack(take, stream_type(request, tty=tty))


def stream_type(request: Request, *, tty: bool) -> str:
    """What the streams' content is called: framed without a terminal."""
    return FRAMED if not tty and request.version >= MULTIPLEXED_SINCE else RAW


def logs(engine: Engine, request: Request) -> Answer:
    """`GET /containers/{id}/logs`."""
    container = _find(engine, request)
    if not (request.flag("stdout") or request.flag("stderr")):
        raise InvalidRequest("Bad parameters: you must choose at least one stream")
    tty = bool(container.config.get("Tty"))
    tail = request.text("tail")
    wish = Wish(
        stdout=request.flag("stdout"),
        stderr=request.flag("stderr"),
        tail=int(tail) if tail.isdigit() else -1,
        since=_moment(request, "since"),
        until=_moment(request, "until"),
        timestamps=request.flag("timestamps"),
        details=request.flag("details"),
        framed=not tty,
    )
    reader = Reader(engine, container, wish)
    chunks = _follow(request, container, reader) if request.flag("follow") else _read(reader)
    return Stream(chunks, stream_type(request, tty=tty))


def _read(reader: Reader) -> Iterator[bytes]:
    """What is there."""
    with contextlib.closing(reader):
        yield from _gathered(reader.there())


def _gathered(entries: Iterator[bytes]) -> Iterator[bytes]:
    """The entries in pieces of some size: a chunk and a send for each line would take longer than all the rest."""
    piece = bytearray()
    for entry in entries:
        piece += entry
        if len(piece) >= PIECE:
            yield bytes(piece)
            piece.clear()
    yield bytes(piece)


def _follow(request: Request, container: Container, reader: Reader) -> Iterator[bytes]:
    """What is there, then what comes, until the container ends or the client leaves."""
    try:
        watch = DirectoryWatch(os.fspath(reader.folder))
    except FileNotFoundError:
        return
    try:
        with container.bell() as bell:
            yield from _gathered(reader.there())
            while not reader.over:
                watch.hush()
                bell.hush()
                # In this order: what it said before its end was written before the end was known.
                alive = container.state.running and not container.removed
                yield from _gathered(reader.added())
                if not alive or not request.await_either(watch.fileno(), bell.fileno()):
                    return
    finally:
        watch.close()
        reader.close()


def usage(engine: Engine, request: Request) -> Answer:
    """`GET /containers/{id}/stats`."""
    container = _find(engine, request)
    streaming = request.flag("stream", default=True)
    if not streaming and request.flag("one-shot"):
        return as_json(stats.sample(engine, container))

    def sampling() -> Iterator[bytes]:
        before = stats.sample(engine, container)
        while not container.removed:
            if (container.state.running or streaming) and not request.await_either(timeout=SAMPLE_EVERY):
                return
            before = stats.sample(engine, container, before)
            yield as_json(before).body
            if not streaming:
                return

    return Stream(sampling(), JSON)


def _find(engine: Engine, request: Request) -> Container:
    return engine.state.container(request["id"])


def _seconds(request: Request) -> float | None:
    """The parameter `t`: how long to wait before the program is made to end."""
    number = request.number("t")
    return None if number is None else float(number)


def _moment(request: Request, name: str) -> int:
    text = request.text(name)
    return when.moment(text) if text and text != "0" else 0


def _send(connection: int, piece: bytes) -> None:
    while piece:
        piece = piece[os.write(connection, piece) :]
