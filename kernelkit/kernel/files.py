"""What mkdir(1), ln(1), mknod(1), chmod(1) and redirection do: files and directories made and written."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass

from kernelkit.kernel.words import join


@dataclass(frozen=True)
class MakeDirectory:
    """Make a directory, and its parents when they are missing; one that exists is left as it is."""

    path: str
    mode: int = 0o755

    def perform(self) -> None:
        """Ask mkdir(2), the parents first where they are missing."""
        try:
            os.mkdir(self.path, self.mode)
        except FileExistsError:
            if not os.path.isdir(self.path):
                raise
        except FileNotFoundError:
            os.makedirs(self.path, self.mode, exist_ok=True)

    def shell(self) -> str:
        """As mkdir(1) says it."""
        return join(["mkdir", "-p", "-m", f"{self.mode:o}", self.path])


@dataclass(frozen=True)
class MakeDevice:
    """Make a device node: mknod(2). `kind` is `c` or `b`."""

    path: str
    kind: str
    major: int
    minor: int
    mode: int = 0o666

    def perform(self) -> None:
        """Make the node with exactly this mode, whatever the umask."""
        kind = stat.S_IFCHR if self.kind == "c" else stat.S_IFBLK
        os.mknod(self.path, self.mode | kind, os.makedev(self.major, self.minor))
        os.chmod(self.path, self.mode)

    def shell(self) -> str:
        """As mknod(1) says it."""
        return join(["mknod", "-m", f"{self.mode:o}", self.path, self.kind, self.major, self.minor])


@dataclass(frozen=True)
class MakeLink:
    """Make a symbolic link at `path` that says `target`; one that exists is left as it is."""

    target: str
    path: str

    def perform(self) -> None:
        """Ask symlink(2)."""
        try:
            os.symlink(self.target, self.path)
        except FileExistsError:
            return

    def shell(self) -> str:
        """As ln(1) says it."""
        return join(["ln", "-s", self.target, self.path])


@dataclass(frozen=True)
class WriteFile:
    """Give a file this content, making it if need be; in /proc/sys and /sys this is how one speaks to the kernel."""

    path: str
    content: str
    mode: int = 0o644

    def perform(self) -> None:
        """One open, one write: the files of /proc/sys and cgroups take a value only whole."""
        fd = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, self.mode)
        try:
            os.write(fd, self.content.encode())
        finally:
            os.close(fd)

    def shell(self) -> str:
        """A printf with redirection."""
        return f"printf %s {join([self.content])} > {join([self.path])}"


@dataclass(frozen=True)
class SetOwner:
    """Give a file an owner and a group: chown(2)."""

    path: str
    uid: int
    gid: int

    def perform(self) -> None:
        """Ask lchown(2)."""
        os.chown(self.path, self.uid, self.gid, follow_symlinks=False)

    def shell(self) -> str:
        """As chown(1) says it."""
        return join(["chown", "-h", f"{self.uid}:{self.gid}", self.path])


@dataclass(frozen=True)
class ChangeDirectory:
    """Make a directory the working directory; with `make`, make it first when it is missing."""

    path: str
    make: bool = False

    def perform(self) -> None:
        """Ask chdir(2)."""
        try:
            os.chdir(self.path)
        except FileNotFoundError:
            if not self.make:
                raise
            os.makedirs(self.path, exist_ok=True)
            os.chdir(self.path)

    def shell(self) -> str:
        """As cd says it."""
        return (join(["mkdir", "-p", self.path]) + " && " if self.make else "") + join(["cd", self.path])


@dataclass(frozen=True)
class MoveToTrash:
    """Rename a tree into the trash folder: at once, however large it is; somebody deletes it later.

    Deleting 100,000 files from ext4 takes minutes; a rename takes microseconds.
    """

    path: str
    trash: str

    def perform(self) -> None:
        """Rename; a tree that is not there is already gone."""
        os.makedirs(self.trash, exist_ok=True)
        try:
            os.rename(self.path, os.path.join(self.trash, f"{os.path.basename(self.path)}.{os.urandom(4).hex()}"))
        except FileNotFoundError:
            return

    def shell(self) -> str:
        """As rm(1) says it."""
        return join(["rm", "-rf", self.path])
