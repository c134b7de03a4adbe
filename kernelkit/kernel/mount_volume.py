"""What mount(8) does for volumes: a file system attached unless it is there, a folder below one made to appear."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from kernelkit.kernel import libc
from kernelkit.kernel.mount import PROPAGATION, split_options
from kernelkit.kernel.paths import (
    RESOLVE_BENEATH,
    RESOLVE_NO_MAGICLINKS,
    open_in_root,
    openat2,
    root_directory,
)
from kernelkit.kernel.words import join

BINDS = {"bind": libc.MS_BIND, "rbind": libc.MS_BIND | libc.MS_REC}


def flags_and_data(options: tuple[str, ...]) -> tuple[int, str]:
    """What mount(2) is asked with: the flags, those of a bind mount among them, and the file system's own options."""
    binding = 0
    for option in options:
        binding |= BINDS.get(option, 0)
    flags, data = split_options(tuple(o for o in options if o not in BINDS and o not in PROPAGATION))
    return flags | binding, data


def is_mounted(path: str) -> bool:
    """Whether something is mounted at just this path."""
    return os.path.realpath(path) in _places()


def mounted_below(folder: str) -> list[str]:
    """Where something is mounted below a folder, the latest first: in this order it can be unmounted."""
    whole = f"{os.path.realpath(folder)}/"
    return [place for place in reversed(_places()) if place.startswith(whole)]


def _places() -> list[str]:
    """All mount points, the earliest first: proc(5), /proc/PID/mountinfo, field 5."""
    with open("/proc/self/mountinfo", "rb") as table:
        return [os.fsdecode(_unescaped(line.split(b" ")[4])) for line in table]


def _unescaped(word: bytes) -> bytes:
    for code, sign in ((b"\\040", b" "), (b"\\011", b"\t"), (b"\\012", b"\n"), (b"\\134", b"\\")):
        word = word.replace(code, sign)
    return word


@dataclass(frozen=True)
class MountVolume:
    """Attach a volume's file system, or make the folder that it is appear, unless that has been done.

    Several containers may want it at the same moment: only one of them mounts.
    """

    fstype: str
    source: str
    target: str
    options: tuple[str, ...] = ()

    def perform(self) -> None:
        """Ask mount(2), again with what a bind takes only in a second call; OSError with the source's name."""
        flags, data = flags_and_data(self.options)
        with _alone(self.target):
            if is_mounted(self.target):
                return
            try:
                libc.mount(self.source, self.target, self.fstype, flags, data)
                rest = flags & ~(libc.MS_BIND | libc.MS_REC)
                if flags & libc.MS_BIND and rest:
                    libc.mount("none", self.target, "", libc.MS_REMOUNT | libc.MS_BIND | rest)
            except OSError as error:
                raise OSError(error.errno, error.strerror, self.source) from None
            for option in self.options:
                if option in PROPAGATION:
                    libc.mount("none", self.target, "", PROPAGATION[option])

    def shell(self) -> str:
        """As mount(8) says it, if mountpoint(1) does not know it."""
        options = ["-o", ",".join(self.options)] if self.options else []
        mount = join(["mount", "-t", self.fstype, *options, self.source, self.target])
        return f"{join(['mountpoint', '-q', self.target])} || {mount}"


@contextmanager
def _alone(target: str) -> Iterator[None]:
    """Keep everybody else from mounting there: flock(2) on the folder around it."""
    fd = os.open(os.path.dirname(target), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)


@dataclass(frozen=True)
class BindBelow:
    """Make a file or directory below `base` appear at a second place, whatever links somebody has put there."""

    base: str
    path: str
    target: str
    recursive: bool = False
    root: str = ""

    def perform(self) -> None:
        """Go there by openat2(2), which refuses (EXDEV) to be led out of `base`; then mount(2)."""
        flags = libc.MS_BIND | (libc.MS_REC if self.recursive else 0)
        with root_directory(self.base) as base:
            try:
                source = openat2(base, self.path, os.O_PATH, 0, RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS)
            except OSError as error:
                raise OSError(error.errno, error.strerror, f"{self.base}/{self.path}") from None
        target = -1
        try:
            target = open_in_root(self.root or "/", self.target, os.O_PATH)
            libc.mount(f"/proc/self/fd/{source}", f"/proc/self/fd/{target}", "", flags)
        finally:
            for fd in (source, target):
                if fd >= 0:
                    os.close(fd)

    def shell(self) -> str:
        """As mount(8) says it, which trusts the links."""
        kind = "--rbind" if self.recursive else "--bind"
        return join(["mount", kind, f"{self.base}/{self.path}", self.root + self.target])
