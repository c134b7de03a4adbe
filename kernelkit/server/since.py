"""What a create request may not say yet in an older version of the API, in Docker's words."""

from __future__ import annotations

from typing import Any

from kernelkit.errors import InvalidRequest

RECURSIVE = (1, 44)  # since then read-only is read-only with all that is mounted below
SUBPATH = (1, 45)
IMAGES = (1, 48)


def check(body: dict[str, Any], version: tuple[int, int]) -> None:
    """Refuse, by InvalidRequest, mounts of a kind that this version does not know."""
    host = body.get("HostConfig")
    for wish in (host.get("Mounts") or []) if isinstance(host, dict) else ():
        if version < RECURSIVE and (wish.get("BindOptions") or {}).get("ReadOnlyForceRecursive"):
            raise InvalidRequest("BindOptions.ReadOnlyForceRecursive needs API v1.44 or newer")
        if version < SUBPATH and (wish.get("VolumeOptions") or {}).get("Subpath"):
            raise InvalidRequest("VolumeOptions.Subpath needs API v1.45 or newer")
        if version < IMAGES and wish.get("Type") == "image":
            raise InvalidRequest('Mount type "Image" needs API v1.48 or newer')
