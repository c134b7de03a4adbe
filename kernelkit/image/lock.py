"""One at a time, among threads and processes: a lock with a name, that dies with whoever holds it (flock(2))."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

_PATIENCE = 0.02  # seconds between two attempts


@contextlib.contextmanager
def locked(path: Path, still_wanted: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Hold the lock of this name; its file is there only while somebody holds it.

    `still_wanted` is called every now and then while waiting, and ends that by raising.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    fd = _taken(path, still_wanted)
    try:
        yield
    finally:
        # Removed before it is let go: whoever waited for this file sees that it is not the lock's any more.
        path.unlink(missing_ok=True)
        os.close(fd)


def _taken(path: Path, still_wanted: Callable[[], None]) -> int:
    while True:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.path.samestat(os.fstat(fd), os.stat(path)):
                return fd
        except BlockingIOError:
            time.sleep(_PATIENCE)
            still_wanted()
        except FileNotFoundError:
            pass
        except BaseException:
            os.close(fd)
            raise
        os.close(fd)
