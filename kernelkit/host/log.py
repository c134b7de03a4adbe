"""A container's log, in Docker's json-file format: one JSON object a line, rotated by size, the older files packed."""

from __future__ import annotations

import contextlib
import json
import os
import struct
import time
import zlib

from kernelkit.host.channel import LogSettings

LONGEST = 16384  # Docker splits lines longer than this into several entries
PACKED = b"\x1f\x8b\x08\0"
HEADER = struct.Struct("<4sIxB")  # RFC 1952: gzip, deflate, no flags; a time; nothing extra; by whom
PIECE = 1 << 20  # bytes of a rotated file that are packed at once


def timestamp(seconds: float) -> str:
    """RFC 3339 with nanoseconds in UTC, as Docker writes times."""
    whole, nanoseconds = divmod(int(seconds * 1e9), 1_000_000_000)
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(whole)) + f".{nanoseconds:09d}Z"


class Log:
    """Writes what a process says, line by line; an unfinished line waits for its end or the log's."""

    def __init__(self, settings: LogSettings) -> None:
        self._settings = settings
        self._extra = f'"attrs":{settings.attributes},' if settings.attributes else ""
        self._file = -1
        self._size = 0
        self._unfinished: dict[str, bytes] = {}

    def write(self, stream: str, data: bytes) -> None:
        """Add output of `stdout` or `stderr`."""
        data = self._unfinished.pop(stream, b"") + data
        now = timestamp(time.time())
        out = bytearray()
        start = 0
        while start < len(data):
            end = data.find(b"\n", start, start + LONGEST) + 1
            if end == 0:
                if len(data) - start < LONGEST:
                    self._unfinished[stream] = data[start:]
                    break
                end = start + LONGEST
            out += _entry(stream, data[start:end], now, self._extra)
            start = end
            if self._settings.max_size:  # then each entry may be the one that is too much for the file
                self._append(bytes(out))
                out.clear()
        if out:
            self._append(bytes(out))

    def close(self) -> None:
        """Write what was left unfinished; close the file."""
        for stream, rest in self._unfinished.items():
            self._append(_entry(stream, rest, timestamp(time.time()), self._extra))
        self._unfinished.clear()
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def _append(self, entry: bytes) -> None:
        # Opened at the first word: a container that says nothing costs no file.
        if self._file < 0:
            self._file = os.open(self._settings.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o640)
            self._size = os.fstat(self._file).st_size
        if self._settings.max_size and self._size and self._size + len(entry) > self._settings.max_size:
            self._rotate()
        try:
            os.write(self._file, entry)
            self._size += len(entry)
        except OSError:
            return  # a full disk must not stop the container; what could not be written is lost, as with Docker

    def _rotate(self) -> None:
        os.close(self._file)
        path, kept = self._settings.path, self._settings.max_file
        if kept > 1:
            for ending in ("", ".gz"):
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(f"{path}.{kept - 1}{ending}")
                for number in range(kept - 1, 1, -1):
                    with contextlib.suppress(FileNotFoundError):
                        os.rename(f"{path}.{number - 1}{ending}", f"{path}.{number}{ending}")
            os.rename(path, f"{path}.1")
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_TRUNC
        self._file = os.open(path, flags, 0o640)
        self._size = 0
        if kept > 1 and self._settings.compress:
            with contextlib.suppress(OSError):  # on a full disk the file stays as it is
                squeeze(f"{path}.1")


def squeeze(path: str) -> None:
    """Put a gzip file, its name ending in `.gz`, in the place of a file."""
    packed, unfinished = f"{path}.gz", f"{path}.tmp"
    try:
        with open(path, "rb") as plain, open(unfinished, "wb", opener=_as_log) as file:
            status = os.fstat(plain.fileno())
            # In the place of the time, which nobody asks for, which file it was: who follows the log looks for it.
            file.write(HEADER.pack(PACKED, status.st_ino & 0xFFFFFFFF, 255))
            press, check, size = zlib.compressobj(1, wbits=-15), 0, 0
            while piece := plain.read(PIECE):
                file.write(press.compress(piece))
                check, size = zlib.crc32(piece, check), size + len(piece)
            file.write(press.flush() + struct.pack("<II", check, size & 0xFFFFFFFF))
        os.rename(unfinished, packed)
    except OSError:
        with contextlib.suppress(OSError):
            os.unlink(unfinished)
        raise
    os.unlink(path)


def _as_log(path: str, flags: int) -> int:
    return os.open(path, flags, 0o640)


def _entry(stream: str, line: bytes, now: str, extra: str) -> bytes:
    text = json.dumps(line.decode("utf-8", "replace"), ensure_ascii=False)
    return f'{{"log":{text},"stream":"{stream}",{extra}"time":"{now}"}}\n'.encode()
