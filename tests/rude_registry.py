"""A registry that misbehaves: the real protocol over real sockets, with one thing wrong at a time.

It serves an OCI layout.  A test changes `faults`: functions asked before each answer, which may give another one.
"""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

PASSWORD = base64.b64encode(b"me:right").decode()


@dataclass
class Reply:
    """An answer: `cut` is after how many bytes of the body the connection breaks, None for not at all."""

    code: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    cut: int | None = None


@dataclass(frozen=True)
class Asked:
    """A request as it came in."""

    method: str
    path: str
    headers: dict[str, str]

    @property
    def kind(self) -> str:
        """`manifests`, `blobs`, `token`, …"""
        return next((word for word in ("manifests", "blobs", "token", "elsewhere") if f"/{word}" in self.path), "")


Fault = Callable[[Asked, Reply], Reply | None]


class RudeRegistry:
    """One server on loopback; `asked` is every request so far.

    `token` makes it want one, from its own token server, which with `private` wants a name and a password first.
    `basic` makes it want these itself.
    """

    def __init__(self, layout: Path, *, token: bool = False, private: bool = False, basic: bool = False) -> None:
        self.layout = layout
        self.token, self.private, self.basic = token, private, basic
        self.asked: list[Asked] = []
        self.faults: list[Fault] = []
        registry = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                registry._answer(self)

            do_HEAD = do_POST = do_GET

            def log_message(self, format: str, *arguments: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.host = f"127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    def stop(self) -> None:
        """End it."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def count(self, kind: str) -> int:
        """How many requests of a kind there were."""
        return sum(asked.kind == kind for asked in self.asked)

    def _answer(self, handler: BaseHTTPRequestHandler) -> None:
        asked = Asked(handler.command, handler.path, {name.lower(): value for name, value in handler.headers.items()})
        if length := int(asked.headers.get("content-length", 0)):
            handler.rfile.read(length)
        self.asked.append(asked)
        reply = self._reply(asked)
        for fault in list(self.faults):
            reply = fault(asked, reply) or reply
        handler.send_response(reply.code)
        for name, value in {"Content-Length": str(len(reply.body)), **reply.headers}.items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(reply.body[: reply.cut])
        if reply.cut is not None:
            handler.wfile.flush()
            handler.connection.shutdown(2)
            handler.close_connection = True

    def _reply(self, asked: Asked) -> Reply:
        url = urlsplit(asked.path)
        given = asked.headers.get("authorization", "")
        if url.path == "/token":
            if self.private and given != f"Basic {PASSWORD}":
                return Reply(401, b'{"details": "incorrect username or password"}')
            return Reply(200, json.dumps({"token": "opensesame-" + parse_qs(url.query)["scope"][0]}).encode())
        if self.basic and given != f"Basic {PASSWORD}":
            return Reply(401, b"", {"WWW-Authenticate": 'Basic realm="here"'})
        name = url.path.removeprefix("/v2/").rpartition("/")[0].rpartition("/")[0]
        scope = f"repository:{name}:pull"
        if self.token and given != f"Bearer opensesame-{scope}":
            challenge = f'Bearer realm="http://{self.host}/token",service="rude",scope="{scope}"'
            return Reply(
                401, b'{"errors": [{"code": "UNAUTHORIZED", "message": "who is it?"}]}', {"WWW-Authenticate": challenge}
            )
        return self._content(url.path.rpartition("/")[2], asked)

    def _content(self, name: str, asked: Asked) -> Reply:
        tops = json.loads((self.layout / "index.json").read_bytes())["manifests"]
        by_tag = {top["annotations"]["org.opencontainers.image.ref.name"]: top for top in tops}
        digest = by_tag[name]["digest"] if name in by_tag else name
        path = self.layout / "blobs" / digest.replace(":", "/")
        if ":" not in digest or not path.exists():
            return Reply(404, b'{"errors": [{"code": "MANIFEST_UNKNOWN", "message": "manifest unknown"}]}')
        body = path.read_bytes()
        if asked.kind == "manifests":
            return Reply(200, body, {"Content-Type": json.loads(body)["mediaType"], "Docker-Content-Digest": digest})
        first = asked.headers.get("range", "").removeprefix("bytes=").rstrip("-")
        if first.isdigit():
            span = f"bytes {first}-{len(body) - 1}/{len(body)}"
            return Reply(206, body[int(first) :], {"Content-Range": span})
        return Reply(200, body)


def first(count: int, kind: str, reply: Reply) -> Fault:
    """The fault of answering so to the first few requests of a kind."""
    left = [count]

    def fault(asked: Asked, _: Reply) -> Reply | None:
        if asked.kind != kind or not left[0]:
            return None
        left[0] -= 1
        return reply

    return fault
