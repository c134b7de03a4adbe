"""Performs operations, and remembers every one that was attempted.

An *operation* is one request to the kernel (or to a registry) as a frozen dataclass.  A *stage* is a named run of
operations by one actor in one place.  A *step* is an operation that was attempted: when, how long, how it ended.
Nothing else in kernelkit calls `perform()`.

Two ways to remember, one for each kind of actor:

    Trace     in the engine's memory: a list of steps
    Ledger    shared memory of fixed-size slots: 24 bytes a step, no system call, survives the death of the writer at
              any instant.  The processes that build a container write it, the engine reads it.
"""

from __future__ import annotations

import dataclasses
import json
import os
import struct
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from mmap import mmap
from pathlib import Path
from typing import Any, Protocol

STAGES = ("pull", "create", "filesystem", "rw-layer", "interface", "ip", "nat", "exec")


class Operation(Protocol):
    """One request to the kernel: a value that can be compared, printed, sent to another process, performed."""

    def perform(self) -> object:
        """Ask the kernel; raises OSError with the kernel's answer."""

    def shell(self) -> str:
        """What a person would type to the same effect, in POSIX shell."""


class Packable(Protocol):
    """An operation that can travel in one send with its neighbours of the same `channel` (netlink messages)."""

    @property
    def channel(self) -> object:
        """Neighbours with an equal channel are sent together."""

    @staticmethod
    def perform_together(operations: Sequence[Any]) -> list[OSError | None]:
        """Perform all, in order; how each one ended. After the first failure the rest must not be done."""


@dataclass(frozen=True)
class Stage:
    """A run of operations with a name, the process that performs them, and the namespaces it stands in.

    `actor` is `engine`, `init`, `shim` or `container`; `where` is `host` or `container`.
    """

    name: str
    actor: str
    where: str
    operations: tuple[Operation, ...]


@dataclass
class Step:
    """An operation that was attempted.

    `started` is seconds since the epoch, None for one that was left out on purpose or never reached;
    `seconds` is None while it has not ended; `error` is empty when the kernel said yes.
    """

    seq: int
    stage: str
    actor: str
    where: str
    operation: Operation
    started: float | None = None
    seconds: float | None = None
    error: str = ""

    def as_json(self) -> dict[str, Any]:
        """The step as one object of the record, as `kernelkit trace --json` prints it."""
        return {
            "seq": self.seq,
            "stage": self.stage,
            "actor": self.actor,
            "where": self.where,
            "operation": type(self.operation).__name__,
            "fields": fields(self.operation),
            "shell": self.operation.shell(),
            "started": self.started,
            "seconds": self.seconds,
            "error": self.error,
        }


def fields(operation: Operation) -> dict[str, Any]:
    """The operation's fields as plain JSON values."""
    return {f.name: _plain(getattr(operation, f.name)) for f in dataclasses.fields(operation)}  # type: ignore[arg-type]


def _plain(value: Any) -> Any:
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, tuple | list | frozenset | set):
        return [_plain(v) for v in value]
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in value.items()}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: _plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    return value


def number(stages: Iterable[Stage], first: int = 1) -> list[Step]:
    """The steps that a plan will become, numbered in the order of time, none of them attempted yet."""
    rows = ((stage, operation) for stage in stages for operation in stage.operations)
    return [Step(first + i, s.name, s.actor, s.where, op) for i, (s, op) in enumerate(rows)]


def explain(error: BaseException) -> str:
    """The kernel's answer in words, with the path it was about."""
    if isinstance(error, OSError) and error.strerror:
        name = error.filename
        return f"{error.strerror}: {os.fsdecode(name) if isinstance(name, bytes) else name}" if name else error.strerror
    return str(error) or type(error).__name__


def explain_within(error: BaseException) -> str:
    """The same as it goes on within a sentence; a path keeps its capitals."""
    words = explain(error)
    return words[:1].lower() + words[1:]


class Trace:
    """Performs operations in this process and keeps their steps, failures of any kind included.

    Several threads may perform at once; steps are numbered in the order in which they began.
    """

    def __init__(self, listener: Callable[[Step], None] | None = None) -> None:
        self.steps: list[Step] = []
        self._listener = listener
        self._numbering = threading.Lock()

    def perform(self, stage: str, operation: Operation, *, actor: str = "engine", where: str = "host") -> Any:
        """Perform one operation; return what it returns, raise what it raises, remember it either way."""
        with self._numbering:
            step = Step(len(self.steps) + 1, stage, actor, where, operation, time.time())
            self.steps.append(step)
        began = time.perf_counter()
        try:
            return operation.perform()
        except BaseException as error:
            step.error = explain(error)
            raise
        finally:
            step.seconds = time.perf_counter() - began
            if self._listener:
                self._listener(step)


class Ledger:
    """The steps of one container's start, in memory shared by the processes that build it.

    A slot is (started, seconds, error number); started 0 means never attempted, seconds below 0 not ended.
    """

    SLOT = struct.Struct("<ddi4x")

    def __init__(self, memory: mmap, gate: Callable[[int], bool] | None = None) -> None:
        self._memory = memory
        self._gate = gate  # asked before each operation; False leaves it out
        self.failed = 0  # the sequence number that failed, 0 while none has

    @classmethod
    def size(cls, steps: int) -> int:
        """Bytes of shared memory for this many steps."""
        return cls.SLOT.size * (steps + 1)

    def perform(self, operations: Sequence[Operation], first: int) -> None:
        """Perform in order, the first one being step number `first`; stop at the first failure, by raising it."""
        i = 0
        while i < len(operations):
            group = [operations[i]] if self._gate else _neighbours(operations, i)
            if self._gate and not self._gate(first + i):
                i += 1
                continue
            self._perform_group(group, first + i)
            i += len(group)

    def _perform_group(self, group: list[Operation], first: int) -> None:
        started, began = time.time(), time.perf_counter()
        for i in range(len(group)):
            self._write(first + i, started, -1.0, 0)
        answers: list[OSError | None]
        try:
            if len(group) == 1:
                group[0].perform()
                answers = [None]
            else:
                answers = group[0].perform_together(group)  # type: ignore[attr-defined]
        except BaseException as error:
            self.failed = first
            number = (error.errno or -1) if isinstance(error, OSError) else -1
            self._write(first, started, time.perf_counter() - began, number)
            raise
        each = (time.perf_counter() - began) / len(group)
        for i, answer in enumerate(answers):
            if answer is not None:
                self.failed = first + i
                self._write(first + i, started, each, answer.errno or -1)
                for later in range(first + i + 1, first + len(group)):
                    self._write(later, 0.0, 0.0, 0)
                raise answer
            self._write(first + i, started + i * each, each, 0)

    def fork(self, operation: Operation, seq: int, *, child: object) -> Any:
        """Perform an operation that returns twice; in the process where it returns `child` its end is not noted.

        The gate is asked, and cannot leave it out: there would be nobody for the rest.
        """
        if self._gate:
            self._gate(seq)
        self.announce(seq)
        try:
            answer = operation.perform()
        except OSError as error:
            self.failed = seq
            self.ended(seq, error.errno or -1)
            raise
        if answer != child:
            self.ended(seq)
        return answer

    def note(self, seq: int, started: float, seconds: float) -> None:
        """Note a step that has ended well, and was attempted before there was this ledger."""
        self._write(seq, started, seconds, 0)

    def announce(self, seq: int) -> None:
        """Note that a step is about to be performed: for `exec`, which never returns to say so."""
        self._write(seq, time.time(), -1.0, 0)

    def ended(self, seq: int, error: int = 0) -> None:
        """Note, from another process, how an announced step ended; of two who do, the first counts."""
        started, seconds, _ = self.read(seq)
        if seconds < 0:
            self._write(seq, started, time.time() - started, error)

    def read(self, seq: int) -> tuple[float, float, int]:
        """(started, seconds, error number) of a step."""
        return self.SLOT.unpack_from(self._memory, seq * self.SLOT.size)

    def fill(self, steps: Iterable[Step]) -> None:
        """Copy times and errors into the planned steps."""
        for step in steps:
            started, seconds, error = self.read(step.seq)
            if started:
                step.started = started
                step.seconds = seconds if seconds >= 0 else None
                step.error = step.error or (os.strerror(error) if error > 0 else "failed" if error else "")

    def _write(self, seq: int, started: float, seconds: float, error: int) -> None:
        self.SLOT.pack_into(self._memory, seq * self.SLOT.size, started, seconds, error)


def _neighbours(operations: Sequence[Operation], start: int) -> list[Operation]:
    """The operation at `start` and those right after it that can travel in the same send."""
    group = [operations[start]]
    channel = _channel(operations[start])
    while channel and start + len(group) < len(operations) and _channel(operations[start + len(group)]) == channel:
        group.append(operations[start + len(group)])
    return group


def _channel(operation: Operation) -> object:
    """A packable operation's channel, None for any other. To ask `isinstance` about a protocol takes too long here."""
    return getattr(operation, "channel", None) if hasattr(operation, "perform_together") else None


def save(steps: Iterable[Step], path: Path) -> None:
    """Write the record as one JSON object a line."""
    path.write_text("".join(json.dumps(step.as_json()) + "\n" for step in steps))


def load(path: Path) -> Iterator[dict[str, Any]]:
    """The stored record, an object a step."""
    with path.open() as lines:
        for line in lines:
            yield json.loads(line)
