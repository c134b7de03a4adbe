"""Work that tells how it goes: done in a thread of its own, heard by whoever waits for its messages."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from typing import Any

from kernelkit.errors import KernelkitError

Json = dict[str, Any]
Tell = Callable[[Json], None]


class GaveUp(KernelkitError):
    """Whoever wanted this has left."""


def telling(work: Callable[[Tell], None], name: str) -> Iterator[Json]:
    """The messages of `work(tell)`, as they come; raises what it raises.

    When nobody wants more of them, the next call of `tell` raises GaveUp, and so ends the work.
    """
    messages: queue.SimpleQueue[Json | BaseException | None] = queue.SimpleQueue()
    unwanted = threading.Event()

    def tell(message: Json) -> None:
        if unwanted.is_set():
            raise GaveUp("the client has left")
        messages.put(message)

    def run() -> None:
        try:
            work(tell)
            messages.put(None)
        except BaseException as error:
            messages.put(error)

    threading.Thread(target=run, name=name, daemon=True).start()
    try:
        while (message := messages.get()) is not None:
            if isinstance(message, BaseException):
                raise message
            yield message
    finally:
        unwanted.set()
