"""What setpriv(1) does: privileges of this process given up, kept or handed on. capabilities(7), credentials(7).

A shell cannot change its own privileges, only those of a program that takes its place: so each line in shell puts a
shell with less in the place of the one before it, which goes on with the lines that follow.
"""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass

from kernelkit.kernel import libc
from kernelkit.kernel.capability import NUMBERS, mask
from kernelkit.kernel.words import join

# struct __user_cap_header_struct: version, pid; two of struct __user_cap_data_struct: effective, permitted,
# inheritable, the lower 32 bits first. capset(2).
_HEADER = struct.pack("<Ii", 0x20080522, 0)
_DATA = struct.Struct("<6I")


@dataclass(frozen=True)
class SetNoNewPrivileges:
    """No program may gain rights by being executed any more, set-user-ID or not: PR_SET_NO_NEW_PRIVS."""

    def perform(self) -> None:
        """Ask prctl(2); there is no way back, for children neither."""
        libc.prctl(libc.PR_SET_NO_NEW_PRIVS, 1)

    def shell(self) -> str:
        """As setpriv(1) says it."""
        return _take_over("--no-new-privs")


@dataclass(frozen=True)
class DropBounding:
    """Take capabilities away for good, from this process and all it will become: PR_CAPBSET_DROP."""

    capabilities: tuple[str, ...]

    def perform(self) -> None:
        """One prctl(2) for each; takes CAP_SETPCAP, so it comes before that is given up."""
        for name in self.capabilities:
            libc.prctl(libc.PR_CAPBSET_DROP, NUMBERS[name])

    def shell(self) -> str:
        """As setpriv(1) says it."""
        return _take_over(f"--bounding-set={_list('-', self.capabilities)}")


@dataclass(frozen=True)
class KeepCapabilities:
    """Keep the permitted capabilities when the next line changes the user from root to another: PR_SET_KEEPCAPS."""

    def perform(self) -> None:
        """Ask prctl(2); exec undoes it."""
        libc.prctl(libc.PR_SET_KEEPCAPS, 1)

    def shell(self) -> str:
        """Nothing to type: setpriv keeps them itself."""
        return ": capabilities stay when the user changes"


@dataclass(frozen=True)
class SetGroups:
    """Be a member of these supplementary groups and no others: setgroups(2)."""

    groups: tuple[int, ...]

    def perform(self) -> None:
        """Ask setgroups(2)."""
        os.setgroups(self.groups)

    def shell(self) -> str:
        """As setpriv(1) says it."""
        return _take_over(f"--groups={','.join(map(str, self.groups))}" if self.groups else "--clear-groups")


@dataclass(frozen=True)
class SetGroup:
    """Be of this group, in the real, effective and saved sense: setresgid(2)."""

    gid: int

    def perform(self) -> None:
        """Ask setresgid(2); before the user changes, for then the right to do so is gone."""
        os.setresgid(self.gid, self.gid, self.gid)

    def shell(self) -> str:
        """As setpriv(1) says it."""
        return _take_over(f"--regid={self.gid}", "--keep-groups")


@dataclass(frozen=True)
class SetUser:
    """Be this user, in the real, effective and saved sense: setresuid(2)."""

    uid: int

    def perform(self) -> None:
        """Ask setresuid(2); from root to another the effective capabilities are gone with it."""
        os.setresuid(self.uid, self.uid, self.uid)

    def shell(self) -> str:
        """As setpriv(1) says it."""
        return _take_over(f"--reuid={self.uid}")


@dataclass(frozen=True)
class SetCapabilities:
    """Have exactly these capabilities: capset(2)."""

    effective: tuple[str, ...]
    permitted: tuple[str, ...]
    inheritable: tuple[str, ...]

    def perform(self) -> None:
        """Ask capset(2), once for all three sets."""
        sets = mask(self.effective), mask(self.permitted), mask(self.inheritable)
        libc.syscall(libc.SYS_capset, _HEADER, _DATA.pack(*(s & 0xFFFFFFFF for s in sets), *(s >> 32 for s in sets)))

    def shell(self) -> str:
        """As setpriv(1) says it; each exec computes the other two anew: from the bounding set, or nothing."""
        return _take_over(f"--inh-caps=-all{',' if self.inheritable else ''}{_list('+', self.inheritable)}")


@dataclass(frozen=True)
class RaiseAmbient:
    """Hand these capabilities on to every program executed, though the user is not root: PR_CAP_AMBIENT."""

    capabilities: tuple[str, ...]

    def perform(self) -> None:
        """One prctl(2) for each; they must be permitted and inheritable."""
        for name in self.capabilities:
            libc.prctl(libc.PR_CAP_AMBIENT, libc.PR_CAP_AMBIENT_RAISE, NUMBERS[name])

    def shell(self) -> str:
        """As setpriv(1) says it."""
        return _take_over(f"--ambient-caps={_list('+', self.capabilities)}")


def _take_over(*options: str) -> str:
    return join(["exec", "setpriv", *options, "sh"])


def _list(sign: str, names: tuple[str, ...]) -> str:
    return ",".join(f"{sign}{name.removeprefix('CAP_').lower()}" for name in names)
