"""Operations on version 2 cgroups, in the real kernel: on a hybrid machine they work too, with few controllers."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from kernelkit.kernel.cgroup import (
    EnableControllers,
    JoinCgroup,
    MakeCgroup,
    RemoveCgroup,
    RemoveEmptyCgroup,
    WriteCgroup,
)
from kernelkit.kernel.cgroup_procs import Freeze, KillCgroup, MoveProcesses, Thaw, ThawAll, processes
from kernelkit.kernel.hierarchies import Hierarchy, read_layout
from kernelkit.kernel.process import Clone
from tests.child import in_child
from tests.patience import wait_until


@pytest.fixture
def unified() -> Hierarchy:
    found = read_layout().unified
    if os.geteuid() or not found:
        pytest.skip("needs root and cgroup version 2")
    return found


@pytest.fixture
def place(unified: Hierarchy) -> Iterator[Path]:
    directory = unified.directory(f"kernelkit-test-{os.getpid()}-{os.urandom(3).hex()}")
    MakeCgroup(directory).perform()
    yield Path(directory)
    KillCgroup(directory).perform()
    RemoveCgroup(directory).perform()


@pytest.fixture
def sleeper(place: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process in it."""
    with subprocess.Popen(["sleep", "60"], preexec_fn=JoinCgroup(str(place), "cgroup.procs").perform) as process:
        yield process
        process.kill()


def test_only_an_empty_cgroup_is_removed(place: Path) -> None:
    inner = place / "inner"
    inner.mkdir()
    RemoveEmptyCgroup(str(place)).perform()
    assert inner.is_dir(), "one is in it"
    with subprocess.Popen(["sleep", "60"], preexec_fn=JoinCgroup(str(inner), "cgroup.procs").perform) as process:
        RemoveEmptyCgroup(str(inner)).perform()
        assert inner.is_dir(), "a process is in it"
        process.kill()
    RemoveCgroup(str(inner)).perform()
    RemoveEmptyCgroup(str(inner)).perform()  # it has gone already
    RemoveEmptyCgroup(str(place)).perform()
    assert not place.exists()


def where() -> str:
    """The version 2 cgroup of this process."""
    lines = Path("/proc/self/cgroup").read_text().splitlines()
    return next(line.removeprefix("0::") for line in lines if line.startswith("0::"))


def test_a_process_joins(place: Path) -> None:
    def work() -> str:
        JoinCgroup(str(place), "cgroup.procs").perform()
        return where()

    assert in_child(work).endswith(f"/{place.name}")


def test_a_process_is_born_inside(place: Path) -> None:
    def work() -> str:
        read, write = os.pipe()
        pid, pidfd = Clone((), str(place)).perform()
        if pid == 0:
            try:
                os.write(write, where().encode())
            finally:
                os._exit(0)
        os.close(write)
        os.close(pidfd)
        with os.fdopen(read) as pipe:
            said = pipe.read()
        os.waitpid(pid, 0)
        return said

    assert in_child(work).endswith(f"/{place.name}")


def test_making_one_that_is_there_is_no_harm_and_parents_are_made(place: Path) -> None:
    MakeCgroup(str(place)).perform()
    MakeCgroup(str(place / "one/two")).perform()
    assert (place / "one/two/cgroup.procs").exists()


def test_controllers_are_handed_down(place: Path) -> None:
    offered = (place / "cgroup.controllers").read_text().split()
    if not offered:
        pytest.skip("version 2 has no controllers here")
    EnableControllers(str(place), tuple(offered)).perform()
    MakeCgroup(str(place / "below")).perform()
    assert (place / "below/cgroup.controllers").read_text().split() == offered


def test_processes_make_room(place: Path, sleeper: subprocess.Popen[bytes]) -> None:
    MakeCgroup(str(place / "host")).perform()
    MoveProcesses(str(place), str(place / "host")).perform()
    assert (place / "cgroup.procs").read_text() == ""
    assert processes(str(place)) == processes(str(place / "host")) == [sleeper.pid]


def test_the_frozen_are_frozen_until_they_are_thawed(place: Path, sleeper: subprocess.Popen[bytes]) -> None:
    Freeze(str(place), 2).perform()
    assert "frozen 1" in (place / "cgroup.events").read_text()
    Thaw(str(place), 2).perform()
    wait_until(lambda: "frozen 0" in (place / "cgroup.events").read_text())


def test_whoever_is_frozen_below_goes_on() -> None:
    freezer = read_layout().of("freezer")
    if os.geteuid() or not freezer or freezer.version != 1:
        pytest.skip("needs root and the freezer of cgroup version 1")
    place = freezer.directory(f"kernelkit-test-{os.getpid()}-{os.urandom(3).hex()}")
    inner = f"{place}/inner"
    MakeCgroup(inner).perform()
    try:
        for way in (ThawAll(place).perform, lambda: subprocess.run(["sh", "-ec", ThawAll(place).shell()], check=True)):
            with subprocess.Popen(["sleep", "60"], preexec_fn=JoinCgroup(inner).perform) as process:
                Freeze(inner).perform()
                process.kill()
                assert process.poll() is None, "who is frozen does not die"
                way()
                assert process.wait() == -signal.SIGKILL
    finally:
        ThawAll(place).perform()
        RemoveCgroup(place).perform()


def test_all_inside_are_ended_at_once(place: Path, sleeper: subprocess.Popen[bytes]) -> None:
    KillCgroup(str(place)).perform()
    assert sleeper.wait() == -signal.SIGKILL


def test_removing_waits_for_those_who_are_just_ending(place: Path, sleeper: subprocess.Popen[bytes]) -> None:
    MakeCgroup(str(place / "below")).perform()
    sleeper.kill()
    RemoveCgroup(str(place)).perform()
    assert not place.exists()


def test_a_file_that_is_not_there_is_named(place: Path) -> None:
    with pytest.raises(OSError, match=r"no\.such\.file"):
        WriteCgroup(str(place / "no.such.file"), "1").perform()


def test_typed_into_a_shell_they_do_the_same(place: Path) -> None:
    inner = str(place / "typed")
    script = [MakeCgroup(inner), JoinCgroup(inner, "cgroup.procs")]
    lines = [op.shell() for op in script]
    lines += ["grep ^0:: /proc/self/cgroup", MoveProcesses(inner, str(place)).shell(), RemoveCgroup(inner).shell()]
    typed = subprocess.run(["sh", "-e", "-c", "\n".join(lines)], capture_output=True, text=True, check=True)
    assert typed.stdout.strip().endswith(f"/{place.name}/typed")
    assert not Path(inner).exists()
