"""Blobs and unpacked layers of one home, each made once, under a lock, and given its name last.

    blobs/sha256/…     archives, configs, manifests
    layers/DIFF-ID/    a layer's files, ready for overlay; DIFF-ID.json says of how many bytes and from which blob
    trash/             what somebody will delete

A layer is here when its archive and its note are; its files may come a moment later.
"""

from __future__ import annotations

import json
import logging
import os
import threading
from collections.abc import Callable, Collection, Iterable, Sequence
from pathlib import Path
from typing import Any

from kernelkit.errors import KernelkitError, RegistryError
from kernelkit.image.blob import WrongContent
from kernelkit.image.catalogue import Layer
from kernelkit.image.digest import of as digest_of
from kernelkit.image.layer import KeepLayer, MarkRemoved, Unpacked, UnpackLayer
from kernelkit.image.lock import locked
from kernelkit.image.manifest import Descriptor
from kernelkit.image.snapshot import EMPTY, Packed, PackLayer
from kernelkit.kernel.rm import remove_tree
from kernelkit.kernel.sync import Rename, SyncFileSystem
from kernelkit.trace import Operation, Trace, explain, explain_within

log = logging.getLogger(__name__)

# A layer may unpack to this many times its archive, or to this many bytes, whichever is more.
_MOST_TIMES = 200
_ALWAYS_ALLOWED = 8 << 30

_NEW = ".{}.{}.{}"  # a file in the making: what it will be called, process, thread


class Layers:
    """The part of a store that knows nothing of images. Safe to share among threads and processes."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self._layers: dict[str, Layer] = {}
        self._unready: set[str] = set()  # layers whose archive is here and whose files are not
        self._pending: dict[str, threading.Thread] = {}  # those of them that are being unpacked

    def layer(self, diff_id: str) -> Layer | None:
        """A layer that is here, or None."""
        found = self._layers.get(diff_id)
        if found is None and self.is_here(diff_id):
            try:
                note = json.loads(self._note(diff_id).read_bytes())
            except (OSError, ValueError):
                return None
            found = self._layers[diff_id] = Layer(diff_id, note["size"], Descriptor.parse(note["blob"]))
        return found if found and self.is_here(diff_id) else None

    def is_here(self, diff_id: str) -> bool:
        """Whether a layer is unpacked, or will be for whoever asks for its files with `ensure`."""
        return diff_id in self._unready or self.layer_path(diff_id).is_dir()

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
        self._layers.pop(layer.diff_id, None)

    def add_layer(self, pieces: Iterable[bytes], trace: Trace | None = None, stage: str = "create") -> Layer:
        """Keep a layer whose archive comes in pieces, compressed or not, as a blob and unpacked.

        The same content gives the same layer, whoever made it. Raises BadArchive, OSError.
        """
        perform = (trace or Trace()).perform
        token = _token()
        directory, archive = self.home / "layers" / token, self.home / "blobs" / "sha256" / token
        for folder in (directory.parent, archive.parent):
            folder.mkdir(parents=True, exist_ok=True)
        try:
            unpacked: Unpacked
            unpacked, blob = perform(stage, KeepLayer(str(archive), str(directory), source=pieces))
            with locked(self.lock_path("layer", unpacked.diff_id)):
                layer = Layer(unpacked.diff_id, unpacked.size, blob)
                perform_one: Callable[[Operation], Any] = lambda operation: perform(stage, operation)  # noqa: E731
                return self._settle(layer, directory, archive, perform_one, unpacked.removed, unpacked.opaque)
        finally:
            archive.unlink(missing_ok=True)
            self._throw_away(directory)

    def add_upper(
        self,
        upper: str,
        below: Sequence[str],
        made: Collection[str],
        trace: Trace | None = None,
        stage: str = "create",
        later: Trace | None = None,
    ) -> Layer | None:
        """Keep what an overlay's upper directory changes in those below it as a layer; None when that is nothing.

        The same content gives the same layer.  Its archive is kept when this returns, its files are unpacked from that
        afterwards: whoever needs them waits, `later` performs it.  Raises OSError.
        """
        trace = trace or Trace()
        archive = self.home / "blobs" / "sha256" / _token()
        archive.parent.mkdir(parents=True, exist_ok=True)
        try:
            operation = PackLayer(upper, tuple(below), str(archive), tuple(sorted(made)))
            packed: Packed = trace.perform(stage, operation)
            if packed.blob.digest == EMPTY:
                return None
            with locked(self.lock_path("layer", packed.blob.digest)):
                known = self.layer(packed.blob.digest)
                if known and self.blob_path(known.blob.digest).exists():
                    return known
                trace.perform(stage, Rename(str(archive), str(self.blob_path(packed.blob.digest))))
                layer = Layer(packed.blob.digest, packed.size, packed.blob)
                self.note_layer(layer)
        finally:
            archive.unlink(missing_ok=True)
        perform: Callable[[Operation], Any] = lambda operation: (later or trace).perform(stage, operation)  # noqa: E731
        self._unready.add(layer.diff_id)
        free = os.statvfs(archive.parent)
        if free.f_bavail * free.f_frsize < 2 * layer.size:  # whoever asked is to hear of it if the disk is too small
            try:
                self._make_ready(layer, perform)
            except BaseException:
                self.discard_layer(layer.diff_id)
                self.blob_path(layer.blob.digest).unlink(missing_ok=True)
                raise
        else:
            self._unpack_later(layer, perform)
        return layer

    def ensure(self, diff_id: str) -> None:
        """Have the files of a layer that is here: wait for them, or unpack them now. Raises KernelkitError."""
        if (thread := self._pending.get(diff_id)) and thread.is_alive():  # one that has not begun cannot be waited for
            thread.join()
        layer = self.layer(diff_id)
        if diff_id not in self._unready or layer is None:
            return
        try:
            self._make_ready(layer, lambda operation: Trace().perform("create", operation))
        except OSError as error:
            raise KernelkitError(f"cannot unpack layer '{diff_id}': {explain_within(error)}") from None

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

    # --- removing

    def discard_layer(self, diff_id: str) -> None:
        """Move an unpacked layer to the trash, at once however large it is."""
        self._layers.pop(diff_id, None)
        self._unready.discard(diff_id)
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

    def sweep(self) -> None:
        """Throw away what whoever made it did not finish, for nobody else is at work in this home: an engine's start.

        What a pull has received stays, for the next one to go on from.
        """
        for path in [*self.home.glob("layers/*.partial"), *self.home.glob("loads/*")]:
            self.discard(path)
        for path in self.home.glob("blobs/sha256/*.partial"):
            if len(path.name) == len(_token()):
                path.unlink(missing_ok=True)
        for folder in (self.home, self.home / "layers", self.home / "blobs/sha256"):
            for path in folder.glob(_NEW.format("*", "[0-9]*", "[0-9]*")):
                path.unlink(missing_ok=True)
        for note in self.home.glob("layers/*.json"):
            if not note.with_suffix("").is_dir():
                self._find_files(note)

    def _find_files(self, note: Path) -> None:
        """A layer whose files are not there: they can be had from its archive, or it is none."""
        try:
            blob = Descriptor.parse(json.loads(note.read_bytes())["blob"])
        except (OSError, ValueError, KeyError, RegistryError):
            blob = None
        if blob and self.blob_path(blob.digest).exists():
            self._unready.add(f"sha256:{note.stem}")
        else:
            note.unlink(missing_ok=True)

    # --- inside

    def _unpack_later(self, layer: Layer, perform: Callable[[Operation], Any]) -> None:
        def work() -> None:
            try:
                self._make_ready(layer, perform)
            except (OSError, KernelkitError) as error:  # who needs the files tries again, and is told
                log.warning("unpack layer '%s': %s", layer.diff_id, explain(error))
            finally:
                self._pending.pop(layer.diff_id, None)

        thread = threading.Thread(target=work, name="unpack", daemon=True)
        self._pending[layer.diff_id] = thread
        thread.start()

    def _make_ready(self, layer: Layer, perform: Callable[[Operation], Any]) -> None:
        with locked(self.lock_path("layer", layer.diff_id)):
            if layer.diff_id in self._unready and not self.layer_path(layer.diff_id).is_dir():
                self.unpack(layer.diff_id, layer.blob, perform)
            self._unready.discard(layer.diff_id)

    def _settle(
        self, layer: Layer, directory: Path, archive: Path, perform: Callable[[Operation], Any],
        removed: tuple[str, ...] = (), opaque: tuple[str, ...] = (),
    ) -> Layer:  # fmt: skip
        """Give a layer's files and archive their names, unless they are here already. The caller holds its lock."""
        known = self.layer(layer.diff_id)
        if known and self.blob_path(known.blob.digest).exists():
            return known
        perform(Rename(str(archive), str(self.blob_path(layer.blob.digest))))
        if removed or opaque:
            perform(MarkRemoved(str(directory), removed, opaque))
        self.note_layer(layer)
        if known is None:
            perform(SyncFileSystem(str(directory)))
            perform(Rename(str(directory), str(self.layer_path(layer.diff_id))))
        return layer

    def _throw_away(self, path: Path) -> None:
        if rubbish := self.discard(path):
            remove_tree(rubbish)

    def _note(self, diff_id: str) -> Path:
        return self.layer_path(diff_id).with_name(f"{self.layer_path(diff_id).name}.json")


def _token() -> str:
    """A name that nobody else has, for something in the making."""
    return f"{os.urandom(8).hex()}.partial"


def replace(path: Path, content: bytes) -> None:
    """Give a file new content in one step, synced: whoever reads it sees the old or the new."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(_NEW.format(path.name, os.getpid(), threading.get_ident()))
    try:
        with new.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        new.rename(path)
    except BaseException:
        new.unlink(missing_ok=True)
        raise
