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
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from kernelkit.errors import Conflict, NotFound
from kernelkit.image import manifest as manifests
from kernelkit.image.catalogue import Catalogue, Image, Layer
from kernelkit.image.layers import Layers, replace
from kernelkit.image.lock import locked
from kernelkit.image.manifest import UNCOMPRESSED, Descriptor, Manifest
from kernelkit.image.press import Compress
from kernelkit.image.reference import Reference
from kernelkit.kernel.sync import Rename
from kernelkit.trace import Trace

REF_NAME = "org.opencontainers.image.ref.name"
# What an entry of index.json says beside that: the config's digest, digests it was pulled by, its local parent, when it
# got its name, and whether it was removed and stays for containers only.
ID, DIGESTS, PARENT, TAGGED, RETIRED = (
    "dev.kernelkit.id",
    "dev.kernelkit.digests",
    "dev.kernelkit.parent",
    "dev.kernelkit.tagged",
    "dev.kernelkit.retired",
)


class Removed(NotFound):
    """What an image needs was here, and somebody removed it meanwhile."""


class Store(Layers):
    """One home's images. Safe to share among threads, and with other processes that have the same home."""

    def __init__(self, home: Path) -> None:
        super().__init__(home)
        self._guard = threading.Lock()
        self._seen: tuple[int, int, int] = (-1, -1, -1)
        self._catalogue = Catalogue(())

    # --- finding

    def find(self, name_or_id: str) -> Image:
        """An image by tag, digest, id or the beginning of one; raises NotFound in Docker's words, InvalidRequest."""
        image = self._current().find(name_or_id)
        if self._unready:
            for diff_id in image.diff_ids:
                self.ensure(diff_id)
        return image

    def images(self) -> list[Image]:
        """All images, the youngest first; those without a name among them."""
        return list(self._current().images)

    def retired(self) -> list[Image]:
        """Those that were removed, and stay for containers only."""
        return list(self._current().retired)

    # --- adding

    def compress(self, image_id: str, trace: Trace | None = None, stage: str = "create") -> Image:
        """Have all layers of an image compressed, for whoever has to carry them; its id stays the same."""
        image = self.find(image_id)
        assert image.manifest
        body = Manifest.parse(manifests.read(self.read_blob(image.manifest.digest)))
        if not any(blob.media_type in UNCOMPRESSED for blob in body.layers):
            return image
        perform = (trace or Trace()).perform
        for diff_id in image.diff_ids:
            with locked(self.lock_path("layer", diff_id)):
                layer = self.layer(diff_id)
                if layer and layer.blob.media_type in UNCOMPRESSED:
                    plain = self.blob_path(layer.blob.digest)
                    archive = plain.with_name(f"{os.urandom(8).hex()}.partial")
                    try:
                        blob: Descriptor = perform(stage, Compress(str(plain), str(archive)))
                        perform(stage, Rename(str(archive), str(self.blob_path(blob.digest))))
                    finally:
                        archive.unlink(missing_ok=True)
                    self.note_layer(Layer(diff_id, layer.size, blob))
        described = self._manifest_of(Descriptor.parse(body.config.as_json()), self._stack(image.diff_ids))
        with self._changing() as entries:
            mine = [entry for entry in entries if entry["annotations"].get(ID) == image.id]
            before, _ = self._needs(mine)
            for entry in mine:
                entry.update(described.as_json())
            _tidy(entries)
            self._discard_blobs(before, entries)
        return self.find(image.id)

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
        described = self._manifest_of(self.add_blob(config, manifests.CONFIG), self._stack(layers))
        return self.add(described, names=names, parent=parent, tagged=tagged)

    def _manifest_of(self, config: Descriptor, layers: Iterable[Layer]) -> Descriptor:
        blobs = [layer.blob.as_json() for layer in layers]
        manifest = {"schemaVersion": 2, "mediaType": manifests.MANIFEST, "config": config.as_json(), "layers": blobs}
        return self.add_blob(_canonical(manifest), manifests.MANIFEST)

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
                if not self.is_here(diff_id):
                    raise Removed(f"layer '{diff_id}' has been removed")
            for layer in body.layers:
                if not self.blob_path(layer.digest).exists():
                    raise Removed(f"blob '{layer.digest}' has been removed")
            notes = {ID: body.config.digest}
            for key, value in ((DIGESTS, " ".join(digests)), (PARENT, parent), (TAGGED, tagged)):
                if value:
                    notes[key] = value
            for entry in entries:
                if entry["annotations"].get(ID) == body.config.digest:
                    entry["annotations"].pop(RETIRED, None)
            wanted = [name.familiar() for name in names]
            _unname(entries, wanted)
            for name in wanted or [""]:
                entry = {**manifest.as_json(), "annotations": {**notes, **({REF_NAME: name} if name else {})}}
                if entry not in entries:
                    entries.append(entry)
            _tidy(entries)
        return self._current().find(body.config.digest)

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
                self._discard_blobs([name.digest], entries)  # the index that led to the image
            elif not _unname(entries, [familiar]):
                raise NotFound(f"No such image: {familiar}")
            _tidy(entries)

    def retire(self, image_id: str) -> None:
        """Take an image's names and its place in the list; it stays for containers, which know its whole id.

        Raises Conflict when another image was made from it, NotFound.
        """
        image = self.find(image_id)
        with self._changing() as entries:
            _refuse_parent(entries, image)
            mine = [entry for entry in entries if entry["annotations"].get(ID) == image.id]
            before, _ = self._needs(mine)
            for entry in mine:
                entry["annotations"] = {ID: image.id, RETIRED: "true"}
            _tidy(entries)
            self._discard_blobs(before, entries)  # the indexes that led to it

    def remove(self, image_id: str) -> list[str]:
        """Take an image out, with all its names, and delete the layers that no other image has; their diff IDs.

        Raises Conflict when another image was made from it, NotFound.
        """
        image = self.find(image_id)
        with self._changing() as entries:
            _refuse_parent(entries, image)
            gone = [entry for entry in entries if entry["annotations"].get(ID) == image.id]
            entries[:] = [entry for entry in entries if entry["annotations"].get(ID) != image.id]
            _, layers = self._needs(entries)
            mine, my_layers = self._needs(gone)
            unused = [diff_id for diff_id in my_layers if diff_id not in layers]
            mine += self._archives(unused)
            kept = self._archives([diff_id for diff_id in my_layers if diff_id not in unused])
            # Before the lock is let go, or a pull could come to rely on them.
            for diff_id in reversed(unused):
                self.discard_layer(diff_id)
            self._discard_blobs([digest for digest in mine if digest not in kept], entries)
        return list(reversed(unused))

    # --- inside

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
            any(note.get(RETIRED) for note in notes),
            Descriptor.parse(group[0]),
        )

    def _archives(self, diff_ids: Iterable[str]) -> list[str]:
        """The digests of the archives that these layers were unpacked from."""
        return [layer.blob.digest for diff_id in diff_ids if (layer := self.layer(diff_id))]

    def _discard_blobs(self, digests: Iterable[str], entries: list[dict[str, Any]]) -> None:
        """Delete those of these blobs that no entry leads to."""
        needed, _ = self._needs(entries)
        for digest in set(digests).difference(needed):
            self.blob_path(digest).unlink(missing_ok=True)

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


def _refuse_parent(entries: list[dict[str, Any]], image: Image) -> None:
    if any(e["annotations"].get(PARENT) == image.id and e["annotations"].get(ID) != image.id for e in entries):
        short = image.id.partition(":")[2][:12]
        raise Conflict(f"conflict: unable to delete {short} (cannot be forced) - image has dependent child images")


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
    """Leave out nameless entries of manifests that have a name, after giving what they know to one that stays.

    An image that came by several manifests, from several registries, keeps them: their blobs go when it does.
    """
    named = {e["digest"]: e for e in reversed(entries) if e["annotations"].get(REF_NAME)}
    kept: dict[tuple[Any, ...], dict[str, Any]] = {}
    for entry in entries:
        notes = entry["annotations"]
        stays = entry if notes.get(REF_NAME) else named.get(entry["digest"], entry)
        key = (stays["digest"], stays["annotations"].get(REF_NAME))
        stays = kept.setdefault(key, stays)
        if stays is not entry:
            both = [*stays["annotations"].get(DIGESTS, "").split(), *notes.get(DIGESTS, "").split()]
            merged = {**notes, **stays["annotations"], DIGESTS: " ".join(dict.fromkeys(both))}
            if not notes.get(REF_NAME) and REF_NAME in merged and REF_NAME not in stays["annotations"]:
                del merged[REF_NAME]
            stays["annotations"] = {k: v for k, v in merged.items() if v}
    entries[:] = kept.values()
