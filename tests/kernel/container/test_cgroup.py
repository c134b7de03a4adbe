"""Limits that really bite, in cgroups that these tests make and remove."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from kernelkit.container import cgroup
from kernelkit.container.cgroup import Layout
from kernelkit.container.spec import DEVICE_RULES
from kernelkit.kernel.cgroup import JoinCgroup
from kernelkit.kernel.cgroup_procs import processes
from kernelkit.kernel.hierarchies import read_layout
from kernelkit.trace import Operation
from tests.child import child, in_child
from tests.patience import wait_until
from tests.plans import perform

MEGABYTE = 1 << 20
Resources = dict[str, Any]


class Box:
    """One container's cgroups, without the container."""

    def __init__(self, layout: Layout, base: str) -> None:
        self.layout, self.path = layout, f"{base}/box"
        self.resources: Resources = {}

    def limit(self, **resources: Any) -> Box:
        """Make it, with these limits; skip the test where the machine cannot set them."""
        self.resources = resources
        for name, controller in (("memory", "memory"), ("pids", "pids"), ("cpu", "cpu"), ("devices", "devices")):
            if name in resources and not self.layout.of(controller):
                pytest.skip(f"this machine has no cgroup controller {controller}")
        perform(cgroup.limits(resources, self.layout, self.path))
        return self

    def run(self, work: Callable[[], Any]) -> tuple[Any, int]:
        """Do some work in it: (what the work returned,), wait status."""

        def inside() -> Any:
            perform(self.enter())
            return work()

        return child(inside)

    def start(self, *command: str) -> subprocess.Popen[str]:
        """Start a command in it."""
        plan = self.enter()
        return subprocess.Popen(command, preexec_fn=lambda: perform(plan), stdout=subprocess.PIPE, text=True)

    def enter(self) -> list[Operation]:
        place = cgroup.birthplace(self.layout, self.path, self.resources)
        born = [JoinCgroup(place, "cgroup.procs")] if place else []
        return [*born, *cgroup.join(self.layout, self.path, self.resources)]

    def directory(self, controller: str) -> str:
        hierarchy = self.layout.of(controller)
        assert hierarchy
        return hierarchy.directory(self.path)


@pytest.fixture
def box() -> Iterator[Box]:
    if os.geteuid():
        pytest.skip("making cgroups takes root")
    layout = read_layout()
    if not layout.of("memory"):
        pytest.skip("this machine has no cgroup controller memory")
    base = f"kernelkit-test-{os.getpid()}-{os.urandom(3).hex()}"
    try:
        perform(cgroup.prepare(layout, base))
        yield Box(layout, base)
    finally:
        perform(cgroup.kill(layout, base))
        perform(cgroup.teardown(layout, base))
        assert not [h for h in layout.hierarchies if os.path.exists(h.directory(base))]


def test_who_takes_more_memory_than_is_allowed_is_ended_by_the_kernel(box: Box) -> None:
    box.limit(memory={"limit": 32 * MEGABYTE, "swap": 32 * MEGABYTE})
    assert not cgroup.oom_killed(box.layout, box.path)
    answer, status = box.run(lambda: len(bytearray(os.urandom(MEGABYTE)) * 128))
    assert answer is None
    assert os.WTERMSIG(status) == signal.SIGKILL
    assert cgroup.oom_killed(box.layout, box.path)


def test_who_keeps_within_it_is_not(box: Box) -> None:
    box.limit(memory={"limit": 128 * MEGABYTE, "swap": 128 * MEGABYTE})
    answer, _ = box.run(lambda: len(bytes(MEGABYTE)))
    assert answer == (MEGABYTE,)
    assert not cgroup.oom_killed(box.layout, box.path)


def test_processes_beyond_the_limit_cannot_be_made(box: Box) -> None:
    box.limit(pids={"limit": 3})

    def fork_on() -> int:
        made = []
        try:
            for _ in range(10):
                pid = os.fork()
                if pid == 0:
                    time.sleep(60)
                    os._exit(0)
                made.append(pid)
        except BlockingIOError:  # EAGAIN
            return len(made)
        finally:
            for pid in made:
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
        return len(made)

    assert box.run(fork_on)[0] == (2,)


def test_who_has_had_its_share_of_the_processor_waits(box: Box) -> None:
    box.limit(cpu={"quota": 10_000, "period": 100_000})

    began = time.monotonic()
    with box.start("sh", "-c", "while :; do :; done") as process:
        wait_until(lambda: cgroup.usage(box.layout, box.path).throttled_periods >= 5)
        process.kill()
    found = cgroup.usage(box.layout, box.path)
    assert found.throttled_time > 0
    assert found.periods >= found.throttled_periods
    assert found.cpu / 1e9 < 0.7 * (time.monotonic() - began)


def test_only_the_processors_given_may_be_used(box: Box) -> None:
    if not box.layout.of("cpuset"):
        pytest.skip("this machine has no cgroup controller cpuset")
    last = max(os.sched_getaffinity(0))
    box.limit(cpu={"cpus": str(last)})
    assert box.run(lambda: os.sched_getaffinity(0))[0] == ({last},)


def opens(path: str, flags: int = os.O_RDONLY) -> str:
    try:
        os.close(os.open(path, flags))
    except OSError as error:
        return type(error).__name__
    return "open"


def test_devices_that_are_not_listed_cannot_be_used(box: Box) -> None:
    box.limit(devices=[dict(rule) for rule in DEVICE_RULES])
    assert opens("/dev/kmsg") == "open"
    answer, _ = box.run(lambda: [opens(f"/dev/{name}", os.O_RDWR) for name in ("null", "zero", "full", "kmsg")])
    assert answer == (["open", "open", "open", "PermissionError"],)


def test_the_walls_around_devices_hold_for_nodes_made_inside(box: Box, tmp_path: Any) -> None:
    box.limit(devices=[dict(rule) for rule in DEVICE_RULES])

    def make_and_open() -> str:
        os.mknod(tmp_path / "kmsg", 0o600 | 0o020000, os.makedev(1, 11))
        return opens(str(tmp_path / "kmsg"))

    assert box.run(make_and_open)[0] == ("PermissionError",)


def test_what_is_used_can_be_read(box: Box) -> None:
    box.limit(memory={"limit": 256 * MEGABYTE}, pids={"limit": 7})
    script = "i=0; while [ $i -lt 20000 ]; do i=$((i + 1)); done; echo ready; exec sleep 60"
    with box.start("sh", "-c", script) as process:
        assert process.stdout
        process.stdout.readline()
        found = cgroup.usage(box.layout, box.path)
        process.kill()
    assert (found.pids, found.pids_limit) == (1, 7)
    assert 0 < found.memory <= found.memory_limit == 256 * MEGABYTE
    assert found.memory_detail
    assert found.cpu > 0


def test_nothing_is_used_where_nothing_is() -> None:
    assert cgroup.usage(read_layout(), "kernelkit-test-nobody") == cgroup.Usage()


def test_the_frozen_stand_still_until_they_are_thawed(box: Box) -> None:
    box.limit()
    with box.start("sh", "-c", "while :; do echo; sleep 0.01; done") as process:
        assert process.stdout
        process.stdout.readline()
        perform(cgroup.freeze(box.layout, box.path))
        os.set_blocking(process.stdout.fileno(), False)
        while _drained(process.stdout.fileno()):
            pass
        time.sleep(0.1)
        assert not _drained(process.stdout.fileno())
        perform(cgroup.thaw(box.layout, box.path))
        os.set_blocking(process.stdout.fileno(), True)
        assert process.stdout.readline() == "\n"
        process.kill()


def _drained(fd: int) -> int:
    """Bytes that were there to read."""
    try:
        return len(os.read(fd, 1 << 16))
    except BlockingIOError:
        return 0


def test_who_is_inside_is_known_and_can_be_ended(box: Box) -> None:
    box.limit()
    with box.start("sh", "-c", "sleep 60 & echo ready; wait") as process:
        assert process.stdout
        process.stdout.readline()
        inside = processes(box.directory("pids"))
        assert process.pid in inside
        assert len(inside) == 2
        perform(cgroup.kill(box.layout, box.path))
        assert process.wait() == -signal.SIGKILL
    wait_until(lambda: processes(box.directory("pids")) == [])


def test_a_cgroup_made_inside_goes_away_with_it(box: Box) -> None:
    box.limit()
    os.makedirs(f"{box.directory('pids')}/one/two")
    perform(cgroup.teardown(box.layout, box.path))
    assert not os.path.exists(box.directory("pids"))


def test_taking_it_down_twice_is_no_harm(box: Box) -> None:
    box.limit()
    perform(cgroup.teardown(box.layout, box.path))
    perform(cgroup.teardown(box.layout, box.path))


def test_limits_can_change_up_and_down_while_somebody_is_inside(box: Box) -> None:
    box.limit()
    with box.start("sh", "-c", "echo ready; sleep 60") as process:
        assert process.stdout
        process.stdout.readline()
        for size in (64, 512, 32):
            wanted = {"memory": {"limit": size * MEGABYTE, "swap": size * MEGABYTE}, "cpu": {"shares": 512}}
            perform(cgroup.update(wanted, box.layout, box.path, box.resources))
            box.resources = wanted
            assert cgroup.usage(box.layout, box.path).memory_limit == size * MEGABYTE
        assert process.pid in processes(box.directory("cpu"))
        process.kill()


def test_a_value_that_the_kernel_does_not_take_names_its_file(box: Box) -> None:
    with pytest.raises(OSError, match=r"cpuset\.cpus") as raised:
        box.limit(cpu={"cpus": "9999"})
    assert raised.value.filename.endswith("/box/cpuset.cpus")


def test_the_same_typed_into_a_shell_gives_the_same(box: Box) -> None:
    resources: Resources = {
        "memory": {"limit": 64 * MEGABYTE, "swap": 64 * MEGABYTE, "reservation": 32 * MEGABYTE},
        "cpu": {"shares": 512, "quota": 50_000, "period": 100_000},
        "pids": {"limit": 9},
        "devices": [dict(rule) for rule in DEVICE_RULES],
    }
    box.limit(**resources)
    performed = _files(box)
    perform(cgroup.teardown(box.layout, box.path))
    lines = [op.shell() for op in cgroup.limits(resources, box.layout, box.path)]
    lines += [op.shell() for op in box.enter()]
    lines.append("cat /proc/self/cgroup")
    typed = subprocess.run(["sh", "-e", "-c", "\n".join(lines)], capture_output=True, text=True, check=True)
    names = ["memory", "pids", "cpu"]
    if cgroup.birthplace(box.layout, box.path, resources):
        names.append("")
    joined = [line for line in typed.stdout.splitlines() if line.split(":")[1] in names]
    assert joined
    assert all(line.endswith(box.path) for line in joined)
    assert _files(box) == performed


def _files(box: Box) -> dict[str, str]:
    """All settings of the box that can be read, not its counters."""
    found = {}
    names = "memory.limit_in_bytes memory.memsw.limit_in_bytes memory.soft_limit_in_bytes cpu.shares cpu.cfs_quota_us "
    names += "cpu.cfs_period_us pids.max devices.list memory.max memory.swap.max memory.low cpu.weight cpu.max"
    for hierarchy in box.layout.hierarchies:
        for name in names.split():
            path = f"{hierarchy.directory(box.path)}/{name}"
            if os.path.exists(path):
                with open(path) as file:
                    found[path] = file.read()
    return found


def test_the_layout_names_directories_that_are_there(box: Box) -> None:
    for hierarchy in box.layout.hierarchies:
        assert os.path.exists(f"{hierarchy.home}/cgroup.procs")


def test_a_member_of_a_child_process_tree_stays_inside(box: Box) -> None:
    box.limit(pids={"limit": 20})
    seen = in_child(lambda: box.run(lambda: subprocess.run(["cat", "/proc/self/cgroup"], capture_output=True).stdout))
    assert box.path.encode() in seen[0][0]
