"""What mount(8) does by mount_setattr(2): the options of a mount and of all that is mounted below it, at once."""

from __future__ import annotations

import errno
import os
import struct
from dataclasses import dataclass
from functools import lru_cache

from kernelkit.kernel import libc
from kernelkit.kernel.paths import open_in_root
from kernelkit.kernel.words import join

AT_EMPTY_PATH = 0x1000
MOUNT_ATTR_RDONLY = 1
_ATTR = struct.Struct("<QQQQ")  # struct mount_attr: set, clear, propagation, user namespace


@lru_cache(maxsize=1)
def can_protect_trees() -> bool:
    """Whether the kernel has mount_setattr(2): Linux 5.12 has."""
    try:
        libc.syscall(libc.SYS_mount_setattr, -1, b"", 0, _ATTR.pack(0, 0, 0, 0), 0)
    except OSError as error:
        return error.errno not in (errno.ENOSYS, errno.EPERM)
    return True


@dataclass(frozen=True)
class ProtectTree:
    """Make a mount read-only with all mounts below it: what is mounted in a folder is part of it for its user."""

    target: str
    root: str = ""

    def perform(self) -> None:
        """Ask mount_setattr(2) with AT_RECURSIVE."""
        fd = open_in_root(self.root or "/", self.target, os.O_PATH)
        try:
            attributes = _ATTR.pack(MOUNT_ATTR_RDONLY, 0, 0, 0)
            flags = AT_EMPTY_PATH | libc.AT_RECURSIVE
            libc.syscall(libc.SYS_mount_setattr, fd, b"", flags, attributes, _ATTR.size, filename=self.target)
        finally:
            os.close(fd)

    def shell(self) -> str:
        """As mount(8) says it, mount by mount: `ro=recursive` it knows only since util-linux 2.39."""
        each = join(["findmnt", "-R", "-l", "-n", "-o", "TARGET", self.root + self.target])
        return f'{each} | while IFS= read -r each; do mount -o remount,bind,ro "$each"; done'
