"""What unshare(1) and nsenter(1) do: namespaces made and entered. namespaces(7) names the kinds."""

from __future__ import annotations

import os
from dataclasses import dataclass

from kernelkit.kernel import libc
from kernelkit.kernel.words import join

# The words of unshare(1) -> (clone flag, name under /proc/PID/ns).
KINDS: dict[str, tuple[int, str]] = {
    "user": (libc.CLONE_NEWUSER, "user"),
    "mount": (libc.CLONE_NEWNS, "mnt"),
    "uts": (libc.CLONE_NEWUTS, "uts"),
    "ipc": (libc.CLONE_NEWIPC, "ipc"),
    "net": (libc.CLONE_NEWNET, "net"),
    "pid": (libc.CLONE_NEWPID, "pid"),
    "cgroup": (libc.CLONE_NEWCGROUP, "cgroup"),
}


def flags_of(kinds: tuple[str, ...]) -> int:
    """The clone flags for these kinds of namespace."""
    flags = 0
    for kind in kinds:
        flags |= KINDS[kind][0]
    return flags


@dataclass(frozen=True)
class Unshare:
    """Leave the namespaces of these kinds that were inherited, for new ones: unshare(2)."""

    kinds: tuple[str, ...]

    def perform(self) -> None:
        """Ask unshare(2); a new pid namespace takes in only children made later."""
        libc.unshare(flags_of(self.kinds))

    def shell(self) -> str:
        """As unshare(1) says it; what follows runs inside."""
        return join(["exec", "unshare", *(f"--{kind}" for kind in self.kinds), "sh"])


@dataclass(frozen=True)
class MapIds:
    """Say which users and groups of the outside a new user namespace's are: user_namespaces(7), uid_map and gid_map.

    Each row is (first id inside, first id outside, how many).
    """

    pid: int
    users: tuple[tuple[int, int, int], ...]
    groups: tuple[tuple[int, int, int], ...]

    def perform(self) -> None:
        """Write both files, each whole in one write; the process is already in its namespace."""
        for name, rows in (("uid_map", self.users), ("gid_map", self.groups)):
            with open(f"/proc/{self.pid}/{name}", "w") as file:
                file.write(_rows(rows))

    def shell(self) -> str:
        """As printf with redirection says it."""
        users, groups = join([_rows(self.users)]), join([_rows(self.groups)])
        return f"printf %s {users} > /proc/{self.pid}/uid_map && printf %s {groups} > /proc/{self.pid}/gid_map"


def _rows(rows: tuple[tuple[int, int, int], ...]) -> str:
    return "".join(f"{inside} {outside} {count}\n" for inside, outside, count in rows)


@dataclass(frozen=True)
class EnterNamespaces:
    """Join the namespaces of a running process: setns(2). Of a pid namespace only children made later are members."""

    pid: int
    kinds: tuple[str, ...]

    def perform(self) -> None:
        """Open all their files, then one setns(2) for each, the mounts last: with those /proc may be another one.

        A pidfd would do with a single call, but cannot be had of a process of another pid namespace, where an exec's
        first process already is.
        """
        kinds = sorted(self.kinds, key=lambda kind: (kind != "user", kind == "mount"))
        descriptors = []
        try:
            for kind in kinds:
                path = f"/proc/{self.pid}/ns/{KINDS[kind][1]}"
                descriptors.append(os.open(path, os.O_RDONLY | os.O_CLOEXEC))
            for kind, fd in zip(kinds, descriptors, strict=True):
                libc.setns(fd, KINDS[kind][0])
        finally:
            for fd in descriptors:
                os.close(fd)

    def shell(self) -> str:
        """As nsenter(1) says it."""
        return join(["nsenter", "-t", self.pid, *(f"--{kind}" for kind in self.kinds)])


@dataclass(frozen=True)
class JoinNamespace:
    """Join one namespace in place of one's own, as `--network container:ID` does: setns(2).

    `path` is its file, `/proc/PID/ns/NAME`. Of a pid namespace only children made later are members, so with
    `/proc/self/ns/pid` a process that has sent its children elsewhere keeps them at home again.
    """

    kind: str
    path: str

    def perform(self) -> None:
        """Open the namespace's file, ask setns(2)."""
        fd = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            libc.setns(fd, KINDS[self.kind][0])
        finally:
            os.close(fd)

    def shell(self) -> str:
        """As nsenter(1) says it; what follows runs inside."""
        return join(["exec", "nsenter", f"--{self.kind}={self.path}", "sh"])
