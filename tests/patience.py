"""Waiting for what comes in its own time: a busy machine may take long over it, only what is broken takes for ever."""

from __future__ import annotations

import time
from collections.abc import Callable

PATIENCE = 60.0  # seconds; on an idle machine nothing that is waited for takes a tenth of it


def wait_until(claim: Callable[[], object], otherwise: str = "it never became true") -> None:
    """Ask until it is true; fails the test, saying `otherwise`, when patience is at an end."""
    until = time.monotonic() + PATIENCE
    while not claim():
        assert time.monotonic() < until, otherwise
        time.sleep(0.01)
