"""Keeps what streams by in a file, in a thread of its own: as it is, or as gzip by isal, larger and much faster."""

from __future__ import annotations

import hashlib
import os
import queue
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from isal import isal_zlib

from kernelkit.image.manifest import LAYER, Descriptor
from kernelkit.kernel.words import join

_LEVEL = 1
_GZIP = 31  # a window of 32 KiB and a gzip header, which then carries no time of its own (zlib.h, deflateInit2)
_PIECE = 1 << 18  # bytes read at once
_ZEROS = bytes(1 << 20)
_AHEAD = 24  # pieces that may wait: few enough to hold, enough for a busy machine


class Press:
    """One file in the making; `plain` is the hash of what went in."""

    def __init__(self, path: str, *, compress: bool = True) -> None:
        self.plain = hashlib.sha256()
        self._packed = hashlib.sha256() if compress else self.plain
        self._is_compressing = compress
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
            os.ftruncate(self._fd, self._size)
            os.fdatasync(self._fd)
        finally:
            os.close(self._fd)
        return f"sha256:{self._packed.hexdigest()}", self._size

    def _work(self) -> None:
        press = isal_zlib.compressobj(_LEVEL, isal_zlib.DEFLATED, _GZIP) if self._is_compressing else None
        while True:
            piece = self._queue.get()
            if self._error is None:
                try:
                    if piece is not None:
                        self.plain.update(piece)
                    if press is not None:
                        packed = press.compress(piece) if piece is not None else press.flush()
                        self._packed.update(packed)
                        self._write(packed)
                    elif piece is not None:
                        self._write(piece)
                except BaseException as error:
                    self._error = error
            if piece is None:
                return

    def _write(self, data: bytes) -> None:
        self._size += len(data)
        if data == _ZEROS[: len(data)]:  # a hole, for those of a large file with holes take no room either
            os.lseek(self._fd, len(data), os.SEEK_CUR)
            return
        while data:
            data = data[os.write(self._fd, data) :]


@dataclass(frozen=True)
class Compress:
    """Compress a layer's archive into another file."""

    archive: str
    compressed: str

    def perform(self) -> Descriptor:
        """The blob that the other file is; raises OSError."""
        press = Press(self.compressed)
        try:
            with open(self.archive, "rb", buffering=0) as file:
                for _ in press.passing(iter(lambda: file.read(_PIECE), b"")):
                    pass
        except BaseException:
            press.finish()
            raise
        return Descriptor(f"{LAYER}+gzip", *press.finish())

    def shell(self) -> str:
        """As gzip(1) says it."""
        return f"{join(['gzip', '-1', '-n', '-c', self.archive])} > {join([self.compressed])}"
