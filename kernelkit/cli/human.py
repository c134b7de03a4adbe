"""Sizes and times in the words that Docker uses for people."""

from __future__ import annotations

import time

DECIMAL_UNITS = ("B", "kB", "MB", "GB", "TB", "PB", "EB")
BINARY_UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB")
MINUTE, HOUR, DAY = 60, 3600, 86400


def size(count: float, digits: int = 3) -> str:
    """Bytes in thousands: `1.98MB`."""
    return _scaled(float(count), 1000.0, DECIMAL_UNITS, digits)


def binary_size(count: float) -> str:
    """Bytes in steps of 1024: `23.54GiB`."""
    return _scaled(float(count), 1024.0, BINARY_UNITS, 4)


def _scaled(count: float, base: float, units: tuple[str, ...], digits: int) -> str:
    i = 0
    while count >= base and i < len(units) - 1:
        count /= base
        i += 1
    return f"{count:.{digits}g}{units[i]}"


def duration(seconds: float) -> str:
    """About how long: `About a minute`, `3 weeks`."""
    whole = int(seconds)
    if whole < 1:
        return "Less than a second"
    if whole == 1:
        return "1 second"
    if whole < MINUTE:
        return f"{whole} seconds"
    minutes = int(seconds / MINUTE)
    if minutes == 1:
        return "About a minute"
    if minutes < 60:
        return f"{minutes} minutes"
    hours = int(seconds / HOUR + 0.5)
    if hours == 1:
        return "About an hour"
    if hours < 48:
        return f"{hours} hours"
    if hours < 24 * 7 * 2:
        return f"{hours // 24} days"
    if hours < 24 * 30 * 2:
        return f"{hours // 24 // 7} weeks"
    if hours < 24 * 365 * 2:
        return f"{hours // 24 // 30} months"
    return f"{int(seconds / HOUR) // 24 // 365} years"


def ago(moment: float) -> str:
    """How long ago a moment was, in seconds since the epoch."""
    return f"{duration(time.time() - moment)} ago"


def stamp(moment: float) -> str:
    """A moment as Go prints it: `2026-11-23 20:25:57 +0000 UTC`."""
    local = time.localtime(moment)
    offset = time.strftime("%z %Z", local)
    return time.strftime("%Y-%m-%d %H:%M:%S ", local) + offset


def rfc3339(moment: float) -> str:
    """A moment as RFC 3339 has it, to the second: `2026-11-23T20:25:57Z`."""
    local = time.localtime(moment)
    offset = time.strftime("%z", local)
    zone = "Z" if offset == "+0000" else f"{offset[:3]}:{offset[3:]}"
    return time.strftime("%Y-%m-%dT%H:%M:%S", local) + zone


def rfc3339_nano(nanoseconds: int) -> str:
    """A moment as RFC 3339 has it, with nine digits: `2026-11-23T20:25:57.123456789Z`."""
    seconds, rest = divmod(nanoseconds, 1_000_000_000)
    whole = rfc3339(seconds)
    return f"{whole[:19]}.{rest:09d}{whole[19:]}"


def parse_stamp(text: str) -> float:
    """Seconds since the epoch, from RFC 3339 (`2026-11-23T20:25:57.123456789Z`); 0 for what is none."""
    try:
        seconds = days_since_epoch(int(text[:4]), int(text[5:7]), int(text[8:10])) * DAY
        seconds += int(text[11:13]) * HOUR + int(text[14:16]) * MINUTE + int(text[17:19])
    except ValueError:
        return 0.0
    rest = text[19:]
    fraction = rest[: len(rest) - len(rest.lstrip(".0123456789"))]
    zone = rest[len(fraction) :]
    if zone[:1] in ("+", "-") and len(zone) >= 6:
        offset = int(zone[1:3]) * HOUR + int(zone[4:6]) * MINUTE
        seconds += -offset if zone[0] == "+" else offset
    return seconds + (float("0" + fraction) if len(fraction) > 1 else 0.0)


def days_since_epoch(year: int, month: int, day: int) -> int:
    """Days from 1970-01-01 to a date of the Gregorian calendar."""
    # March is made the first month, so that the leap day is the last of the year.
    shifted = year - (month <= 2)
    era_day = 365 * shifted + shifted // 4 - shifted // 100 + shifted // 400
    return era_day + (153 * ((month + 9) % 12) + 2) // 5 + day - 1 - 719468


def ellipsis(text: str, length: int) -> str:
    """The text, cut to a length with `…` as its last character."""
    if length <= 0:
        return ""
    if len(text) <= length:
        return text
    return text[:length] if length == 1 else text[: length - 1] + "…"


def short_id(text: str) -> str:
    """The first twelve digits of an ID, without the name of the digest's algorithm."""
    return text.partition(":")[2][:12] if ":" in text else text[:12]


def natural(text: str) -> list[tuple[bool, int, str]]:
    """A key that puts 80/tcp before 443/tcp: runs of digits compare as numbers."""
    key: list[tuple[bool, int, str]] = []
    run = ""
    for character in text + "\0":
        if character.isdigit() == run.isdigit() and run:
            run += character
            continue
        if run:
            key.append((not run.isdigit(), int(run) if run.isdigit() else 0, run))
        run = character
    return key


def spaced(text: str) -> str:
    """RFC 3339 as Go prints a moment: `2026-11-23 20:25:57.123 +0000 UTC`."""
    date, _, rest = text.partition("T")
    digits = rest[: len(rest) - len(rest.lstrip(":.0123456789"))]
    zone = rest[len(digits) :]
    return f"{date} {digits} " + ("+0000 UTC" if zone == "Z" else f"{zone.replace(':', '')} {zone.replace(':', '')}")
