"""The layers of one pull arrive, three at a time, each one

    socket → file + sha256 ─┐                              thread 1
                            └→ inflate + sha256 ─┐         thread 2
                                                 └→ files  thread 3

A layer's files are written under another name while it is still being downloaded; they get their own only when both
digests are right.  What is here already, is half here, or is being fetched by somebody else is not fetched again.
"""

from __future__ import annotations

import errno
import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from kernelkit.errors import KernelkitError
from kernelkit.image.blob import Download, WrongContent
from kernelkit.image.lock import locked
from kernelkit.image.manifest import Descriptor
from kernelkit.image.registry import Registry
from kernelkit.image.store import Store
from kernelkit.trace import Operation, Trace

Json = dict[str, Any]
Task = Callable[[], None]

AT_ONCE = 3  # layers, as Docker
FULL = (errno.ENOSPC, errno.EDQUOT)
_OFTEN = 0.1  # seconds between two messages about the same layer


class Abandoned(KernelkitError):
    """The pull ended for another reason while this was going on."""


class Way:
    """What all layers of one pull share: whether they are still wanted, what is told of them, and the trace."""

    def __init__(self, trace: Trace) -> None:
        self.disk_is_full = False
        self._trace = trace
        self._is_over = threading.Event()
        self._messages: queue.SimpleQueue[Json | None] = queue.SimpleQueue()

    def perform(self, operation: Operation) -> Any:
        """Perform an operation of the pull, if it is still wanted."""
        self.check()
        return self._trace.perform("pull", operation)

    def check(self) -> None:
        """Raises when the pull is over, because of an error or because nobody wants it any more."""
        if self._is_over.is_set():
            raise Abandoned("the pull was given up")

    def renew(self) -> None:
        """The pull is tried once more."""
        self._is_over.clear()

    def sleep(self, seconds: float) -> None:
        """Wait, as long as the pull is wanted."""
        self._is_over.wait(seconds)
        self.check()

    def tell(self, status: str, name: str, detail: dict[str, int]) -> None:
        """Say something about a layer, from any thread."""
        self._messages.put(message(status, name, detail))

    def go(self, tasks: Sequence[Task], progress: Callable[[Json], None]) -> None:
        """Run the tasks, and pass on what is told from this thread; the first error ends them all and is raised."""
        waiting = queue.SimpleQueue[Task]()
        for each in tasks:
            waiting.put(each)
        errors: list[BaseException] = []

        def work() -> None:
            try:
                while not self._is_over.is_set():
                    waiting.get_nowait()()
            except queue.Empty:
                pass
            except BaseException as error:
                errors.append(error)
                self._is_over.set()
            finally:
                self._messages.put(None)

        workers = [threading.Thread(target=work, name="pull") for _ in tasks[:AT_ONCE]]
        for worker in workers:
            worker.start()
        working = len(workers)
        while working:
            told = self._messages.get()
            if told is None:
                working -= 1
            elif not errors:
                try:
                    progress(told)
                except BaseException as error:
                    errors.insert(0, error)
                    self._is_over.set()
        for worker in workers:
            worker.join()
        if errors:
            raise errors[0]


class Arrival:
    """One layer on its way."""

    def __init__(self, way: Way, store: Store, registry: Registry, diff_id: str, layer: Descriptor) -> None:
        self.name = short(layer.digest)
        self._way = way
        self._store = store
        self._registry = registry
        self._diff_id = diff_id
        self._layer = layer
        self._is_downloaded = False
        self._last = 0.0

    def run(self) -> None:
        """Have the layer here, unpacked, and its archive beside it; WrongContent, RegistryError, OSError."""
        layer_lock = locked(self._store.lock_path("layer", self._diff_id), self._way.check)
        blob_lock = locked(self._store.lock_path("blob", self._layer.digest), self._way.check)
        with layer_lock, blob_lock:
            try:
                self._download_and_unpack()
            except WrongContent as error:
                if not error.resumed:
                    raise
                # What was here before may have been the wrong part of it: once more, from the beginning.
                self._store.blob_path(self._layer.digest).unlink(missing_ok=True)
                self._download_and_unpack()
        self._way.tell("Pull complete", self.name, {})

    def _download_and_unpack(self) -> None:
        is_unpacked = self._store.layer(self._diff_id) is not None
        final = self._store.blob_path(self._layer.digest)
        if final.exists():
            if not is_unpacked:
                self._unpack(None)
            return
        self._is_downloaded, self._last = False, 0.0
        download = Download(self._layer, final, self._received)
        fetching = threading.Thread(target=self._fetch, args=(download,), name="download")
        fetching.start()
        try:
            if is_unpacked:
                for _ in download.pieces():
                    pass
            else:
                self._unpack(self._extracted(download))
        except BaseException as error:
            download.fail(error)
            fetching.join()
            self._way.disk_is_full |= isinstance(error, OSError) and error.errno in FULL
            if isinstance(error, WrongContent) or self._way.disk_is_full:
                download.discard()
            raise
        finally:
            fetching.join()
            download.close()

    def _fetch(self, download: Download) -> None:
        """In a thread of its own: whoever takes the pieces hears of a failure."""
        try:
            self._registry.fetch(download)
            self._is_downloaded = True
            self._way.tell("Download complete", self.name, {})
        except BaseException as error:
            download.fail(error)

    def _unpack(self, source: Iterator[bytes] | None) -> None:
        self._store.unpack(self._diff_id, self._layer, self._way.perform, source=source)

    # --- how far it is, told often enough to be watched

    def _received(self, current: int) -> None:
        """So many bytes have arrived; raises when they are not wanted any more."""
        self._way.check()
        self._bar("Downloading", current)
        if current == self._layer.size:
            self._way.tell("Verifying Checksum", self.name, {})

    def _extracted(self, download: Download) -> Iterator[bytes]:
        """The pieces of a download, counted as they are taken."""
        current = 0
        for piece in download.pieces():
            self._way.check()
            current += len(piece)
            yield piece
            # A client has one line for the layer, and extracting follows downloading there.
            if self._is_downloaded:
                self._bar("Extracting", current)
        self._last = 0.0
        self._bar("Extracting", current)

    def _bar(self, status: str, current: int) -> None:
        now = time.monotonic()
        if now - self._last >= _OFTEN:
            self._last = now
            self._way.tell(status, self.name, {"current": current, "total": self._layer.size})


def message(status: str, name: str = "", detail: dict[str, int] | None = None) -> Json:
    """One of Docker's progress objects, about a layer or the pull as a whole."""
    told: Json = {"status": status}
    if detail is not None:
        told["progressDetail"] = detail
    if name:
        told["id"] = name
    return told


def short(digest: str) -> str:
    """A digest as people see it."""
    return digest.partition(":")[2][:12]
