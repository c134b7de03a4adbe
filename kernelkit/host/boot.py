"""Makes the practice host: a Linux of one's own inside the real one, gone without a trace when it is switched off.

    the real machine                     the practice host
    ────────────────                     ─────────────────
    keeper ── fork ──▶ init (process 1) ──▶ engine, shims, containers
      waits for init's end, then takes back the little that the kernel does not throw away by itself:
      cgroup directories and forwarding switches
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import socket
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path

from kernelkit.errors import KernelkitError, Unavailable
from kernelkit.home import Home
from kernelkit.host import practice
from kernelkit.host.channel import Channel
from kernelkit.host.init import Init
from kernelkit.host.practice import Practice
from kernelkit.trace import explain

PATIENCE = 30.0  # seconds for the engine to answer after a boot

Serve = Callable[[Practice, Channel, int], None]


def up(home: Home, serve: Serve) -> bool:
    """Have the host running: boot it unless it runs; False when it did already.

    `serve(practice, channel to init, descriptor to say "ready" on)` becomes the engine. Raises what kept it from starting.
    """
    home.run.mkdir(parents=True, exist_ok=True)
    with _locked(home.run / "boot.lock"):
        if answers(home):
            return False
        read, write = os.pipe()
        if os.fork() == 0:
            _daemon(home, serve, read, write)
        os.close(write)
        with open(read) as pipe:
            said = pipe.readline().strip()
        if said != "ready":
            raise Unavailable(said or f"the practice host did not start: see {home.run / 'host.log'}")
        return True


def down(home: Home) -> bool:
    """Switch the host off and wait until it is gone; False when it was not running."""
    pid = init_pid(home)
    if not pid:
        return False
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGTERM)
    # The keeper holds this lock for as long as there is something left to take back.
    with _locked(home.run / "host.lock"):
        return True


def answers(home: Home) -> bool:
    """Whether an engine listens."""
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(os.fspath(home.socket))
        except OSError:
            return False
        return True


def init_pid(home: Home) -> int:
    """The pid of the running host's init, on the real machine; 0 when the host is down."""
    lock = home.run / "host.lock"
    with contextlib.suppress(OSError), lock.open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            with contextlib.suppress(ValueError):
                return int((home.run / "init.pid").read_text())
    return 0


def _daemon(home: Home, serve: Serve, read: int, ready: int) -> None:
    """The keeper: leaves the caller's terminal, makes the host, stays until it is gone."""
    try:
        os.close(read)
        os.setsid()
        _quiet(home.run / "host.log", ready)
        ready = fcntl.fcntl(ready, fcntl.F_DUPFD_CLOEXEC, 64)
        with _locked(home.run / "host.lock"):
            _keep(home, serve, ready)
    except BaseException as error:
        with contextlib.suppress(OSError):
            os.write(ready, f"start the practice host: {_words(error)}\n".encode())
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(0)


def _keep(home: Home, serve: Serve, ready: int) -> None:
    host = practice.prepare(home)
    try:
        pid = host.fork()
        if pid == 0:
            _be_init(host, serve, ready)
        os.close(ready)
        (home.run / "init.pid").write_text(str(pid))
        host.connect(pid)
        os.waitpid(pid, 0)
    finally:
        host.take_back()
        for name in ("init.pid", "docker.sock"):
            (home.run / name).unlink(missing_ok=True)


def _be_init(host: Practice, serve: Serve, ready: int) -> None:
    try:
        host.furnish()
        Init(lambda channel: serve(host, channel, ready)).run()
    except BaseException as error:
        with contextlib.suppress(OSError):
            os.write(ready, f"start the practice host: {_words(error)}\n".encode())
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(0)


def _words(error: BaseException) -> str:
    return str(error) if isinstance(error, KernelkitError) else explain(error)


def _quiet(log: Path, keep: int) -> None:
    """Standard input from nowhere, what is said into the log; no descriptor of the caller's stays open."""
    null = os.open("/dev/null", os.O_RDONLY)
    out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    for number, fd in ((0, null), (1, out), (2, out)):
        os.dup2(fd, number)
    for name in os.listdir("/proc/self/fd"):
        if int(name) > 2 and int(name) != keep:
            with contextlib.suppress(OSError):
                os.close(int(name))


@contextlib.contextmanager
def _locked(path: Path):  # type: ignore[no-untyped-def]
    path.parent.mkdir(parents=True, exist_ok=True)
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
    finally:
        os.close(file)


def wait_ready(home: Home) -> None:
    """Wait until an engine answers; Unavailable when none does in time."""
    until = time.monotonic() + PATIENCE
    while not answers(home):
        if time.monotonic() > until:
            raise Unavailable("the engine does not answer", f"see {home.run / 'host.log'}")
        time.sleep(0.02)
