"""Where images come from: which servers are asked for a name, in which order, and which may speak plain HTTP.

`KERNELKIT_REGISTRY_MIRRORS` is a comma-separated list of URLs that are asked before Docker Hub; `registries.json` in
the home says the same for good: `{"mirrors": ["https://…"], "insecure": ["registry.example:5000"]}`.  Loopback may
always speak plain HTTP.
"""

from __future__ import annotations

import ipaddress
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from kernelkit.errors import InvalidRequest
from kernelkit.image.reference import HUB

HUB_URL = "https://registry-1.docker.io"


@dataclass(frozen=True)
class Places:
    """The user's mirrors of Docker Hub, and hosts that may speak plain HTTP or show any certificate."""

    mirrors: tuple[str, ...] = ()
    insecure: frozenset[str] = frozenset()

    @classmethod
    def of(cls, home: Path, environment: Mapping[str, str] = os.environ) -> Places:
        """What the environment and the home say; raises InvalidRequest when that makes no sense."""
        path = home / "registries.json"
        try:
            found = json.loads(path.read_bytes())
            mirrors, insecure = list(found.get("mirrors", [])), list(found.get("insecure", []))
        except FileNotFoundError:
            mirrors, insecure = [], []
        except (ValueError, AttributeError, TypeError):
            raise InvalidRequest(
                f"'{path}' is not understood", hint='it holds {"mirrors": […], "insecure": […]}'
            ) from None
        named = [url.strip() for url in environment.get("KERNELKIT_REGISTRY_MIRRORS", "").split(",") if url.strip()]
        return cls(tuple(_checked(url) for url in (*named, *mirrors)), frozenset(map(str, insecure)))

    def bases(self, domain: str) -> list[str]:
        """The URLs to ask, the first one first: mirrors, the registry itself, a plain-HTTP one both ways."""
        if domain == HUB:
            return [*self.mirrors, HUB_URL]
        return [f"http://{domain}", f"https://{domain}"] if self.is_insecure(domain) else [f"https://{domain}"]

    def is_insecure(self, host: str) -> bool:
        """Whether a host, with its port, may be trusted without a certificate: the user says so, or it is this machine.

        >>> Places().is_insecure("localhost:5000"), Places().is_insecure("example.org")
        (True, False)
        """
        name = urlsplit(f"//{host}").hostname or ""
        return host in self.insecure or name in self.insecure or is_loopback(name)


def is_loopback(name: str) -> bool:
    """Whether a host name or address, without a port, is this machine's own."""
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return name == "localhost"


def _checked(url: object) -> str:
    text = str(url).rstrip("/")
    if urlsplit(text).scheme not in ("http", "https") or not urlsplit(text).netloc:
        raise InvalidRequest(f"the mirror '{url}' is not a URL", hint="write it as https://HOST[:PORT]")
    return text
