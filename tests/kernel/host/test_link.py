"""A shim that was made ahead is given a job, or another one is forked, whatever happens just before."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from tests.machine import Machine

CHECKOUT = str(Path(__file__).parents[3])

# An init, whose engine is the script below.
INIT = """
import fcntl, os, sys
from kernelkit.host.channel import PROMISED
from kernelkit.host.init import Init
from kernelkit.kernel.process import BecomeSubreaper
from kernelkit.trace import Trace

null = fcntl.fcntl(os.open("/dev/null", os.O_RDWR), fcntl.F_DUPFD_CLOEXEC, PROMISED)
for number in range(3, PROMISED):
    os.dup2(null, number, inheritable=False)
Trace().perform("boot", BecomeSubreaper())
Init([sys.executable, "-P", "-c", *sys.argv[1:]], end_all=True).run()
"""

# Starts a program that says what it can see and leaves with 7, while something happens after the check for it.
ENGINE = """
import os, queue, random, signal, socket, sys, tempfile, time, traceback
from kernelkit.container.plan import STDERR, STDOUT
from kernelkit.host.channel import ENGINE, Attach, Channel, Failed, Job, pack
from kernelkit.host.link import Link
from kernelkit.kernel.mount import Mount
from kernelkit.kernel.process import Clone, ConnectStdio, Exec
from kernelkit.trace import Ledger, Trace

folder = tempfile.mkdtemp()
clone = Clone(("mount", "uts", "ipc"))
job = Job(exec_seq=4, clone=clone, clone_seq=2, fork_seq=1)
program = Exec(("/bin/sh", "-c", "echo hello; exit 7"), ("PATH=/bin",))
stdio = ConnectStdio(-1, STDOUT, STDERR)
heard = queue.SimpleQueue()
link = Link(Channel(socket.socket(fileno=ENGINE)), folder, lambda container, message: heard.put(message))
link.prepare(clone)

def parent(pid):
    return int(open(f"/proc/{pid}/stat").read().rpartition(")")[2].split()[1])

employ = Link._employ
happened = 0
ROUNDS = 40

def employ_after_all(self, ready, *job):
    global happened
    if sys.argv[1] == "mounts":
        Trace().perform("test", Mount("tmpfs", "late", folder))
    elif sys.argv[1] == "child":
        os.kill(ready.pid, signal.SIGKILL)
    elif sys.argv[1] == "shim":
        os.kill(parent(ready.pid), signal.SIGKILL)
    happened += 1
    time.sleep(random.random() / 2000)
    return employ(self, ready, *job)

Link._employ = employ_after_all
ends = []

def start():
    # What it said, and how it ended: with a code, refused, or lost to us.
    ours, theirs = socket.socketpair()
    memory = pack(job, [stdio, program], 3, Ledger.size(4))
    answer = link.start("c" * 64, job, memory, 4, [(theirs.detach(), Attach(framed=False))])
    os.close(memory)
    said = b""
    while data := ours.recv(1000):
        said += data
    if isinstance(answer, Failed):
        return "refused"
    end = heard.get(timeout=60)
    link.part("c" * 64)
    return (said, end.code) if end else "lost"

try:
    while happened < ROUNDS:
        ends.append(start())
        link.prepare_next()
        time.sleep(random.random() / 20)
except BaseException:
    traceback.print_exc()
print(happened, *sorted({repr(end) for end in ends}), sep="\\n", flush=True)
os._exit(0)
"""

WELL = repr((b"hello\n", 7))
KILLED = repr((b"", 137))
WITHOUT_SHIM = {repr("refused"), repr("lost")}


@pytest.mark.parametrize(
    ("event", "ends"),
    [("nothing", {WELL}), ("mounts", {WELL}), ("child", {WELL, KILLED}), ("shim", {WELL, *WITHOUT_SHIM})],
)
def test_a_start_goes_well_whatever_happens_to_the_shim_that_was_ready(
    machine: Machine, event: str, ends: set[str]
) -> None:
    """Only who kills a child or a shim that has its job already ends that container with it."""
    env = {**os.environ, "PYTHONPATH": CHECKOUT}
    ran = machine.run(sys.executable, "-P", "-c", INIT, ENGINE, event, env=env)
    number, *found = ran.stdout.splitlines()
    assert (number, ran.stderr) == ("40", "")
    assert set(found) <= ends
    assert WELL in found or event == "shim"
