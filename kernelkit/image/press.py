"""Compresses what streams by into a file, in a thread of its own: gzip by isal, a little larger and much faster."""

from __future__ import annotations

import hashlib
import os
import queue
import threading
from collections.abc import Iterable, Iterator

from isal import isal_zlib

_LEVEL = 1
_GZIP = 31  # a window of 32 KiB and a gzip header, which then carries no time of its own (zlib.h, deflateInit2)
_AHEAD = 8  # pieces that may wait


class Press:
    """One file in the making; `plain` is the hash of what went in."""

    def __init__(self, path: str) -> None:
        self.plain = hashlib.sha256()
        self._packed = hashlib.sha256()
        self._size = 0
        self._error: BaseException | None = None
        self._queue: queue.Queue[bytes | None] = queue.Queue(_AHEAD)
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
        self._thread = threading.Thread(target=self._work, name="press")
        self._thread.start()

    def passing(self, pieces: Iterable[bytes]) -> Iterator[bytes]:
        """The same pieces, each one also on its way into the file; raises OSError when the disk is full."""
        for piece in pieces:
            if self._error:
                raise self._error
            if piece:
                self._queue.put(piece)
                yield piece

    def finish(self) -> tuple[str, int]:
        """Write what is left, sync, close; the file's digest and size. Raises OSError."""
        self._queue.put(None)
        self._thread.join()
        try:
            if self._error:
                raise self._error
            os.fdatasync(self._fd)
        finally:
            os.close(self._fd)
        return f"sha256:{self._packed.hexdigest()}", self._size

    def _work(self) -> None:
        press = isal_zlib.compressobj(_LEVEL, isal_zlib.DEFLATED, _GZIP)
        while True:
            piece = self._queue.get()
            if self._error is None:
                try:
                    if piece is not None:
                        self.plain.update(piece)
                    self._write(press.compress(piece) if piece is not None else press.flush())
                except BaseException as error:
                    self._error = error
            if piece is None:
                return

    def _write(self, packed: bytes) -> None:
        self._packed.update(packed)
        self._size += len(packed)
        while packed:
            packed = packed[os.write(self._fd, packed) :]
