"""Asks a registry whether it knows a user: `docker login`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kernelkit.engine.engine import Engine
from kernelkit.errors import AuthenticationFailed, KernelkitError, RegistryError
from kernelkit.image.credentials import Credentials
from kernelkit.image.http import Connection, Refused
from kernelkit.image.places import Places
from kernelkit.image.reference import HUB, Reference
from kernelkit.image.registry import Registry
from kernelkit.trace import Trace


def login(engine: Engine, body: Mapping[str, Any]) -> str:
    """Docker's words for success; AuthenticationFailed for a wrong password, RegistryError when nobody answers."""
    address = str(body.get("serveraddress") or "")
    domain = address.removeprefix("https://").removeprefix("http://").partition("/")[0] or HUB
    if domain in ("index.docker.io", "registry-1.docker.io"):
        domain = HUB
    credentials = Credentials(
        str(body.get("username") or ""), str(body.get("password") or ""), str(body.get("identitytoken") or "")
    )
    configured = Places.of(engine.home)
    bases = configured.bases(domain) if domain != HUB else [configured.bases(domain)[-1]]
    refused: list[KernelkitError] = []
    for base in bases:
        host = base.partition("://")[2]
        connection = Connection(frozenset([host] if configured.is_insecure(host) else []))
        try:
            _knock(engine, base, domain, credentials, connection)
        except RegistryError as error:  # nobody there, or nobody who speaks this: the next one may
            refused.append(error)
        else:
            return "Login Succeeded"
        finally:
            connection.close()
    raise refused[0]


def _knock(engine: Engine, base: str, domain: str, credentials: Credentials, connection: Connection) -> None:
    """Ask one server for what only those it knows may have; AuthenticationFailed, RegistryError."""
    reference = Reference(domain, "library/busybox" if domain == HUB else "kernelkit", "latest")
    trace = Trace(engine.records.tell)
    registry = Registry(base, reference, connection, lambda o: trace.perform("login", o), credentials=credentials)
    try:
        code = registry.request("GET", f"{base}/v2/").code
    except Refused as error:
        code = error.code
    if code == 401:
        raise AuthenticationFailed("unauthorized: incorrect username or password")
    if code >= 300:
        raise RegistryError(f"login attempt to {base}/v2/ failed with status: {code}")
