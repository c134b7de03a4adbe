"""Something that answers like an engine: fixed answers on a unix socket, and a note of what was asked.

It stands for the other end of the wire, so that the command line's own behaviour can be seen without a kernel; how the
real engine answers is for tests/e2e.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from socketserver import ThreadingMixIn, UnixStreamServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

Answer = Any  # JSON; (status, JSON); or a function of the request that writes the answer itself


class Asked:
    """A request as it came."""

    def __init__(self, method: str, path: str, query: dict[str, list[str]], body: bytes) -> None:
        self.method = method
        self.path = path
        self.query = query
        self.body = body

    def __repr__(self) -> str:
        return f"{self.method} {self.path} {self.query} {self.body!r}"

    def plain(self) -> tuple[str, str, dict[str, list[str]], Any]:
        """The request as values that compare: whatever is JSON is read, so that the order of keys does not count."""
        given = {key: [value for value in values if value] for key, values in self.query.items()}
        query = {key: [_read(value) for value in values] for key, values in given.items() if values}
        return self.method, self.path, query, _read(self.body.decode("latin-1"))


def _read(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


class _Server(ThreadingMixIn, UnixStreamServer):
    daemon_threads = True
    request_queue_size = 128


class FakeEngine:
    """Answers requests from a table: `{"GET /containers/json": […]}`; unknown ones with 404 and Docker's words."""

    def __init__(self, path: Path, answers: dict[str, Answer] | None = None, version: str = "1.50") -> None:
        self.path = path
        self.answers = answers or {}
        self.version = version
        self.asked: list[Asked] = []
        engine = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_one_request(self) -> None:
                try:
                    super().handle_one_request()
                except ConnectionError:
                    self.close_connection = True

            def address_string(self) -> str:
                return "unix"

            def log_message(self, *_: object) -> None:
                pass

            def __getattr__(self, name: str) -> Callable[[], None]:
                if name.startswith("do_"):
                    return lambda: engine.answer(self)
                raise AttributeError(name)

        self._server = _Server(os.fspath(path), Handler)
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        """Answer one request."""
        url = urlsplit(handler.path)
        path = url.path
        if path.startswith("/v1."):
            path = "/" + path.split("/", 2)[2]
        query: dict[str, list[str]] = {}
        for key, value in parse_qsl(url.query, keep_blank_values=True):
            query.setdefault(key, []).append(value)
        asked = Asked(handler.command, path, query, _body(handler))
        if path == "/_ping":
            return send(
                handler, 200, b"OK", [("Api-Version", self.version), ("Builder-Version", "1"), ("Ostype", "linux")]
            )
        self.asked.append(asked)
        answer = self.answers.get(f"{handler.command} {path}", (404, {"message": f"No such thing: {path}"}))
        if callable(answer):
            return answer(handler)
        status, content = answer if isinstance(answer, tuple) else (200, answer)
        return send(handler, status, b"" if content is None else json.dumps(content).encode())

    def close(self) -> None:
        """Stop answering."""
        self._server.shutdown()
        self._server.server_close()


def send(
    handler: BaseHTTPRequestHandler, status: int, content: bytes, headers: list[tuple[str, str]] | None = None
) -> None:
    """Send a whole answer."""
    handler.send_response(status)
    for name, value in headers or []:
        handler.send_header(name, value)
    handler.send_header("Content-Type", "application/json")
    if status not in (204, 304):
        handler.send_header("Content-Length", str(len(content)))
    handler.end_headers()
    if handler.command != "HEAD" and status not in (204, 304):
        handler.wfile.write(content)


def chunked(*pieces: bytes, kind: str = "application/json") -> Callable[[BaseHTTPRequestHandler], None]:
    """An answer that comes in pieces."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Type", kind)
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        for piece in pieces:
            handler.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece))
            handler.wfile.flush()
        handler.wfile.write(b"0\r\n\r\n")

    return answer


def _body(handler: BaseHTTPRequestHandler) -> bytes:
    if handler.headers.get("Transfer-Encoding") == "chunked":
        content = b""
        while size := int(handler.rfile.readline().strip(), 16):
            content += handler.rfile.read(size)
            handler.rfile.readline()
        handler.rfile.readline()
        return content
    return handler.rfile.read(int(handler.headers.get("Content-Length") or 0))


def stock_docker() -> str:
    """Docker's own client, version 28 or newer, whose words ours are compared with; empty when PATH has none."""
    for folder in os.environ.get("PATH", "").split(os.pathsep):
        found = shutil.which("docker", path=folder)
        if not found:
            continue
        said = subprocess.run([found, "--version"], capture_output=True, text=True).stdout
        version = said.removeprefix("Docker version ").partition(".")[0]
        if version.isdigit() and int(version) >= 28:
            return found
    return ""
