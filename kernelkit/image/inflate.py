"""Decompresses a layer as it streams by, in pieces of bounded size: gzip by isal (igzip), zstandard, or none at all.

Archives that people bring themselves may be xz or bzip2 as well.  All these libraries let other threads run meanwhile.
"""

from __future__ import annotations

import bz2
import lzma
from collections.abc import Callable, Iterable, Iterator

import zstandard
from isal import igzip_lib

from kernelkit.kernel.tar import BadArchive

PIECE = 1 << 20  # bytes given on at once
# The decoder keeps this much of what it has produced. Eight MiB is what every decoder must be ready for (RFC 8878,
# section 3.1.1.1.2), more is asked for only by `zstd --ultra` and `--long`.
_LARGEST_WINDOW = 1 << 26
_GZIP = b"\x1f\x8b"
_ZSTD = b"\x28\xb5\x2f\xfd"
_XZ = b"\xfd7zXZ\0"
_BZIP2 = b"BZh"
_XZ_MEMORY = 128 << 20  # bytes; `xz -9` needs 65 MiB
_SKIPPABLE = range(0x50, 0x60)  # the first byte of zstd's skippable frames; the next three are 2a 4d 18


def inflate(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """What was compressed, by whatever the first bytes say it was; raises BadArchive when it is damaged or cut off."""
    source = iter(pieces)
    first = b""
    for piece in source:
        first += piece
        if len(first) >= len(_XZ):
            break
    return _method(first)(_chain(first, source))


def compression(first: bytes) -> str:
    """How content that begins so was compressed: `gzip`, `zstd`, `xz`, `bzip2`, or nothing when it was not."""
    if first.startswith(_GZIP):
        return "gzip"
    if first.startswith(_ZSTD) or (first[:1] and first[0] in _SKIPPABLE and first[1:4] == b"\x2a\x4d\x18"):
        return "zstd"
    if first.startswith(_XZ):
        return "xz"
    return "bzip2" if first.startswith(_BZIP2) else ""


def _method(first: bytes) -> Callable[[Iterator[bytes]], Iterator[bytes]]:
    return {"gzip": _gunzip, "zstd": _unzstd, "xz": _unxz, "bzip2": _bunzip2, "": _plain}[compression(first)]


def _plain(pieces: Iterator[bytes]) -> Iterator[bytes]:
    return pieces


def _gunzip(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Every member of a gzip file, one after the other (RFC 1952, section 2.2)."""
    member = igzip_lib.IgzipDecompressor(flag=igzip_lib.DECOMP_GZIP)
    is_inside = True
    try:
        for piece in pieces:
            data = piece
            while True:
                if not is_inside:
                    # Zeros after the last member are padding; so is, to gunzip(1), whatever else is there.
                    if not data.startswith(_GZIP[: len(data)]) or not data:
                        break
                    member, is_inside = igzip_lib.IgzipDecompressor(flag=igzip_lib.DECOMP_GZIP), True
                yield member.decompress(data, PIECE)
                data = b""
                if member.eof:
                    data, is_inside = member.unused_data, False
                elif member.needs_input:
                    break
    except (igzip_lib.error, EOFError) as error:  # type: ignore[misc]
        raise BadArchive(f"the gzip data is damaged: {error}") from None
    if is_inside:
        raise BadArchive("the gzip data ends too early")


def _unzstd(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Every frame of zstd data (RFC 8878, section 3.1)."""
    reader = zstandard.ZstdDecompressor(max_window_size=_LARGEST_WINDOW).stream_reader(
        _File(pieces),  # type: ignore[arg-type]
        read_size=PIECE // 4,
        read_across_frames=True,
    )
    try:
        while piece := reader.read(PIECE):
            yield piece
    except zstandard.ZstdError as error:
        raise BadArchive(f"the zstd data is damaged: {error}") from None


def _unxz(pieces: Iterator[bytes]) -> Iterator[bytes]:
    return _members(pieces, "xz", _XZ, lambda: lzma.LZMADecompressor(lzma.FORMAT_XZ, _XZ_MEMORY))


def _bunzip2(pieces: Iterator[bytes]) -> Iterator[bytes]:
    return _members(pieces, "bzip2", _BZIP2, bz2.BZ2Decompressor)


def _members(
    pieces: Iterator[bytes], name: str, magic: bytes, make: Callable[[], lzma.LZMADecompressor | bz2.BZ2Decompressor]
) -> Iterator[bytes]:
    """One stream after the other; what follows the last one is padding."""
    member = make()
    try:
        for piece in pieces:
            data = piece
            while True:
                if member.eof:
                    data = member.unused_data + data if member.unused_data else data
                    if not data.startswith(magic[: len(data)]) or not data:
                        break
                    member = make()
                yield member.decompress(data, PIECE)
                data = b""
                if member.needs_input:
                    break
    except (lzma.LZMAError, OSError, EOFError) as error:
        raise BadArchive(f"the {name} data is damaged: {error}") from None
    if not member.eof:
        raise BadArchive(f"the {name} data ends too early")


class _File:
    """Pieces, as something with a `read`."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._left = b""

    def read(self, size: int = -1) -> bytes:
        if not self._left:
            self._left = next(self._pieces, b"")
        taken, self._left = self._left[:size], self._left[size:]
        return taken


def _chain(first: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    if first:
        yield first
    yield from rest
