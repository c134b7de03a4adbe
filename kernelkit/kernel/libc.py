"""The C library's door to the kernel: constants and prototypes in one place, wrappers of a few lines.

Names and argument order are the manual pages' own (section 2).  Every wrapper raises
`OSError(errno, strerror, filename)`.  Constants are those of linux/mount.h, linux/sched.h, linux/prctl.h,
linux/capability.h and asm/unistd.h.
"""

from __future__ import annotations

import ctypes
import os
import platform
from typing import Any

# mount(2)
MS_RDONLY = 1
MS_NOSUID = 2
MS_NODEV = 4
MS_NOEXEC = 8
MS_SYNCHRONOUS = 16
MS_REMOUNT = 32
MS_DIRSYNC = 128
MS_NOATIME = 1024
MS_NODIRATIME = 2048
MS_BIND = 4096
MS_REC = 16384
MS_UNBINDABLE = 1 << 17
MS_PRIVATE = 1 << 18
MS_SLAVE = 1 << 19
MS_SHARED = 1 << 20
MS_RELATIME = 1 << 21
MS_STRICTATIME = 1 << 24
MNT_DETACH = 2

# open_tree(2), move_mount(2)
AT_FDCWD = -100
AT_SYMLINK_NOFOLLOW = 0x100
AT_RECURSIVE = 0x8000
OPEN_TREE_CLONE = 1
MOVE_MOUNT_F_EMPTY_PATH = 0x04
MOVE_MOUNT_T_EMPTY_PATH = 0x40

# clone(2), unshare(2), setns(2)
CLONE_PIDFD = 0x00001000
CLONE_NEWNS = 0x00020000
CLONE_NEWCGROUP = 0x02000000
CLONE_NEWUTS = 0x04000000
CLONE_NEWIPC = 0x08000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000
CLONE_INTO_CGROUP = 0x200000000

# prctl(2)
PR_SET_PDEATHSIG = 1
PR_SET_DUMPABLE = 4
PR_SET_KEEPCAPS = 8
PR_SET_NAME = 15
PR_CAPBSET_DROP = 24
PR_SET_CHILD_SUBREAPER = 36
PR_SET_NO_NEW_PRIVS = 38
PR_CAP_AMBIENT = 47
PR_CAP_AMBIENT_RAISE = 2

# seccomp(2)
SECCOMP_SET_MODE_FILTER = 1

# Numbers of calls the C library has no function for (asm/unistd.h); x86_64, and the generic table for the rest.
_X86 = platform.machine() == "x86_64"
SYS_rt_sigaction = 13 if _X86 else 134
SYS_capset = 126 if _X86 else 91
SYS_pivot_root = 155 if _X86 else 41
SYS_seccomp = 317 if _X86 else 277
SYS_bpf = 321 if _X86 else 280
SYS_open_tree = 428
SYS_move_mount = 429
SYS_clone3 = 435
SYS_mount_setattr = 442
SYS_keyctl = 250 if _X86 else 219

KEYCTL_JOIN_SESSION_KEYRING = 1

_libc = ctypes.CDLL(None, use_errno=True)
_libc.mount.argtypes = (ctypes.c_char_p, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_ulong, ctypes.c_char_p)
_libc.umount2.argtypes = (ctypes.c_char_p, ctypes.c_int)
_libc.unshare.argtypes = (ctypes.c_int,)
_libc.setns.argtypes = (ctypes.c_int, ctypes.c_int)
_libc.prctl.argtypes = (ctypes.c_int, ctypes.c_ulong, ctypes.c_ulong, ctypes.c_ulong, ctypes.c_ulong)
_libc.setdomainname.argtypes = (ctypes.c_char_p, ctypes.c_size_t)
_libc.syscall.restype = ctypes.c_long


def mount(source: str, target: str, fstype: str, flags: int, data: str = "") -> None:
    """Attach a file system, or change or move one that is attached: mount(2)."""
    _answer(
        _libc.mount(
            source.encode(), os.fsencode(target), fstype.encode() or None, flags, data.encode() if data else None
        ),
        target,
    )


def umount2(target: str, flags: int = 0) -> None:
    """Detach a file system: umount2(2)."""
    _answer(_libc.umount2(os.fsencode(target), flags), target)


def unshare(flags: int) -> None:
    """Give this process namespaces of its own: unshare(2)."""
    _answer(_libc.unshare(flags), "")


def setns(fd: int, flags: int = 0) -> None:
    """Enter the namespace, or with a pidfd the namespaces, that a descriptor stands for: setns(2)."""
    _answer(_libc.setns(fd, flags), "")


def pivot_root(new_root: str, put_old: str) -> None:
    """Make another mount the root of this mount namespace: pivot_root(2)."""
    syscall(SYS_pivot_root, os.fsencode(new_root), os.fsencode(put_old), filename=new_root)


def open_tree(path: str, flags: int) -> int:
    """Open a mount, or with OPEN_TREE_CLONE a copy of it that is attached nowhere yet: open_tree(2)."""
    return syscall(SYS_open_tree, AT_FDCWD, os.fsencode(path), flags | AT_SYMLINK_NOFOLLOW, filename=path)


def move_mount(tree: int, target: int) -> None:
    """Attach the mount that one descriptor stands for at the place of another: move_mount(2)."""
    flags = MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH
    syscall(SYS_move_mount, tree, ctypes.c_char_p(b""), target, ctypes.c_char_p(b""), flags)


def prctl(option: int, arg2: int = 0, arg3: int = 0, arg4: int = 0, arg5: int = 0) -> int:
    """Ask or tell the kernel about this process: prctl(2)."""
    return _answer(_libc.prctl(option, arg2, arg3, arg4, arg5), "")


def setdomainname(name: str) -> None:
    """Set the NIS domain name of this UTS namespace: setdomainname(2)."""
    encoded = name.encode()
    _answer(_libc.setdomainname(encoded, len(encoded)), name)


def inotify_init1(flags: int) -> int:
    """Make a descriptor that tells of changes to files: inotify_init1(2)."""
    return _answer(_libc.inotify_init1(flags), "")


def inotify_add_watch(fd: int, path: str, mask: int) -> int:
    """Be told of these changes to a file or in a directory: inotify_add_watch(2)."""
    return _answer(_libc.inotify_add_watch(fd, os.fsencode(path), ctypes.c_uint32(mask)), path)


def syscall(number: int, *arguments: Any, filename: str = "") -> int:
    """Make a system call that has no wrapper: syscall(2)."""
    converted = [ctypes.c_long(a) if isinstance(a, int) else a for a in arguments]
    return _answer(_libc.syscall(ctypes.c_long(number), *converted), filename)


def _answer(result: int, filename: str) -> int:
    if result < 0:
        errno = ctypes.get_errno()
        if filename:
            raise OSError(errno, os.strerror(errno), filename)
        raise OSError(errno, os.strerror(errno))
    return int(result)
