"""The practice host's first process: forks what others need, collects what has ended.

It has one thread and everything imported that a shim or a container's child will use, so a fork of it is at work in
well under a millisecond.  It knows nothing of containers.

    init ─┬─ engine           forked again whenever it ends
          └─ shim, shim, …    one for each Start message
"""

from __future__ import annotations

import contextlib
import gc
import os
import select
import signal
import socket
import time
from collections.abc import Callable

from kernelkit.host import shim
from kernelkit.host.channel import Channel, Start

RESPAWN_PAUSE = 0.2  # seconds between an engine's end and the next one's start

Serve = Callable[[Channel], None]


class Init:
    """The loop of process 1."""

    def __init__(self, serve: Serve) -> None:
        self._serve = serve
        self._engine = 0
        self._channel: Channel | None = None
        self._stopping = False

    def run(self) -> None:
        """Fork, collect, until told to stop (SIGTERM) or the engine leaves on purpose (exit code 0)."""
        # What is alive now is never garbage: without this, each collection in a shim would write to every page.
        gc.collect()
        gc.freeze()
        gc.disable()
        wake_read, wake_write = socket.socketpair()
        wake_write.setblocking(False)
        signal.set_wakeup_fd(wake_write.fileno(), warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.signal(signal.SIGTERM, self._stop)
        self._start_engine()
        while not self._stopping:
            poll = select.poll()
            poll.register(wake_read, select.POLLIN)
            if self._channel:
                poll.register(self._channel.fileno(), select.POLLIN)
            for fd, _ in poll.poll():
                if fd == wake_read.fileno():
                    wake_read.recv(4096)
                    self._collect()
                elif self._channel:
                    self._answer()

    def _stop(self, *_: object) -> None:
        self._stopping = True

    def _start_engine(self) -> None:
        ours, theirs = Channel.pair()
        pid = os.fork()
        if pid == 0:
            _be_child()
            ours.close()
            gc.enable()
            _run(lambda: self._serve(theirs))
        theirs.close()
        self._engine, self._channel = pid, ours

    def _answer(self) -> None:
        assert self._channel
        received = self._channel.receive()
        if received is None:
            self._channel.close()
            self._channel = None  # its end will be collected; then comes the next one
            return
        message, descriptors = received
        assert isinstance(message, Start)
        forked_at = time.time()
        if os.fork() == 0:
            _be_child()
            os.setsid()
            self._channel.close()
            _run(lambda: shim.main(message, descriptors, forked_at))
        for fd in descriptors:
            os.close(fd)

    def _collect(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            if pid == self._engine:
                if os.waitstatus_to_exitcode(status) == 0:
                    self._stopping = True
                    return
                time.sleep(RESPAWN_PAUSE)
                self._start_engine()


def _be_child() -> None:
    """Undo what only process 1 needs."""
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGCHLD, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)


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
            import traceback

            traceback.print_exc()
    finally:
        os._exit(code)
