"""How an operation is said in shell: quoting, for `Operation.shell()`."""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from pathlib import Path


def join(words: Iterable[str | Path | int]) -> str:
    """One command line from its words, each quoted where a POSIX shell needs it."""
    return shlex.join(str(word) for word in words)
