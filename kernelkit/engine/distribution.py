"""What a registry says of an image, without bringing it here: `GET /distribution/{name}/json`."""

from __future__ import annotations

from typing import Any

from kernelkit.engine.engine import Engine
from kernelkit.engine.servers import inquire
from kernelkit.image import manifest as manifests
from kernelkit.image.credentials import Credentials
from kernelkit.image.manifest import Descriptor, Manifest, Platform
from kernelkit.image.reference import Reference
from kernelkit.image.registry import Registry

Json = dict[str, Any]


def distribution(engine: Engine, reference: Reference, credentials: Credentials | None = None) -> Json:
    """Docker's `DistributionInspect`; NotFound, AuthenticationFailed, RegistryError."""
    name = reference.digest or reference.tag
    return inquire(engine, reference, lambda registry: _described(registry, name), credentials)


def _described(registry: Registry, name: str) -> Json:
    digest, content, media_type = registry.manifest(name)
    value = manifests.read(content)
    described = Descriptor(str(value.get("mediaType") or media_type), digest, len(content))
    if manifests.is_index(value, media_type):
        entries = [entry.get("platform") or {} for entry in value.get("manifests") or ()]
    else:
        config = Manifest.parse(value).config
        entries = [manifests.read(registry.request("GET", f"{registry.url}/blobs/{config.digest}").body)]
    return {"Descriptor": described.as_json(), "Platforms": [Platform.of(entry).as_json() for entry in entries]}
