"""The tokens of the registry's token dance: JSON Web Tokens (RFC 7519), signed with HMAC-SHA256.

    client                         registry                       token service
      │ GET /v2/…/manifests/latest   │                               │
      │─────────────────────────────▶│                               │
      │ 401 WWW-Authenticate: Bearer realm=…, service=…, scope=…     │
      │◀─────────────────────────────│                               │
      │ GET /token?service=…&scope=repository:library/busybox:pull   │
      │─────────────────────────────────────────────────────────────▶│
      │ {"token": "…", "expires_in": 300}                            │
      │◀─────────────────────────────────────────────────────────────│
      │ GET /v2/…  Authorization: Bearer …                           │
      │─────────────────────────────▶│  checks signature, time, scope

Described at https://distribution.github.io/distribution/spec/auth/jwt/.  Pure, but for the clock given to it.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import re
import time
from collections.abc import Callable, Iterable
from typing import Any

SERVICE = "registry.kernelkit"
LIFETIME = 300  # seconds

_SCOPE = re.compile(r"repository:([a-z0-9._/-]+):([a-z,*]+)")


class Mint:
    """Issues tokens and recognises its own; the secret is known to nobody else and lost with the process."""

    def __init__(self, secret: bytes, clock: Callable[[], float] = time.time) -> None:
        self._secret = secret
        self._clock = clock

    def issue(self, scopes: Iterable[str]) -> str:
        """A token for what may be had of these scopes: to pull; anybody may."""
        now = int(self._clock())
        access = [
            {"type": "repository", "name": found[1], "actions": ["pull"]}
            for scope in scopes
            if (found := _SCOPE.fullmatch(scope)) and {"pull", "*"} & set(found[2].split(","))
        ]
        claims = {"iss": SERVICE, "aud": SERVICE, "sub": "", "iat": now, "nbf": now, "exp": now + LIFETIME}
        unsigned = f"{_pack({'typ': 'JWT', 'alg': 'HS256'})}.{_pack({**claims, 'access': access})}"
        return f"{unsigned}.{self._signature(unsigned)}"

    def allows(self, token: str, repository: str) -> bool:
        """Whether a token is ours, still valid, and good for a repository; for any when that is empty."""
        unsigned, _, signature = token.rpartition(".")
        if not hmac.compare_digest(signature.encode(), self._signature(unsigned).encode()):
            return False
        try:
            claims = json.loads(_unpack(unsigned.partition(".")[2]))
        except (ValueError, binascii.Error):
            return False
        if claims["exp"] <= self._clock():
            return False
        return not repository or any(grant["name"] == repository for grant in claims["access"])

    def _signature(self, unsigned: str) -> str:
        return _base64(hmac.digest(self._secret, unsigned.encode(errors="replace"), hashlib.sha256))


def _pack(value: dict[str, Any]) -> str:
    return _base64(json.dumps(value, separators=(",", ":")).encode())


def _unpack(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
