"""Somebody who looks on while a container starts, and may stop it between any two operations.

    client ◀─ JSON lines ─▶ this ◀─ asks before each operation ─ the engine's own thread
                              ▲
                              └──── four bytes, one byte back ── the shim and the container's child

What the engine says: {"plan": […]} first, {"left_out": step} for what will not be done, {"about": number, "pid": …}
before an operation, {"step": …} when one has ended, at last {"started": pid} or {"error": {…}}.
What the client says: {"do": "next" | "continue" | "skip" | "abort"}; leaving means abort.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import struct
import threading
import time
from collections.abc import Sequence
from typing import Any

from kernelkit.engine.engine import Engine
from kernelkit.engine.model import Container
from kernelkit.engine.records import Record
from kernelkit.engine.remove import start_or_remove
from kernelkit.engine.start import Watch
from kernelkit.errors import KernelkitError, OperationFailed
from kernelkit.trace import Ledger, Step

GLANCE = 0.002  # seconds between two looks into the ledger of a start that nobody stops
SETTLING = 0.2  # seconds for the end of a step to be noted
LONGEST_LINE = 4096  # bytes of what a client has to say

Json = dict[str, Any]


class Aborted(OperationFailed):
    """Whoever looked on wanted no more of it."""


class Onlooker:
    """A client's connection: JSON objects, one a line, both ways."""

    def __init__(self, connection: int, leftover: bytes = b"") -> None:
        self._connection = connection
        self._heard = leftover
        self.gone = False

    def say(self, message: Json) -> None:
        """Tell the client; one that has left is not told."""
        out = json.dumps(message, separators=(",", ":")).encode() + b"\n"
        try:
            while out:
                out = out[os.write(self._connection, out) :]
        except OSError:
            self.gone = True

    def hear(self) -> Json | None:
        """What the client says next; None when it has left or speaks no JSON."""
        while b"\n" not in self._heard and not self.gone:
            try:
                data = os.read(self._connection, LONGEST_LINE)
            except OSError:
                data = b""
            self._heard += data
            self.gone |= not data or len(self._heard) > LONGEST_LINE
        if self.gone:
            return None
        line, _, self._heard = self._heard.partition(b"\n")
        try:
            word = json.loads(line)
        except ValueError:
            return None
        return word if isinstance(word, dict) else None

    def close(self) -> None:
        """Let the client go."""
        os.close(self._connection)


class Gate:
    """Tells an onlooker of one start, and asks it before each operation when it is `stepping`."""

    def __init__(self, engine: Engine, container: Container, onlooker: Onlooker, *, stepping: bool) -> None:
        self._engine = engine
        self._container = container
        self._onlooker = onlooker
        self._stepping = stepping
        self._steps: list[Step] = []
        self._told = 0
        self._ledger: Ledger | None = None
        self._record: Record | None = None
        self._telling = threading.Lock()
        self._over = threading.Event()

    def run(self, left_out: frozenset[str]) -> None:
        """Start the container; whatever happens is said to the onlooker."""
        ours, theirs = socket.socketpair()
        watch = Watch(self.ready, self.ask if self._stepping else None, theirs.fileno() if self._stepping else -1)
        watch.left_out = left_out
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        helper = threading.Thread(target=self._serve if self._stepping else self._glance, args=(ours,), daemon=True)
        helper.start()
        try:
            start_or_remove(self._engine, self._container, watch)
        except KernelkitError as error:
            self._end(theirs, helper)
            code = getattr(error, "exit_code", 125)
            self._onlooker.say({"error": {"message": str(error), "exitCode": code, "status": error.status}})
        else:
            self._end(theirs, helper)
            self._onlooker.say({"started": self._container.state.pid})
        finally:
            ours.close()

    def ready(self, steps: Sequence[Step], left_out: Sequence[Step], ledger: Ledger, record: Record) -> None:
        """The plan is made: say it."""
        self._onlooker.say({"plan": [step.as_json() for step in steps]})
        for step in left_out:
            self._onlooker.say({"left_out": step.as_json()})
        with self._telling:
            self._steps, self._ledger, self._record = list(steps), ledger, record

    def ask(self, seq: int, pid: int = 0) -> bool:
        """Before operation number `seq`, about to be performed by `pid`: False to leave it out; raises Aborted."""
        self._tell_before(seq)
        if not self._stepping:
            return True
        self._onlooker.say({"about": seq, "pid": pid})
        word = (self._onlooker.hear() or {}).get("do", "abort")
        if word == "continue":
            self._stepping = False
        elif word == "skip":
            step = self._steps[seq - 1]
            step.error = "left out"
            self._onlooker.say({"left_out": step.as_json()})
            return False
        elif word != "next":
            raise Aborted("the start was aborted by whoever looked on")
        return True

    def _serve(self, ours: socket.socket) -> None:
        """Answer the processes that ask from the other end: `k` to skip, `g` to go; closing it means abort."""
        with contextlib.suppress(OSError, Aborted, IndexError, KeyError):
            while True:
                data, ancillary, _, _ = ours.recvmsg(4, socket.CMSG_LEN(12))
                if len(data) < 4:
                    return
                pid = struct.unpack("3i", ancillary[0][2][:12])[0] if ancillary else 0
                self._engine.building[self._container.id] = pid
                goes = self.ask(int.from_bytes(data, "little"), pid)
                ours.send(b"g" if goes else b"k")
        ours.shutdown(socket.SHUT_RDWR)

    def _glance(self, _: socket.socket) -> None:
        """Nobody is stopped: tell what the ledger says meanwhile."""
        while not self._over.wait(GLANCE):
            self._tell()

    def _end(self, theirs: socket.socket, helper: threading.Thread) -> None:
        self._over.set()
        theirs.close()
        helper.join()
        self._engine.building.pop(self._container.id, None)
        self._tell()
        if self._record:
            # What the engine did after the program had begun is in the record alone.
            for step in self._record.since_start()[len(self._steps) :]:
                self._onlooker.say({"step": step})

    def _tell_before(self, seq: int) -> None:
        """Tell of all steps before this one; a clone's end is noted by the parent, a moment after its child goes on."""
        until = time.monotonic() + SETTLING
        self._tell()
        while self._told < seq - 1 and time.monotonic() < until:
            time.sleep(GLANCE)
            self._tell()

    def _tell(self) -> None:
        """Tell of the operations that have ended since the last time."""
        with self._telling:
            if self._ledger is None:
                return
            while self._told < len(self._steps):
                step = self._steps[self._told]
                started, seconds, error = self._ledger.read(step.seq)
                if step.error != "left out":
                    if not started or (seconds < 0 and not error):
                        return
                    self._ledger.fill([step])
                    self._onlooker.say({"step": step.as_json()})
                self._told += 1


def start(
    engine: Engine, container: Container, connection: int, leftover: bytes, *, stepping: bool, left_out: Sequence[str]
) -> None:
    """Start a container under the eyes of a client, whose connection is taken over."""
    onlooker = Onlooker(connection, leftover)
    try:
        Gate(engine, container, onlooker, stepping=stepping).run(frozenset(left_out))
    finally:
        onlooker.close()
