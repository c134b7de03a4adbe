"""Answers the Docker Engine API on a unix socket: a thread for each connection, the idle ones waiting in accept(2).

accept ─▶ connection: h11 ─▶ router ─▶ handler(engine, request) ─▶ reply, stream or hijack
"""

from __future__ import annotations

import contextlib
import json
import logging
import socket
import threading
from collections import OrderedDict

import h11

from kernelkit import __version__
from kernelkit.engine.engine import Engine
from kernelkit.errors import KernelkitError, OperationFailed
from kernelkit.server.connection import Connection, Headers
from kernelkit.server.messages import JSON, Answer, Reply, Request, words
from kernelkit.server.router import NEWEST, Router
from kernelkit.server.routes import ROUTES

MOST = 1024  # connections at once; the kernel keeps the next ones waiting
SPARE = 8  # threads kept ready for the next connections

HEADERS: Headers = [
    ("Api-Version", f"{NEWEST[0]}.{NEWEST[1]}"),
    ("Docker-Experimental", "false"),
    ("Ostype", "linux"),
    ("Server", f"kernelkit/{__version__} (linux)"),
]

log = logging.getLogger(__name__)


class Server:
    """Serves one engine on one listening socket."""

    def __init__(self, engine: Engine, listener: socket.socket) -> None:
        self._engine = engine
        self._listener = listener
        self._router = Router(ROUTES)
        self._lock = threading.Lock()
        self._spare = 0
        self._threads = 0
        self._idle: OrderedDict[Connection, None] = OrderedDict()
        self._ended = threading.Event()

    def run(self) -> None:
        """Serve until `stop`, or until somebody shuts the listening socket down."""
        with self._lock:
            for _ in range(SPARE):
                self._add_thread()
        self._ended.wait()

    def stop(self) -> None:
        """Take no more connections; those there are go on until their clients leave."""
        self._ended.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def respond(self, request: Request) -> Answer:
        """Answer one request, whatever happens."""
        try:
            return self._router.find(request)(self._engine, request)
        except Exception as error:
            return refuse(error)

    def _add_thread(self) -> None:
        self._spare += 1
        self._threads += 1
        threading.Thread(target=self._work, name="connection", daemon=True).start()

    def _work(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                self._ended.set()
                return
            with self._lock:
                self._spare -= 1
                if self._spare == 0 and self._threads < MOST:
                    self._add_thread()
                elif self._spare == 0 and self._idle:
                    # No thread is left to take the next client: the one who has been silent for longest makes room.
                    next(iter(self._idle)).abandon()
            connection = Connection(client, self.respond, refuse, HEADERS)
            try:
                connection.serve(lambda idle: self._note(connection, idle=idle))  # noqa: B023
            except Exception:
                log.exception("a connection failed")
            with self._lock:
                self._idle.pop(connection, None)
                self._spare += 1
                if self._spare > SPARE:
                    self._spare -= 1
                    self._threads -= 1
                    return

    def _note(self, connection: Connection, *, idle: bool) -> None:
        with self._lock:
            if idle:
                self._idle[connection] = None
            else:
                self._idle.pop(connection, None)


def serve(engine: Engine, listener: socket.socket) -> None:
    """Answer requests for an engine on a listening unix socket until that is shut down."""
    Server(engine, listener).run()


def refuse(error: Exception) -> Reply:
    """The error as the API says it; one that nobody foresaw is logged with its traceback."""
    body: dict[str, object] = {"message": words(error)}
    status = 500
    if isinstance(error, KernelkitError):
        status = error.status
    elif isinstance(error, OSError | h11.RemoteProtocolError):  # the disk, or a client that left in the middle
        log.warning("a request failed: %s", error)
    else:
        log.error("a request failed", exc_info=error)
    if isinstance(error, OperationFailed):
        body["exitCode"] = error.exit_code
    if status == 304:
        return Reply(304)
    return Reply(status, json.dumps(body).encode() + b"\n", JSON)
