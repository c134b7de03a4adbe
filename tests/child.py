"""Runs a function in a forked child, for what a process can do only to itself and never take back."""

from __future__ import annotations

import os
import pickle
import traceback
from collections.abc import Callable
from typing import Any


def in_child(work: Callable[[], Any]) -> Any:
    """What `work` returns there; an OSError that it raises is raised here; any other end of it is an AssertionError."""
    answer, status = child(work)
    if answer is None:
        raise AssertionError(f"the child ended with wait status {status:#x}")
    if isinstance(answer, OSError):
        raise answer
    if isinstance(answer, BaseException):
        raise AssertionError(str(answer))
    return answer[0]


def child(work: Callable[[], Any]) -> tuple[Any, int]:
    """((what `work` returned,), or the exception, or None when it did not live to say so; its wait status)."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(read)
        _do(work, write)
    os.close(write)
    with os.fdopen(read, "rb") as pipe:
        said = pipe.read()
    _, status = os.waitpid(pid, 0)
    return pickle.loads(said) if said else None, status


def _do(work: Callable[[], Any], write: int) -> None:
    try:
        answer: Any = (work(),)
    except OSError as error:
        answer = error
    except BaseException:
        answer = AssertionError(traceback.format_exc())
    try:
        os.write(write, pickle.dumps(answer))
    finally:
        os._exit(0)
