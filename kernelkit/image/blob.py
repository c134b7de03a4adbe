"""A blob on its way here: written to a file under another name, hashed as it comes, and readable meanwhile.

What has arrived stays when the process is killed, and the next download goes on from there.  Only when size and digest
are right does the blob get its own name.
"""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

from kernelkit.errors import RegistryError
from kernelkit.image.manifest import Descriptor

_PIECE = 1 << 18  # bytes read back at once


class WrongContent(RegistryError):
    """What came is not what the digest says; `resumed` when part of it was here before."""

    def __init__(self, message: str, *, resumed: bool) -> None:
        super().__init__(message, "the registry, or something on the way to it, gives out damaged content")
        self.resumed = resumed


class Download:
    """The sink of one blob's bytes, and their source for whoever wants them as they come.

    `heard` is called with the number of bytes so far; it ends the download by raising.
    """

    def __init__(self, blob: Descriptor, final: Path, heard: Callable[[int], None] = lambda _: None) -> None:
        self.blob = blob
        self.final = final
        self.partial = final.with_name(f"{final.name}.partial")
        self.received = 0
        self._heard = heard
        self._change = threading.Condition()
        self._is_done = False
        self._error: BaseException | None = None
        final.parent.mkdir(parents=True, exist_ok=True)
        self._fd = os.open(self.partial, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        self._hash = hashlib.new(blob.digest.partition(":")[0])
        self.resumed = os.fstat(self._fd).st_size
        if self.resumed > blob.size:
            self.restart()
        while piece := os.pread(self._fd, 1 << 20, self.received):
            self._hash.update(piece)
            self.received += len(piece)

    def restart(self) -> None:
        """Forget what came before."""
        os.ftruncate(self._fd, 0)
        self._hash = hashlib.new(self.blob.digest.partition(":")[0])
        self.received = self.resumed = 0

    def write(self, piece: bytes) -> None:
        """Take the next bytes; raises WrongContent when there are more than there should be."""
        if self.received + len(piece) > self.blob.size:
            raise self._wrong(f"blob '{self.blob.digest}' is larger than the {self.blob.size} bytes it should have")
        at = self.received
        for start in range(0, len(piece), _PIECE):
            part = memoryview(piece)[start : start + _PIECE]
            while part:
                written = os.pwrite(self._fd, part, at)
                part, at = part[written:], at + written
        self._hash.update(piece)
        with self._change:
            self.received = at
            self._change.notify_all()
        self._heard(at)

    def finish(self) -> None:
        """Verify, sync, and give the blob its own name; raises WrongContent."""
        if self.received != self.blob.size:
            raise self._wrong(f"blob '{self.blob.digest}' has {self.received} bytes instead of {self.blob.size}")
        if self._hash.hexdigest() != self.blob.digest.partition(":")[2]:
            raise self._wrong(f"filesystem layer verification failed for digest {self.blob.digest}")
        os.fdatasync(self._fd)
        self.partial.rename(self.final)
        with self._change:
            self._is_done = True
            self._change.notify_all()

    def fail(self, error: BaseException) -> None:
        """Let whoever waits for more know that it will not come."""
        with self._change:
            self._error = self._error or error
            self._change.notify_all()

    def discard(self) -> None:
        """Remove what has arrived."""
        self.partial.unlink(missing_ok=True)

    def close(self) -> None:
        """Close the file; what is in it stays."""
        os.close(self._fd)

    def pieces(self) -> Iterator[bytes]:
        """The bytes as they arrive; ends only after they have been verified, and raises when they could not be."""
        at = 0
        while at < self.blob.size:
            with self._change:
                self._change.wait_for(lambda: self._error or self.received > at)  # noqa: B023
                if self._error:
                    raise self._error
                available = self.received
            while at < available:
                piece = os.pread(self._fd, min(_PIECE, available - at), at)
                if not piece:  # a restart has taken it back
                    break
                at += len(piece)
                yield piece
        with self._change:
            self._change.wait_for(lambda: self._error or self._is_done)
        if self._error:
            raise self._error

    def _wrong(self, message: str) -> WrongContent:
        return WrongContent(message, resumed=self.resumed > 0)
