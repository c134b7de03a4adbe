"""The engine as a whole: ping, version, info, events, disk use, logging in."""

from __future__ import annotations

import time
from collections.abc import Iterator

from kernelkit.engine import df, info
from kernelkit.engine import login as logging_in
from kernelkit.engine.engine import Engine
from kernelkit.engine.events import matches
from kernelkit.engine.when import moment
from kernelkit.server.messages import Answer, Reply, Request, Stream, as_json, line


def ping(engine: Engine, request: Request) -> Answer:
    """Whether somebody is there, and what it speaks: `Builder-Version` 1 makes the client build the classic way."""
    about = (
        ("Builder-Version", "1"),
        ("Swarm", "inactive"),
        ("Cache-Control", "no-cache, no-store, must-revalidate"),
        ("Pragma", "no-cache"),
    )
    return Reply(200, b"OK", "text/plain; charset=utf-8", about)


def version(engine: Engine, request: Request) -> Answer:
    """Versions of the engine and what it stands on."""
    return as_json(info.version(engine))


def about(engine: Engine, request: Request) -> Answer:
    """`docker info`."""
    return as_json(info.info(engine))


def events(engine: Engine, request: Request) -> Answer:
    """What has happened since then, and what happens from now on, until then."""
    filters = request.filters()
    until = moment(request.text("until")) if request.text("until") else None
    since = moment(request.text("since")) if request.text("since") else None
    if since is None and until is not None:
        since = 0
    earlier, watcher = engine.events.watch(since)

    def happening() -> Iterator[bytes]:
        for event in earlier:
            if until is None or event["timeNano"] <= until:
                yield b"" if not matches(event, filters) else line(event)
        while not watcher.closed:
            left = None if until is None else (until - time.time_ns()) / 1e9
            if left is not None and left <= 0:
                return
            if not request.await_either(watcher.bell.fileno(), timeout=left):
                return
            for event in watcher.take():
                if matches(event, filters):
                    yield line(event)

    return Stream(happening(), close=watcher.close)


def disk_use(engine: Engine, request: Request) -> Answer:
    """`docker system df`."""
    return as_json(df.disk_use(engine))


def login(engine: Engine, request: Request) -> Answer:
    """`docker login`."""
    return as_json({"Status": logging_in.login(engine, request.json()), "IdentityToken": ""})
