"""Moments as people give them (`42m` ago, a date, seconds since the epoch), turned into what the API takes."""

from __future__ import annotations

import time

from kernelkit.cli.human import DAY, HOUR, MINUTE, days_since_epoch
from kernelkit.cli.values import parse_duration


def api_time(text: str, now: float | None = None) -> str:
    """Seconds since the epoch as text, `now` being the moment that a duration counts back from.

    A date without a zone is local time; raises ValueError in Docker's words for what is no moment.
    """
    if not text:
        return ""
    if text != "0":
        try:
            return str(int((time.time() if now is None else now) - parse_duration(text) / 1e9))
        except ValueError:
            pass
    try:
        return _date(text)
    except ValueError:
        if "-" in text:
            raise ValueError(f'parsing time "{text}": it is no date such as 2013-01-02T13:23:37Z') from None
    seconds, dot, fraction = text.partition(".")
    if not seconds.isdigit() or (dot and not fraction.isdigit()):
        raise ValueError(f'failed to parse value as time or duration: "{text}"')
    return text


def _date(text: str) -> str:
    """`2013-01-02[T13[:23[:37[.5]]]][Z|+01:00]` as seconds with nine digits of a fraction."""
    date, _, clock = text.partition("T")
    zone = ""
    if clock:
        at = next((i for i, c in enumerate(clock) if c in "Zz+-"), len(clock))
        clock, zone = clock[:at], clock[at:]
    elif date.count("-") == 3 or date[10:11] in ("Z", "z", "+"):
        date, zone = date[:10], date[10:]
    year, month, day = (int(part) for part in date.split("-"))
    if not (1 <= month <= 12 and 1 <= day <= 31 and len(date) == 10):
        raise ValueError(text)
    whole, dot, fraction = clock.partition(".")
    parts = [int(part) for part in whole.split(":")] if whole else []
    if len(parts) > 3 or (dot and not fraction.isdigit()):
        raise ValueError(text)
    hour, minute, second = (*parts, 0, 0, 0)[:3]
    if not (hour < 24 and minute < 60 and second < 60):
        raise ValueError(text)
    if zone:
        seconds = days_since_epoch(year, month, day) * DAY + hour * HOUR + minute * MINUTE + second - _offset(zone)
    else:
        seconds = int(time.mktime((year, month, day, hour, minute, second, 0, 0, -1)))
    return f"{seconds}.{(fraction or '0')[:9].ljust(9, '0')}"


def _offset(zone: str) -> int:
    if zone in ("Z", "z"):
        return 0
    hours, _, minutes = zone[1:].partition(":")
    offset = int(hours) * HOUR + int(minutes) * MINUTE
    return -offset if zone[0] == "-" else offset
