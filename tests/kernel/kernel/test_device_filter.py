"""The device program of version 2 cgroups, in the real kernel: a hybrid machine asks it as well."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator

import pytest

from kernelkit.container.device_filter import compile_filter
from kernelkit.container.spec import DEVICE_RULES
from kernelkit.kernel.cgroup import JoinCgroup, MakeCgroup, RemoveCgroup
from kernelkit.kernel.device_filter import AttachDeviceFilter
from kernelkit.kernel.hierarchies import read_layout
from tests.child import in_child


@pytest.fixture
def place() -> Iterator[str]:
    unified = read_layout().unified
    if os.geteuid() or not unified:
        pytest.skip("needs root and cgroup version 2")
    directory = unified.directory(f"kernelkit-test-{os.getpid()}-{os.urandom(3).hex()}")
    MakeCgroup(directory).perform()
    yield directory
    RemoveCgroup(directory).perform()


def seen_inside(directory: str) -> dict[str, str]:
    """Which devices can be read there."""

    def work() -> dict[str, str]:
        JoinCgroup(directory, "cgroup.procs").perform()
        found = {}
        for name in ("null", "zero", "urandom", "kmsg"):
            try:
                os.close(os.open(f"/dev/{name}", os.O_RDONLY))
                found[name] = "open"
            except OSError as error:
                found[name] = type(error).__name__
        return found

    return dict(in_child(work))


EXPECTED = {"null": "open", "zero": "open", "urandom": "open", "kmsg": "PermissionError"}


def test_the_kernel_takes_it_and_asks_it(place: str) -> None:
    assert set(seen_inside(place).values()) == {"open"}
    AttachDeviceFilter(place, compile_filter(DEVICE_RULES)).perform()
    assert seen_inside(place) == EXPECTED


def test_the_same_typed_into_a_shell_gives_the_same(place: str) -> None:
    typed = AttachDeviceFilter(place, compile_filter(DEVICE_RULES)).shell()
    subprocess.run(["sh", "-c", typed], check=True)
    assert seen_inside(place) == EXPECTED


def test_every_kind_of_rule_passes_the_kernels_check(place: str) -> None:
    rules = [
        {"allow": True},
        {"allow": False, "type": "b", "major": 8, "access": "w"},
        {"allow": False, "access": "m"},
        {"allow": True, "type": "c", "minor": 4, "access": "rw"},
    ]
    for count in range(len(rules) + 1):
        AttachDeviceFilter(place, compile_filter(rules[:count])).perform()


def test_a_cgroup_that_is_not_there_is_named() -> None:
    if os.geteuid():
        pytest.skip("needs root")
    with pytest.raises(FileNotFoundError, match="/nowhere"):
        AttachDeviceFilter("/nowhere", compile_filter([])).perform()
