"""Filters loaded into the real kernel."""

from __future__ import annotations

import errno
import os
import platform
import subprocess
from collections.abc import Callable
from typing import Any

import pytest

from kernelkit.container.seccomp_profile import compiled, profile, resolve
from kernelkit.container.security import DEFAULT
from kernelkit.container.syscalls import NUMBERS
from kernelkit.kernel import libc
from kernelkit.kernel.seccomp import LoadSeccomp
from kernelkit.kernel.setpriv import SetNoNewPrivileges
from tests.child import child, in_child

MACHINE = platform.machine()
CALLS = NUMBERS.get(f"SCMP_ARCH_{MACHINE.upper()}", {})
pytestmark = pytest.mark.skipif(not CALLS, reason=f"no system call numbers are known for {MACHINE}")


def docker(*more: str) -> LoadSeccomp:
    return LoadSeccomp(compiled(profile(frozenset([*DEFAULT, *more]), MACHINE)))


def own(**group: Any) -> LoadSeccomp:
    given = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [group]}
    return LoadSeccomp(compiled(resolve(given, frozenset(), MACHINE)))


def behind(load: LoadSeccomp, work: Callable[[], Any]) -> Any:
    def both() -> Any:
        SetNoNewPrivileges().perform()
        load.perform()
        return work()

    return in_child(both)


def answer(name: str, *arguments: int) -> Callable[[], str]:
    """A call's outcome, as the name of its error or `success`."""

    def work() -> str:
        try:
            libc.syscall(CALLS.get(name, 600), *arguments)
        except OSError as error:
            return errno.errorcode[error.errno or 0]
        return "success"

    return work


@pytest.mark.parametrize(
    ("name", "arguments", "outcome"),
    [
        ("getpid", (), "success"),
        ("mount", (0, 0, 0, 0, 0), "EPERM"),
        ("unshare", (0,), "EPERM"),
        ("keyctl", (0, 0), "EPERM"),
        ("clone", (0x10000000, 0), "EPERM"),
        ("clone3", (0, 0), "ENOSYS"),
        ("of the future", (), "ENOSYS"),
        ("personality", (0xFFFFFFFF,), "success"),
        ("personality", (1,), "EPERM"),
    ],
)
def test_dockers_profile_answers_as_docker_does(name: str, arguments: tuple[int, ...], outcome: str) -> None:
    assert behind(docker(), answer(name, *arguments)) == outcome


def test_with_the_capability_the_call_reaches_the_kernel() -> None:
    assert behind(docker("CAP_SYS_ADMIN"), answer("unshare", 0)) == "success"


def test_ordinary_programs_run_behind_it() -> None:
    def work() -> str:
        return subprocess.run(["sh", "-c", "ls / | wc -l"], capture_output=True, text=True, check=True).stdout

    assert int(behind(docker(), work)) > 3


def test_the_kernel_counts_it() -> None:
    def work() -> dict[str, str]:
        with open("/proc/self/status") as file:
            return dict(line.rstrip("\n").split(":\t", 1) for line in file)

    found = behind(docker(), work)
    assert (found["Seccomp"], found["Seccomp_filters"]) == ("2", "1")


def test_an_argument_decides() -> None:
    refused = [{"index": 0, "op": "SCMP_CMP_EQ", "value": 1 << 40}]
    filtered = own(names=["close"], action="SCMP_ACT_ERRNO", errnoRet=errno.ECHILD, args=refused)
    assert behind(filtered, answer("close", 1 << 40)) == "ECHILD"
    assert behind(filtered, answer("close", 999)) == "EBADF"


def test_a_call_can_end_its_caller() -> None:
    def work() -> None:
        SetNoNewPrivileges().perform()
        own(names=["getpriority"], action="SCMP_ACT_KILL_PROCESS").perform()
        os.getpriority(os.PRIO_PROCESS, 0)

    answer, status = child(work)
    assert answer is None
    assert os.WTERMSIG(status) == 31  # SIGSYS


def test_a_program_that_jumps_into_nowhere_is_refused() -> None:
    with pytest.raises(OSError, match="Invalid argument"):
        behind(LoadSeccomp(b"\x05\x00\x00\x00\xff\x00\x00\x00"), lambda: None)


def test_the_same_typed_into_a_shell_gives_the_same() -> None:
    filtered = own(names=["mkdir", "mkdirat"], action="SCMP_ACT_ERRNO", errnoRet=errno.EXDEV)
    words = [op.shell().removeprefix("exec ").removesuffix(" sh") for op in (SetNoNewPrivileges(), filtered)]
    typed = f"exec {' '.join(words)} mkdir made"
    ran = subprocess.run(["sh", "-c", typed], capture_output=True, text=True, env={**os.environ, "LC_ALL": "C"})
    assert os.strerror(errno.EXDEV) in ran.stderr
