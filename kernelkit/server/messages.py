"""What is asked and what is answered, without their HTTP clothes."""

from __future__ import annotations

import json
import select
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from kernelkit.errors import InvalidRequest
from kernelkit.trace import explain_within

LARGEST_JSON = 8 << 20  # bytes of a JSON body
JSON = "application/json"
FALSE = ("", "0", "no", "false", "none")

Handover = Callable[[], tuple[int, bytes]]


@dataclass
class Request:
    """One request: `query` and `headers` (lower case) as sent, `parts` the path's named pieces, `body` its content."""

    method: str
    path: str
    query: Mapping[str, list[str]]
    headers: Mapping[str, str]
    body: Iterator[bytes]
    client: socket.socket
    version: tuple[int, int] = (1, 50)
    parts: dict[str, str] = field(default_factory=dict)

    def __getitem__(self, name: str) -> str:
        return self.parts[name]

    def text(self, name: str, default: str = "") -> str:
        """A parameter of the query, the last one if there are several."""
        values = self.query.get(name)
        return values[-1] if values else default

    def texts(self, name: str) -> list[str]:
        """All values of a parameter."""
        return list(self.query.get(name, ()))

    def flag(self, name: str, *, default: bool = False) -> bool:
        """A yes or no, in Docker's spellings."""
        values = self.query.get(name)
        return values[-1].strip().lower() not in FALSE if values else default

    def number(self, name: str, default: int | None = None) -> int | None:
        """A whole number; InvalidRequest for anything else."""
        value = self.text(name)
        if not value:
            return default
        try:
            return int(value)
        except ValueError:
            raise InvalidRequest(f"invalid value '{value}' for '{name}': not a whole number") from None

    def filters(self) -> dict[str, list[str]]:
        """The `filters` parameter: {"status": {"exited": true}} and {"status": ["exited"]} say the same."""
        text = self.text("filters")
        if not text:
            return {}
        try:
            given = json.loads(text)
            return {key: [str(v) for v, on in _pairs(values) if on] for key, values in given.items()}
        except (ValueError, AttributeError, TypeError):
            raise InvalidRequest("invalid filter") from None

    def read(self, limit: int = LARGEST_JSON) -> bytes:
        """The whole body; InvalidRequest when it is longer than `limit` bytes."""
        content = bytearray()
        for chunk in self.body:
            content += chunk
            if len(content) > limit:
                raise InvalidRequest(f"the request's body is too large: more than {limit} bytes")
        return bytes(content)

    def json(self) -> dict[str, Any]:
        """The body as a JSON object; empty when there is none."""
        content = self.read()
        if not content.strip():
            return {}
        try:
            value = json.loads(content)
        except (ValueError, RecursionError) as error:
            raise InvalidRequest(f"invalid JSON: {error}") from None
        if value is None:
            return {}
        if not isinstance(value, dict):
            raise InvalidRequest("invalid JSON: not an object")
        return value

    def await_either(self, *descriptors: int, timeout: float | None = None) -> bool:
        """Wait until one of the descriptors is readable or `timeout` seconds have passed; False if the client left."""
        poll = select.poll()
        poll.register(self.client, select.POLLIN | select.POLLRDHUP)
        for descriptor in descriptors:
            poll.register(descriptor, select.POLLIN)
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            left = None if deadline is None else max(0.0, deadline - time.monotonic())
            ready = dict(poll.poll(None if left is None else left * 1000))
            about_client = ready.pop(self.client.fileno(), 0)
            if about_client & (select.POLLRDHUP | select.POLLHUP | select.POLLERR):
                return False
            if about_client:
                poll.unregister(self.client)  # it has sent its next request already; that one has to wait
            if ready or not about_client:
                return True


def _pairs(values: Any) -> Iterator[tuple[Any, bool]]:
    if isinstance(values, dict):
        for value, on in values.items():
            yield value, bool(on)
    elif isinstance(values, list):
        for value in values:
            yield value, True
    else:
        raise TypeError("neither a list nor a map")


@dataclass(frozen=True)
class Reply:
    """An answer that is known as a whole."""

    status: int = 200
    body: bytes = b""
    content_type: str = ""
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Stream:
    """An answer that comes piece by piece; its head is sent before the first piece is waited for.

    An exception out of `chunks` cuts the connection off, so that nobody takes half an answer for a whole one. `close`
    is called at the end, also when there was nobody any more to begin for.
    """

    chunks: Iterator[bytes]
    content_type: str = JSON
    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()
    close: Callable[[], None] | None = None


@dataclass(frozen=True)
class Hijack:
    """The connection itself goes to somebody else.

    `take(handover)` is called once; it calls `handover()`, which sends the answer's head and gives the connection's
    descriptor (now the taker's to close) with what the client has sent beyond its request.
    """

    take: Callable[[Handover], None]
    content_type: str = "application/vnd.docker.raw-stream"


Answer = Reply | Stream | Hijack


def as_json(value: object, status: int = 200, headers: tuple[tuple[str, str], ...] = ()) -> Reply:
    """A reply that says this in JSON, with a newline at its end as Docker's."""
    return Reply(status, json.dumps(value, separators=(",", ":")).encode() + b"\n", JSON, headers)


def empty(status: int = 204) -> Reply:
    """A reply that says nothing but its status."""
    return Reply(status)


def line(value: object) -> bytes:
    """One message of a stream of JSON objects; Docker ends them with CR LF."""
    return json.dumps(value, separators=(",", ":")).encode() + b"\r\n"


def words(error: BaseException) -> str:
    """What an error says to a client."""
    return (explain_within(error) if isinstance(error, OSError) else str(error)) or type(error).__name__
