"""Signals by name and number."""

from __future__ import annotations

import pytest

from kernelkit.engine import signals
from kernelkit.errors import InvalidRequest


@pytest.mark.parametrize(
    ("word", "number"),
    [
        ("SIGTERM", 15), ("TERM", 15), ("term", 15), ("15", 15), ("sigkill", 9), ("37", 37),
        ("SIGRTMIN+3", 37), ("RTMIN", 34), ("rtmin+30", 64), ("SIGRTMAX-1", 63), ("RTMAX", 64),
    ],
)  # fmt: skip
def test_a_signal_is_known_by_name_and_number(word: str, number: int) -> None:
    assert signals.number(word) == number


@pytest.mark.parametrize(
    "word", ["", "0", "65", "-9", "FOO", "SIG", "SIGSIGTERM", "RTMIN-1", "RTMIN+31", "RTMAX+1", "RTMIN+", "1e1", "٣"]
)
def test_what_is_no_signal_is_refused(word: str) -> None:
    with pytest.raises(InvalidRequest, match="invalid signal: "):
        signals.number(word)
