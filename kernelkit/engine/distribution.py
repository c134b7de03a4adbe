"""What a registry says of an image, without bringing it here: `GET /distribution/{name}/json`."""

from __future__ import annotations

from typing import Any

from kernelkit.engine.engine import Engine
from kernelkit.engine.servers import ask
from kernelkit.image import manifest as manifests
from kernelkit.image.credentials import Credentials
from kernelkit.image.http import Connection
from kernelkit.image.manifest import Descriptor, Manifest, Platform
from kernelkit.image.places import Places
from kernelkit.image.reference import Reference
from kernelkit.image.registry import Registry
from kernelkit.trace import Trace

Json = dict[str, Any]


def distribution(engine: Engine, reference: Reference, credentials: Credentials | None = None) -> Json:
    """Docker's `DistributionInspect`; NotFound, AuthenticationFailed, RegistryError."""
    places = Places.of(engine.home)
    bases = places.bases(reference.domain)
    hosts = frozenset(host for host in (base.partition("://")[2] for base in bases) if places.is_insecure(host))
    connection, trace = Connection(hosts), Trace(engine.records.tell)
    try:
        return ask(
            lambda registry: _described(registry, reference.digest or reference.tag),
            reference,
            bases,
            connection,
            lambda operation: trace.perform("pull", operation),
            credentials=credentials,
        )
    finally:
        connection.close()


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
