"""Bad input and bad luck: one clear line that names the thing, the right exit code, and nothing left behind."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from kernelkit.embedded import recipes
from tests.conftest import Kernelkit
from tests.layout import Layout
from tests.machine import Machine, names_below, short_folder
from tests.patience import PATIENCE, wait_until
from tests.rude_registry import Asked, Reply, RudeRegistry

KERNELKIT = str(Path(sys.executable).with_name("kernelkit"))
LOOK = """
ip -o link | cut -d: -f2 | cut -d@ -f1 | sort; nft -s list ruleset; cut -d' ' -f4- /proc/self/mountinfo | sort
find /sys/fs/cgroup -type d | sort
"""
# How the kernel calls the file of this limit, in version 1 and in version 2 of cgroups.
QUOTA = "cpu.cfs_quota_us" if Path("/sys/fs/cgroup/cpu").exists() else "cpu.max"


@pytest.fixture(scope="module")
def alone() -> Iterator[Kernelkit]:
    """A kernelkit on a throw-away machine for all tests of this file, with busybox in it."""
    machine = Machine()
    kernelkit = Kernelkit(short_folder(), machine)
    try:
        kernelkit("pull", "busybox")
        kernelkit("run", "--rm", "-p", "8080:80", "busybox", "true")
        yield kernelkit
    finally:
        kernelkit.remove()
        machine.down()


def everything(kk: Kernelkit) -> dict[str, Any]:
    """What the machine, the practice host in it and the home hold."""
    assert kk.machine
    state = kk.machine.state(*(kk.home / name for name in ("containers", "layers", "blobs", "pulls", "run", "trash")))
    # A shim waits ahead for the next container; which one it is does not matter.
    state["processes"] = sorted({" ".join(line.split()[1:]) for line in state["processes"]})
    return {
        **state,
        "host": kk("shell", "sh", "-c", LOOK).stdout.splitlines(),
        "containers": kk("ps", "-aq", "--no-trunc").stdout.split(),
        "volumes": kk("volume", "ls", "-q").stdout.split(),
    }


class Before:
    """What there was; `assert_same` waits a moment for what is still going away."""

    def __init__(self, kk: Kernelkit) -> None:
        self._kk = kk
        # The kernel and the engine throw away in their own time what there was before.
        wait_until(lambda: "master kk0" not in kk("shell", "ip", "-o", "link").stdout)
        wait_until(lambda: not list((kk.home / "trash").glob("*")))
        self._state = everything(kk)

    def assert_same(self, tidy: Callable[[], object] = lambda: None) -> None:
        """Now, or once `tidy` has been called often enough."""
        until = time.monotonic() + PATIENCE
        while (now := everything(self._kk)) != self._state and time.monotonic() < until:
            tidy()
            time.sleep(0.05)
        for what, there in self._state.items():
            assert now[what] == there, what


@pytest.fixture(scope="module")
def before(alone: Kernelkit) -> Before:
    return Before(alone)


# what cannot be meant ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        ("BadName true", 125, "invalid reference format: repository name (library/BadName) must be lowercase"),
        ("busybox:nosuchtag true", 125, "manifest for busybox:nosuchtag not found"),
        ("--pull never nosuchimage true", 125, "No such image: nosuchimage:latest"),
        ("localhost:1/x true", 125, "no answer from registry 'localhost:1': connection refused"),
        ("busybox@sha256:abc true", 125, "invalid reference format"),
        ("--pull always busybox@sha256:" + "0" * 64 + " true", 125, "no answer from registry"),
        ("--platform linux/s390x busybox true", 125, "no matching manifest for linux/s390x"),
        ("--nosuch busybox true", 125, "unknown flag: --nosuch"),
        ("--memory abc busybox true", 125, 'invalid argument "abc" for "-m, --memory" flag: invalid size: \'abc\''),
        ("-m 1m busybox true", 125, "Minimum memory limit allowed is 6MB"),
        ("-m 10m --memory-swap 1m busybox true", 125, "Minimum memoryswap limit should be larger than memory limit"),
        ("--cpus 99999 busybox true", 125, "Range of CPUs is from 0.01 to"),
        ("--cpus 0.001 busybox true", 125, "Range of CPUs is from 0.01 to"),
        ("--cpuset-cpus 999 busybox true", 125, "Requested CPUs are not available - requested 999, available: 0-"),
        ("--pids-limit abc busybox true", 125, 'invalid argument "abc" for "--pids-limit" flag'),
        ("--ulimit nosuch=1 busybox true", 125, "invalid ulimit type: nosuch"),
        ("--ulimit nofile=2:1 busybox true", 125, "ulimit soft limit must be less than or equal to hard limit: 2 > 1"),
        ("--network nosuch busybox true", 125, "network nosuch not found"),
        ("--network container:nosuch busybox true", 125, "No such container: nosuch"),
        ("-p 99999:80 busybox true", 125, "invalid hostPort: 99999"),
        ("--name !! busybox true", 125, "Invalid container name (!!)"),
        ("-w relative busybox true", 125, "the working directory 'relative' is invalid"),
        ("-u nosuch busybox true", 125, "unable to find user nosuch: no matching entries in passwd file"),
        ("--group-add nosuch busybox true", 125, "unable to find group nosuch: no matching entries in group file"),
        ("--cap-add nosuch busybox true", 125, 'invalid CapAdd: unknown capability: "CAP_NOSUCH"'),
        ("--security-opt seccomp=/nosuch busybox true", 125, "opening seccomp profile (/nosuch) failed: open /nosuch"),
        ("--device /dev/nosuch busybox true", 127, 'custom device "/dev/nosuch": no such file or directory'),
        ("--sysctl kernel.panic=1 busybox true", 125, "sysctl 'kernel.panic=1' is not allowed"),
        ("--network host --sysctl net.core.somaxconn=7 busybox true", 125, "not allowed in host network namespace"),
        ("--tmpfs /x:bogus busybox true", 125, 'invalid tmpfs option ["bogus"] for /x'),
        ("--tmpfs /x:size=abc busybox true", 125, 'invalid value for tmpfs option "size=abc" for /x'),
        ("-v /tmp:relative busybox true", 125, "invalid mount path: 'relative' mount path must be absolute"),
        ("-v /tmp:/ busybox true", 125, "destination can't be '/'"),
        ("-v /tmp:/x:bogus busybox true", 125, "invalid mode: bogus"),
        ("-v /tmp:/x -v /usr:/x busybox true", 125, "Duplicate mount point: /x"),
        ("--stop-signal NOSUCH busybox true", 125, "invalid signal: NOSUCH"),
        ("--health-interval 1 busybox true", 125, 'missing unit in duration "1"'),
        ("--ipc bogus busybox true", 125, "invalid Ipc mode: bogus"),
        ("--env-file /nosuch busybox true", 125, "open /nosuch: no such file or directory"),
        ("--mac-address ff:ff:ff busybox true", 125, "ff:ff:ff is not a valid mac address"),
        ("--log-opt nosuch=1 busybox true", 125, "unknown log opt 'nosuch' for json-file log driver"),
        ("--storage-opt size=1g busybox true", 125, "--storage-opt is supported only for overlay over xfs with"),
    ],
)
def test_what_cannot_be_meant_is_said_in_one_line(alone: Kernelkit, words: str, code: int, said: str) -> None:
    refused = alone("run", "--rm", *words.split(), check=False)
    lines = [
        line for line in refused.stderr.splitlines() if line and not line.startswith(("Run '", "Usage:", "Unable to"))
    ]
    assert len(lines) == 1, refused.stderr
    assert said in lines[0]
    assert refused.returncode == code
    assert refused.stdout == ""


def test_nothing_is_left_of_all_that(alone: Kernelkit) -> None:
    assert alone("ps", "-aq").stdout == ""
    assert alone("volume", "ls", "-q").stdout == ""
    assert alone("images", "-q").stdout.count("\n") == 1


def test_a_name_is_taken(alone: Kernelkit, before: Before) -> None:
    identity = alone("run", "-d", "--name", "one", "busybox", "sleep", "1000").stdout.strip()
    refused = alone("run", "--name", "one", "-v", "vol:/x", "busybox", check=False)
    assert refused.returncode == 125
    assert (
        f'Conflict. The container name "/one" is already in use by container "{identity}". You have to remove '
        "(or rename) that container to be able to reuse that name."
    ) in refused.stderr
    alone("rm", "-f", "one")
    alone("volume", "rm", "-f", "vol")
    before.assert_same()


# starts that fail -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        ("--cpu-period 1000000 --cpu-quota 99999999999999", 125, QUOTA),
        ("-v /etc/passwd:/etc", 125, "Not a directory"),
        ("--tmpfs /x:mpol=bogus", 125, "mount -t tmpfs"),
        ("--sysctl net.nosuch=1", 125, "net/nosuch"),
        ("--mac-address ff:ff:ff:ff:ff:ff -p 8080:80", 125, "annot assign requested address"),
        ("--ulimit nofile=9999999999", 125, "RLIMIT_NOFILE"),
        ("-p 8080:80 -v vol:/x", 127, 'exec: "nosuch": executable file not found in $PATH'),
        ("--init -p 8080:80", 127, 'exec: "nosuch": executable file not found in $PATH'),
        ("--entrypoint /etc/passwd -t", 126, 'exec: "/etc/passwd": permission denied'),
    ],
)
def test_a_start_that_fails_leaves_nothing(alone: Kernelkit, before: Before, words: str, code: int, said: str) -> None:
    refused = alone("run", "--rm", *words.split(), "busybox", "nosuch", check=False)
    assert refused.returncode == code
    assert said in refused.stderr
    alone("volume", "rm", "-f", "vol")
    before.assert_same()


def test_a_container_whose_start_failed_says_why_and_can_be_started_when_it_no_longer_does(alone: Kernelkit) -> None:
    assert alone.machine
    alone.machine.run("touch", "/tmp/in-the-way")
    alone.machine.run("mkdir", "-p", "/tmp/folder")
    bound = "type=bind,source=/tmp/folder,target=/x"  # with -v it would be made again
    alone("create", "--name", "later", "--mount", bound, "busybox", "ls", "/x")
    alone.machine.run("rmdir", "/tmp/folder")
    refused = alone("start", "-a", "later", check=False)
    assert refused.returncode == 1
    assert "bind source path does not exist: /tmp/folder" in refused.stderr
    state = json.loads(alone("inspect", "later").stdout)[0]["State"]
    assert (state["Status"], "/tmp/folder" in state["Error"]) == ("created", True)
    alone.machine.run("mkdir", "/tmp/folder")
    alone.machine.run("touch", "/tmp/folder/there")
    assert alone("start", "-a", "later").stdout == "there\n"
    assert json.loads(alone("inspect", "later").stdout)[0]["State"]["Error"] == ""
    alone("rm", "later")
    alone.machine.run("rm", "-r", "/tmp/folder", "/tmp/in-the-way")


def test_a_port_that_another_container_has(alone: Kernelkit, before: Before) -> None:
    alone("run", "-d", "--name", "first", "-p", "8080:80", "busybox", "sleep", "1000")
    refused = alone("run", "--rm", "-p", "8080:81", "busybox", "true", check=False)
    assert refused.returncode == 125
    assert "Bind for 0.0.0.0:8080 failed: port is already allocated" in refused.stderr
    alone("rm", "-f", "first")
    before.assert_same()


def test_a_port_that_another_program_has(alone: Kernelkit, before: Before) -> None:
    assert alone.machine
    listen = "import socket, time; s = socket.create_server(('0.0.0.0', 8081)); print('on', flush=True); time.sleep(60)"
    other = alone.machine.start(sys.executable, "-c", listen, stdout=subprocess.PIPE)
    assert other.stdout
    assert other.stdout.readline() == "on\n"
    refused = alone("run", "--rm", "-p", "8081:80", "busybox", "true", check=False)
    other.kill()
    other.communicate()
    assert refused.returncode == 125
    assert "8081" in refused.stderr
    assert "address already in use" in refused.stderr
    before.assert_same()
    assert alone("run", "--rm", "-p", "8081:80", "busybox", "echo", "free").stdout == "free\n"


def test_a_client_that_is_killed_leaves_nothing_half_made(alone: Kernelkit, before: Before) -> None:
    for i in range(14):
        command = [KERNELKIT, "run", "--rm", "-i", "-p", "8080:80", "-v", "/anonymous", "busybox", "true"]
        client = alone.start(command, stdin=subprocess.PIPE)
        time.sleep(0.02 + i * 0.012)
        client.send_signal(signal.SIGKILL)
        client.communicate()
    # What is created and not yet started is whole, and as Docker leaves it.
    wait_until(lambda: set(alone("ps", "-a", "--format", "{{.State}}").stdout.split()) <= {"created"})
    # The engine may still be at what the last of them have asked for.
    before.assert_same(tidy=alone.empty)


# images that cannot be had --------------------------------------------------------------------------------------------


@pytest.fixture
def rude(tmp_path: Path) -> Iterator[RudeRegistry]:
    """A registry whose every blob a test can spoil."""
    layout = Layout(tmp_path / "layout")
    layout.image({"bin/noise": os.urandom(200_000)})
    server = RudeRegistry(layout.folder)
    yield server
    server.stop()


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (lambda reply: reply.body[:-9] + bytes([reply.body[-9] ^ 1]) + reply.body[-8:], "sha256:"),
        (lambda reply: b"", "sha256:"),
        (lambda reply: Reply(403), "403|denied|forbidden"),
        (lambda reply: Reply(404), "404|not found|unknown"),
    ],
    ids=["changed", "empty", "refused", "missing"],
)
def test_an_image_that_comes_wrong_is_not_there(
    shared_kk: Kernelkit, rude: RudeRegistry, fault: Callable[[Reply], bytes | Reply], said: str
) -> None:
    def spoil(asked: Asked, reply: Reply) -> Reply | None:
        if asked.kind != "blobs" or len(reply.body) < 100_000:
            return None
        wrong = fault(reply)
        return wrong if isinstance(wrong, Reply) else Reply(200, wrong)

    def held() -> set[str]:
        places = ("layers", "blobs", "containers", "trash")
        return {path for name in places for path in names_below(shared_kk.home / name)}

    before = held()
    rude.faults.append(spoil)
    refused = shared_kk("run", "--rm", f"{rude.host}/x", "/bin/noise", check=False)
    lines = [line for line in refused.stderr.splitlines() if line.startswith("kernelkit: ")]
    assert (refused.returncode, len(lines)) == (125, 1), refused.stderr
    assert re.search(said, lines[0]), lines[0]
    assert shared_kk("images", "-q").stdout.count("\n") == 1
    assert shared_kk("ps", "-aq").stdout == ""
    assert {path for path in held() - before if "/blobs/" not in path} == set(), (
        "whole blobs may wait for the next time"
    )


# what the machine lacks -----------------------------------------------------------------------------------------------


def test_a_full_disk_is_named_and_everything_goes_on_when_there_is_room(kk_alone: Kernelkit) -> None:
    kk, machine = kk_alone, kk_alone.machine
    assert machine
    machine.run("mount", "-t", "tmpfs", "-o", "size=24m", "small", str(kk.home))
    try:
        kk("run", "--rm", "busybox", "true")
        # Nothing is to become free by itself: not what has been thrown away, not what an image is made of.
        home = Path(f"/proc/{machine.init}/root{kk.home}")
        wait_until(lambda: recipes.ready(home, "bash") and not list((home / "trash").glob("*")))
        machine.run("sh", "-c", f"head -c 100000000 /dev/zero > {kk.home}/ballast || true")
        for words in (
            ["run", "--rm", "busybox", "true"],
            ["pull", "bash"],
            ["run", "-d", "--rm", "busybox", "sleep", "9"],
        ):
            refused = kk(*words, check=False)
            assert refused.returncode in (1, 125), words
            lines = [x for x in refused.stderr.splitlines() if "no space left on device" in x.lower() or "is full" in x]
            assert len(lines) == 1, refused.stderr
        machine.run("rm", f"{kk.home}/ballast")
        assert kk("run", "--rm", "busybox", "echo", "again").stdout == "again\n"
        assert kk("ps", "-aq").stdout == ""
        assert machine.run("find", f"{kk.home}/containers", "-mindepth", "1").stdout == ""
    finally:
        kk("down", check=False)
        machine.run("umount", "-l", str(kk.home))


def test_a_container_that_fills_the_disk_ends_and_can_be_removed(kk_alone: Kernelkit) -> None:
    kk, machine = kk_alone, kk_alone.machine
    assert machine
    small = "dd if=/dev/zero of=/x bs=1M count=8"
    machine.run("mount", "-t", "tmpfs", "-o", "size=32m", "small", str(kk.home))
    try:
        for name in ("first", "second"):
            filled = kk("run", "--name", name, "busybox", "sh", "-c", "cat /dev/zero > /big", check=False)
            assert "No space left on device" in filled.stderr
            assert kk("inspect", "-f", "{{.State.Status}} {{.State.ExitCode}}", name).stdout == "exited 1\n"
            refused = kk.docker("commit", name, check=False)
            assert refused.stderr.startswith("Error response from daemon: no space left on device"), refused.stderr
            kk("rm", name)
            # What has been removed is deleted in its own time.
            wait_until(lambda: not kk("run", "--rm", "busybox", "sh", "-c", small, check=False).returncode)
        assert kk("ps", "-aq").stdout == ""
    finally:
        kk("down", check=False)
        machine.run("umount", "-l", str(kk.home))


def test_a_controller_that_is_not_there_is_named_when_it_is_needed(kk_alone: Kernelkit) -> None:
    kk, machine = kk_alone, kk_alone.machine
    assert machine
    if machine.run("umount", "/sys/fs/cgroup/pids", check=False).returncode:
        pytest.skip("this machine has no version 1 hierarchy of pids that could be missing")
    assert kk("run", "--rm", "busybox", "echo", "works").stdout == "works\n"
    refused = kk("run", "--rm", "--pids-limit", "20", "busybox", "true", check=False)
    assert refused.returncode == 125
    assert 'cannot set "pids limit": the cgroup controller "pids" is not there' in refused.stderr
    assert "/proc/cgroups" in refused.stderr, "what would help"
    assert kk("ps", "-aq").stdout == ""
