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
    base = configured.bases(domain)[-1]
    host = base.partition("://")[2]
    connection = Connection(frozenset([host] if configured.is_insecure(host) else []))
    reference = Reference(domain, "library/busybox" if domain == HUB else "kernelkit", "latest")
    trace = Trace(engine.records.tell)
    registry = Registry(base, reference, connection, lambda o: trace.perform("login", o), credentials=credentials)
    try:
        answer = registry.request("GET", f"{base}/v2/")
    except Refused as error:
        if error.code == 401:
            raise AuthenticationFailed("unauthorized: incorrect username or password") from None
        raise RegistryError(f"login attempt to {base}/v2/ failed with status: {error.code}") from None
    finally:
        connection.close()
    if answer.code == 401:
        raise AuthenticationFailed("unauthorized: incorrect username or password")
    if answer.code >= 300:
        raise KernelkitError(f"login attempt to {base}/v2/ failed with status: {answer.code}")
    return "Login Succeeded"
