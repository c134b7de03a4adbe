"""What is done to all processes of a cgroup at once: listed, moved, frozen, thawed, killed. cgroups(7).

Those of version 1 are frozen by admin-guide/cgroup-v1/freezer-subsystem.rst, those of version 2 by `cgroup.freeze`.
"""

from __future__ import annotations

import errno
import os
import signal
import time
from dataclasses import dataclass

from kernelkit.kernel.cgroup import write
from kernelkit.kernel.words import join

PATIENCE = 5.0  # seconds for processes to stop, or to be gone


def processes(path: str) -> list[int]:
    """The pids in a cgroup, by its directory, and in its children, as this process's pid namespace numbers them."""
    found = []
    for directory, _, _ in os.walk(path):
        found += _members(directory)
    return sorted(set(found))


@dataclass(frozen=True)
class MoveProcesses:
    """Move all processes of one cgroup into another."""

    source: str
    target: str

    def perform(self) -> None:
        """Look again until nobody new is there: one may be forking while we look, and one that ends needs no moving."""
        seen: set[int] = set()
        while found := set(_members(self.source)) - seen:
            seen |= found
            for pid in found:
                try:
                    write(f"{self.target}/cgroup.procs", str(pid))
                except ProcessLookupError:
                    continue

    def shell(self) -> str:
        """As a loop says it."""
        source, target = join([f"{self.source}/cgroup.procs"]), join([f"{self.target}/cgroup.procs"])
        return f"while read pid; do echo $pid > {target}; done < {source}"


@dataclass(frozen=True)
class Freeze:
    """Stop all processes of a cgroup where they are; they cannot notice or refuse."""

    path: str
    version: int = 1

    def perform(self) -> None:
        """Ask, and wait until it is so; TimeoutError when it does not become so."""
        file, word = _switch(self.path, self.version, frozen=True)
        write(file, word)
        if self.version == 1:
            _await(file, word)
        else:
            _await(f"{self.path}/cgroup.events", "frozen 1")

    def shell(self) -> str:
        """As echo says it."""
        file, word = _switch(self.path, self.version, frozen=True)
        return f"echo {word} > {join([file])}"


@dataclass(frozen=True)
class Thaw:
    """Let the processes of a frozen cgroup go on."""

    path: str
    version: int = 1

    def perform(self) -> None:
        """Ask; there is nothing to wait for."""
        write(*_switch(self.path, self.version, frozen=False))

    def shell(self) -> str:
        """As echo says it."""
        file, word = _switch(self.path, self.version, frozen=False)
        return f"echo {word} > {join([file])}"


@dataclass(frozen=True)
class ThawAll:
    """Let whoever is frozen in a cgroup of version 1, or in one below it, go on: until then they do not even die."""

    path: str

    def perform(self) -> None:
        """From the top down, for who is below a frozen one stays frozen; what is removed meanwhile needs no thawing."""
        for directory, _, files in os.walk(self.path):
            if "freezer.state" in files:
                try:
                    write(*_switch(directory, 1, frozen=False))
                except OSError as error:
                    if error.errno not in (errno.ENOENT, errno.ENODEV):
                        raise

    def shell(self) -> str:
        """As find says it."""
        return f"find {join([self.path])} -name freezer.state -exec sh -c 'echo THAWED > \"$1\"' - {{}} \\;"


@dataclass(frozen=True)
class KillCgroup:
    """End all processes of a cgroup, those of its children too."""

    path: str

    def perform(self) -> None:
        """Until none is left: by `cgroup.kill` where there is one (version 2, Linux 5.14), else one after another."""
        try:
            write(f"{self.path}/cgroup.kill", "1")
        except (FileNotFoundError, PermissionError):
            _kill(self.path)

    def shell(self) -> str:
        """As kill says it."""
        return f"kill -KILL $(find {join([self.path])} -name cgroup.procs -exec cat {{}} +)"


def _switch(path: str, version: int, *, frozen: bool) -> tuple[str, str]:
    """The file by which a cgroup is frozen and thawed, and the word for it."""
    if version == 1:
        return f"{path}/freezer.state", "FROZEN" if frozen else "THAWED"
    return f"{path}/cgroup.freeze", "1" if frozen else "0"


def _members(path: str) -> list[int]:
    try:
        with open(f"{path}/cgroup.procs") as file:
            return [int(line) for line in file]
    except OSError:  # removed meanwhile
        return []


def _await(path: str, word: str) -> None:
    until = time.monotonic() + PATIENCE
    while True:
        with open(path) as file:
            if word in file.read().splitlines():
                return
        if time.monotonic() > until:
            raise TimeoutError(errno.ETIMEDOUT, os.strerror(errno.ETIMEDOUT), path)
        time.sleep(0.001)


def _kill(path: str) -> None:
    until = time.monotonic() + PATIENCE
    while found := processes(path):
        for pid in found:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        if time.monotonic() > until:
            raise TimeoutError(errno.ETIMEDOUT, os.strerror(errno.ETIMEDOUT), path)
        time.sleep(0.001)
