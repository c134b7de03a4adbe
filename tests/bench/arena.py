"""Where a contender runs: a throw-away machine with its state in memory and a stopwatch that stands on that machine.

Each contender has one of its own, so that none sees another's links, rules, mounts and caches, and nothing on the real
machine changes.  The disk's own noise would hide everything, so all state is on tmpfs.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.machine import Machine, short_folder

# The stopwatch: starts commands as a shell would, without the cost of entering the machine's namespaces.
STOPWATCH = """
import json, os, sys, time
devnull = os.open(os.devnull, os.O_RDWR)
for line in sys.stdin:
    asked = json.loads(line)
    out = os.open(asked["output"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    actions = [(os.POSIX_SPAWN_DUP2, devnull, 0), (os.POSIX_SPAWN_DUP2, out, 1), (os.POSIX_SPAWN_DUP2, out, 2)]
    running, codes = 0, []
    began = time.perf_counter()
    for command in asked["commands"]:
        if running == asked["at_once"]:
            codes.append(os.waitstatus_to_exitcode(os.wait()[1]))
            running -= 1
        os.posix_spawnp(command[0], command, os.environ, file_actions=actions)
        running += 1
    while running:
        codes.append(os.waitstatus_to_exitcode(os.wait()[1]))
        running -= 1
    seconds = time.perf_counter() - began
    os.close(out)
    print(json.dumps({"seconds": seconds, "codes": codes}), flush=True)
"""

# /etc and /run belong to the real machine; a daemon writes keys, locks and sockets there.
PRIVATE_FOLDERS = """
mount -t tmpfs tmpfs /run
mkdir /run/etc-upper /run/etc-work
mount -t overlay overlay -o lowerdir=/etc,upperdir=/run/etc-upper,workdir=/run/etc-work /etc
mkdir -p /run/lock
for folder in /var/tmp /var/lib/containers /var/lib/cni; do
  [ ! -d $folder ] || mount -t tmpfs tmpfs $folder
done
"""


class Arena:
    """A throw-away machine, a folder in memory, and a stopwatch."""

    def __init__(self, env: Mapping[str, str] | None = None) -> None:
        self.machine = Machine()
        self.folder = short_folder()
        self.env = dict(env or {})
        self._output = self.folder / "output"
        self._started: list[subprocess.Popen[str]] = []
        self._stopwatch: subprocess.Popen[str] | None = None
        self._come_first()
        self.run("sh", "-ec", PRIVATE_FOLDERS)

    def _come_first(self) -> None:
        """Be served before what else runs on the real machine, as every arena is: cgroups(7), sched(7).

        A nice value would do that to some of a contender's processes and not to those in cgroups that it makes itself.
        """
        for name, most in (("cpu.shares", "262144"), ("cpu.weight", "10000")):
            for cgroup in self.machine.cgroups:
                if (cgroup.made / name).exists():
                    (cgroup.made / name).write_text(most)

    def run(self, *arguments: str, check: bool = True, timeout: float = 300) -> str:
        """Run a command that is not measured; returns what it printed."""
        return self.machine.run(*arguments, env=self.env, check=check, timeout=timeout).stdout

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Start a daemon; it ends with the arena."""
        with (self.folder / "daemons.log").open("a") as log:
            process = self.machine.start(*arguments, env=self.env, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        self._started.append(process)
        return process

    def time(self, *commands: Sequence[str], at_once: int = 1) -> float:
        """Seconds that these commands take, one after another or some at once; raises OSError if one fails."""
        if self._stopwatch is None:
            self._stopwatch = self.machine.start(
                sys.executable, "-ISc", STOPWATCH, env=self.env, stdin=subprocess.PIPE, stdout=subprocess.PIPE
            )
        assert self._stopwatch.stdin
        assert self._stopwatch.stdout
        asked = {"commands": [list(c) for c in commands], "at_once": at_once, "output": str(self._output)}
        self._stopwatch.stdin.write(json.dumps(asked) + "\n")
        self._stopwatch.stdin.flush()
        answer: dict[str, Any] = json.loads(self._stopwatch.stdout.readline())
        if any(answer["codes"]):
            raise OSError(f"{' '.join(commands[0])} failed: {self._output.read_text()[-500:]}")
        return float(answer["seconds"])

    def wait_for(self, path: Path, seconds: float = 20) -> None:
        """Wait until a daemon has made its socket."""
        deadline = time.monotonic() + seconds
        while not path.exists():
            if time.monotonic() > deadline:
                raise OSError(f"{path.name} does not appear: {(self.folder / 'daemons.log').read_text()[-2000:]}")
            time.sleep(0.02)

    def processes(self) -> dict[int, str]:
        """The command line of every process of this machine, by its number on the real one."""
        found = {}
        for entry in Path("/proc").iterdir():
            try:
                if entry.name.isdigit() and self.machine.name in (entry / "cgroup").read_text():
                    found[int(entry.name)] = (entry / "cmdline").read_text().replace("\0", " ")
            except OSError:
                continue  # it has ended meanwhile
        return found

    def memory(self, *, without: Sequence[str]) -> float:
        """MiB of proportional set size (proc(5), smaps_rollup) of all processes whose command line begins otherwise."""
        beside = ("sh -c", "sleep", "docker-registry", f"{sys.executable} -ISc", *without)
        total = 0
        for pid, command in self.processes().items():
            if command and not command.startswith(beside):
                rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
                total += sum(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:"))
        return total / 1024

    def close(self) -> None:
        """End everything that was started here, and the machine with it."""
        if self._stopwatch:
            self._stopwatch.kill()
        self.machine.down()
        for process in [*self._started, *filter(None, [self._stopwatch])]:
            process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)
