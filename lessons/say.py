"""Shell lines and times as people read them."""

from __future__ import annotations

import re
from collections.abc import Mapping

LONGEST = 210  # characters of one operation; the record has all of them
QUEUES = " numtxqueues 1 numrxqueues 1"  # a cable's, which matter to nobody but its speed
_PASS = re.compile(r""" -H ["']Authorization: [^"']*["']""")
_DIGEST = re.compile(r"[0-9a-f]{64}")


def folders_of(home: str, container: str) -> dict[str, str]:
    """Long folders by short names: the container's, that of all layers, and the engine's."""
    return {"$C": f"{home}/containers/{container}", "$L": f"{home}/layers", "$H": home}


def shorten(shell: str, folders: Mapping[str, str]) -> str:
    """Shell text for reading: folders by name, digests by their first digits, no tokens or queues, not too much."""
    for name, path in folders.items():
        shell = shell.replace(path, name)
    shell = _PASS.sub("", shell)
    shell = shell.replace(QUEUES, "")
    shell = _DIGEST.sub(lambda found: f"{found[0][:12]}…", shell)
    return shell if len(shell) <= LONGEST else f"{shell[: LONGEST - 1]}…"


def duration(seconds: float | None) -> str:
    """A time as people read it; empty for one that is not known."""
    if seconds is None:
        return ""
    if seconds < 0.001:
        return f"{seconds * 1e6:.0f} µs"
    return f"{seconds * 1e3:.1f} ms" if seconds < 1 else f"{seconds:.1f} s"
