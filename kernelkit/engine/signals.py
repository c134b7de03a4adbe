"""Signals by name or number, as `docker kill`, `--stop-signal` and a Dockerfile's STOPSIGNAL write them: signal(7)."""

from __future__ import annotations

import re
import signal

from kernelkit.errors import InvalidRequest

# Those with which systemd, for one, is asked to end: `SIGRTMIN+3`.
_REAL_TIME = re.compile(r"(?:SIG)?RT(?:MIN(\+[0-9]{1,2})?|MAX(-[0-9]{1,2})?)")


def number(word: str) -> int:
    """The number of `SIGTERM`, `TERM`, `term`, `15` or `SIGRTMIN+3`; InvalidRequest for what is no signal."""
    text = word.upper()
    found = 0
    if re.fullmatch("[0-9]{1,3}", text):
        found = int(text)
    elif real_time := _REAL_TIME.fullmatch(text):
        above, below = (int(group or 0) for group in real_time.groups())
        found = (signal.SIGRTMAX if "MAX" in text else signal.SIGRTMIN) + above + below
        found = found if signal.SIGRTMIN <= found <= signal.SIGRTMAX else 0
    else:
        name = f"SIG{text.removeprefix('SIG')}"
        found = int(signal.Signals[name]) if name in signal.Signals.__members__ else 0
    if not 0 < found <= signal.SIGRTMAX:
        raise InvalidRequest(f"invalid signal: {word}")
    return found
