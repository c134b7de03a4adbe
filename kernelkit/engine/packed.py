"""What is in an archive of images, whoever wrote it: Docker's `manifest.json`, an OCI layout's `index.json`, or both.

Everything is read from an unpacked archive, as values; nothing that it says is believed without its digest.
"""

from __future__ import annotations

import json
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kernelkit.errors import InvalidRequest, KernelkitError, NotFound
from kernelkit.image import manifest as manifests
from kernelkit.image.digest import check, of
from kernelkit.image.manifest import Descriptor, Manifest, Platform
from kernelkit.image.reference import Reference
from kernelkit.kernel.paths import open_in_root

Json = dict[str, Any]

LARGEST_TEXT = 4 << 20  # bytes of a manifest, index or config


@dataclass(frozen=True)
class Packed:
    """An image in an archive: its config and manifest as they are there, and the files of its layers, bottom to top.

    `parent` is the id of the image that it was made from, when the archive says so.
    """

    config: bytes
    layers: tuple[str, ...]
    names: tuple[str, ...] = ()
    manifest: bytes = b""
    media_type: str = ""
    parent: str = ""

    @property
    def platform(self) -> Platform:
        """What it is made for."""
        return Platform.of(manifests.read(self.config))

    @property
    def history(self) -> list[Json]:
        """The steps of its making."""
        return list(manifests.read(self.config).get("history") or ())

    @property
    def diff_ids(self) -> list[str]:
        """The digests of the layers' contents."""
        return [check(each) for each in (manifests.read(self.config).get("rootfs") or {}).get("diff_ids") or ()]


def read(folder: Path, platform: Platform) -> list[Packed]:
    """What is in an unpacked archive. With both descriptions, Docker's names the images, OCI's keeps their digests."""
    index, table = _json(folder, "index.json"), _json(folder, "manifest.json")
    found = _of_index(folder, index, platform) if isinstance(index, dict) else []
    if not isinstance(table, list):
        return found
    known = {of(each.config): each for each in found}
    return [_of_table(folder, entry, known) for entry in table]


def open_regular(folder: Path, path: str) -> int | None:
    """A regular file of the archive; None when there is none at that path."""
    try:
        fd = open_in_root(os.fspath(folder), path, os.O_RDONLY | os.O_NONBLOCK)
    except OSError:
        return None
    if stat.S_ISREG(os.fstat(fd).st_mode):
        return fd
    os.close(fd)
    return None


# inside -----------------------------------------------------------------------------------------------------------


def _of_index(folder: Path, index: Json, platform: Platform) -> list[Packed]:
    found = []
    for entry in index.get("manifests") or []:
        described = Descriptor.parse(entry)
        content = _blob(folder, described)
        if content is None:
            continue  # some tools leave out other platforms
        value = manifests.read(content)
        if manifests.is_index(value, described.media_type):
            try:
                described = manifests.choose(value, platform)
            except NotFound:
                continue
            content = _blob(folder, described)
            if content is None:
                continue
            value = manifests.read(content)
        body = Manifest.parse(value)
        config = _blob(folder, body.config)
        if config is None:
            raise InvalidRequest(f"the archive lacks the config '{body.config.digest}'")
        names = (_name(entry.get("annotations") or {}),)
        layers = tuple(f"blobs/{layer.digest.replace(':', '/')}" for layer in body.layers)
        found.append(Packed(config, layers, tuple(filter(None, names)), content, described.media_type))
    return _together(found)


def _together(found: list[Packed]) -> list[Packed]:
    """An image with several names is in the index several times."""
    by_manifest: dict[bytes, Packed] = {}
    for each in found:
        known = by_manifest.get(each.manifest)
        names = tuple(dict.fromkeys((*(known.names if known else ()), *each.names)))
        by_manifest[each.manifest] = Packed(each.config, each.layers, names, each.manifest, each.media_type)
    return list(by_manifest.values())


def _of_table(folder: Path, entry: Any, known: dict[str, Packed]) -> Packed:
    try:
        config = _read(folder, str(entry["Config"]))
        names, layers = tuple(entry.get("RepoTags") or ()), tuple(map(str, entry["Layers"]))
    except (KeyError, TypeError, AttributeError):
        raise InvalidRequest("the archive's manifest.json is malformed") from None
    if config is None:
        raise InvalidRequest(f"the archive lacks the config '{entry['Config']}'")
    parent = str(entry.get("Parent") or "")
    same = known.get(of(config))
    if same and len(same.layers) == len(layers):
        return Packed(config, same.layers, names, same.manifest, same.media_type, parent)
    return Packed(config, layers, names, parent=parent)


def _name(notes: Json) -> str:
    """The name in an index's entry; what is only a tag names nothing here."""
    text = str(notes.get("io.containerd.image.name") or notes.get("org.opencontainers.image.ref.name") or "")
    if ":" not in text and "/" not in text:
        return ""
    try:
        return Reference.parse(text).familiar()
    except InvalidRequest:
        return ""


def _blob(folder: Path, described: Descriptor) -> bytes | None:
    content = _read(folder, f"blobs/{described.digest.replace(':', '/')}")
    if content is not None and (len(content) != described.size or of(content) != described.digest):
        raise InvalidRequest(f"the archive's blob '{described.digest}' is damaged")
    return content


def _read(folder: Path, path: str) -> bytes | None:
    """A text of the archive, whose own links lead nowhere outside; None when it is not there."""
    fd = open_regular(folder, path)
    if fd is None:
        return None
    with open(fd, "rb") as file:
        content = file.read(LARGEST_TEXT + 1)
    if len(content) > LARGEST_TEXT:
        raise KernelkitError(f"the archive's '{path}' has more than {LARGEST_TEXT} bytes")
    return content


def _json(folder: Path, path: str) -> Any:
    content = _read(folder, path)
    if content is None:
        return None
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        raise InvalidRequest(f"the archive's {path} is not JSON") from None
