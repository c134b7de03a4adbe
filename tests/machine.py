"""A throw-away machine: one process tree in namespaces of its own, so that a test can ask what is left behind.

Its mounts, links, rules, processes and cgroups are nobody else's, whatever runs beside the test.  It has a loopback and
nothing more.  `down()` ends its first process, and the kernel throws the rest away.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kernelkit.container.cgroup import prepare
from kernelkit.kernel.cgroup_procs import MoveProcesses
from kernelkit.kernel.hierarchies import Layout, read_layout
from tests.patience import PATIENCE
from tests.plans import perform

State = dict[str, list[str]]

# Runs as the machine's first process: a /proc, a /sys and cgroup hierarchies that show this machine and no other.
# In a fresh cgroup namespace the mounted hierarchies still show the whole tree, so they are mounted again.
BOOT = """
set -e
mount -t proc proc /proc
cgroups=$(awk '$0 ~ / - cgroup2? / { split($0, half, " - "); split(half[1], a); split(half[2], b)
                                     print a[5], b[1], b[3] }' /proc/self/mountinfo)
mount -t sysfs sysfs /sys
mount -t tmpfs -o mode=755 cgroup /sys/fs/cgroup
echo "$cgroups" | sort | while read -r where kind options; do
  [ -n "$where" ] || continue
  [ "$where" = /sys/fs/cgroup ] && { umount /sys/fs/cgroup; mount -t cgroup2 cgroup2 /sys/fs/cgroup; continue; }
  mkdir -p "$where"
  if [ "$kind" = cgroup2 ]; then mount -t cgroup2 cgroup2 "$where"
  else mount -t cgroup -o "$(echo "$options" | sed 's/^rw,//; s/^ro,//')" cgroup "$where"; fi
done
ip link set lo up
echo ready
while :; do sleep 86400; done  # a shell, because a machine's first process must reap those whose parent is gone
"""


class Machine:
    """A machine of its own; `run` runs a command on it, `state` says what its kernel holds."""

    def __init__(self) -> None:
        self.name = f"throwaway-{os.getpid()}-{os.urandom(3).hex()}"
        self.cgroups = _make_cgroups(self.name)
        roots, self._homes = [c.root for c in self.cgroups], [c.home for c in self.cgroups]
        # With us ends `unshare`, and with that its child, the machine's first process.
        unshare = ["setpriv", "--pdeathsig=KILL", "unshare", "--fork", "--kill-child", "--propagation=private"]
        unshare += ["--mount", "--net", "--pid", "--uts", "--ipc", "--cgroup"]
        self._process = subprocess.Popen(
            [*unshare, "sh", "-c", 'eval "$BOOT"'],
            env={**os.environ, "BOOT": BOOT},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            preexec_fn=lambda: _join(roots),
        )
        self.init = 0
        assert self._process.stdout
        if self._process.stdout.readline() != "ready\n":
            said = self._process.stdout.read()
            self.down()
            raise OSError(f"the throw-away machine does not boot: {said}")
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text().split()
        self.init = int(children[0])
        perform([MoveProcesses(str(c.root), str(c.home)) for c in self.cgroups if c.root != c.home])

    def start(self, *arguments: str, env: Mapping[str, str] | None = None, **options: Any) -> subprocess.Popen[str]:
        """Start a command on this machine, in its namespaces and its cgroups."""
        # nsenter waits outside for the command inside; whoever ends the one means the other.
        enter = ["nsenter", f"--target={self.init}", "--all", "--", "setpriv", "--pdeathsig=KILL", "--"]
        return subprocess.Popen(
            [*enter, *arguments],
            env={**os.environ, **(env or {})},
            text=True,
            preexec_fn=lambda: _join(self._homes),
            **options,
        )

    def run(
        self,
        *arguments: str,
        env: Mapping[str, str] | None = None,
        timeout: float = 120,
        check: bool = True,
        **options: Any,
    ) -> subprocess.CompletedProcess[str]:
        """Run a command on this machine and wait for it."""
        process = self.start(*arguments, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options)
        try:
            out, err = process.communicate(timeout=timeout)
        except BaseException:
            process.kill()
            process.wait()
            raise
        ended = subprocess.CompletedProcess(list(arguments), process.returncode, out, err)
        if check and ended.returncode:
            raise AssertionError(f"{shlex.join(arguments)} left with {ended.returncode}: {err or out}")
        return ended

    def state(self, *folders: Path) -> State:
        """What this machine's kernel holds, and the names below `folders`; equal before and after means: no trace."""
        links = json.loads(self.run("ip", "-j", "-d", "address").stdout)
        routes = json.loads(self.run("ip", "-j", "route", "show", "table", "all").stdout)
        mounts = self.run("cat", "/proc/self/mountinfo").stdout.splitlines()
        found = self.run("find", "/sys/fs/cgroup", "-mindepth", "1", "-type", "d", check=False).stdout.splitlines()
        return {
            "mounts": sorted(" ".join(line.split()[3:]) for line in mounts),
            "links": sorted(f"{link['ifname']} {link.get('master', '')}" for link in links),
            "addresses": sorted(f"{a['local']}/{a['prefixlen']} {x['ifname']}" for x in links for a in x["addr_info"]),
            "routes": sorted(json.dumps(route, sort_keys=True) for route in routes),
            "rules": self.run("nft", "-s", "list", "ruleset").stdout.splitlines(),
            "processes": self._processes(),
            "cgroups": sorted(found),
            "forwarding": self.run("sysctl", "-n", "net.ipv4.ip_forward").stdout.split(),
            "files": sorted(name for folder in folders for name in names_below(folder)),
        }

    def _processes(self) -> list[str]:
        """Every process but the one that looks; those that have just ended are given a moment to be reaped."""
        until = time.monotonic() + PATIENCE
        while True:
            listed = self.run("ps", "-eo", "pid,args", "--no-headers").stdout.splitlines()
            processes = sorted(line.strip() for line in listed if not line.endswith("ps -eo pid,args --no-headers"))
            if not any(line.endswith("<defunct>") for line in processes) or time.monotonic() > until:
                return processes
            time.sleep(0.1)

    def down(self) -> None:
        """End the machine; everything on it goes with its first process."""
        os.kill(self.init or self._process.pid, signal.SIGKILL)
        self._process.wait()
        if self._process.stdout:
            self._process.stdout.close()
        for cgroup in self.cgroups:
            for folder, _, _ in os.walk(cgroup.made, topdown=False):
                _remove_cgroup(Path(folder))


@dataclass(frozen=True)
class Cgroup:
    """A machine's part of one hierarchy: what was made for it, the root that it sees, and where its processes are."""

    made: Path
    root: Path
    home: Path


def _join(paths: Sequence[Path]) -> None:
    for path in paths:
        (path / "cgroup.procs").write_text("0")


def _make_cgroups(name: str) -> list[Cgroup]:
    """A cgroup in each hierarchy that processes can join."""
    unified = read_layout().of("memory")
    if unified and unified.version == 2:
        return [_make_unified(Layout((unified,)), name), *_make_below_ours(name, ("cgroup",))]
    return _make_below_ours(name, ("cgroup", "cgroup2"))


def _make_unified(layout: Layout, name: str) -> Cgroup:
    """In version 2, where there are controllers to hand on.

    The machine's own cgroups get them only if its root has no processes in it, any more than ours: cgroups(7).
    """
    perform(prepare(layout, name))
    made = Path(layout.hierarchies[0].directory(name))
    root, home = made / "root", made / "root" / "processes"
    home.mkdir(parents=True)
    return Cgroup(made, root, home)


def _make_below_ours(name: str, kinds: Sequence[str]) -> list[Cgroup]:
    """In each hierarchy of these kinds, below the cgroup this process is in."""
    made = []
    mine = {}
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        mine[controllers] = path
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        before, _, after = line.partition(" - ")
        kind, _, options = after.split()[:3]
        if kind not in kinds:
            continue
        names = set(options.split(","))
        path = next((p for c, p in mine.items() if (set(c.split(",")) <= names if kind == "cgroup" else c == "")), None)
        if path is None:
            continue
        parent = Path(before.split()[4]) / path.lstrip("/")
        cgroup = parent / name
        cgroup.mkdir()
        made.append(Cgroup(cgroup, cgroup, cgroup))
        # cgroups(7): nobody can join a v1 cpuset that has no processors and no memory.
        for file in ("cpuset.cpus", "cpuset.mems"):
            if kind == "cgroup" and (parent / file).exists():
                (cgroup / file).write_text((parent / file).read_text())
    return made


def _remove_cgroup(path: Path) -> None:
    """Remove a cgroup; the kernel says "busy" for a moment after its last process has ended."""
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        try:
            path.rmdir()
            return
        except FileNotFoundError:
            return
        except OSError:
            time.sleep(0.02)


def names_below(folder: Path) -> Iterator[str]:
    """The path of everything in a folder, though directories may go while we look: rglob() would stumble over these."""
    for path, directories, files in os.walk(folder):
        yield from (f"{path}/{name}" for name in (*directories, *files))


def short_folder() -> Path:
    """A folder with a name short enough for the sockets in it (unix(7): 108 bytes), in memory if there is room."""
    memory = Path("/dev/shm")
    room = memory.is_dir() and os.access(memory, os.W_OK) and shutil.disk_usage(memory).free > 2 << 30
    return Path(tempfile.mkdtemp(prefix="kk-", dir=memory if room else None))
