"""What an image consists of: manifests, indexes of them, and which one of an index is for a platform.

OCI Image Specification, "Image Manifest" and "Image Index"; Docker's "Image Manifest Version 2, Schema 2" says the same
in other media types.
"""

from __future__ import annotations

import json
import platform as machine
from dataclasses import dataclass
from typing import Any

from kernelkit.errors import InvalidRequest, NotFound, RegistryError
from kernelkit.image.digest import check

INDEX = "application/vnd.oci.image.index.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json"
DOCKER_LAYER = "application/vnd.docker.image.rootfs.diff.tar"
ACCEPTED = (INDEX, DOCKER_LIST, MANIFEST, DOCKER_MANIFEST)

UNCOMPRESSED = (LAYER, DOCKER_LAYER)
_LAYERS = (LAYER, DOCKER_LAYER, "application/vnd.oci.image.layer.nondistributable.v1.tar")
_MOST_LAYERS = 500  # overlay stacks no more (fs/overlayfs/params.h, OVL_MAX_STACK)
# What is known by one word alone, in Go's words (go tool dist list).
_SYSTEMS = ("linux", "windows", "darwin", "freebsd", "netbsd", "openbsd", "solaris")
_PROCESSORS = ("amd64", "arm64", "arm", "386", "ppc64", "ppc64le", "s390x", "riscv64", "loong64", "mips64", "mips64le")
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm", "armv6l": "arm", "i686": "386", "i386": "386"}


@dataclass(frozen=True)
class Descriptor:
    """What a blob is, which it is, and its size in bytes (OCI Image Specification, "Content Descriptors")."""

    media_type: str
    digest: str
    size: int

    def as_json(self) -> dict[str, Any]:
        """The descriptor as it stands in indexes and manifests."""
        return {"mediaType": self.media_type, "digest": self.digest, "size": self.size}

    @classmethod
    def parse(cls, value: Any) -> Descriptor:
        """The descriptor in an index or manifest; raises RegistryError."""
        try:
            size = value["size"]
            if not isinstance(size, int) or size < 0:
                raise RegistryError(f"'{value['digest']}' has the size {size!r}")
            return cls(str(value.get("mediaType", "")), check(value["digest"]), size)
        except (KeyError, TypeError, AttributeError):
            raise RegistryError("a manifest is malformed: a descriptor lacks its digest or size") from None


@dataclass(frozen=True)
class Manifest:
    """One image for one platform: its config and its layers, bottom to top."""

    config: Descriptor
    layers: tuple[Descriptor, ...]

    @classmethod
    def parse(cls, value: dict[str, Any]) -> Manifest:
        """Read a manifest; raises RegistryError for one that is malformed, or no container image's."""
        if value.get("schemaVersion") == 1:
            raise RegistryError(
                "the image has a manifest of schema 1, which registries gave up in 2019", "push it again"
            )
        layers = value.get("layers")
        if not isinstance(layers, list) or "config" not in value:
            raise RegistryError("a manifest is malformed: it has no config or no layers")
        manifest = cls(Descriptor.parse(value["config"]), tuple(Descriptor.parse(layer) for layer in layers))
        for layer in manifest.layers:
            if not layer.media_type.startswith(_LAYERS):
                raise RegistryError(f"not a container image: it has a layer of type '{layer.media_type}'")
        if len(layers) > _MOST_LAYERS:
            raise RegistryError(f"the image has {len(layers)} layers, more than overlay can stack")
        return manifest


@dataclass(frozen=True)
class Platform:
    """An operating system and a processor, in Go's words: `linux/arm64/v8`."""

    os: str
    architecture: str
    variant: str = ""

    @classmethod
    def parse(cls, text: str) -> Platform:
        """Read `OS/ARCHITECTURE[/VARIANT]`, or one of the first two; empty text means this machine.

        >>> str(Platform.parse("arm64"))
        'linux/arm64'
        """
        here = cls("linux", *_this_machine())
        parts = text.lower().split("/") if text else []
        if not all(parts) or len(parts) > 3:
            raise InvalidRequest(f'"{text}" is an invalid component of platform', "write OS/ARCHITECTURE[/VARIANT]")
        if len(parts) == 1:
            if parts[0] not in (*_SYSTEMS, *_PROCESSORS, *_ARCHITECTURES):
                raise InvalidRequest(f'"{text}": unknown operating system or architecture: invalid argument')
            parts = [parts[0], here.architecture] if parts[0] in _SYSTEMS else ["linux", parts[0]]
        return cls(*parts) if parts else here

    @classmethod
    def read(cls, text: str) -> Platform:
        """Read the JSON object that Docker's API takes for a platform; InvalidRequest in Docker's words."""
        try:
            value = json.loads(text)
            found = cls(*(str(value.get(key) or "") for key in ("os", "architecture", "variant")))
        except (ValueError, AttributeError, RecursionError) as error:
            raise InvalidRequest(f"failed to parse platform: {error}") from None
        if not found.os or not found.architecture:
            raise InvalidRequest("both OS and Architecture must be provided")
        return found

    @classmethod
    def of(cls, value: dict[str, Any]) -> Platform:
        """The platform that an image config, or the entry of an index, names."""
        return cls(str(value.get("os") or "linux"), str(value.get("architecture", "")), str(value.get("variant") or ""))

    def as_json(self) -> dict[str, str]:
        """The platform as it stands in indexes and in Docker's API."""
        about = {"architecture": self.architecture, "os": self.os}
        return {**about, "variant": self.variant} if self.variant else about

    def __str__(self) -> str:
        return "/".join(part for part in (self.os, self.architecture, self.variant) if part)

    def rank(self, wanted: Platform) -> int:
        """How well an image for this platform serves one that wants another; 0 not at all, more is better."""
        if (self.os, _alias(self.architecture)) != (wanted.os, _alias(wanted.architecture)):
            return 0
        mine, its = _version(self), _version(wanted)
        return 100 + mine if mine <= its else 0


def choose(index: dict[str, Any], wanted: Platform) -> Descriptor:
    """The manifest in an index that is for a platform; raises NotFound in Docker's words."""
    entries = index.get("manifests")
    if not isinstance(entries, list):
        raise RegistryError("an image index is malformed: it has no manifests")
    ranked = [
        (Platform.of(e.get("platform") or {}).rank(wanted), -i, e) for i, e in enumerate(entries) if isinstance(e, dict)
    ]
    best = max(ranked, default=(0, 0, {}), key=lambda row: row[:2])
    if not best[0]:
        raise NotFound(
            f"no matching manifest for {wanted} in the manifest list entries",
            "it has " + ", ".join(sorted({str(Platform.of(e.get("platform") or {})) for _, _, e in ranked}))
            if ranked
            else "",
        )
    return Descriptor.parse(best[2])


def read(content: bytes) -> dict[str, Any]:
    """A manifest, index or config as an object; raises RegistryError when it is none."""
    try:
        value = json.loads(content)
    except (ValueError, RecursionError):
        raise RegistryError("a manifest or config is not JSON") from None
    if not isinstance(value, dict):
        raise RegistryError("a manifest or config is not a JSON object")
    return value


def is_index(value: dict[str, Any], media_type: str) -> bool:
    """Whether an object is an index: by its own word, by the server's, or else by what it has."""
    named = value.get("mediaType") or media_type
    if named in ACCEPTED:
        return named in (INDEX, DOCKER_LIST)
    return "manifests" in value


def _this_machine() -> tuple[str, str]:
    name = machine.machine()
    return _ARCHITECTURES.get(name, name), {"armv7l": "v7", "armv6l": "v6"}.get(name, "")


def _alias(architecture: str) -> str:
    return _ARCHITECTURES.get(architecture, architecture)


def _version(platform: Platform) -> int:
    """A variant as a number; a processor runs what was made for a lower one, and without one arm means 7, arm64 8."""
    digits = platform.variant.lstrip("v").partition(".")[0]
    return int(digits) if digits.isdigit() else {"arm": 7, "arm64": 8}.get(_alias(platform.architecture), 1)
