"""A client of HTTP/1.1 over a unix socket, as small as the Docker Engine API needs it.

    Client      knows the socket's path and the API version; hands out connections and takes them back
    Pending     a request that was sent and not yet answered

The usual libraries import for 40 ms before their first byte; this one talks after none. RFC 9112 is what it follows,
and for Upgrade RFC 9110, section 7.8; answers are read in `wire`.
"""

from __future__ import annotations

import _socket
import os

from kernelkit.cli import jsontext
from kernelkit.cli.output import Failure, complain
from kernelkit.cli.wire import Response, Wire

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any

NEWEST, OLDEST = (1, 50), (1, 24)  # what this client speaks of the Docker Engine API
_PLAIN = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.~")


class ApiError(Failure):
    """The engine said no: its status and its words."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"Error response from daemon: {message}")
        self.status = status
        self.said = message


def quote(text: str, *, safe: bytes = b"") -> str:
    """Percent-encoding for a query (RFC 3986, section 2.1), a space as `+`."""
    allowed = _PLAIN.union(safe)
    parts = [
        chr(b) if b in allowed else "+" if b == 32 and not safe else f"%{b:02X}"
        for b in text.encode("utf-8", "surrogateescape")
    ]
    return "".join(parts)


def query_string(query: Mapping[str, Any] | None) -> str:
    """`?a=1&b=x`, keys in order; None, False and empty values are left out, True is `1`, a list repeats its key."""
    pairs: list[str] = []
    for key, value in sorted((query or {}).items()):
        for one in value if isinstance(value, list) else [value]:
            if one is None or one is False or one == "":
                continue
            pairs.append(f"{quote(key)}={quote('1' if one is True else str(one))}")
    return "?" + "&".join(pairs) if pairs else ""


class Client:
    """Asks the engine that listens on a unix socket."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.server: dict[str, str] = {}  # the headers with which the engine answered the ping
        self.version = NEWEST
        self._idle: list[Wire] = []

    def keep(self, wire: Wire) -> None:
        """Take a connection back for the next request."""
        self._idle.append(wire)

    def ping(self) -> None:
        """Agree on a version: the newest that both sides speak. Raises OSError when nobody listens."""
        wire = Wire(self.path)
        wire.send(b"HEAD /_ping HTTP/1.1\r\nHost: kernelkit\r\nUser-Agent: kernelkit\r\n\r\n")
        response = Response(wire, "HEAD", self.keep)
        self.server = response.headers
        theirs = response.headers.get("api-version", "1.24").split(".")
        if len(theirs) == 2 and theirs[0].isdigit() and theirs[1].isdigit():
            self.version = max(OLDEST, min(NEWEST, (int(theirs[0]), int(theirs[1]))))

    def at_least(self, minor: int) -> bool:
        """Whether the agreed version is 1.`minor` or newer."""
        return self.version >= (1, minor)

    def send(
        self,
        method: str,
        path: str,
        query: Mapping[str, Any] | None = None,
        body: object = None,
        headers: Mapping[str, str] | None = None,
        *,
        upgrade: bool = False,
    ) -> Pending:
        """Send a request and return before it is answered.

        `body` is JSON (dict, list), bytes, or an iterable of bytes, which is sent in chunks. A path below `/kernelkit/`
        carries no API version.
        """
        versioned = "" if path.startswith("/kernelkit/") else "/v{}.{}".format(*self.version)
        target = versioned + quote(path, safe=b"/:@+,") + query_string(query)
        fields = {"Host": "kernelkit", "User-Agent": "kernelkit", **(headers or {})}
        content, chunks = b"", None
        if isinstance(body, bytes):
            content = body
        elif isinstance(body, dict | list):
            content = jsontext.encode(body).encode("utf-8", "surrogatepass")
            fields.setdefault("Content-Type", "application/json")
        elif body is not None:
            chunks = body
        if upgrade:
            fields.update({"Connection": "Upgrade", "Upgrade": "tcp"})
        if chunks is not None:
            fields["Transfer-Encoding"] = "chunked"
        elif content or method in ("POST", "PUT"):
            fields["Content-Length"] = str(len(content))
        head = f"{method} {target} HTTP/1.1\r\n" + "".join(f"{k}: {v}\r\n" for k, v in fields.items()) + "\r\n"
        if os.environ.get("KERNELKIT_DEBUG"):
            complain(f"{method} {target}")
        wire = self._spare() if chunks is None else None
        wire = wire or Wire(self.path)
        wire.send(head.encode("latin-1", "replace") + content)
        if chunks is not None:
            _send_chunks(wire, chunks)  # type: ignore[arg-type]
        return Pending(self, wire, method)

    def _spare(self) -> Wire | None:
        """A connection from an earlier request that the engine has not closed meanwhile."""
        while self._idle:
            wire = self._idle.pop()
            try:
                wire.socket.recv(1, _socket.MSG_PEEK | _socket.MSG_DONTWAIT)
            except BlockingIOError:
                return wire
            except OSError:
                pass
            wire.close()
        return None

    def request(
        self,
        method: str,
        path: str,
        query: Mapping[str, Any] | None = None,
        body: object = None,
        headers: Mapping[str, str] | None = None,
    ) -> Response:
        """Send a request and wait for the head of its answer; raises ApiError for a status of 400 or more."""
        return self.send(method, path, query, body, headers).response()

    def get(self, path: str, query: Mapping[str, Any] | None = None) -> Any:
        """The JSON that the engine has at a path."""
        return self.request("GET", path, query).json()

    def post(self, path: str, query: Mapping[str, Any] | None = None, body: object = None) -> Any:
        """The JSON with which the engine answers a POST; None when it answers without a body."""
        content = self.request("POST", path, query, body).read()
        return jsontext.decode(content) if content.strip() else None

    def delete(self, path: str, query: Mapping[str, Any] | None = None) -> Any:
        """The JSON with which the engine answers a DELETE; None when it answers without a body."""
        content = self.request("DELETE", path, query).read()
        return jsontext.decode(content) if content.strip() else None


class Pending:
    """A request that was sent: its answer can be waited for later."""

    def __init__(self, client: Client, wire: Wire, method: str) -> None:
        self.wire = wire
        self._client = client
        self._method = method

    def response(self) -> Response:
        """The answer; raises ApiError with the engine's words for a status of 400 or more."""
        response = Response(self.wire, self._method, self._client.keep)
        if response.status >= 400:
            raise ApiError(response.status, _words(response))
        return response

    def stream(self) -> Wire:
        """The connection itself, after `101 Switching Protocols` or a `200` that never ends."""
        response = self.response()
        return response.wire


def _words(response: Response) -> str:
    content = response.read().decode("utf-8", "replace").strip()
    if content.startswith("{"):
        try:
            return str(jsontext.decode(content).get("message", content)).strip()
        except ValueError:
            pass
    return content or f"status {response.status}"


def _send_chunks(wire: Wire, chunks: Iterable[bytes]) -> None:
    # An engine that refuses answers before it has read everything and closes: its answer says why, the pipe does not.
    try:
        for chunk in chunks:
            if chunk:
                wire.send(b"%x\r\n%b\r\n" % (len(chunk), chunk))
        wire.send(b"0\r\n\r\n")
    except (BrokenPipeError, ConnectionResetError):
        pass
