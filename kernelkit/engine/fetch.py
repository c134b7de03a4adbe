"""Brings an image here for a client that wants to see how it goes: messages as they come, an end when it leaves."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from typing import Any

from kernelkit.engine.engine import Engine
from kernelkit.engine.origin import bring
from kernelkit.errors import KernelkitError
from kernelkit.image.credentials import Credentials
from kernelkit.image.reference import Reference

Json = dict[str, Any]


class GaveUp(KernelkitError):
    """The client has left."""


class Fetch:
    """One pull, in a thread of its own; `messages` are Docker's progress objects."""

    def __init__(self, engine: Engine, reference: Reference, platform: str, credentials: Credentials | None) -> None:
        self._engine = engine
        self._reference = reference
        self._platform = platform
        self._credentials = credentials
        self._queue: queue.SimpleQueue[Json | Exception | None] = queue.SimpleQueue()
        self._unwanted = threading.Event()
        threading.Thread(target=self._run, name="pull", daemon=True).start()

    def messages(self) -> Iterator[Json]:
        """What there is to tell; raises what went wrong. Breaking off ends the pull."""
        try:
            while (message := self._queue.get()) is not None:
                if isinstance(message, Exception):
                    raise message
                yield message
        finally:
            self._unwanted.set()

    def _run(self) -> None:
        try:
            bring(
                self._engine,
                self._reference,
                platform=self._platform,
                credentials=self._credentials,
                progress=self._tell,
            )
            self._queue.put(None)
        except Exception as error:
            self._queue.put(error)

    def _tell(self, message: Json) -> None:
        if self._unwanted.is_set():
            raise GaveUp("the client has left")
        self._queue.put(message)
