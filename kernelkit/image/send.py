"""The request by which a blob is uploaded, as an operation."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import InitVar, dataclass
from io import FileIO
from typing import Any

from kernelkit.image.http import PIECE, Answer, Connection, content_of, refusal, said_authorization
from kernelkit.kernel.words import join


@dataclass(frozen=True)
class SendBlob:
    """Upload a file of `size` bytes to where the registry wants it, from `offset` on."""

    url: str
    path: str
    size: int
    offset: int = 0
    authorization: str = ""
    connection: InitVar[Connection | None] = None
    sent: InitVar[Callable[[int], None] | None] = None

    def __post_init__(self, connection: Connection | None, sent: Callable[[int], None] | None) -> None:
        object.__setattr__(self, "_private", (connection, sent))

    def perform(self) -> Answer:
        """Raises Refused for an answer of 400 and above, Broken when the connection breaks.

        What `sent` raises, when it is told how many bytes have gone, ends the upload.
        """
        connection, sent = self._private  # type: ignore[attr-defined]
        headers = {
            "Content-Type": "application/octet-stream",
            "Content-Range": f"{self.offset}-{self.size - 1}",
        }
        with open(self.path, "rb", buffering=0) as file:
            file.seek(self.offset)
            body = _Upload(file, self.size - self.offset, self.offset, sent)
            response = (connection or Connection()).open("PATCH", self.url, headers, body)
        try:
            content = content_of(response)
        finally:
            response.close()
        if response.status_code == 401 and not self.authorization:
            return Answer(response.status_code, response.headers, content, response.url)
        if response.status_code >= 400:
            raise refusal(response.status_code, response.headers, content, self.url)
        return Answer(response.status_code, response.headers, content, response.url)

    def shell(self) -> str:
        """As curl(1) says it."""
        kind = ["-H", "Content-Type: application/octet-stream"]
        rest = ["-H", f"Content-Range: {self.offset}-{self.size - 1}"]
        send = join(["curl", "-fsS", "-X", "PATCH", *kind, *rest, "--data-binary", "@-", self.url])
        return (
            f"{join(['tail', '-c', f'+{self.offset + 1}', self.path])} | {send}{said_authorization(self.authorization)}"
        )

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_private": (None, None)}


class _Upload:
    """The rest of a file, as requests takes it: something with a length that can be read."""

    def __init__(self, file: FileIO, length: int, offset: int, sent: Callable[[int], None] | None) -> None:
        self._file, self._length, self._at, self._sent = file, length, offset, sent

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[bytes]:
        while piece := self.read(PIECE):
            yield piece

    def read(self, size: int = -1) -> bytes:
        """The next piece, larger than what http.client asks for."""
        if self._sent:
            self._sent(self._at)
        piece = self._file.read(max(size, PIECE))
        self._at += len(piece)
        return piece
