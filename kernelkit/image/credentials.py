"""Who asks: user names and passwords for registries, from Docker's own configuration file.

`auths` in config.json holds them, or a program named in `credHelpers` or `credsStore` does (docker-credential-helpers'
protocol: the server's name on standard input, a JSON object on standard output).
"""

from __future__ import annotations

import base64
import binascii
import json
import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kernelkit.errors import InvalidRequest
from kernelkit.image.reference import HUB

_HUB_KEY = "https://index.docker.io/v1/"
_PATIENCE = 20  # seconds for a credential helper


@dataclass(frozen=True)
class Credentials:
    """A user's name and password, or a token in their place; never shown."""

    username: str = ""
    password: str = field(default="", repr=False)
    identity_token: str = field(default="", repr=False)  # to be exchanged for another (OAuth 2.0 refresh token)
    registry_token: str = field(default="", repr=False)  # to be used as it is

    def __bool__(self) -> bool:
        return bool((self.username and self.password) or self.identity_token or self.registry_token)

    def basic(self) -> str:
        """The header of HTTP Basic authentication (RFC 7617)."""
        return "Basic " + base64.b64encode(f"{self.username}:{self.password}".encode()).decode()

    @classmethod
    def from_header(cls, text: str) -> Credentials:
        """What a client of the Docker Engine API sends as X-Registry-Auth; raises InvalidRequest."""
        if not text:
            return cls()
        try:
            found = json.loads(base64.b64decode(text.replace("-", "+").replace("_", "/") + "=" * (-len(text) % 4)))
        except (ValueError, binascii.Error):
            raise InvalidRequest("invalid X-Registry-Auth header") from None
        return _from_json(found) if isinstance(found, dict) else cls()

    @classmethod
    def of(cls, domain: str, environment: Mapping[str, str] = os.environ) -> Credentials:
        """What this user's Docker configuration has for a registry; empty if it has nothing."""
        folder = environment.get("DOCKER_CONFIG") or os.path.join(environment.get("HOME") or "/root", ".docker")
        try:
            config = json.loads((Path(folder) / "config.json").read_bytes())
        except (OSError, ValueError):
            return cls()
        return find(domain, config) if isinstance(config, dict) else cls()


def find(domain: str, config: dict[str, Any]) -> Credentials:
    """What a parsed config.json has for a registry."""
    names = (_HUB_KEY, "index.docker.io", HUB) if domain == HUB else (domain, f"https://{domain}", f"http://{domain}")
    helpers = config.get("credHelpers") or {}
    for name in names:
        if helper := helpers.get(name) or config.get("credsStore"):
            found = _ask(helper, name)
            if found:
                return found
    auths = config.get("auths") or {}
    keys = {key.rstrip("/"): value for key, value in auths.items()}
    for name in (*names, *(f"{n}/v1" for n in names), *(f"{n}/v2" for n in names)):
        entry = keys.get(name.rstrip("/"))
        if isinstance(entry, dict) and (found := _from_json(entry)):
            return found
    return Credentials()


def _from_json(entry: dict[str, Any]) -> Credentials:
    username, password = str(entry.get("username") or ""), str(entry.get("password") or "")
    if entry.get("auth") and not username:
        try:
            username, _, password = base64.b64decode(entry["auth"]).decode().partition(":")
        except (ValueError, binascii.Error):
            pass
    tokens = str(entry.get("identitytoken") or ""), str(entry.get("registrytoken") or "")
    return Credentials(username, password.rstrip("\0"), *tokens)


def _ask(helper: str, name: str) -> Credentials:
    try:
        ran = subprocess.run(
            [f"docker-credential-{helper}", "get"], input=name, capture_output=True, text=True, timeout=_PATIENCE
        )
        found = json.loads(ran.stdout) if ran.returncode == 0 else {}
    except (OSError, ValueError, subprocess.SubprocessError):
        return Credentials()
    username, secret = str(found.get("Username") or ""), str(found.get("Secret") or "")
    return Credentials(identity_token=secret) if username == "<token>" else Credentials(username, secret)
