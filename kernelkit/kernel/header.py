"""A tar archive's headers, written: ustar, and pax only for what ustar has no room for (pax(1), "pax Header Block")."""

from __future__ import annotations

import os
import stat
import zlib

from kernelkit.kernel.tar import BLOCK, BLOCK_DEVICE, CHARACTER, REGULAR

END = bytes(2 * BLOCK)
_LARGEST = 0o77777777777  # what eleven octal digits hold
_LARGEST_OWNER = 0o7777777
# No names of owners, no device, no prefix.
_NO_LINK = bytes(100)
_PLAIN_END = b"ustar\x0000" + bytes(64) + b"0000000\x000000000\x00" + bytes(167)


def header(
    name: bytes,
    kind: bytes,
    status: os.stat_result | None = None,
    *,
    size: int = 0,
    link: bytes = b"",
    mtime: int | None = None,
    xattrs: dict[bytes, bytes] | None = None,
    mode: int = 0o644,
) -> bytes:
    """One member's header, with a pax header before it if need be.

    Without a `status`, the member belongs to root and has the given mode.
    """
    uid = gid = major = minor = 0
    when = mtime or 0
    if status is not None:
        mode, uid, gid = stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid
        when = status.st_mtime_ns // 1_000_000_000 if mtime is None else mtime
        if kind in (CHARACTER, BLOCK_DEVICE):
            major, minor = os.major(status.st_rdev), os.minor(status.st_rdev)
    extended: dict[bytes, bytes] = {}
    short, before = name, b""
    if len(name) > 100 or not name.isascii():
        cut = name.rfind(b"/", 0, 156)
        if name.isascii() and cut > 0 and len(name) - cut - 1 <= 100 and cut < len(name) - 1:
            before, short = name[:cut], name[cut + 1 :]
        else:
            extended[b"path"] = name
            short = name[:100]
    if len(link) > 100 or not link.isascii():
        extended[b"linkpath"] = link
    for key, number, most in ((b"uid", uid, _LARGEST_OWNER), (b"gid", gid, _LARGEST_OWNER), (b"size", size, _LARGEST)):
        if number > most:
            extended[key] = b"%d" % number
    if not 0 <= when <= _LARGEST:
        extended[b"mtime"] = b"%d" % when
    for key, value in sorted((xattrs or {}).items()):
        extended[b"SCHILY.xattr." + key] = value
    block = _block(short, kind, mode, uid, gid, size, when, link, major, minor, before)
    if not extended:
        return block
    records = b"".join(_record(key, value) for key, value in sorted(extended.items()))
    first = _block(b"PaxHeaders/" + short[:80], b"x", 0o644, 0, 0, len(records), 0, b"", 0, 0, b"")
    return first + records + bytes(-len(records) % BLOCK) + block


def file_header(name: bytes, status: os.stat_result, xattrs: dict[bytes, bytes]) -> bytes:
    """A regular file's header: the same as `header`, said faster where there is nothing special about it."""
    when = status.st_mtime_ns // 1_000_000_000
    uid, gid, size = status.st_uid, status.st_gid, status.st_size
    if (
        xattrs
        or len(name) > 100
        or not name.isascii()
        or uid > _LARGEST_OWNER
        or gid > _LARGEST_OWNER
        or size > _LARGEST
        or not 0 <= when <= _LARGEST
    ):
        return header(name, REGULAR, status, size=size, xattrs=xattrs)
    block = b"%b%07o\0%07o\0%07o\0%011o\0%011o\0        0%b%b" % (
        name.ljust(100, b"\0"), status.st_mode & 0o7777, uid, gid, size, when, _NO_LINK, _PLAIN_END
    )  # fmt: skip
    return b"%b%06o\0 %b" % (block[:148], (zlib.adler32(block) & 0xFFFF) - 1, block[156:])


def padding(size: int) -> bytes:
    """What follows a content of so many bytes."""
    return bytes(-size % BLOCK)


def _block(
    name: bytes, kind: bytes, mode: int, uid: int, gid: int, size: int, mtime: int, link: bytes,
    major: int, minor: int, prefix: bytes,
) -> bytes:  # fmt: skip
    end = _PLAIN_END
    if prefix or kind in (CHARACTER, BLOCK_DEVICE):
        device = b"%07o\0%07o\0" % (major, minor) if kind in (CHARACTER, BLOCK_DEVICE) else _PLAIN_END[72:88]
        end = b"%b%b%b" % (_PLAIN_END[:72], device, prefix.ljust(167, b"\0"))
    block = b"%b%07o\0%07o\0%07o\0%011o\0%011o\0        %b%b%b" % (
        name.ljust(100, b"\0"), mode, min(uid, _LARGEST_OWNER), min(gid, _LARGEST_OWNER),
        min(size, _LARGEST), min(max(mtime, 0), _LARGEST), kind, link[:100].ljust(100, b"\0"), end,
    )  # fmt: skip
    # Adler-32's lower half is one more than the sum of the bytes, in C; of a block of ASCII that is below its modulus.
    total = (zlib.adler32(block) & 0xFFFF) - 1 if block.isascii() else sum(block)
    return b"%b%06o\0 %b" % (block[:148], total, block[156:])


def _record(key: bytes, value: bytes) -> bytes:
    """`LENGTH KEY=VALUE\\n`, where the length counts its own digits."""
    rest = b" %s=%s\n" % (key, value)
    length = len(rest) + 1
    while len(str(length)) + len(rest) != length:
        length = len(str(length)) + len(rest)
    return b"%d%s" % (length, rest)
