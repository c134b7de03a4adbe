"""A record typed into a shell gives the same container: `kernelkit trace --sh`, run and compared."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kernelkit.kernel.cgroup import JoinCgroup
from kernelkit.kernel.hierarchies import unified_home
from tests.conftest import Kernelkit
from tests.patience import PATIENCE, wait_until

STATUS = ("Uid:", "Gid:", "Groups:", "Cap", "NoNewPrivs:", "Seccomp", "NSpid:", "NSsid:")
FILES = (
    "memory.limit_in_bytes memory.memsw.limit_in_bytes memory.soft_limit_in_bytes memory.swappiness cpu.shares "
    "cpu.cfs_quota_us cpu.cfs_period_us cpuset.cpus cpuset.mems pids.max devices.list blkio.bfq.weight freezer.state "
    "blkio.throttle.read_bps_device blkio.throttle.write_iops_device io.max "
    "memory.max memory.swap.max memory.low cpu.weight cpu.max io.weight cgroup.freeze"
).split()


@pytest.fixture
def kk(shared_kk: Kernelkit) -> Iterator[Kernelkit]:
    await_no_cable(shared_kk)
    yield shared_kk
    shared_kk.empty()
    shared_kk.docker("network", "prune", "-f")


def await_no_cable(kk: Kernelkit) -> None:
    """Wait until the kernel has taken away the cables of all who have ended: a moment after them, netns by netns."""
    wait_until(lambda: "veth" not in in_host(kk, "ip", "-br", "link"))


def ask(kk: Kernelkit, path: str) -> str:
    """What the engine answers to a GET of ours."""
    connection = http.client.HTTPConnection("localhost")
    connection.sock = socket.socket(socket.AF_UNIX)
    connection.sock.connect(str(kk.socket))
    connection.request("GET", path)
    answer = connection.getresponse()
    content = answer.read().decode()
    connection.close()
    assert answer.status == 200, content
    return content


def in_host(kk: Kernelkit, *words: str) -> str:
    """What a tool says in the practice host: entered directly, for there are hundreds of these."""
    init = (kk.home / "run" / "init.pid").read_text()
    return kk.run(["nsenter", "-t", init, "-a", "--", *words], check=False).stdout


def state(kk: Kernelkit, pid: int, identity: str) -> dict[str, Any]:
    """What the kernel holds of the container whose program that is."""
    enter = ["nsenter", "-t", str(pid)]

    def links_are_up() -> bool:
        """Whether it is said of all that can carry packets: the kernel says it a moment later."""
        said = [in_host(kk, *where, "ip", "-j", "link") for where in ([], [*enter, "-n"])]
        able = [x for text in said for x in json.loads(text) if "LOWER_UP" in x["flags"] and x["ifname"] != "lo"]
        return all(x["operstate"] == "UP" for x in able)

    wait_until(links_are_up)
    links = json.loads(in_host(kk, *enter, "-n", "ip", "-j", "-d", "address"))
    bridge = json.loads(ask(kk, "/kernelkit/host"))["bridge"]["name"]
    ports = json.loads(in_host(kk, "ip", "-j", "-d", "link", "show", "master", bridge))
    mounts = [line.split() for line in in_host(kk, "cat", f"/proc/{pid}/mountinfo").splitlines()]
    # Without the shell that types: in version 2 it moves there before it forks, and waits outside for the container.
    members = f"cat $(find /sys/fs/cgroup -path '*{identity}/cgroup.procs') | sort -un"
    inside = f"for p in $({members}); do [ ! /proc/$p/ns/pid -ef /proc/{pid}/ns/pid ] || echo $p; done"
    procs = in_host(kk, "sh", "-c", inside).split()
    return {
        # Without the numbers of mounts and devices, which no two mounts share.
        "mounts": [" ".join([m[3], m[4], m[5], *m[m.index("-") + 1 :]]) for m in mounts],
        "hostname": in_host(kk, *enter, "-u", "hostname"),
        # The bridge's carrier comes and goes with the containers at it.
        "links": [
            (x["ifname"], x.get("address"), x["operstate"], x["flags"], x.get("link_netnsid"))
            for x in links
            if x["ifname"] != bridge
        ],
        "addresses": [[(a["local"], a["prefixlen"], a["scope"]) for a in x["addr_info"]] for x in links],
        "routes": json.loads(in_host(kk, *enter, "-n", "ip", "-j", "route", "show", "table", "all")),
        "ports": [(p["ifname"], p["operstate"], p["linkinfo"]["info_slave_data"]["hairpin"]) for p in ports],
        "rules": in_host(kk, "nft", "-s", "list", "ruleset"),
        "own rules": in_host(kk, *enter, "-n", "nft", "-s", "list", "ruleset"),
        "neighbours": [
            {key: entry.get(key) for key in ("mac", "ifname", "state")}
            for entry in json.loads(in_host(kk, "bridge", "-j", "fdb", "show", "br", bridge))
            if entry.get("state") != "permanent"
        ],
        # In the hierarchies of which it has no cgroup it stays where whoever started it was.
        "cgroups": [x for x in in_host(kk, "cat", f"/proc/{pid}/cgroup").splitlines() if identity in x],
        "limits": in_host(
            kk,
            "sh",
            "-c",
            f"for d in $(find /sys/fs/cgroup -type d -name {identity} | sort); do for f in {' '.join(FILES)}; do "
            "[ ! -e $d/$f ] || { echo $d/$f; cat $d/$f; }; done; done",
        ),
        "rights": [x for x in in_host(kk, "cat", f"/proc/{pid}/status").splitlines() if x.startswith(STATUS[:6])],
        "bounds": in_host(kk, "cat", f"/proc/{pid}/limits", f"/proc/{pid}/oom_score_adj"),
        "where": in_host(kk, "readlink", f"/proc/{pid}/cwd", f"/proc/{pid}/root"),
        "environment": sorted(in_host(kk, "cat", f"/proc/{pid}/environ").split("\0")),
        # With --init there is one before it, which is the script's own shell where a shell plays it.
        "processes": (len(procs), in_host(kk, "cat", f"/proc/{procs[-1]}/cmdline")),
        "sysctl": in_host(
            kk, *enter, "-n", "sysctl", "net.ipv4.ip_unprivileged_port_start", "net.ipv4.ping_group_range"
        ),
    }


@pytest.mark.parametrize(
    "options",
    [
        [],
        ["-p", "8096:80", "-m", "64m", "--cpus", "0.5", "--pids-limit", "20", "--cpu-shares", "512"],
        ["-v", "kept:/data", "-v", "/usr/share:/host:ro", "--tmpfs", "/fast:size=1m", "--shm-size", "1m", "-w", "/new"],
        ["--read-only", "--network", "none", "-h", "elsewhere", "--cap-drop", "ALL", "--cap-add", "CHOWN"],
        ["-u", "nobody", "--group-add", "77", "--security-opt", "no-new-privileges", "-e", "A=b c"],
        ["--ulimit", "nofile=100:200", "--oom-score-adj", "500", "--sysctl", "net.core.somaxconn=77"],
        ["--security-opt", "seccomp=unconfined", "--network", "host", "--ipc", "host"],
        ["--init", "-v", "kept:/data:ro"],
        pytest.param(
            [
                "--mount",
                "type=volume,src=fast,dst=/f,volume-opt=type=tmpfs,volume-opt=device=tmpfs,volume-opt=o=size=1m",
                *("--mount", "type=image,src=busybox,dst=/i,image-subpath=bin", "-v", "/usr:/usr-of-the-host:ro"),
            ],
            marks=pytest.mark.client(28),
        ),
        ["--cgroup-parent", "/typed/twice", "--blkio-weight", "300", "--cpuset-cpus", "0"],
        ["--network", "own", "--network-alias", "other", "-p", "8096:80/udp"],
    ],
    ids=["plain", "limits", "mounts", "bare", "user", "bounds", "shared", "init", "volume", "parent", "network"],
)
def test_the_record_typed_into_a_shell_builds_the_same_container(kk: Kernelkit, options: list[str]) -> None:
    if "own" in options:
        kk.docker("network", "create", "own")
    identity = kk.docker("run", "-d", "--name", "original", *options, "busybox", "sleep", "1000").stdout.strip()
    wanted = state(kk, _await_program(kk, identity), identity)
    path = kk.home / "script.sh"
    path.write_text(ask(kk, f"/kernelkit/trace/{identity}/script"))
    path.chmod(0o644)
    kk.docker("stop", "-t", "0", "original")
    await_no_cable(kk)
    for sheet in ("upper", "work"):  # a new one, as the original had
        shutil.rmtree(kk.home / "containers" / identity / sheet)

    typed = kk.start(
        [str(Path(sys.executable).with_name("kernelkit")), "shell", "sh", str(path)], stdin=subprocess.DEVNULL
    )
    pid = 0
    try:
        pid = _await_program(kk, identity, typed)
        found = state(kk, pid, identity)
        for what in wanted:
            assert found[what] == wanted[what], what
    finally:
        if pid:
            in_host(kk, "kill", "-KILL", str(pid))
        else:
            typed.kill()
        print(*typed.communicate(timeout=PATIENCE))


def test_the_terminal_is_the_console_of_the_typed_container_too(kk: Kernelkit) -> None:
    identity = kk.docker("run", "-dt", "--name", "original", "busybox", "sleep", "1000").stdout.strip()
    assert _console(kk, _await_program(kk, identity)) == ["devpts"]
    path = kk.home / "script.sh"
    path.write_text(ask(kk, f"/kernelkit/trace/{identity}/script"))
    path.chmod(0o644)
    kk.docker("stop", "-t", "0", "original")
    await_no_cable(kk)

    init = (kk.home / "run" / "init.pid").read_text()
    master, slave = os.openpty()
    typed = kk.start(
        ["setsid", "--ctty", "nsenter", "-t", init, "-a", "--", "sh", str(path)],
        stdin=slave,
        stdout=slave,
        stderr=slave,
        preexec_fn=JoinCgroup(unified_home(int(init)), "cgroup.procs").perform,  # as `kernelkit shell` does
    )
    try:
        pid = _await_program(kk, identity, typed)
        assert _console(kk, pid) == ["devpts"]
        name = os.ttyname(slave)
        assert in_host(kk, "readlink", f"/proc/{pid}/fd/0").strip() == name
        numbers = in_host(kk, "stat", "-c", "%t:%T", name, f"/proc/{pid}/root/dev/console").split()
        assert numbers[0] == numbers[1]
        in_host(kk, "kill", "-KILL", str(pid))
    finally:
        typed.kill()
        typed.wait()
        os.close(master)
        os.close(slave)


def _console(kk: Kernelkit, pid: int) -> list[str]:
    """The kinds of file system that are mounted on a container's /dev/console."""
    lines = [line.split() for line in in_host(kk, "cat", f"/proc/{pid}/mountinfo").splitlines()]
    return [fields[fields.index("-") + 1] for fields in lines if fields[4] == "/dev/console"]


def _await_program(kk: Kernelkit, identity: str, typed: subprocess.Popen[str] | None = None) -> int:
    """The pid of the container's program, once it is that and stands on its own root."""
    for _ in range(600):
        command = f"cat $(find /sys/fs/cgroup -path '*{identity}/cgroup.procs') | sort -un | tail -n 1"
        pid = in_host(kk, "sh", "-c", command).strip()
        if pid and in_host(kk, "cat", f"/proc/{pid}/comm") == "sleep\n":
            return int(pid)
        assert typed is None or typed.poll() is None, typed and typed.communicate()
        time.sleep(0.1)
    raise AssertionError("the program was not reached")


def test_left_out_operations_are_comments(kk: Kernelkit) -> None:
    kk("run", "-d", "--name", "less", "--without", "SetHostname", "busybox", "sleep", "1000")
    text = ask(kk, "/kernelkit/trace/less/script")

    assert "# left out: hostname " in text
