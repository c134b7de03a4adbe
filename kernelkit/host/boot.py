"""Makes the practice host: a Linux of one's own inside the real one, gone without a trace when it is switched off.

the real machine                     the practice host
────────────────                     ─────────────────
keeper ── clone ─▶ init (process 1) ──▶ engine, shims, containers
  waits for init's end, then takes back the little that the kernel does not throw away by itself:
  cgroup directories, the cable's rules, the forwarding switch
"""

from __future__ import annotations

import contextlib
import fcntl
import gc
import os
import signal
import socket
import sys
import time
import traceback
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from kernelkit.errors import KernelkitError, Unavailable
from kernelkit.home import Home
from kernelkit.host import practice
from kernelkit.host.channel import OUTSIDE, PROMISED, READY
from kernelkit.host.init import Init
from kernelkit.host.practice import IdMap, Practice
from kernelkit.host.rehearsal import rehearse
from kernelkit.trace import Trace, explain

PATIENCE = 30.0  # seconds for a host to be gone
INSIST = 0.2  # seconds before it is told again to end
REHEARSALS = 10  # after so many rounds Python has adapted its code to what it works on: PEP 659


def up(home: Home, mode: str, engine: Sequence[str], ids: IdMap | None = None) -> bool:
    """Have the host running: boot it unless it runs; False when it did already.

    `engine` are the words of the engine's program; with `ids` the host is in a user namespace of its own.
    Raises what kept it from starting.
    """
    home.run.mkdir(parents=True, exist_ok=True)
    with _locked(home.run / "boot.lock"):
        if _settled(home):
            return False
        sweep()
        read, write = os.pipe()
        if os.fork() == 0:
            _keeper(Practice(home, mode, ids), engine, write)
        os.close(write)
        with open(read) as pipe:
            said = pipe.readline().strip()
        if said != "ready":
            raise Unavailable(said or f"the practice host did not start: see {home.run / 'host.log'}")
        return True


def _settled(home: Home) -> bool:
    """Whether a host is up; waits for one whose engine is just being started again, or that is on its way down."""
    until = time.monotonic() + PATIENCE
    while not answers(home):
        if not _is_held(home.run):
            return False
        if time.monotonic() > until:
            raise Unavailable("the engine does not answer", f"see {home.run / 'host.log'}")
        time.sleep(0.02)
    return True


def down(home: Home) -> bool:
    """Switch the host off and wait until it is gone; False when it was not running.

    What killed hosts have left, of whatever home, is taken back as well. Raises Unavailable when it does not go.
    """
    was_up = False
    until = time.monotonic() + PATIENCE
    told = 0.0
    # The keeper holds the lock for as long as there is something left to take back.
    while _is_held(home.run):
        was_up = True
        pid = init_pid(home)
        if pid and time.monotonic() - told > INSIST:  # one that has just been born does not hear everything
            told = time.monotonic()
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
        if time.monotonic() > until:
            raise Unavailable(f"the practice host does not end: process {pid}", f"see {home.run / 'host.log'}")
        time.sleep(0.005)
    sweep()
    return was_up


def sweep() -> None:
    """Take back what hosts that were killed have left, of whatever home; who may not do that leaves it."""
    if os.geteuid() != 0:
        return
    for claim in practice.sweep(Trace()):
        run = Path(claim.home) / "run"
        if run.is_dir() and not _is_held(run):
            _clear(run)


def answers(home: Home) -> bool:
    """Whether an engine listens."""
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(os.fspath(home.socket))
        except OSError:
            return False
        return True


def init_pid(home: Home) -> int:
    """The pid of the running host's init, on the real machine; 0 when the host is down, or has none yet."""
    with contextlib.suppress(OSError, ValueError):
        return int((home.run / "init.pid").read_text()) if _is_held(home.run) else 0
    return 0


def _is_held(run: Path) -> bool:
    """Whether a host is up, on its way up or on its way down: whether its keeper, its init or a shim lives."""
    with contextlib.suppress(OSError), (run / "host.lock").open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def _keeper(host: Practice, engine: Sequence[str], ready: int) -> None:
    """Leaves the caller's terminal, makes the host, stays until it is gone."""
    run = host.home.run
    try:
        os.setsid()
        _quiet(run / "host.log", ready)
        with _locked(run / "host.lock"):
            _keep(host, engine)
    except BaseException as error:
        _say(_words(error))
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(0)


def _keep(host: Practice, engine: Sequence[str]) -> None:
    home = host.home
    lock = os.stat(home.run / "host.lock")
    _clear(home.run)  # an earlier host's, if it was killed: nobody is to take its numbers for ours
    try:
        host.prepare()
        # Each process forked from here on shares this one's memory, as far as neither writes to it. So what all of them
        # would do once is done now; and what is alive now is never garbage, for to look for some writes to every page.
        for _ in range(REHEARSALS):
            rehearse()
        gc.collect()
        gc.freeze()
        gc.disable()
        leaving, staying = os.pipe()
        pid = host.fork()
        if pid == 0:
            os.close(leaving)
            _be_init(host, engine, staying)
        os.close(staying)
        (home.run / "init.pid").write_text(str(pid))
        try:
            host.connect(pid)
        except BaseException:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            raise
        os.close(READY)  # from here on it is init's to say how it goes
        os.read(leaving, 1)  # nothing ever comes: init's end is closed when it leaves, and only then
        while os.waitpid(pid, os.WNOHANG) == (0, 0):
            host.thaw()
            time.sleep(0.005)
    finally:
        if _is_still(home.run / "host.lock", lock):
            _remove(_sockets(home.run))
        try:
            host.take_back()
        finally:
            # Last, for without them nobody waits for us.
            if _is_still(home.run / "host.lock", lock):
                _clear(home.run)


def _clear(run: Path) -> None:
    """Remove what a host has put there, of one that is no more."""
    _remove([*_sockets(run), run / "host.json", run / "init.pid"])


def _sockets(run: Path) -> list[Path]:
    return [*run.glob("*.sock"), *(run / "shims").glob("*")]


def _remove(paths: Iterable[Path]) -> None:
    for path in paths:
        path.unlink(missing_ok=True)


def _is_still(path: Path, before: os.stat_result) -> bool:
    """Whether a file is the one it was: a home that was deleted meanwhile may be another host's by now."""
    try:
        return os.path.samestat(os.stat(path), before)
    except FileNotFoundError:
        return False


def _be_init(host: Practice, engine: Sequence[str], staying: int) -> None:
    try:
        host.furnish()
        Init(engine, end_all=host.mode == "real", staying=staying).run()
    except BaseException as error:
        _say(_words(error))
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(0)


def _say(problem: str) -> None:
    """Tell whoever waits for the host why it does not come up."""
    with contextlib.suppress(OSError):
        os.write(READY, f"start the practice host: {problem}\n".encode())


def _words(error: BaseException) -> str:
    return str(error) if isinstance(error, KernelkitError) else explain(error)


def _quiet(log: Path, ready: int) -> None:
    """Standard input from nowhere, what is said into the log, and no other descriptor of the caller's stays open.

    The promised numbers are taken at once, so that nothing else can come to lie on them.
    """
    ready = fcntl.fcntl(ready, fcntl.F_DUPFD_CLOEXEC, PROMISED)
    null = fcntl.fcntl(os.open("/dev/null", os.O_RDWR), fcntl.F_DUPFD_CLOEXEC, PROMISED)
    out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
    out = fcntl.fcntl(out, fcntl.F_DUPFD_CLOEXEC, PROMISED)
    for number, fd in ((0, null), (1, out), (2, out)):
        os.dup2(fd, number)
    for number in range(3, PROMISED):
        os.dup2(null, number, inheritable=False)
    os.dup2(ready, READY, inheritable=False)
    outside = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    os.dup2(outside, OUTSIDE, inheritable=False)
    for name in os.listdir("/proc/self/fd"):
        if int(name) >= PROMISED:
            with contextlib.suppress(OSError):
                os.close(int(name))


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    path.parent.mkdir(parents=True, exist_ok=True)
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
    finally:
        os.close(file)
