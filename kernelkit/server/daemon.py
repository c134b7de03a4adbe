"""The engine's process: `python -m kernelkit.server.daemon`, started by the practice host's init.

    descriptor 3    the channel to init, which forks shims
    descriptor 4    where to say "ready", for the first engine of a host
    descriptors 7, 8    made here: netlink sockets of the practice host's network
    descriptor 9    made here: one of the real machine's, for its rules
    descriptor 10   the real machine's network namespace, into which this process moves

Registries, published ports and `localhost` are the real machine's, as whoever typed the command expects.
"""

from __future__ import annotations

import contextlib
import gc
import logging
import os
import resource
import signal
import socket
import sys
import threading

from kernelkit.container import plan
from kernelkit.embedded import recipes
from kernelkit.embedded import registry as embedded
from kernelkit.engine import hear, networks, origin, recover, remove
from kernelkit.engine.engine import Engine
from kernelkit.home import Home
from kernelkit.host.channel import ENGINE, OUTSIDE, READY, Channel
from kernelkit.host.link import Link
from kernelkit.host.practice import Facts
from kernelkit.host.uplink import Uplink
from kernelkit.image.store import Store
from kernelkit.kernel.capability import bounding
from kernelkit.kernel.hierarchies import read_layout
from kernelkit.kernel.netlink import open_host_sockets, open_machine_socket
from kernelkit.kernel.unshare import JoinNamespace
from kernelkit.server.serve import Server
from kernelkit.trace import Trace

log = logging.getLogger(__name__)


def main() -> None:
    """Be the engine of `KERNELKIT_HOME` until SIGTERM or until its host ends."""
    logging.basicConfig(format="%(asctime)s %(name)s: %(message)s", level=logging.INFO)
    # First of all: nothing else may come to lie on their numbers.
    open_host_sockets()
    open_machine_socket()
    # A walk through many layers, and many clients at once, take many descriptors.
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    home = Home.default()
    facts = Facts.load(home)
    engine = Engine(home.path, Store(home.path))
    engine.store.sweep()
    engine.origin = _serve_embedded(home, facts)
    _leave(facts)
    _join(engine, home, facts)
    server = Server(engine, _listen(home))
    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.stop).start())
    threading.Thread(target=remove.empty_trash, args=(engine,), name="trash", daemon=True).start()
    engine.trash_has_grown.set()
    origin.make_ahead(engine)
    _be_quick()
    with contextlib.suppress(OSError):
        os.write(READY, b"ready\n")
        os.close(READY)
    server.run()
    engine.close()
    logging.shutdown()
    os._exit(0)  # threads that wait for clients would keep us


def _be_quick() -> None:
    """What there is now stays: nothing of it is garbage. And no thread lets the others wait for long."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(5_000, 20, 20)
    sys.setswitchinterval(0.0005)


def _serve_embedded(home: Home, facts: Facts) -> str:
    """Start the embedded registry, in the practice host's network; its URL."""
    address = facts.cable.inner if facts.cable else "127.0.0.1"
    registry = embedded.serve(recipes.directory(home.path), address)
    registry.start()
    return registry.url


def _leave(facts: Facts) -> None:
    """Go where registries and users are; the two sockets go on speaking to the host's network."""
    if facts.cable:
        # Before any thread that matters: setns(2) moves one thread, and the threads it makes later.
        Trace().perform("boot", JoinNamespace("net", f"/proc/self/fd/{OUTSIDE}"))
    open_machine_socket()


def _join(engine: Engine, home: Home, facts: Facts) -> None:
    shims = home.run / "shims"
    shims.mkdir(exist_ok=True)
    channel = Channel(socket.socket(fileno=ENGINE))
    link = Link(channel, os.fspath(shims), lambda container, message: hear.hear(engine, container, message))
    engine.join(link, read_layout(), bounding(), facts, Uplink(facts.cable))
    unfinished = recover.end_unfinished(engine)
    networks.prepare(engine)
    recover.take_over(engine, unfinished)
    link.prepare(plan.usual_clone(engine.layout))


def _listen(home: Home) -> socket.socket:
    """The socket that DOCKER_HOST names, for its owner alone; it appears when it already listens."""
    new = home.run / "docker.new"
    new.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(os.fspath(new))
    os.chmod(new, 0o600)
    listener.listen(4096)  # a client that finds the queue full is not kept waiting, but refused: unix(7)
    os.rename(new, home.socket)
    return listener


if __name__ == "__main__":
    try:
        main()
    except Exception as error:
        log.exception("the engine does not start")
        with contextlib.suppress(OSError):
            os.write(READY, f"start the engine: {error}\n".encode())
        sys.exit(1)
