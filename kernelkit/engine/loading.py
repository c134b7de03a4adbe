"""Images out of archives: `docker load`, for Docker's archives and OCI layouts, and `docker import`, for bare files.

load     archive → a folder of our own → layers, one after the other → the image, its id and digests unchanged
import   files → one layer → an image that knows nothing but what it is told
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from kernelkit.engine import images
from kernelkit.engine.engine import Engine
from kernelkit.engine.model import now
from kernelkit.engine.packed import Packed, open_regular, read
from kernelkit.engine.telling import Tell
from kernelkit.errors import InvalidRequest, NotFound
from kernelkit.image import manifest as manifests
from kernelkit.image.blob import WrongContent
from kernelkit.image.catalogue import Image
from kernelkit.image.digest import of
from kernelkit.image.inflate import compression, inflate
from kernelkit.image.lock import locked
from kernelkit.image.manifest import Descriptor, Manifest, Platform
from kernelkit.image.reference import Reference
from kernelkit.kernel.cp import UnpackInto
from kernelkit.kernel.files import MakeDirectory, MoveToTrash
from kernelkit.kernel.sync import Rename
from kernelkit.kernel.tar import BadArchive
from kernelkit.trace import Trace

Json = dict[str, Any]

_PIECE = 1 << 18


@contextmanager
def staged(engine: Engine, archive: Iterable[bytes]) -> Iterator[Path]:
    """An archive's files in a folder that is gone afterwards; InvalidRequest for what is no archive."""
    folder = engine.home / "loads" / os.urandom(8).hex()
    trace = Trace(engine.records.tell)
    trace.perform("load", MakeDirectory(os.fspath(folder), 0o700))
    try:
        try:
            trace.perform("load", UnpackInto(os.fspath(folder), "", source=inflate(archive)))
        except BadArchive as error:
            raise InvalidRequest(str(error)) from None
        yield folder
    finally:
        trace.perform("load", MoveToTrash(os.fspath(folder), os.fspath(engine.trash)))
        engine.trash_has_grown.set()


def load(engine: Engine, folder: Path, tell: Tell, platform: Platform | None = None) -> None:
    """Keep the images of an unpacked archive, or those for a platform, telling Docker's messages; InvalidRequest."""
    everything = read(folder, platform or Platform.parse(""))
    if not everything:
        raise InvalidRequest("the archive holds no image", "it has neither a manifest.json nor an index.json")
    packed = [each for each in everything if not platform or each.platform.rank(platform)]
    if not packed:
        there = ", ".join(sorted({str(each.platform) for each in everything}))
        raise InvalidRequest(f"the archive holds no image for the platform {platform}: it has {there}")
    trace = Trace(engine.records.tell)
    in_archive = {of(each.config): each for each in packed}
    for each in packed:
        image = _keep(engine, folder, each, _parent(each, in_archive), tell, trace)
        engine.records.pulled(image.id, trace.steps)
        images.tell(engine, image, "load")
        for text in each.names:
            tell({"stream": f"Loaded image: {Reference.parse(text).familiar()}\n"})
        if not each.names:
            tell({"stream": f"Loaded image ID: {image.id}\n"})


# inside -----------------------------------------------------------------------------------------------------------


def _parent(packed: Packed, in_archive: Mapping[str, Packed]) -> str:
    """The id of the image of the same archive that this one was made from, if it can be; else nothing."""
    parent = in_archive.get(packed.parent)
    if parent is None or packed.diff_ids[: len(parent.diff_ids)] != parent.diff_ids:
        return ""
    return packed.parent if packed.history[:-1] == parent.history and packed.history else ""


def _keep(engine: Engine, folder: Path, packed: Packed, parent: str, tell: Tell, trace: Trace) -> Image:
    store = engine.store
    diff_ids = packed.diff_ids
    if len(diff_ids) != len(packed.layers):
        raise InvalidRequest(
            f"invalid manifest, layers length mismatch: expected {len(diff_ids)}, got {len(packed.layers)}"
        )
    wanted = Manifest.parse(manifests.read(packed.manifest)).layers if packed.manifest else ()
    is_unchanged = bool(packed.manifest)
    for number, (diff_id, file) in enumerate(zip(diff_ids, packed.layers, strict=True)):
        blob = wanted[number] if wanted else None
        is_unchanged &= _keep_layer(engine, folder, file, diff_id, blob, tell, trace)
    names = [Reference.parse(text) for text in packed.names]
    _say_renamed(engine, names, of(packed.config), tell)
    tagged = now() if names else ""
    if not is_unchanged:
        return store.add_config(packed.config, diff_ids, names=names, parent=parent, tagged=tagged)
    store.add_blob(packed.config, manifests.CONFIG)
    return store.add(
        store.add_blob(packed.manifest, packed.media_type or manifests.MANIFEST),
        names=names,
        parent=parent,
        tagged=tagged,
    )


def _keep_layer(
    engine: Engine, folder: Path, file: str, diff_id: str, blob: Descriptor | None, tell: Tell, trace: Trace
) -> bool:
    """Have one layer here; whether its blob is the one that the archive's manifest names."""
    store = engine.store
    known = store.layer(diff_id)
    if known and store.blob_path(known.blob.digest).exists():
        return blob is not None and known.blob.digest == blob.digest
    fd = open_regular(folder, file)
    if fd is None:
        raise InvalidRequest(f"the archive lacks the layer '{file}'")
    try:
        size = os.fstat(fd).st_size
        short = diff_id.partition(":")[2][:12]
        tell({"status": "Loading layer", "progressDetail": {"current": 0, "total": size}, "id": short})
        kind = compression(os.pread(fd, 8, 0))
        # What is not compressed has its content's digest.
        wanted = blob if blob or kind else Descriptor(manifests.LAYER, diff_id, size)
        if wanted is not None and kind in ("gzip", "zstd", ""):
            # By its real name: what the archive calls a directory may be a link.
            _unpack(engine, fd, Path(os.readlink(f"/proc/self/fd/{fd}")), diff_id, wanted, trace)
            is_same = blob is not None
        else:
            layer = store.add_layer(_pieces(fd), trace, "load")
            if layer.diff_id != diff_id:
                store.discard_layer(layer.diff_id)
                raise InvalidRequest(f"invalid diffID for layer '{file}': expected '{diff_id}', got '{layer.diff_id}'")
            is_same = blob is not None and layer.blob.digest == blob.digest
    finally:
        os.close(fd)
    tell({"status": "Loading layer", "progressDetail": {"current": size, "total": size}, "id": short})
    return is_same


def _unpack(engine: Engine, fd: int, file: Path, diff_id: str, blob: Descriptor, trace: Trace) -> None:
    """Unpack an archive that is compressed already, and keep it as it is."""
    store = engine.store
    digest = hashlib.new(blob.digest.partition(":")[0])

    def hashed() -> Iterator[bytes]:
        for piece in _pieces(fd):
            digest.update(piece)
            yield piece

    final = store.blob_path(blob.digest)
    with locked(store.lock_path("layer", diff_id)), locked(store.lock_path("blob", blob.digest)):
        if store.layer(diff_id) is None:
            perform = lambda operation: trace.perform("load", operation)  # noqa: E731
            try:
                store.unpack(diff_id, blob, perform, archive=file, source=hashed())
            except WrongContent as error:
                raise InvalidRequest(error.message) from None
        else:
            for _ in hashed():
                pass
        if digest.hexdigest() != blob.digest.partition(":")[2]:
            store.discard_layer(diff_id)
            raise InvalidRequest(f"the archive's layer '{file.name}' is damaged: its digest is not '{blob.digest}'")
        if not final.exists():
            final.parent.mkdir(parents=True, exist_ok=True)
            trace.perform("load", Rename(os.fspath(file), str(final)))


def _say_renamed(engine: Engine, names: Sequence[Reference], identity: str, tell: Tell) -> None:
    for each in names:
        try:
            before = engine.store.find(each.familiar())
        except NotFound:
            continue
        if before.id != identity:
            old = (
                f"The image {each.familiar()} already exists, renaming the old one with ID {before.id} to empty string"
            )
            tell({"stream": f"{old}\n"})


def _pieces(fd: int) -> Iterator[bytes]:
    at = 0
    while piece := os.pread(fd, _PIECE, at):
        at += len(piece)
        yield piece
