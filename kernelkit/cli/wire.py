"""What comes over a connection: the messages of HTTP/1.1 (RFC 9112), and nothing before the first byte is needed.

    Wire        one connection: a socket and what was received and not yet used
    Response    status, headers, and the body as a whole, in pieces or in lines

Status line (section 4), field lines (5), chunked bodies (7.1).
"""

from __future__ import annotations

import _socket

from kernelkit.cli import jsontext
from kernelkit.cli.output import Failure

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

PIECE = 65536
MSG_NOSIGNAL = _socket.MSG_NOSIGNAL


class ConnectionLost(Failure):
    """The engine went away in the middle of an answer."""

    def __init__(self, why: str) -> None:
        super().__init__(f"the connection to the engine was lost: {why}")


class Wire:
    """One connection to the engine."""

    def __init__(self, path: str) -> None:
        self.socket = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
        self.rest = b""
        try:
            self.socket.connect(path)
        except BaseException:
            self.socket.close()
            raise

    def send(self, content: bytes) -> None:
        """Send all of it."""
        self.socket.sendall(content, MSG_NOSIGNAL)

    def receive(self) -> bytes:
        """Some bytes, at least one; empty at the end of the stream."""
        if self.rest:
            content, self.rest = self.rest, b""
            return content
        return self.socket.recv(PIECE)

    def line(self) -> bytes:
        """One line without its end."""
        while (end := self.rest.find(b"\n")) < 0:
            more = self.socket.recv(PIECE)
            if not more:
                raise ConnectionLost("it closed in the middle of a line")
            self.rest += more
        line, self.rest = self.rest[:end], self.rest[end + 1 :]
        return line.rstrip(b"\r")

    def close(self) -> None:
        """Close it; whatever is still under way is lost."""
        self.socket.close()


class Response:
    """An answer whose body has not been read yet; `keep` is given the wire once it has been and can serve again."""

    def __init__(self, wire: Wire, method: str, keep: Callable[[Wire], None]) -> None:
        self._keep = keep
        self._kept = False
        self.wire = wire
        self.status, self.headers = self._head()
        while self.status in (100, 102, 103):
            self.status, self.headers = self._head()
        length = self.headers.get("content-length", "")
        self._chunked = "chunked" in self.headers.get("transfer-encoding", "").lower()
        self._left = int(length) if length.isdigit() and not self._chunked else -1
        if method == "HEAD" or self.status in (204, 304):
            self._left, self._chunked = 0, False
        if self._left == 0:
            self._done()

    def _head(self) -> tuple[int, dict[str, str]]:
        words = self.wire.line().split(None, 2)
        if len(words) < 2 or not words[0].startswith(b"HTTP/1.") or not words[1].isdigit():
            raise ConnectionLost("what answers there does not speak HTTP")
        headers: dict[str, str] = {}
        while field := self.wire.line():
            name, _, value = field.partition(b":")
            headers[name.decode("latin-1").strip().lower()] = value.decode("latin-1").strip()
        return int(words[1]), headers

    def pieces(self) -> Iterator[bytes]:
        """The body as it arrives."""
        if self._chunked:
            yield from self._chunks()
        elif self._left >= 0:
            while self._left:
                piece = self.wire.receive()
                if not piece:
                    raise ConnectionLost(f"{self._left} bytes of the answer are missing")
                if len(piece) > self._left:
                    piece, self.wire.rest = piece[: self._left], piece[self._left :]
                self._left -= len(piece)
                yield piece
        else:
            while piece := self.wire.receive():
                yield piece
            self.close()
            return
        self._done()

    def _chunks(self) -> Iterator[bytes]:
        while size := int(self.wire.line().split(b";")[0] or b"0", 16):
            while size:
                piece = self.wire.receive()
                if not piece:
                    raise ConnectionLost("the answer ended in the middle of a chunk")
                if len(piece) > size:
                    piece, self.wire.rest = piece[:size], piece[size:]
                size -= len(piece)
                yield piece
            self.wire.line()
        while self.wire.line():
            pass
        self._chunked, self._left = False, 0

    def read(self) -> bytes:
        """The whole body."""
        return b"".join(self.pieces())

    def json(self) -> Any:
        """The body as JSON."""
        return jsontext.decode(self.read())

    def messages(self) -> Iterator[Any]:
        """The body as a stream of JSON objects, one a line."""
        rest = b""
        for piece in self.pieces():
            *lines, rest = (rest + piece).split(b"\n")
            for line in lines:
                if line.strip():
                    yield jsontext.decode(line)
        if rest.strip():
            yield jsontext.decode(rest)

    def end(self) -> None:
        """Ask for the end of a body that has none of its own: what there was until now still comes, then its end."""
        self._kept = True  # nothing more can be asked over this wire
        self.wire.socket.shutdown(_socket.SHUT_WR)

    def close(self) -> None:
        """Give up the rest of the body, and the connection with it."""
        self.wire.close()

    def _done(self) -> None:
        self._left, self._chunked = 0, False
        if not self._kept and self.headers.get("connection", "").lower() != "close":
            self._kept = True
            self._keep(self.wire)
