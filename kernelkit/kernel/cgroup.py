"""Cgroups made, set, joined and removed: mkdir, echo and rmdir in /sys/fs/cgroup. cgroups(7).

Files and their values: the kernel's admin-guide/cgroup-v1/ and admin-guide/cgroup-v2.rst.
"""

from __future__ import annotations

import errno
import os
import time
from dataclasses import dataclass

from kernelkit.kernel.words import join

PATIENCE = 5.0  # seconds for a cgroup to be left
CPUSET = ("cpuset.cpus", "cpuset.mems")


@dataclass(frozen=True)
class MakeCgroup:
    """Make a cgroup: a directory, which the kernel fills with files; one that exists is left as it is."""

    path: str

    def perform(self) -> None:
        """Ask mkdir(2), the parents first where they are missing."""
        try:
            os.mkdir(self.path)
        except FileExistsError:
            return
        except FileNotFoundError:
            os.makedirs(self.path, exist_ok=True)

    def shell(self) -> str:
        """As mkdir(1) says it."""
        return join(["mkdir", "-p", self.path])


@dataclass(frozen=True)
class WriteCgroup:
    """Set one of a cgroup's files, named by its path."""

    path: str
    value: str

    def perform(self) -> None:
        """One open, one write; FileNotFoundError for a file that this kernel does not have."""
        write(self.path, self.value)

    def shell(self) -> str:
        """As echo says it."""
        return f"echo {join([self.value])} > {join([self.path])}"


@dataclass(frozen=True)
class JoinCgroup:
    """Move this process into a cgroup; in version 2 a process had better be born there, see `Clone`.

    `file` is `tasks` in version 1: a process of one thread that moves itself so waits for nobody, while `cgroup.procs`,
    of which version 2 has no other, waits until all processors have noticed (6 to 10 ms on an idle machine).
    """

    path: str
    file: str = "tasks"

    def perform(self) -> None:
        """Write 0, which means the writer."""
        write(f"{self.path}/{self.file}", "0")

    def shell(self) -> str:
        """As echo says it, about the shell itself."""
        return f"echo $$ > {join([f'{self.path}/{self.file}'])}"


@dataclass(frozen=True)
class InheritCpuset:
    """Let a version 1 cpuset use what its parent may use; without, nothing can join it: cpuset(7)."""

    path: str

    def perform(self) -> None:
        """Copy the two files from the parent; one that says something already is left as it is."""
        _inherit(self.path)

    def shell(self) -> str:
        """As cp(1) says it."""
        parent = os.path.dirname(self.path)
        return " && ".join(join(["cp", f"{parent}/{name}", f"{self.path}/{name}"]) for name in CPUSET)


@dataclass(frozen=True)
class EnableControllers:
    """Have controllers in the children of a version 2 cgroup."""

    path: str
    controllers: tuple[str, ...]

    def perform(self) -> None:
        """Write them all at once; EBUSY when processes are in this very cgroup (the no-internal-process rule)."""
        write(f"{self.path}/cgroup.subtree_control", self._words())

    def shell(self) -> str:
        """As echo says it."""
        return f"echo {self._words()} > {join([f'{self.path}/cgroup.subtree_control'])}"

    def _words(self) -> str:
        return " ".join(f"+{name}" for name in self.controllers)


@dataclass(frozen=True)
class LimitMemory:
    """Bound memory, and memory and swap together, of a version 1 cgroup: bytes, -1 for no bound, 0 to leave it."""

    path: str
    limit: int
    both: int

    def perform(self) -> None:
        """Whichever goes first, at no time may the bound of memory exceed that of both."""
        values = [(f"{self.path}/memory.limit_in_bytes", self.limit)] if self.limit else []
        values += [(f"{self.path}/memory.memsw.limit_in_bytes", self.both)] if self.both else []
        try:
            for file, value in values:
                write(file, str(value))
        except OSError as error:
            if error.errno != errno.EINVAL or len(values) < 2:
                raise
            for file, value in reversed(values):
                write(file, str(value))

    def shell(self) -> str:
        """As echo says it, for a cgroup that had no bounds."""
        words = [f"echo {self.limit} > {join([f'{self.path}/memory.limit_in_bytes'])}"] if self.limit else []
        words += [f"echo {self.both} > {join([f'{self.path}/memory.memsw.limit_in_bytes'])}"] if self.both else []
        return " && ".join(words)


@dataclass(frozen=True)
class RestrictDevices:
    """Allow and deny devices in a version 1 cgroup, by rules `allow c 1:3 rwm`, `deny a *:* rwm`, in this order."""

    path: str
    rules: tuple[str, ...]

    def perform(self) -> None:
        """One write a rule, each file opened once."""
        files: dict[str, int] = {}
        try:
            for rule in self.rules:
                verb, _, what = rule.partition(" ")
                if verb not in files:
                    files[verb] = os.open(f"{self.path}/devices.{verb}", os.O_WRONLY | os.O_CLOEXEC)
                os.write(files[verb], what.encode())
        finally:
            for fd in files.values():
                os.close(fd)

    def shell(self) -> str:
        """As a here-document read line by line says it."""
        file = join([f"{self.path}/devices."])
        return f"while read verb rule; do echo \"$rule\" > {file}$verb; done <<'.'\n" + "\n".join([*self.rules, "."])


@dataclass(frozen=True)
class RemoveCgroup:
    """Remove a cgroup that nobody is in any more, with its children; one that is not there is already gone."""

    path: str

    def perform(self) -> None:
        """Ask rmdir(2); a process that is just ending keeps it busy for a moment."""
        until = time.monotonic() + PATIENCE
        pause = 0.0005
        while True:
            try:
                os.rmdir(self.path)
                return
            except FileNotFoundError:
                return
            except OSError as error:
                if error.errno != errno.EBUSY or time.monotonic() > until:
                    raise
            if not _remove_children(self.path):
                time.sleep(pause)
                pause = min(pause * 2, 0.05)

    def shell(self) -> str:
        """As rmdir(1) says it: rm cannot, for the files in it are the kernel's."""
        return join(["rmdir", self.path])


@dataclass(frozen=True)
class RemoveEmptyCgroup:
    """Remove a cgroup if nobody and no other cgroup is in it; if somebody is, it stays."""

    path: str

    def perform(self) -> None:
        """Ask rmdir(2) once."""
        try:
            os.rmdir(self.path)
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.EBUSY, errno.ENOTEMPTY):
                raise

    def shell(self) -> str:
        """As rmdir(1) says it."""
        return join(["rmdir", "--ignore-fail-on-non-empty", self.path])


def write(path: str, value: str) -> None:
    """Set one of a cgroup's files: one open, one write; OSError with its path."""
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, value.encode())
    except OSError as error:
        raise OSError(error.errno, error.strerror, path) from None
    finally:
        os.close(fd)


def _inherit(path: str) -> None:
    parent = os.path.dirname(path)
    for name in CPUSET:
        with open(f"{path}/{name}") as file:
            if file.read().strip():
                continue
        with open(f"{parent}/{name}") as file:
            value = file.read().strip()
        if not value:  # it has just been made as well
            _inherit(parent)
            _inherit(path)
            return
        write(f"{path}/{name}", value)


def _remove_children(path: str) -> bool:
    removed = False
    for directory, _, _ in os.walk(path, topdown=False):
        if directory != path:
            try:
                os.rmdir(directory)
                removed = True
            except OSError:
                continue
    return removed
