"""A host that is switched off while many are at work in it leaves nothing."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from tests.conftest import Kernelkit

KERNELKIT = str(Path(sys.executable).with_name("kernelkit"))
CLIENTS = 8

# Containers as fast as one client can ask for them, of every kind; ends when there is no engine any more.
CLIENT = """
while [ -e "$KERNELKIT_HOME/run/docker.sock" ]; do
    docker run --rm -p "$1:80" -v "data:/data" --memory 64m busybox true
    docker run -d -p "$1:80" busybox sleep 1000
    docker run --rm --network none busybox sh -c 'exit 3'
    docker rm -f $(docker ps -aq)
done
"""


def test_down_while_clients_run_containers_leaves_nothing(kk_alone: Kernelkit) -> None:
    kk, machine = kk_alone, kk_alone.machine
    assert machine
    before = machine.state()
    kk("run", "--rm", "busybox", "true")
    for seconds in (0.5, 1.5):
        kk("up")
        clients = [kk.start(["sh", "-c", CLIENT, "client", str(8000 + number)]) for number in range(CLIENTS)]
        time.sleep(seconds)
        kk("down")
        for client in clients:
            client.communicate(timeout=60)
        assert machine.state() == before
        assert not list((kk.home / "run").glob("*.sock"))
        assert not list((kk.home / "run/shims").iterdir())
    # And whoever was in the middle of something is found to have ended, when the host is up again.
    assert kk("ps", "-q").stdout == ""
    assert set(kk("ps", "-a", "--format", "{{.State}}").stdout.split()) <= {"created", "exited"}
    assert kk("run", "--rm", "-p", "8000:80", "busybox", "echo", "again").stdout == "again\n"
