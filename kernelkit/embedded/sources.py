"""Which registry is asked first for a name that both Docker Hub and the embedded registry have.

`KERNELKIT_EMBEDDED` says it: `prefer` asks the embedded one first, `off` never asks it, and `fallback`, the default,
asks it when Docker Hub cannot be reached, or when it was the one that gave us the image before.
"""

from __future__ import annotations

import os
import queue
import socket
import threading
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from kernelkit.embedded.recipes import NAMES, directory
from kernelkit.errors import InvalidRequest

HUB = "https://registry-1.docker.io"
SETTINGS = ("prefer", "fallback", "off")
_NAMESPACE = "library/"


def setting(environment: Mapping[str, str] = os.environ) -> str:
    """What the user asked for; raises InvalidRequest for a word that is none of the three."""
    value = environment.get("KERNELKIT_EMBEDDED") or "fallback"
    if value not in SETTINGS:
        raise InvalidRequest(f"KERNELKIT_EMBEDDED is '{value}'", hint=f"use one of {', '.join(SETTINGS)}")
    return value


def embedded_name(registry: str, repository: str) -> str:
    """The embedded image that a full reference (`docker.io`, `library/bash`) may mean; empty if none does."""
    name = repository.removeprefix(_NAMESPACE)
    return name if registry == "docker.io" and repository == _NAMESPACE + name and name in NAMES else ""


def order(setting: str, embedded: str, *, hub_answers: bool, remembered: bool) -> list[str]:
    """Base URLs to try in turn for an embedded name, in place of Docker Hub alone.

    `embedded` is our own registry's URL.  Docker Hub stays in the list even when it does not answer: it has tags that
    we have not, and its error is the one to show.

    >>> order("fallback", "http://127.0.0.1:5000", hub_answers=False, remembered=False)
    ['http://127.0.0.1:5000', 'https://registry-1.docker.io']
    """
    if setting == "off":
        return [HUB]
    if setting == "prefer" or remembered or not hub_answers:
        return [embedded, HUB]
    return [HUB, embedded]


def hub_answers(environment: Mapping[str, str] = os.environ, *, patience: float = 1.5) -> bool:
    """Whether Docker Hub, or the proxy on the way to it, takes a connection within `patience` seconds.

    Costs nothing on a machine without a route out.
    """
    proxy = environment.get("https_proxy") or environment.get("HTTPS_PROXY") or ""
    target = urlsplit(proxy if "://" in proxy else f"http://{proxy}") if proxy else urlsplit(HUB)
    port = target.port or (443 if target.scheme == "https" else 80)
    return (bool(proxy) or has_way_out()) and _connects(target.hostname or "", port, patience)


def has_way_out(proc: Path = Path("/proc/net")) -> bool:
    """Whether there is a default route: proc_net(5), `route` for IPv4 and `ipv6_route` for IPv6."""
    try:
        # Destination and mask are the second and eighth column, in hexadecimal.
        rows = [line.split() for line in (proc / "route").read_text().splitlines()[1:]]
        if any(row[1] == row[7] == "00000000" for row in rows):
            return True
    except (OSError, IndexError):
        pass
    try:
        rows = [line.split() for line in (proc / "ipv6_route").read_text().splitlines()]
        # Prefix length zero; the kernel lists an unreachable default route on `lo` even without a network.
        return any(row[1] == "00" and row[-1] != "lo" for row in rows)
    except (OSError, IndexError):
        return False


def remember(home: Path, name: str) -> None:
    """Note that the embedded registry was the one that gave us this image."""
    folder = directory(home) / "given"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).touch()


def remembered(home: Path, name: str) -> bool:
    """Whether the embedded registry has given us this image before."""
    return (directory(home) / "given" / name).exists()


def _connects(host: str, port: int, patience: float) -> bool:
    """Whether a connection succeeds in time; asking for a name may hang, so it happens in a thread we can leave."""
    answer: queue.SimpleQueue[bool] = queue.SimpleQueue()

    def attempt() -> None:
        try:
            socket.create_connection((host, port), timeout=patience).close()
            answer.put(True)
        except OSError:
            answer.put(False)

    threading.Thread(target=attempt, daemon=True).start()
    try:
        return answer.get(timeout=patience)
    except queue.Empty:
        return False
