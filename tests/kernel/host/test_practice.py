"""A practice host on its way: made, furnished, taken back, with and without a user namespace of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.machine import Machine, short_folder

# Boots a host whose first process writes what it sees instead of becoming init.
SCRIPT = """
import os, sys
from pathlib import Path
from kernelkit.home import Home
from kernelkit.host.practice import IdMap, Practice
home = Home(Path(sys.argv[1]))
home.run.mkdir(parents=True)
everyone = ((0, 0, 65536),)
host = Practice(home, "practice", IdMap(everyone, everyone) if sys.argv[2] == "mapped" else None)
host.prepare()
pid = host.fork()
if pid == 0:
    try:
        if sys.argv[2] == "mapped":
            # What a rootless host will do in another way comes after this: only the seam is shown.
            assert host._go and host._go[1].recv(1)
        else:
            host.furnish()
        print(os.getpid(), os.uname().nodename, os.getuid(), open("/proc/self/uid_map").read().split(), flush=True)
    finally:
        os._exit(0)
host.connect(pid)
os.waitpid(pid, 0)
host.take_back()
"""


@pytest.fixture
def folder() -> Iterator[Path]:
    folder = short_folder()
    yield folder
    shutil.rmtree(folder)


def boot(machine: Machine, folder: Path, how: str) -> subprocess.CompletedProcess[str]:
    checkout = str(Path(__file__).parents[3])
    return machine.run(
        sys.executable, "-P", "-c", SCRIPT, str(folder / "home"), how, env={**os.environ, "PYTHONPATH": checkout}
    )


def test_a_host_is_a_machine_of_its_own_and_leaves_nothing(machine: Machine, folder: Path) -> None:
    before = machine.state()
    said = boot(machine, folder, "plain").stdout
    assert said.startswith("1 practice 0 ['0', '0', '4294967295']")
    assert machine.state() == before


def test_a_host_can_have_a_user_namespace_of_its_own(machine: Machine, folder: Path) -> None:
    before = machine.state()
    said = boot(machine, folder, "mapped").stdout
    assert said.endswith(" 0 ['0', '0', '65536']\n")
    assert machine.state() == before
