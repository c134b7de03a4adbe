"""Moments as Docker's clients write them: `1136073600`, `1136073600.000000001`, `2006-01-02T15:04:05Z`, `10m`."""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime

from kernelkit.errors import InvalidRequest

_SECONDS = re.compile(r"(\d+)(?:\.(\d{1,9}))?")
_DATE = re.compile(r"(\d{4}-\d\d-\d\d)(?:T(\d\d(?::\d\d){0,2})(?:\.(\d{1,9}))?)?(Z|[+-]\d\d:?\d\d)?")
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ns|us|µs|ms|s|m|h)")
_UNITS = {"ns": 1, "us": 10**3, "µs": 10**3, "ms": 10**6, "s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9}


def moment(text: str) -> int:
    """Nanoseconds since the epoch; a duration counts back from now. InvalidRequest for what is neither."""
    if seconds := _SECONDS.fullmatch(text):
        return int(seconds[1]) * 10**9 + _fraction(seconds[2])
    if date := _DATE.fullmatch(text):
        clock = (date[2] or "00") + ":00" * (2 - (date[2] or "00").count(":"))
        try:
            # Without a zone the client's own is meant; it shares this machine's.
            then = datetime.fromisoformat(f"{date[1]}T{clock}{(date[4] or '').replace('Z', '+00:00')}")
            return int(then.timestamp()) * 10**9 + _fraction(date[3])
        except ValueError:
            raise _unknown(text) from None
    return time.time_ns() - duration(text)


def duration(text: str) -> int:
    """Nanoseconds of a duration as Go writes it: `1h30m`, `1.5s`; InvalidRequest for anything else."""
    parts = _DURATION.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise _unknown(text)
    return sum(int(float(number) * _UNITS[unit]) for number, unit in parts)


def parse(timestamp: str) -> int:
    """Nanoseconds since the epoch of a time that the engine itself has written."""
    whole, _, fraction = timestamp.rstrip("Z").partition(".")
    return int(datetime.fromisoformat(whole).replace(tzinfo=UTC).timestamp()) * 10**9 + _fraction(fraction)


def _fraction(digits: str | None) -> int:
    return int(digits.ljust(9, "0")) if digits else 0


def _unknown(text: str) -> InvalidRequest:
    return InvalidRequest(f"invalid time '{text}'", "give seconds since the epoch, a date such as 2006-01-02T15:04:05Z")
