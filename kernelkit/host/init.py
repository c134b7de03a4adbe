"""The practice host's first process: forks what others need, collects what has ended.

It has one thread and everything imported that a shim or a container's child will use, so a fork of it is at work in
well under a millisecond.  It knows nothing of containers.

    init ─┬─ engine           a program of its own, started again whenever it ends
          └─ shim, shim, …    one for each Start message, and one that is prepared for the next
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import time
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path

from kernelkit.container import plan  # noqa: F401  for its operations: a shim must not have to import them
from kernelkit.host import shim
from kernelkit.host.channel import ENGINE, OUTSIDE, READY, Channel, Prepare, Start
from kernelkit.kernel.netlink import open_shared_socket
from kernelkit.kernel.process import EndWithParent, fork, let_go
from kernelkit.trace import Trace

POLITE = 0.012  # seconds before a shim is prepared: the container that is just being started goes first
RESPAWN_PAUSE = 0.2  # seconds between an engine's end and the next one's start
SHORT = 2.0  # seconds: an engine that ends sooner has not been of use
GIVE_UP = 3  # so many such in a row, and there will be no other


class Init:
    """The loop of process 1; `end_all` has it end the processes that are left, where no kernel does that for it.

    `staying` is a descriptor that nobody else has: it is closed when this process leaves, however that comes.
    """

    def __init__(self, engine: Sequence[str], *, end_all: bool = False, staying: int = -1) -> None:
        self._program = list(engine)
        self._end_all = end_all
        self._staying = staying
        self._engine = 0
        self._channel: Channel | None = None
        self._wish: tuple[Prepare, list[int]] | None = None  # a shim to be prepared
        self._due = 0.0  # and when, on the monotonic clock
        self._stopping = False
        self._started_at = 0.0
        self._short_lives = 0

    def run(self) -> None:
        """Fork, collect, until told to stop (SIGTERM) or the engine leaves on purpose (exit code 0)."""
        open_shared_socket()
        wake_read, wake_write = socket.socketpair()
        wake_write.setblocking(False)
        signal.set_wakeup_fd(wake_write.fileno(), warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.signal(signal.SIGTERM, self._stop)
        self._start_engine()
        os.close(READY)
        while not self._stopping:
            poll = select.poll()
            poll.register(wake_read, select.POLLIN)
            if self._channel:
                poll.register(self._channel.fileno(), select.POLLIN)
            for fd, _ in poll.poll(self._patience()):
                if fd == wake_read.fileno():
                    wake_read.recv(4096)
                    self._collect()
                elif self._channel:
                    self._answer()
            if self._wish and time.monotonic() >= self._due:
                self._prepare()
        self._close_staying()
        if self._end_all:
            _end_descendants()

    def _stop(self, *_: object) -> None:
        self._stopping = True

    def _start_engine(self) -> None:
        ours, theirs = Channel.pair()
        pid = os.fork()
        if pid == 0:
            self._be_child()
            _run(lambda: self._become_engine(theirs))
        theirs.close()
        self._engine, self._channel = pid, ours
        self._started_at = time.monotonic()

    def _be_child(self) -> None:
        """Undo what only process 1 needs; end with it where no kernel sees to that."""
        signal.set_wakeup_fd(-1)
        let_go(signal.SIGCHLD, signal.SIGTERM)
        self._close_staying()
        if self._end_all:
            Trace().perform("boot", EndWithParent(), actor="init")

    def _close_staying(self) -> None:
        if self._staying >= 0:
            os.close(self._staying)

    def _become_engine(self, channel: Channel) -> None:
        os.dup2(channel.fileno(), ENGINE, inheritable=True)
        for number in (READY, OUTSIDE):
            with contextlib.suppress(OSError):
                os.set_inheritable(number, True)
        # One heap for all its threads, which hold Python's lock when they allocate: mallopt(3).
        os.execve(self._program[0], self._program, {**os.environ, "MALLOC_ARENA_MAX": "1"})

    def _answer(self) -> None:
        assert self._channel
        received = self._channel.receive()
        if received is None:
            self._channel.close()
            self._channel = None  # its end will be collected; then comes the next one
            self._forget_wish()
            return
        message, descriptors = received
        if isinstance(message, Prepare):
            self._forget_wish()
            self._wish, self._due = (message, descriptors), time.monotonic() + POLITE
        else:
            self._fork_shim(message, descriptors)

    def _fork_shim(self, message: Start | Prepare, descriptors: list[int]) -> None:
        forked_at = time.time()
        if fork() == 0:
            self._be_child()
            os.setsid()
            if self._channel:
                self._channel.close()
            if self._wish and message is not self._wish[0]:
                self._forget_wish()
            _run(lambda: shim.main(message, descriptors, forked_at))
        for fd in descriptors:
            os.close(fd)

    def _prepare(self) -> None:
        if self._wish:
            self._fork_shim(*self._wish)
            self._wish = None

    def _forget_wish(self) -> None:
        """Nobody waits for that shim any more."""
        if self._wish:
            for fd in self._wish[1]:
                os.close(fd)
            self._wish = None

    def _patience(self) -> float | None:
        """Milliseconds until a shim is to be prepared."""
        return max(0.0, self._due - time.monotonic()) * 1000 if self._wish else None

    def _collect(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            if pid == self._engine:
                short = time.monotonic() - self._started_at < SHORT
                self._short_lives = self._short_lives + 1 if short else 0
                if os.waitstatus_to_exitcode(status) == 0 or self._short_lives == GIVE_UP:
                    self._stopping = True
                    return
                time.sleep(RESPAWN_PAUSE)
                self._start_engine()


def _end_descendants() -> None:
    """End all that has come from us, however deep: who loses its parent becomes our child."""
    children = Path(f"/proc/self/task/{os.getpid()}/children")
    while pids := children.read_text().split():
        for pid in map(int, pids):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(-1, 0)


def _run(work: Callable[[], None]) -> None:
    """Do the work and end, whatever happens: a child must never go on in its parent's loop."""
    code = 1
    try:
        work()
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    except BaseException:
        with contextlib.suppress(BaseException):
            traceback.print_exc()
    finally:
        os._exit(code)
