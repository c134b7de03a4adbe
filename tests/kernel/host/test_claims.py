"""What homes have on the machine is noted; when all are gone, its switch for passing packets on is as it was."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.machine import Machine

CHECKOUT = str(Path(__file__).parents[3])

# Processes that hold and release at once, each many times; what goes wrong for one of them is its exit code.
CROWD = """
import os, random, sys, time, traceback
from kernelkit.host import claims
from kernelkit.host.claims import Claim
from kernelkit.trace import Trace

def come_and_go(mark):
    for _ in range(300):
        held = claims.hold(Claim(mark, "/nowhere", "kernelkit-" + mark, "kk" + mark, ()), Trace())
        assert held
        time.sleep(random.random() / 2000)
        assert claims.SWITCH.read_text() == "1\\n", "it was switched off under one who needs it"
        held.release(Trace())
        time.sleep(random.random() / 300)  # or there would always be others, and nobody ever the last
    os._exit(0)

pids = []
for number in range(4):
    pid = os.fork()
    if pid == 0:
        try:
            come_and_go(f"{number:08x}")
        except BaseException:
            traceback.print_exc()
            sys.stderr.flush()
            os._exit(1)
    pids.append(pid)
sys.exit(sum(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids))
"""

# Holds a claim until it is told to release it, or killed; its child holds it as well.
HOLDER = """
import os, sys
from kernelkit.host import claims
from kernelkit.host.claims import Claim
from kernelkit.trace import Trace

held = claims.hold(Claim(sys.argv[1], "/nowhere", "kernelkit-" + sys.argv[1], "kk" + sys.argv[1], ()), Trace())
print("holds" if held else "is taken", flush=True)
if sys.stdin.readline():
    held.release(Trace())
    print("released", flush=True)
"""

# Takes back what nobody holds, and says whose that was.
SWEEPER = """
from kernelkit.host import practice
from kernelkit.trace import Trace
print(*[claim.mark for claim in practice.sweep(Trace())])
"""


class Holder:
    """A process that holds a claim."""

    def __init__(self, machine: Machine, mark: str) -> None:
        self._process = start(machine, HOLDER, mark)
        self.said = self._hear()

    def release(self) -> None:
        assert self._process.stdin
        self._process.stdin.write("release\n")
        self._process.stdin.flush()
        assert self._hear() == "released"
        self._process.communicate()

    def kill(self) -> None:
        nsenter = self._process.pid  # which waits for it outside: when both are gone, so is what it held
        os.kill(int(Path(f"/proc/{nsenter}/task/{nsenter}/children").read_text()), signal.SIGKILL)
        self._process.communicate()

    def _hear(self) -> str:
        assert self._process.stdout
        return self._process.stdout.readline().strip()


def start(machine: Machine, script: str, *arguments: str) -> subprocess.Popen[str]:
    env = {**os.environ, "PYTHONPATH": CHECKOUT}
    return machine.start(
        sys.executable, "-P", "-c", script, *arguments, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )


def run(machine: Machine, script: str) -> str:
    return machine.run(sys.executable, "-P", "-c", script, env={**os.environ, "PYTHONPATH": CHECKOUT}).stdout


def switch(machine: Machine, value: str = "") -> str:
    """Turn the machine's switch, if there is a value; where it is."""
    if value:
        machine.run("sysctl", "-w", f"net.ipv4.ip_forward={value}")
    return machine.run("sysctl", "-n", "net.ipv4.ip_forward").stdout.strip()


@pytest.mark.parametrize("before", ["0", "1"])
def test_a_crowd_that_comes_and_goes_leaves_the_switch_as_it_was(machine: Machine, before: str) -> None:
    switch(machine, before)
    run(machine, CROWD)
    assert switch(machine) == before


def test_a_claim_is_held_once(machine: Machine) -> None:
    first = Holder(machine, "aaaaaaaa")
    assert first.said == "holds"
    second = Holder(machine, "aaaaaaaa")
    assert second.said == "is taken"
    second.kill()
    first.release()
    third = Holder(machine, "aaaaaaaa")
    assert third.said == "holds"
    third.release()


def test_what_a_killed_one_held_is_given_back_by_the_next_and_not_before(machine: Machine) -> None:
    switch(machine, "0")
    killed, other = Holder(machine, "aaaaaaaa"), Holder(machine, "bbbbbbbb")
    killed.kill()
    other.release()
    assert switch(machine) == "1", "the killed one's claim still says that it is needed, and what it was"
    machine.run("nft", "add table ip kernelkit-aaaaaaaa")
    assert run(machine, SWEEPER) == "aaaaaaaa\n"
    assert switch(machine) == "0"
    assert machine.run("nft", "list", "tables").stdout == ""
    assert run(machine, SWEEPER) == "\n"


def test_what_somebody_holds_is_left_alone(machine: Machine) -> None:
    switch(machine, "0")
    living, killed = Holder(machine, "aaaaaaaa"), Holder(machine, "bbbbbbbb")
    machine.run("nft", "add table ip kernelkit-aaaaaaaa")
    killed.kill()
    assert run(machine, SWEEPER) == "bbbbbbbb\n"
    assert machine.run("nft", "list", "tables").stdout == "table ip kernelkit-aaaaaaaa\n"
    assert switch(machine) == "1"
    living.release()
    assert switch(machine) == "0"


def test_another_machine_with_the_same_files_has_claims_of_its_own(machine: Machine) -> None:
    """Two machines may share /run; each has a switch, and names, of its own."""
    other = Machine()
    try:
        for each in (machine, other):
            switch(each, "0")
        here, there = Holder(machine, "aaaaaaaa"), Holder(other, "aaaaaaaa")
        assert (here.said, there.said) == ("holds", "holds")
        there.kill()
        assert run(machine, SWEEPER) == "\n"
        here.release()
        assert (switch(machine), switch(other)) == ("0", "1")
        assert run(other, SWEEPER) == "aaaaaaaa\n"
        assert switch(other) == "0"
    finally:
        other.down()


def test_a_switch_that_the_machines_settings_have_turned_on_meanwhile_stays_on(machine: Machine) -> None:
    switch(machine, "0")
    holder = Holder(machine, "aaaaaaaa")
    machine.run("sh", "-c", "mount -t tmpfs none /etc/sysctl.d && echo 'net.ipv4.ip_forward = 1' >/etc/sysctl.d/r.conf")
    holder.release()
    assert switch(machine) == "1"
