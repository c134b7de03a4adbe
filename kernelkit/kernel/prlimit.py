"""What prlimit(1), ulimit and choom(1) do: bounds of one process, inherited by its children. getrlimit(2), proc(5)."""

from __future__ import annotations

import errno
import os
import resource
from dataclasses import dataclass

from kernelkit.kernel.words import join

# asm-generic/resource.h
NUMBERS = {
    f"RLIMIT_{name}": number
    for number, name in enumerate(
        "CPU FSIZE DATA STACK CORE RSS NPROC NOFILE MEMLOCK AS LOCKS SIGPENDING MSGQUEUE NICE RTPRIO RTTIME".split()
    )
}


@dataclass(frozen=True)
class SetRlimit:
    """Bound what a process may use of one thing, `RLIMIT_NOFILE` for instance; -1 is without bound: setrlimit(2)."""

    name: str
    soft: int
    hard: int

    def perform(self) -> None:
        """Ask prlimit(2); PermissionError names a hard limit that only CAP_SYS_RESOURCE may raise."""
        try:
            resource.setrlimit(NUMBERS[self.name], (_bound(self.soft), _bound(self.hard)))
        except ValueError as error:
            number = errno.EPERM if "raise" in str(error) else errno.EINVAL
            raise OSError(number, os.strerror(number), self.name) from error

    def shell(self) -> str:
        """As prlimit(1) says it, about the shell itself."""
        word = self.name.removeprefix("RLIMIT_").lower()
        soft, hard = ("unlimited" if _bound(value) < 0 else value for value in (self.soft, self.hard))
        return f"prlimit --pid $$ {join([f'--{word}={soft}:{hard}'])}"


@dataclass(frozen=True)
class SetOomScoreAdjustment:
    """Say how soon to be killed when memory is short: -1000 never, 1000 first (proc(5), oom_score_adj)."""

    value: int

    def perform(self) -> None:
        """Write one's own file; to go below the inherited value takes CAP_SYS_RESOURCE."""
        fd = os.open("/proc/self/oom_score_adj", os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.write(fd, str(self.value).encode())
        finally:
            os.close(fd)

    def shell(self) -> str:
        """As choom(1) says it, about the shell itself."""
        return f"choom -p $$ -n {self.value}"


def _bound(value: int) -> int:
    # OCI and Docker write "no limit" as the largest 64-bit number or as -1; Python and the C library as -1.
    return value if 0 <= value < 1 << 63 else resource.RLIM_INFINITY
