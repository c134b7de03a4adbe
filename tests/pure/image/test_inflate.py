"""Layers are decompressed piece by piece, whatever they were compressed with, and never into more than a piece."""

from __future__ import annotations

import bz2
import gzip
import lzma
import random
import zlib

import pytest
import zstandard

from kernelkit.image.inflate import PIECE, inflate
from kernelkit.kernel.tar import BadArchive

TEXT = random.Random(1).randbytes(300_000) + b"layer " * 500_000


def cut(data: bytes, size: int) -> list[bytes]:
    return [data[i : i + size] for i in range(0, len(data), size)]


COMPRESSED = {
    "gzip": gzip.compress(TEXT, 1),
    "gzip in members": b"".join(gzip.compress(part, 1) for part in cut(TEXT, 100_001)),
    "gzip with padding": gzip.compress(TEXT, 1) + bytes(1000),
    "zstd": zstandard.ZstdCompressor().compress(TEXT),
    "zstd in frames": b"".join(zstandard.ZstdCompressor().compress(part) for part in cut(TEXT, 1_000_001)),
    "zstd after a skippable frame": b"\x50\x2a\x4d\x18\x03\0\0\0abc" + zstandard.ZstdCompressor().compress(TEXT),
    "xz": lzma.compress(TEXT, preset=0),
    "xz in streams": b"".join(lzma.compress(part, preset=0) for part in cut(TEXT, 1_000_001)) + bytes(8),
    "bzip2": bz2.compress(TEXT, 1),
    "bzip2 in streams": b"".join(bz2.compress(part, 1) for part in cut(TEXT, 1_000_001)),
    "nothing": TEXT,
}


@pytest.mark.parametrize("kind", COMPRESSED)
@pytest.mark.parametrize("size", [1 << 18, 65_537, 4093])
def test_the_content_comes_out_whole_in_pieces(kind: str, size: int) -> None:
    pieces = list(inflate(cut(COMPRESSED[kind], size)))
    assert b"".join(pieces) == TEXT
    assert max(map(len, pieces)) <= PIECE


@pytest.mark.parametrize("kind", ["gzip", "zstd"])
def test_content_that_comes_a_byte_at_a_time_is_content_all_the_same(kind: str) -> None:
    small = gzip.compress(b"small") if kind == "gzip" else zstandard.ZstdCompressor().compress(b"small")
    assert b"".join(inflate(cut(small, 1))) == b"small"


@pytest.mark.parametrize("kind", ["gzip", "gzip in members", "xz", "bzip2 in streams"])
@pytest.mark.parametrize("kept", [0.999, 0.5, 0.01])
def test_content_that_was_cut_off_is_refused(kind: str, kept: float) -> None:
    """Of zstd it is the layer's digest that tells."""
    data = COMPRESSED[kind]
    with pytest.raises(BadArchive):
        list(inflate(cut(data[: int(len(data) * kept)], 65_536)))


@pytest.mark.parametrize("kind", ["gzip", "zstd"])
def test_damaged_content_is_refused(kind: str) -> None:
    data = bytearray(COMPRESSED[kind])
    if kind == "gzip":
        data[-8] ^= 1  # its checksum
    else:
        data[200] ^= 0xFF
        data[6] ^= 0xFF
    with pytest.raises(BadArchive):
        list(inflate(cut(bytes(data), 65_536)))


def test_a_bomb_goes_off_in_small_pieces() -> None:
    bomb = zlib.compressobj(9, wbits=31)
    data = b"".join(bomb.compress(bytes(1 << 20)) for _ in range(64)) + bomb.flush()
    assert len(data) < 100_000
    assert max(len(piece) for piece in inflate([data])) <= PIECE
