"""The soak: two thousand containers by eight clients at once, and nothing of them is left (`make test-long`)."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.conftest import Kernelkit

CONTAINERS = int(os.environ.get("SOAK_CONTAINERS", "2000"))
CLIENTS = 8

# What the practice host's kernel holds, a line each: asked from inside.  IPv6 is left out, for its addresses and routes
# come and go with a bridge's first and last cable, when the kernel gets round to it.
INSIDE = """
sed 's/^[0-9]* [0-9]* //' /proc/1/mountinfo
ip -brief link show | while read name state address rest; do echo "${name%@*} $address"; done
ip -4 -oneline address show | sed 's/^[0-9]*: //; s/valid_lft.*//'
ip -4 route show table all | sed 's/ linkdown//'
nft -s list ruleset
find /sys/fs/cgroup -type d
ps -e -o comm= | grep -v -x -e ps -e sh -e sort -e find -e sed -e nft -e ip -e grep
"""


def inside(kk: Kernelkit) -> list[str]:
    """What is there once the kernel has thrown away the network of the last container, which it does a moment later."""
    for _ in range(100):
        lines = kk("shell", "sh", "-c", INSIDE).stdout.splitlines()
        if not any(line.startswith("veth") for line in lines):
            break
        time.sleep(0.1)
    return sorted(lines)


def rows(kk: Kernelkit) -> dict[str, int]:
    """How many rows each table of the engine's database has; events are kept on purpose."""
    with sqlite3.connect(f"file:{kk.home}/state.db?mode=ro", uri=True) as database:
        tables = [name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        return {
            name: database.execute(f'SELECT count(*) FROM "{name}"').fetchone()[0]
            for name in tables
            if "event" not in name and not name.startswith("sqlite_")
        }


def processes(kk: Kernelkit) -> dict[int, Path]:
    """Every process of the machine the engine runs on, by its number inside no matter where."""
    assert kk.machine
    name = kk.machine.name
    found = {}
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and name in (entry / "cgroup").read_text():
                found[int(entry.name)] = entry
        except OSError:
            continue
    return found


def descriptors(kk: Kernelkit) -> int:
    return sum(len(list((entry / "fd").iterdir())) for entry in processes(kk).values())


def memory(kk: Kernelkit) -> float:
    """MiB of proportional set size of everything that serves the engine (proc(5), smaps_rollup)."""
    total = 0
    for entry in processes(kk).values():
        rollup = (entry / "smaps_rollup").read_text()
        total += sum(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:"))
    return total / 1024


def files(kk: Kernelkit) -> set[str]:
    """Names below the home that one container after another could fill."""
    folders = [kk.home / name for name in ("containers", "trash", "volumes", "run")]
    return {str(path) for folder in folders for path in folder.rglob("*")}


def run_and_remove(kk: Kernelkit, count: int) -> list[str]:
    """Run containers by CLIENTS clients at once; what those that failed said."""
    command = [str(Path(sys.executable).with_name("kernelkit")), "run", "--rm", "-p", "80", "busybox", "true"]

    def one(_: int) -> str:
        process = kk.start(command, stdin=subprocess.DEVNULL)
        out, err = process.communicate(timeout=120)
        return f"left with {process.returncode}: {err or out}" if process.returncode else ""

    with ThreadPoolExecutor(CLIENTS) as clients:
        failed = [said for said in clients.map(one, range(count)) if said]
    time.sleep(1)  # by then the shim for the next container is ready, as it was before
    return failed


def test_two_thousand_containers_by_eight_clients_leave_nothing(kk_alone: Kernelkit) -> None:
    kk = kk_alone
    assert kk.machine
    kk("up")
    kk("pull", "busybox")
    assert run_and_remove(kk, 2 * CLIENTS) == []  # so that all that is made once is there before we look
    time.sleep(3)  # by then the kernel has given the ends of the cable their IPv6 addresses
    outside, host, table, names = kk.machine.state(), inside(kk), rows(kk), files(kk)
    opened = descriptors(kk)

    assert run_and_remove(kk, CONTAINERS // 2) == []
    half = memory(kk)
    assert run_and_remove(kk, CONTAINERS - CONTAINERS // 2) == []
    full = memory(kk)

    assert inside(kk) == host
    assert rows(kk) == table
    assert files(kk) == names
    assert descriptors(kk) <= opened
    after = kk.machine.state()
    assert {name: after[name] for name in after if name != "processes"} == {
        name: outside[name] for name in outside if name != "processes"
    }
    assert len(after["processes"]) == len(outside["processes"])
    assert full - half < 2.0, f"memory grew from {half:.1f} to {full:.1f} MiB over the second half"
