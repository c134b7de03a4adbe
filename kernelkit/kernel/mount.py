"""What mount(8), umount(8) and pivot_root(8) do: file systems attached, changed, hidden and detached."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from kernelkit.kernel import libc
from kernelkit.kernel.paths import make_in_root, open_in_root
from kernelkit.kernel.words import join

# mount(8), FILESYSTEM-INDEPENDENT MOUNT OPTIONS: word -> (flag, whether the word sets it).
OPTIONS: dict[str, tuple[int, bool]] = {
    "defaults": (0, True),
    "ro": (libc.MS_RDONLY, True),
    "rw": (libc.MS_RDONLY, False),
    "nosuid": (libc.MS_NOSUID, True),
    "suid": (libc.MS_NOSUID, False),
    "nodev": (libc.MS_NODEV, True),
    "dev": (libc.MS_NODEV, False),
    "noexec": (libc.MS_NOEXEC, True),
    "exec": (libc.MS_NOEXEC, False),
    "sync": (libc.MS_SYNCHRONOUS, True),
    "async": (libc.MS_SYNCHRONOUS, False),
    "dirsync": (libc.MS_DIRSYNC, True),
    "noatime": (libc.MS_NOATIME, True),
    "atime": (libc.MS_NOATIME, False),
    "nodiratime": (libc.MS_NODIRATIME, True),
    "diratime": (libc.MS_NODIRATIME, False),
    "relatime": (libc.MS_RELATIME, True),
    "strictatime": (libc.MS_STRICTATIME, True),
}
NULL = os.makedev(1, 3)  # Documentation/admin-guide/devices.txt: /dev/null
PROPAGATION = {
    "private": libc.MS_PRIVATE,
    "rprivate": libc.MS_PRIVATE | libc.MS_REC,
    "slave": libc.MS_SLAVE,
    "rslave": libc.MS_SLAVE | libc.MS_REC,
    "shared": libc.MS_SHARED,
    "rshared": libc.MS_SHARED | libc.MS_REC,
    "unbindable": libc.MS_UNBINDABLE,
}


def split_options(options: tuple[str, ...]) -> tuple[int, str]:
    """The flag bits of the options every file system has, and the rest as the file system's own data."""
    flags, data = 0, []
    for option in options:
        if option in OPTIONS:
            bit, sets = OPTIONS[option]
            flags = flags | bit if sets else flags & ~bit
        else:
            data.append(option)
    return flags, ",".join(data)


@contextmanager
def _target(root: str, path: str) -> Iterator[str]:
    """A name for `path` that no link in the container's files can turn elsewhere."""
    if not root:
        yield path
        return
    fd = open_in_root(root, path, os.O_PATH)
    try:
        yield f"/proc/self/fd/{fd}"
    finally:
        os.close(fd)


@dataclass(frozen=True)
class SetPropagation:
    """Say whether mounts made here are seen by other mount namespaces, and theirs here: mount_namespaces(7)."""

    target: str
    propagation: str = "rprivate"
    root: str = ""

    def perform(self) -> None:
        """Change the propagation type of the mount, and with `r…` of all below it."""
        with _target(self.root, self.target) as target:
            libc.mount("none", target, "", PROPAGATION[self.propagation])

    def shell(self) -> str:
        """As mount(8) says it."""
        return join(["mount", f"--make-{self.propagation}", self.root + self.target])


@dataclass(frozen=True)
class Mount:
    """Attach a new file system; with `root`, at `target` inside that directory tree and nowhere else."""

    fstype: str
    source: str
    target: str
    options: tuple[str, ...] = ()
    root: str = ""

    def perform(self) -> None:
        """Ask mount(2); OSError with the target's name."""
        flags, data = split_options(self.options)
        if not self.root:
            libc.mount(self.source, self.target, self.fstype, flags, data)
            return
        with _target(self.root, self.target) as target:
            try:
                libc.mount(self.source, target, self.fstype, flags, data)
            except OSError as error:
                raise OSError(error.errno, error.strerror, self.root + self.target) from None

    def shell(self) -> str:
        """As mount(8) says it."""
        options = ["-o", ",".join(self.options)] if self.options else []
        return join(["mount", "-t", self.fstype, *options, self.source, self.root + self.target])


@dataclass(frozen=True)
class Bind:
    """Make a file or directory appear at a second place: mount(8), bind mounts."""

    source: str
    target: str
    recursive: bool = False
    root: str = ""

    def perform(self) -> None:
        """Ask mount(2) with MS_BIND; OSError with the source's name."""
        flags = libc.MS_BIND | (libc.MS_REC if self.recursive else 0)
        with _target(self.root, self.target) as target:
            try:
                libc.mount(self.source, target, "", flags)
            except OSError as error:
                raise OSError(error.errno, error.strerror, f"{self.source} on {self.target}") from None

    def shell(self) -> str:
        """As mount(8) says it."""
        return join(["mount", "--rbind" if self.recursive else "--bind", self.source, self.root + self.target])


@dataclass(frozen=True)
class ShareMount:
    """Show here too what process `pid` has mounted at `source`: a bind mount from another mount namespace.

    mount(2) refuses that; but a tree that is cloned over there, open_tree(2), may be attached here, move_mount(2).
    It is told of what its original is told of: mount_namespaces(7), shared subtrees.
    """

    pid: int
    source: str
    target: str
    root: str = ""
    recursive: bool = False

    def perform(self) -> None:
        """Go there, clone, come back, attach; afterwards the working directory is the root directory, setns(2)."""
        with ExitStack() as opened:

            def kept(fd: int) -> int:
                opened.callback(os.close, fd)
                return fd

            here = kept(os.open("/proc/self/ns/mnt", os.O_RDONLY | os.O_CLOEXEC))
            there = kept(os.open(f"/proc/{self.pid}/ns/mnt", os.O_RDONLY | os.O_CLOEXEC))
            libc.setns(there, libc.CLONE_NEWNS)
            try:
                flags = libc.OPEN_TREE_CLONE | os.O_CLOEXEC | (libc.AT_RECURSIVE if self.recursive else 0)
                tree = kept(libc.open_tree(self.source, flags))
            finally:
                libc.setns(here, libc.CLONE_NEWNS)
            libc.move_mount(tree, kept(open_in_root(self.root or "/", self.target, os.O_PATH)))

    def shell(self) -> str:
        """No command of a shell does it."""
        return f": show {self.source} of process {self.pid} on {join([self.root + self.target])} as well"


@dataclass(frozen=True)
class Remount:
    """Change the options of a bind mount: a bind takes its options only in a second call, mount(2)."""

    target: str
    options: tuple[str, ...]
    root: str = ""

    def perform(self) -> None:
        """Ask mount(2) with MS_REMOUNT and MS_BIND."""
        flags, _ = split_options(self.options)
        with _target(self.root, self.target) as target:
            # Options that the source's mount has locked (statvfs tells) must be kept, or a user namespace is refused.
            kept = os.statvfs(target).f_flag & (libc.MS_NOSUID | libc.MS_NODEV | libc.MS_NOEXEC)
            libc.mount("none", target, "", libc.MS_REMOUNT | libc.MS_BIND | kept | flags)

    def shell(self) -> str:
        """As mount(8) says it."""
        return join(["mount", "-o", ",".join(("remount", "bind", *self.options)), self.root + self.target])


@dataclass(frozen=True)
class MakeMountPoint:
    """Make sure there is a place to mount on, inside a container's root: a directory or an empty file.

    An `ordinary` one is reached without links: what comes later speaks of /dev, /proc and /sys by these very names,
    from outside the container's root, and an image in which one is a link to /etc would have it done to the host's.
    """

    path: str
    directory: bool
    root: str
    ordinary: bool = False

    def perform(self) -> None:
        """Make what is missing of the path; what exists stays as it is."""
        try:
            make_in_root(self.root, self.path, directory=self.directory, links=not self.ordinary)
        except OSError as error:
            if self.ordinary and error.errno in (errno.ELOOP, errno.ENOTDIR, errno.EEXIST):
                said = "must be mounted on an ordinary directory, which it is not in this image"
                raise OSError(error.errno, said, self.path) from None
            raise

    def shell(self) -> str:
        """Mkdir or touch."""
        whole = self.root + self.path
        if self.directory:
            return join(["mkdir", "-p", whole])
        return join(["mkdir", "-p", os.path.dirname(whole)]) + " && " + join(["touch", whole])


@dataclass(frozen=True)
class MaskPath:
    """Hide a file behind /dev/null, or a directory behind an empty read-only tmpfs, if it exists.

    `null` is the container's own /dev/null: over the host's, its root could change the mode of the host's.
    """

    path: str
    null: str = "/dev/null"

    def perform(self) -> None:
        """Mount over the path; nothing to do when it is not there. OSError when `null` is anything else than that."""
        try:
            mode = os.stat(self.path).st_mode
        except (FileNotFoundError, NotADirectoryError):
            return
        if stat.S_ISDIR(mode):
            libc.mount("tmpfs", self.path, "tmpfs", libc.MS_RDONLY, "")
            return
        fd = os.open(self.null, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            found = os.fstat(fd)
            if not stat.S_ISCHR(found.st_mode) or found.st_rdev != NULL:
                raise OSError(errno.ENODEV, "is not the null device", self.null)
            libc.mount(f"/proc/self/fd/{fd}", self.path, "", libc.MS_BIND)
        finally:
            os.close(fd)

    def shell(self) -> str:
        """A test and a mount."""
        p, null = join([self.path]), join([self.null])
        return f"if [ -d {p} ]; then mount -t tmpfs -o ro tmpfs {p}; elif [ -e {p} ]; then mount --bind {null} {p}; fi"


@dataclass(frozen=True)
class ProtectPath:
    """Make a path read-only by mounting it on itself, if it exists."""

    path: str

    def perform(self) -> None:
        """Bind the path on itself, then remount that bind read-only."""
        try:
            libc.mount(self.path, self.path, "", libc.MS_BIND | libc.MS_REC)
        except (FileNotFoundError, NotADirectoryError):
            return
        kept = os.statvfs(self.path).f_flag & (libc.MS_NOSUID | libc.MS_NODEV | libc.MS_NOEXEC)
        libc.mount("none", self.path, "", libc.MS_REMOUNT | libc.MS_BIND | libc.MS_RDONLY | kept)

    def shell(self) -> str:
        """A bind mount and a remount."""
        p = join([self.path])
        return f"if [ -e {p} ]; then mount --rbind {p} {p} && mount -o remount,bind,ro {p}; fi"


@dataclass(frozen=True)
class PivotRoot:
    """Make `new_root` the root directory, with the old root lying on top of it until it is detached.

    pivot_root(2), NOTES: `pivot_root(".", ".")` needs no directory to put the old root in.
    """

    new_root: str

    def perform(self) -> None:
        """Go there, swap the roots."""
        os.chdir(self.new_root)
        libc.pivot_root(".", ".")

    def shell(self) -> str:
        """As pivot_root(8) says it."""
        return join(["cd", self.new_root]) + " && pivot_root . ."


@dataclass(frozen=True)
class Unmount:
    """Detach a file system; `lazy` takes it out of the tree now and lets it end when nobody uses it."""

    target: str
    lazy: bool = False

    def perform(self) -> None:
        """Ask umount2(2)."""
        libc.umount2(self.target, libc.MNT_DETACH if self.lazy else 0)

    def shell(self) -> str:
        """As umount(8) says it."""
        return join(["umount", *(["-l"] if self.lazy else []), self.target])
