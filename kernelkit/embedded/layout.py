"""The folder of embedded images: an OCI image layout, written so that a reader never sees half of an image.

    oci-layout  index.json                what there is: names to image indexes (OCI Image Layout Specification)
    blobs/sha256/…                        indexes, manifests, configs and layers, named by their content
    locks/  making/                       one lock and one scratch folder for each image that is being made

A blob is written under another name, synced, and then renamed; `index.json` changes by a rename, and last.  So a
process that is killed at any instant leaves blobs that nothing names, and never a name without its blobs.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import platform
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from isal import isal_zlib

INDEX = "application/vnd.oci.image.index.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"

REF_NAME = "org.opencontainers.image.ref.name"

# Go's names, which the OCI image index uses, for what uname(2) says.
_ARCHITECTURES = {
    "x86_64": ("amd64", ""),
    "aarch64": ("arm64", "v8"),
    "armv7l": ("arm", "v7"),
    "i686": ("386", ""),
    "ppc64le": ("ppc64le", ""),
    "s390x": ("s390x", ""),
    "riscv64": ("riscv64", ""),
}


@dataclass(frozen=True)
class Descriptor:
    """What a blob is, which it is, and its size in bytes (OCI Content Descriptors)."""

    media_type: str
    digest: str
    size: int

    def as_json(self) -> dict[str, Any]:
        """The descriptor as it stands in indexes and manifests."""
        return {"mediaType": self.media_type, "digest": self.digest, "size": self.size}

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Descriptor:
        """The descriptor that stands in an index or manifest."""
        return cls(value["mediaType"], value["digest"], value["size"])


@dataclass(frozen=True)
class Layer:
    """A layer as a blob, and the digest of its tar before compression, by which an image config names it."""

    blob: Descriptor
    diff_id: str


class Layout:
    """Reads and adds to the images in one folder; keeps nothing in memory, so every process sees the same."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def path(self, digest: str) -> Path:
        """Where the blob of this digest is, or would be."""
        return self.directory / "blobs" / digest.replace(":", "/")

    def tags(self, name: str) -> dict[str, Descriptor]:
        """An image's tags, each with its image index; none when it has not been made."""
        prefix = f"{name}:"
        return {
            reference.removeprefix(prefix): Descriptor.from_json(entry)
            for entry in self._index()["manifests"]
            if (reference := entry["annotations"][REF_NAME]).startswith(prefix)
        }

    def blobs(self, name: str) -> dict[str, Descriptor]:
        """Every blob that an image's tags lead to, by digest; raises FileNotFoundError if one has gone."""
        found: dict[str, Descriptor] = {}
        for top in set(self.tags(name).values()):
            found[top.digest] = top
            for manifest in self.children(top):
                found[manifest.digest] = manifest
                body = self.json(manifest)
                for each in (body["config"], *body["layers"]):
                    found[each["digest"]] = Descriptor.from_json(each)
        return found

    def children(self, index: Descriptor) -> list[Descriptor]:
        """The manifests of an image index, one for each platform."""
        return [Descriptor.from_json(entry) for entry in self.json(index)["manifests"]]

    def json(self, descriptor: Descriptor) -> dict[str, Any]:
        """An index, manifest or config, read."""
        value: dict[str, Any] = json.loads(self.path(descriptor.digest).read_bytes())
        return value

    def is_complete(self, name: str) -> bool:
        """Whether the image has been made and every one of its blobs is there in its full size."""
        try:
            blobs = self.blobs(name)
            return bool(blobs) and all(self.path(b.digest).stat().st_size == b.size for b in blobs.values())
        except (FileNotFoundError, ValueError):
            return False

    @contextlib.contextmanager
    def making(self, name: str) -> Iterator[Making]:
        """The right to make one image: waits until no other process or thread does; gives an empty scratch folder."""
        parent = self.directory / "making"
        with _locked(self.directory / "locks" / f"{name}.lock") as lock:
            for abandoned in parent.glob(f"{name}.*"):
                shutil.rmtree(abandoned, ignore_errors=True)
            parent.mkdir(exist_ok=True)
            # A fresh name each time: a tool whose parent was killed may still be writing below the old one.
            scratch = Path(tempfile.mkdtemp(prefix=f"{name}.", dir=parent))
            try:
                yield Making(self, name, scratch, lock)
            finally:
                shutil.rmtree(scratch, ignore_errors=True)

    def is_being_made(self, name: str) -> bool:
        """Whether some process makes this image right now."""
        try:
            with (self.directory / "locks" / f"{name}.lock").open() as lock:
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except FileNotFoundError:
            pass
        return False

    def _index(self) -> dict[str, Any]:
        try:
            value: dict[str, Any] = json.loads((self.directory / "index.json").read_bytes())
        except FileNotFoundError:
            return {"schemaVersion": 2, "mediaType": INDEX, "manifests": []}
        return value


class Making:
    """An image in the making: blobs are added one by one, `publish` makes it visible at once.

    `lock` is the descriptor that holds the right to make it: a child process that inherits it keeps others waiting even
    when this process is killed.
    """

    def __init__(self, layout: Layout, name: str, scratch: Path, lock: int) -> None:
        self.layout = layout
        self.name = name
        self.scratch = scratch
        self.lock = lock

    def add(self, media_type: str, content: dict[str, Any]) -> Descriptor:
        """Store an index, manifest or config, in the one spelling that gives it always the same digest."""
        data = json.dumps(content, separators=(",", ":"), sort_keys=True).encode()
        return self._store(media_type, [data])

    def add_layer(self, tar: Iterable[bytes]) -> Layer:
        """Compress and store a layer that comes in pieces."""
        plain = hashlib.sha256()
        # 31 asks for a gzip header (zlib.h, deflateInit2), which then carries no time of its own.
        press = isal_zlib.compressobj(2, isal_zlib.DEFLATED, 31)

        def compressed() -> Iterator[bytes]:
            for piece in tar:
                plain.update(piece)
                yield press.compress(piece)
            yield press.flush()

        blob = self._store(LAYER, compressed())
        return Layer(blob, f"sha256:{plain.hexdigest()}")

    def publish(self, tags: Iterable[str], config: dict[str, Any], layers: Iterable[Layer]) -> Descriptor:
        """Store the image's config, manifest and index, and give it these tags in place of those it had."""
        stack = tuple(layers)
        architecture, variant = _ARCHITECTURES.get(platform.machine(), (platform.machine(), ""))
        runs_on = {"architecture": architecture, "os": "linux", **({"variant": variant} if variant else {})}
        filled = {**config, **runs_on, "rootfs": {"type": "layers", "diff_ids": [layer.diff_id for layer in stack]}}
        manifest = self.add(
            MANIFEST,
            {
                "schemaVersion": 2,
                "mediaType": MANIFEST,
                "config": self.add(CONFIG, filled).as_json(),
                "layers": [layer.blob.as_json() for layer in stack],
            },
        )
        entry = {**manifest.as_json(), "platform": runs_on}
        index = self.add(INDEX, {"schemaVersion": 2, "mediaType": INDEX, "manifests": [entry]})
        self._name(index, tags)
        return index

    def _name(self, image: Descriptor, tags: Iterable[str]) -> None:
        directory = self.layout.directory
        # Two images may be finished at the same moment; one changes the list after the other.
        with _locked(directory / "locks" / "index.lock"):
            self._replace(directory / "oci-layout", b'{"imageLayoutVersion":"1.0.0"}')
            listing = self.layout._index()
            others = [e for e in listing["manifests"] if e["annotations"][REF_NAME].split(":")[0] != self.name]
            ours = [{**image.as_json(), "annotations": {REF_NAME: f"{self.name}:{tag}"}} for tag in tags]
            listing["manifests"] = sorted(others + ours, key=lambda e: str(e["annotations"][REF_NAME]))
            self._replace(directory / "index.json", json.dumps(listing, indent=1).encode())

    def _store(self, media_type: str, pieces: Iterable[bytes]) -> Descriptor:
        digest, size = hashlib.sha256(), 0
        unfinished = self.scratch / "blob"
        with unfinished.open("wb") as file:
            for piece in pieces:
                digest.update(piece)
                size += len(piece)
                file.write(piece)
            file.flush()
            os.fsync(file.fileno())
        descriptor = Descriptor(media_type, f"sha256:{digest.hexdigest()}", size)
        final = self.layout.path(descriptor.digest)
        final.parent.mkdir(parents=True, exist_ok=True)
        unfinished.rename(final)
        _sync(final.parent)
        return descriptor

    def _replace(self, path: Path, content: bytes) -> None:
        unfinished = self.scratch / path.name
        with unfinished.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        unfinished.rename(path)
        _sync(path.parent)


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[int]:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield lock.fileno()


def _sync(directory: Path) -> None:
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
