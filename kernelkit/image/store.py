"""The images of one home: an OCI image layout that other tools can read, and its layers unpacked beside it.

    oci-layout index.json blobs/sha256/…   images, as the OCI Image Specification ("Image Layout") wants them
    layers/DIFF-ID/                        a layer's files, ready for overlay; DIFF-ID.json says where from

Every process and thread sees the same: `index.json` changes by a rename, under a lock, and last.  An image is found by
reading that file once; afterwards by asking whether it is still the same.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from kernelkit.errors import Conflict, NotFound
from kernelkit.image import manifest as manifests
from kernelkit.image.blob import WrongContent
from kernelkit.image.catalogue import Catalogue, Image, Layer
from kernelkit.image.digest import of as digest_of
from kernelkit.image.layer import KeepLayer, MarkRemoved, Unpacked, UnpackLayer
from kernelkit.image.lock import locked
from kernelkit.image.manifest import Descriptor, Manifest
from kernelkit.image.reference import Reference
from kernelkit.kernel.rm import remove_tree
from kernelkit.kernel.sync import Rename, SyncFileSystem
from kernelkit.trace import Operation, Trace

REF_NAME = "org.opencontainers.image.ref.name"
# What an entry of index.json says beside that: the config's digest, digests it was pulled by, its local parent.
ID, DIGESTS, PARENT, TAGGED = (
    "dev.kernelkit.id",
    "dev.kernelkit.digests",
    "dev.kernelkit.parent",
    "dev.kernelkit.tagged",
)
# A layer may unpack to this many times its archive, or to this many bytes, whichever is more.
_MOST_TIMES = 200
_ALWAYS_ALLOWED = 8 << 30


class Removed(NotFound):
    """What an image needs was here, and somebody removed it meanwhile."""


class Store:
    """One home's images. Safe to share among threads, and with other processes that have the same home."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self._guard = threading.Lock()
        self._seen: tuple[int, int, int] = (-1, -1, -1)
        self._catalogue = Catalogue(())
        self._layers: dict[str, Layer] = {}

    # --- finding

    def find(self, name_or_id: str) -> Image:
        """An image by tag, digest, id or the beginning of one; raises NotFound in Docker's words, InvalidRequest."""
        return self._current().find(name_or_id)

    def images(self) -> list[Image]:
        """All images, the youngest first; those without a name among them."""
        return list(self._current().images)

    def layer(self, diff_id: str) -> Layer | None:
        """A layer that is unpacked and ready, or None."""
        found = self._layers.get(diff_id)
        if found is None and self.layer_path(diff_id).is_dir():
            try:
                note = json.loads(self._note(diff_id).read_bytes())
            except (OSError, ValueError):
                return None
            found = self._layers[diff_id] = Layer(diff_id, note["size"], Descriptor.parse(note["blob"]))
        return found if found and self.layer_path(diff_id).is_dir() else None

    # --- where things are

    def blob_path(self, digest: str) -> Path:
        """Where a blob is, or would be."""
        return self.home / "blobs" / digest.replace(":", "/")

    def layer_path(self, diff_id: str) -> Path:
        """Where an unpacked layer is, or would be."""
        return self.home / "layers" / diff_id.partition(":")[2]

    def lock_path(self, kind: str, digest: str) -> Path:
        """The lock under which a `blob` or `layer` of this digest is made."""
        return self.home / "locks" / f"{kind}-{digest.partition(':')[2]}"

    # --- adding

    def add_blob(self, content: bytes, media_type: str) -> Descriptor:
        """Keep a manifest, index or config; one that is there already is left as it is."""
        descriptor = Descriptor(media_type, digest_of(content), len(content))
        path = self.blob_path(descriptor.digest)
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            replace(path, content)
        return descriptor

    def read_blob(self, digest: str) -> bytes:
        """A manifest's, index's or config's content."""
        return self.blob_path(digest).read_bytes()

    def note_layer(self, layer: Layer) -> None:
        """Note what a layer is; it is one as soon as its files are in their place. The caller holds its lock."""
        replace(self._note(layer.diff_id), json.dumps({"size": layer.size, "blob": layer.blob.as_json()}).encode())

    def add_layer(self, pieces: Iterable[bytes], trace: Trace | None = None, stage: str = "create") -> Layer:
        """Keep a layer whose archive comes in pieces, compressed or not, as a blob and unpacked.

        The same content gives the same layer, whoever made it. Raises BadArchive, OSError.
        """
        perform = (trace or Trace()).perform
        token = f"{os.urandom(8).hex()}.partial"
        directory, archive = self.home / "layers" / token, self.home / "blobs" / "sha256" / token
        for folder in (directory.parent, archive.parent):
            folder.mkdir(parents=True, exist_ok=True)
        try:
            unpacked: Unpacked
            unpacked, blob = perform(stage, KeepLayer(str(archive), str(directory), source=pieces))
            with locked(self.lock_path("layer", unpacked.diff_id)):
                known = self.layer(unpacked.diff_id)
                if known and self.blob_path(known.blob.digest).exists():
                    return known
                perform(stage, Rename(str(archive), str(self.blob_path(blob.digest))))
                layer = Layer(unpacked.diff_id, unpacked.size, blob)
                if unpacked.removed or unpacked.opaque:
                    perform(stage, MarkRemoved(str(directory), unpacked.removed, unpacked.opaque))
                self.note_layer(layer)
                if known is None:
                    perform(stage, SyncFileSystem(str(directory)))
                    perform(stage, Rename(str(directory), str(self.layer_path(layer.diff_id))))
                return layer
        finally:
            archive.unlink(missing_ok=True)
            if rubbish := self.discard(directory):
                remove_tree(rubbish)

    def unpack(
        self,
        diff_id: str,
        blob: Descriptor,
        perform: Callable[[Operation], Any],
        *,
        archive: Path | None = None,
        source: Iterable[bytes] | None = None,
    ) -> Layer:
        """Unpack a layer whose archive is, or will be, a blob; its files get their name when their digest is right.

        The archive comes from `source` or is read from `archive`.  The caller holds the layer's lock.  Raises
        WrongContent, BadArchive, OSError.
        """
        path = self.layer_path(diff_id)
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_name(f"{path.name}.partial")
        self._throw_away(unfinished)
        try:
            most = max(_ALWAYS_ALLOWED, _MOST_TIMES * blob.size)
            file = str(archive or self.blob_path(blob.digest))
            unpacked: Unpacked = perform(UnpackLayer(file, str(unfinished), size=most, source=source))
            if unpacked.diff_id != diff_id:
                message = f"layer '{blob.digest}' unpacks to '{unpacked.diff_id}' instead of '{diff_id}'"
                raise WrongContent(message, resumed=source is None)
            if unpacked.removed or unpacked.opaque:
                perform(MarkRemoved(str(unfinished), unpacked.removed, unpacked.opaque))
            perform(SyncFileSystem(str(unfinished)))
            layer = Layer(diff_id, unpacked.size, blob)
            self.note_layer(layer)
            perform(Rename(str(unfinished), str(path)))
            return layer
        except BaseException:
            self._throw_away(unfinished)
            raise

    def _throw_away(self, path: Path) -> None:
        if rubbish := self.discard(path):
            remove_tree(rubbish)

    def add_image(
        self,
        config: dict[str, Any],
        layers: Iterable[Layer | str],
        *,
        names: Iterable[Reference] = (),
        parent: str = "",
        tagged: str = "",
    ) -> Image:
        """Make an image of an OCI config, whose rootfs is set here, and of layers, or their diff IDs, that are here.

        Raises Removed when a layer is not here any more.
        """
        stack = self._stack(layers)
        filled = {**config, "rootfs": {"type": "layers", "diff_ids": [layer.diff_id for layer in stack]}}
        return self.add_config(_canonical(filled), stack, names=names, parent=parent, tagged=tagged)

    def add_config(
        self,
        config: bytes,
        layers: Iterable[Layer | str],
        *,
        names: Iterable[Reference] = (),
        parent: str = "",
        tagged: str = "",
    ) -> Image:
        """Make an image of a config as it is, byte by byte, and of layers that are here. Raises Removed."""
        body = self.add_blob(config, manifests.CONFIG)
        blobs = [layer.blob.as_json() for layer in self._stack(layers)]
        manifest = {"schemaVersion": 2, "mediaType": manifests.MANIFEST, "config": body.as_json(), "layers": blobs}
        described = self.add_blob(_canonical(manifest), manifests.MANIFEST)
        return self.add(described, names=names, parent=parent, tagged=tagged)

    def _stack(self, layers: Iterable[Layer | str]) -> list[Layer]:
        found = [self.layer(each) if isinstance(each, str) else each for each in layers]
        if not all(found):
            raise Removed("a layer has been removed")
        return [layer for layer in found if layer]

    def add(
        self,
        manifest: Descriptor,
        *,
        names: Iterable[Reference] = (),
        digests: Iterable[str] = (),
        parent: str = "",
        tagged: str = "",
    ) -> Image:
        """Put an image, whose blobs and layers are here, into the index under these names; they leave other images.

        `digests` are familiar names such as `busybox@sha256:…`.  Raises Removed if something of it is missing: a
        removal at the same moment may have taken it.
        """
        body = Manifest.parse(manifests.read(self.read_blob(manifest.digest)))
        config = manifests.read(self.read_blob(body.config.digest))
        with self._changing() as entries:
            for diff_id in (config.get("rootfs") or {}).get("diff_ids") or ():
                if not self.layer_path(diff_id).is_dir():
                    raise Removed(f"layer '{diff_id}' has been removed")
            for layer in body.layers:
                if not self.blob_path(layer.digest).exists():
                    raise Removed(f"blob '{layer.digest}' has been removed")
            notes = {ID: body.config.digest}
            for key, value in ((DIGESTS, " ".join(digests)), (PARENT, parent), (TAGGED, tagged)):
                if value:
                    notes[key] = value
            wanted = [name.familiar() for name in names]
            _unname(entries, wanted)
            for name in wanted or [""]:
                entry = {**manifest.as_json(), "annotations": {**notes, **({REF_NAME: name} if name else {})}}
                if entry not in entries:
                    entries.append(entry)
            _tidy(entries)
        return self.find(body.config.digest)

    def tag(self, image_id: str, name: Reference, *, tagged: str = "") -> None:
        """Give an image one more name; an image that had it loses it."""
        image = self.find(image_id)
        with self._changing() as entries:
            source = next((e for e in entries if e["annotations"].get(ID) == image.id), None)
            if source is None:
                raise NotFound(f"No such image: {image_id}")
            _unname(entries, [name.familiar()])
            notes = {k: v for k, v in source["annotations"].items() if k not in (REF_NAME, TAGGED)}
            notes |= {REF_NAME: name.familiar(), **({TAGGED: tagged} if tagged else {})}
            entries.append({**source, "annotations": notes})
            _tidy(entries)

    # --- removing

    def untag(self, name: Reference) -> None:
        """Take a name, or a digest it was pulled by, away; the image stays, nameless perhaps. Raises NotFound."""
        with self._changing() as entries:
            familiar = name.familiar()
            if name.digest:
                found = False
                for entry in entries:
                    kept = [d for d in entry["annotations"].get(DIGESTS, "").split() if d != familiar]
                    found |= len(kept) != len(entry["annotations"].get(DIGESTS, "").split())
                    entry["annotations"] = {**entry["annotations"], DIGESTS: " ".join(kept)}
                if not found:
                    raise NotFound(f"No such image: {familiar}")
            elif not _unname(entries, [familiar]):
                raise NotFound(f"No such image: {familiar}")
            _tidy(entries)

    def remove(self, image_id: str, *, in_use: Collection[str] = ()) -> list[str]:
        """Take an image out, with all its names, and delete the layers that no other image has; their diff IDs.

        `in_use` are diff IDs to keep.  Raises Conflict when another image was made from it, NotFound.
        """
        image = self.find(image_id)
        with self._changing() as entries:
            if any(e["annotations"].get(PARENT) == image.id and e["annotations"].get(ID) != image.id for e in entries):
                short = image.id.partition(":")[2][:12]
                raise Conflict(
                    f"conflict: unable to delete {short} (cannot be forced) - image has dependent child images"
                )
            gone = [entry for entry in entries if entry["annotations"].get(ID) == image.id]
            entries[:] = [entry for entry in entries if entry["annotations"].get(ID) != image.id]
            blobs, layers = self._needs(entries)
            mine, my_layers = self._needs(gone)
            unused = [diff_id for diff_id in my_layers if diff_id not in layers and diff_id not in in_use]
            # A container's layers may become part of another image, when it is committed.
            blobs += [layer.blob.digest for diff_id in in_use if (layer := self.layer(diff_id))]
            doomed = [self.blob_path(digest) for digest in mine if digest not in blobs]
            # Before the lock is let go, or a pull could come to rely on them.
            for diff_id in reversed(unused):
                self.discard_layer(diff_id)
            for path in doomed:
                path.unlink(missing_ok=True)
        return list(reversed(unused))

    def discard_layer(self, diff_id: str) -> None:
        """Move an unpacked layer to the trash, at once however large it is."""
        self._layers.pop(diff_id, None)
        self.discard(self.layer_path(diff_id))
        self._note(diff_id).unlink(missing_ok=True)

    def discard(self, path: Path) -> Path | None:
        """Rename a tree into the trash, where somebody will delete it; where it is now."""
        trash = self.home / "trash"
        trash.mkdir(parents=True, exist_ok=True)
        target = trash / f"{path.name}.{os.urandom(4).hex()}"
        try:
            path.rename(target)
        except FileNotFoundError:
            return None
        return target

    # --- inside

    def _note(self, diff_id: str) -> Path:
        return self.layer_path(diff_id).with_name(f"{self.layer_path(diff_id).name}.json")

    def _current(self) -> Catalogue:
        try:
            status = os.stat(self.home / "index.json")
            seen = (status.st_mtime_ns, status.st_ino, status.st_size)
        except FileNotFoundError:
            seen = (0, 0, 0)
        if seen != self._seen:
            with self._guard:
                entries = self._entries()
                self._catalogue = Catalogue(self._images(entries))
                self._seen = seen
        return self._catalogue

    def _entries(self) -> list[dict[str, Any]]:
        try:
            found = json.loads((self.home / "index.json").read_bytes())
        except FileNotFoundError:
            return []
        return [{"annotations": {}, **entry} for entry in found.get("manifests", [])]

    @contextmanager
    def _changing(self) -> Iterator[list[dict[str, Any]]]:
        """The index's entries, to be changed in place; written when all went well."""
        self.home.mkdir(parents=True, exist_ok=True)
        with locked(self.home / "locks" / "index"):
            entries = self._entries()
            yield entries
            if not (self.home / "oci-layout").exists():
                replace(self.home / "oci-layout", b'{"imageLayoutVersion":"1.0.0"}')
            body = {"schemaVersion": 2, "mediaType": manifests.INDEX, "manifests": entries}
            replace(self.home / "index.json", json.dumps(body, indent=1).encode())

    def _images(self, entries: list[dict[str, Any]]) -> list[Image]:
        groups: dict[str, list[dict[str, Any]]] = {}
        for entry in entries:
            if identity := entry["annotations"].get(ID):  # else it was put here by another tool, and not unpacked
                groups.setdefault(identity, []).append(entry)
        images = []
        for identity, group in groups.items():
            try:
                config = manifests.read(self.read_blob(identity))
            except FileNotFoundError:
                continue
            images.append(self._image(identity, config, group))
        return sorted(images, key=lambda image: image.created, reverse=True)

    def _image(self, identity: str, config: dict[str, Any], group: list[dict[str, Any]]) -> Image:
        diff_ids = (config.get("rootfs") or {}).get("diff_ids") or ()
        topmost = dict.fromkeys(reversed(diff_ids))
        notes = [entry["annotations"] for entry in group]
        known = {diff_id: self.layer(diff_id) for diff_id in topmost}
        return Image(
            identity,
            config,
            tuple(self.layer_path(diff_id) for diff_id in reversed(topmost)),
            tuple(sorted(note[REF_NAME] for note in notes if note.get(REF_NAME))),
            tuple(sorted({name for note in notes for name in note.get(DIGESTS, "").split()})),
            sum(layer.size for diff_id in diff_ids if (layer := known[diff_id])),
            config.get("created") or "",
            next((note[PARENT] for note in notes if note.get(PARENT)), ""),
            max((note.get(TAGGED, "") for note in notes), default=""),
            Descriptor.parse(group[0]),
        )

    def _needs(self, entries: list[dict[str, Any]]) -> tuple[list[str], list[str]]:
        """The blobs and the layers (diff IDs) that these entries lead to."""
        blobs: dict[str, None] = {}
        layers: dict[str, None] = {}
        for entry in entries:
            blobs[entry["digest"]] = None
            blobs.update({name.partition("@")[2]: None for name in entry["annotations"].get(DIGESTS, "").split()})
            try:
                body = Manifest.parse(manifests.read(self.read_blob(entry["digest"])))
                blobs.update({each.digest: None for each in (body.config, *body.layers)})
                config = manifests.read(self.read_blob(body.config.digest))
                layers.update(dict.fromkeys((config.get("rootfs") or {}).get("diff_ids") or ()))
            except FileNotFoundError:
                continue
        return list(blobs), list(layers)


def replace(path: Path, content: bytes) -> None:
    """Give a file new content in one step, synced: whoever reads it sees the old or the new."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}")
    try:
        with new.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        new.rename(path)
    except BaseException:
        new.unlink(missing_ok=True)
        raise


def _canonical(value: dict[str, Any]) -> bytes:
    """The one spelling that gives the same content the same digest."""
    return json.dumps(value, separators=(",", ":"), sort_keys=True).encode()


def _unname(entries: list[dict[str, Any]], names: Collection[str]) -> bool:
    """Take these names from whatever has them; whether anything had one."""
    found = False
    for entry in entries:
        if entry["annotations"].get(REF_NAME) in names:
            found = True
            entry["annotations"] = {k: v for k, v in entry["annotations"].items() if k not in (REF_NAME, TAGGED)}
    return found


def _tidy(entries: list[dict[str, Any]]) -> None:
    """Leave out nameless entries of images that have a name, after giving what they know to one that stays."""
    named = {e["annotations"].get(ID): e for e in reversed(entries) if e["annotations"].get(REF_NAME)}
    kept: dict[tuple[Any, ...], dict[str, Any]] = {}
    for entry in entries:
        notes = entry["annotations"]
        stays = entry if notes.get(REF_NAME) else named.get(notes.get(ID), entry)
        key = (stays["digest"], stays["annotations"].get(REF_NAME))
        stays = kept.setdefault(key, stays)
        if stays is not entry:
            both = [*stays["annotations"].get(DIGESTS, "").split(), *notes.get(DIGESTS, "").split()]
            merged = {**notes, **stays["annotations"], DIGESTS: " ".join(dict.fromkeys(both))}
            if not notes.get(REF_NAME) and REF_NAME in merged and REF_NAME not in stays["annotations"]:
                del merged[REF_NAME]
            stays["annotations"] = {k: v for k, v in merged.items() if v}
    entries[:] = kept.values()
