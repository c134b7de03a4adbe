"""Images as one archive: `docker save`.

The archive is an OCI image layout (OCI Image Specification, "Image Layout") and has Docker's own `manifest.json` as
well, so every tool can read it.  Blobs are in it as they are stored; nothing is packed again.

    blobs/sha256/…   layers, configs, manifests      oci-layout   index.json      manifest.json   repositories
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from kernelkit.engine import images
from kernelkit.engine.engine import Engine
from kernelkit.errors import InvalidRequest, NotFound
from kernelkit.image import manifest as manifests
from kernelkit.image.catalogue import Image
from kernelkit.image.manifest import Descriptor, Manifest, Platform
from kernelkit.image.reference import Reference
from kernelkit.kernel.header import END, header, padding
from kernelkit.kernel.tar import DIRECTORY, REGULAR

Json = dict[str, Any]

_PIECE = 1 << 18


@dataclass
class _Wanted:
    """An image to be saved, and the names under which that was asked for."""

    image: Image
    names: list[Reference] = field(default_factory=list)


def save(engine: Engine, words: Sequence[str], platform: Platform | None = None) -> Iterator[bytes]:
    """An archive of these images, in pieces; a repository's name alone means all its tags. NotFound, InvalidRequest."""
    if not words:
        raise InvalidRequest("no images given")
    wanted = _wanted(engine, words)
    for each in wanted:
        if platform and not Platform.of(each.image.config).rank(platform):
            raise NotFound(f"no suitable export target found for platform {platform}")
    for each in wanted:
        images.tell(engine, each.image, "save")
    return _archive(engine, wanted)


def _wanted(engine: Engine, words: Sequence[str]) -> list[_Wanted]:
    found: dict[str, _Wanted] = {}
    for word in words:
        image, names = _named(engine, word)
        for each, name in [(image, None)] if not names else [(engine.store.find(n), n) for n in names]:
            entry = found.setdefault(each.id, _Wanted(each))
            if name and Reference.parse(name) not in entry.names:
                entry.names.append(Reference.parse(name))
    return list(found.values())


def _named(engine: Engine, word: str) -> tuple[Image, list[str]]:
    """The image a word means, and the tags that are meant with it: none for an id, all of a repository's."""
    try:
        reference = Reference.parse(word)
    except InvalidRequest:
        return images.find(engine, word), []
    repository = reference.familiar_repository
    if reference.tag and not reference.digest and not word.endswith(f":{reference.tag}"):
        tags = [tag for image in engine.store.images() for tag in image.tags if tag.rpartition(":")[0] == repository]
        if tags:
            return engine.store.find(tags[0]), sorted(tags)
    image = images.find(engine, word)
    return image, [reference.familiar()] if reference.familiar() in image.tags else []


def _archive(engine: Engine, wanted: list[_Wanted]) -> Iterator[bytes]:
    yield header(b"blobs/", DIRECTORY, mode=0o755) + header(b"blobs/sha256/", DIRECTORY, mode=0o755)
    index: list[Json] = []
    table: list[Json] = []
    repositories: dict[str, dict[str, str]] = {}
    written: set[str] = set()
    saved = {each.image.id for each in wanted}
    for each in wanted:
        described = each.image.manifest
        if described is None:
            raise NotFound(f"No such image: {each.image.id}")
        body = Manifest.parse(manifests.read(engine.store.read_blob(described.digest)))
        for blob in (*body.layers, body.config, described):
            if blob.digest not in written:
                written.add(blob.digest)
                yield from _blob(engine, blob)
        index += _entries(described, each.names)
        table.append(
            {
                "Config": _path(body.config.digest),
                "RepoTags": [name.familiar() for name in each.names] or None,
                "Layers": [_path(layer.digest) for layer in body.layers],
                **({"Parent": each.image.parent} if each.image.parent in saved else {}),
            }
        )
        for name in each.names if body.layers else ():
            topmost = body.layers[-1].digest.partition(":")[2]
            repositories.setdefault(name.familiar_repository, {})[name.tag] = topmost
    top = {"schemaVersion": 2, "mediaType": manifests.INDEX, "manifests": index}
    yield _file(b"index.json", json.dumps(top, separators=(",", ":")).encode())
    yield _file(b"manifest.json", json.dumps(table, separators=(",", ":")).encode())
    yield _file(b"oci-layout", b'{"imageLayoutVersion":"1.0.0"}')
    if repositories:
        yield _file(b"repositories", json.dumps(repositories, separators=(",", ":")).encode())
    yield END


def _entries(described: Descriptor, names: list[Reference]) -> list[Json]:
    """The entries of index.json; both annotations are what containerd and Docker look for."""
    found = []
    for name in names:
        notes = {"io.containerd.image.name": name.canonical(), "org.opencontainers.image.ref.name": name.tag}
        found.append({**described.as_json(), "annotations": notes})
    return found or [described.as_json()]


def _blob(engine: Engine, blob: Descriptor) -> Iterator[bytes]:
    try:
        fd = os.open(engine.store.blob_path(blob.digest), os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        raise NotFound(f"blob '{blob.digest}' has been removed") from None
    try:
        size = os.fstat(fd).st_size
        yield header(_path(blob.digest).encode(), REGULAR, size=size, mode=0o644)
        while piece := os.read(fd, _PIECE):
            yield piece
        yield padding(size)
    finally:
        os.close(fd)


def _file(name: bytes, content: bytes) -> bytes:
    return header(name, REGULAR, size=len(content), mode=0o644) + content + padding(len(content))


def _path(digest: str) -> str:
    return f"blobs/{digest.replace(':', '/')}"
