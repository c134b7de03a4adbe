"""The records of what was asked of the kernel, for every container and every verb, whoever asked.

A record lives in memory from its first step on, is written to `containers/ID/trace.jsonl` a moment later, off the
path of the request, and outlives its container for a while: `kernelkit trace --last` after `run --rm`.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from kernelkit.engine.bell import Bell
from kernelkit.trace import Ledger, Step, load, save

STARTING = 3  # groups of steps that belong to a start
LATER = 64  # and those of later verbs that are kept
REMEMBERED = 8  # records kept in memory, the others are in their files
BEHIND = 65536  # steps waiting for one listener
CALM = 0.2  # seconds to wait before writing: a burst of starts goes first


class Record:
    """The steps of one container, in the order of time: how its image came, its start, what was asked of it later."""

    def __init__(self, container: str, file: Path | None, before: Sequence[dict[str, Any]] = ()) -> None:
        self.container = container
        self.file = file
        self.stored = ""  # what is in its file already, of a start that is out of memory
        self._before = before
        self.spec: Mapping[str, Any] | None = None  # the OCI configuration, kept beside the record
        self._parts: list[tuple[list[Step], Ledger | None]] = []

    def extend(self, steps: Sequence[Step], ledger: Ledger | None = None) -> None:
        """Add steps; with `ledger`, their times are in there.

        Of what comes after the start only the latest is kept: a health check asks for ever.
        """
        self._parts.append((list(steps), ledger))
        if len(self._parts) > LATER + STARTING:
            del self._parts[STARTING]

    def read(self) -> list[dict[str, Any]]:
        """The record as JSON objects, numbered from 1."""
        stored = [json.loads(line) for line in self.stored.splitlines()]
        added = enumerate([*self._before, *self._steps()], len(stored) + 1)
        return [*stored, *({**step, "seq": number} for number, step in added)]

    def text(self) -> str:
        """The record as it is stored, a JSON object a line."""
        added = enumerate([*self._before, *self._steps()], self.stored.count("\n") + 1)
        return self.stored + "".join(json.dumps({**step, "seq": number}) + "\n" for number, step in added)

    def since_start(self) -> list[dict[str, Any]]:
        """The same without how the image came, numbered from 1: as whoever looks on at a start counts them."""
        return [{**step, "seq": number} for number, step in enumerate(self._steps(), 1)]

    def settle(self) -> None:
        """Take the times out of the ledgers, whose memory is then free: nothing is under way any more."""
        for number, (steps, ledger) in enumerate(self._parts):
            if ledger:
                ledger.fill(steps)
                self._parts[number] = (steps, None)

    def _steps(self) -> Iterator[dict[str, Any]]:
        for steps, ledger in self._parts:
            if ledger:
                ledger.fill(steps)
            yield from (step.as_json() for step in steps)


class Listener:
    """Somebody's queue of steps, and the bell that rings when there are some."""

    def __init__(self) -> None:
        self.bell = Bell()
        self._queue: deque[dict[str, Any]] = deque(maxlen=BEHIND)

    def put(self, step: dict[str, Any]) -> None:
        """Queue a step; who is too far behind loses the oldest ones."""
        self._queue.append(step)
        self.bell.ring()

    def take(self) -> list[dict[str, Any]]:
        """All that have been queued since the last time."""
        self.bell.hush()
        return [self._queue.popleft() for _ in range(len(self._queue))]


class Records:
    """All records of one engine; safe to use from any thread."""

    def __init__(self, pulls: Path) -> None:
        self._pulls = pulls
        self._pulled: dict[str, list[dict[str, Any]]] = {}  # what `pull_of` has read
        self._records: OrderedDict[str, Record] = OrderedDict()
        self._lock = threading.Lock()
        self._listeners: list[Listener] = []
        self._unsaved: queue.SimpleQueue[Record] = queue.SimpleQueue()
        threading.Thread(target=self._save_all, name="records", daemon=True).start()

    def begin(self, container: str, folder: Path, image: str = "") -> Record:
        """A new record for a container that is being started, in place of its earlier one."""
        record = Record(container, folder / "trace.jsonl", self.pull_of(image) if image else ())
        with self._lock:
            self._records.pop(container, None)
            self._records[container] = record
            while len(self._records) > REMEMBERED:
                self._records.popitem(last=False)
        return record

    def add(self, container: str, steps: Sequence[Step], folder: Path) -> None:
        """Add the steps of a later verb (stop, exec, pause) to a container's record."""
        if not steps:
            return
        with self._lock:
            record = self._records.get(container)
        if record is None:
            # An earlier engine's, or one that is out of memory: it is on disk.
            record = self.begin(container, folder)
            with contextlib.suppress(OSError):
                record.stored = (folder / "trace.jsonl").read_text()
        record.extend(steps)
        self.publish(record, steps)

    def publish(self, record: Record, steps: Sequence[Step] | None = None) -> None:
        """Tell the listeners of these steps, or of all, and have the record written soon."""
        if self._listeners:
            for step in record.read() if steps is None else [step.as_json() for step in steps]:
                for listener in list(self._listeners):
                    listener.put({"container": record.container, **step})
        self._unsaved.put(record)

    def tell(self, step: Step) -> None:
        """Tell the listeners of a step that belongs to no container: of a pull."""
        for listener in list(self._listeners):
            listener.put({"container": "", **step.as_json()})

    def of(self, container: str, folder: Path) -> list[dict[str, Any]]:
        """A container's record, from memory or from its folder; empty when there is none."""
        with self._lock:
            record = self._records.get(container)
        if record:
            return record.read()
        with contextlib.suppress(OSError):
            return list(load(folder / "trace.jsonl"))
        return []

    def pulled(self, image: str, steps: Sequence[Step]) -> None:
        """Keep how an image came here, for the records of the containers that are made from it."""
        self._pulls.mkdir(exist_ok=True)
        save(steps, self._pulls / f"{image.removeprefix('sha256:')}.jsonl")
        self._pulled.pop(image, None)

    def pull_of(self, image: str) -> list[dict[str, Any]]:
        """How an image came here; empty for one that was not pulled."""
        if image not in self._pulled:
            if len(self._pulled) >= REMEMBERED:
                self._pulled.clear()
            self._pulled[image] = []
            with contextlib.suppress(OSError):
                self._pulled[image] = list(load(self._pulls / f"{image.removeprefix('sha256:')}.jsonl"))
        return self._pulled[image]

    def last(self) -> str:
        """The id of the container whose record is the newest; empty when nothing was started yet."""
        with self._lock:
            return next(reversed(self._records), "")

    def find(self, word: str) -> str:
        """The id, by its beginning, of a container that is gone and whose record is still in memory; or nothing."""
        with self._lock:
            near = [identity for identity in self._records if word and identity.startswith(word)]
        return near[0] if len(near) == 1 else ""

    @contextlib.contextmanager
    def listen(self) -> Iterator[Listener]:
        """A listener that gets every step from now on, as a JSON object with its container's id."""
        mine = Listener()
        self._listeners.append(mine)
        try:
            yield mine
        finally:
            self._listeners.remove(mine)
            mine.bell.close()

    def _save_all(self) -> None:
        while True:
            record = self._unsaved.get()
            time.sleep(CALM)
            waiting = {id(record): record}
            with contextlib.suppress(queue.Empty):
                while True:
                    later = self._unsaved.get_nowait()
                    waiting[id(later)] = later
            for each in waiting.values():
                self._save(each)

    def _save(self, record: Record) -> None:
        record.settle()
        if record.file is None or not record.file.parent.is_dir():
            return
        with contextlib.suppress(OSError):  # the container may be removed at this very moment
            _replace(record.file, record.text())
            if record.spec:
                # On one line: to indent it takes as long as to start the container.
                _replace(record.file.with_name("config.json"), json.dumps(record.spec))
                record.spec = None


def _replace(path: Path, text: str) -> None:
    temporary = path.with_suffix(".new")
    temporary.write_text(text)
    os.replace(temporary, path)
