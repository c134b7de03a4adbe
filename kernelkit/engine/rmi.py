"""`rmi` and `image prune`: names are taken away, and with the last one the image.

What speaks against it (as Docker has it):
    cannot be forced    another image was made from it · a container that runs uses it
    must be forced      it has several names · a container that has ended uses it

A container stands on its image's layers.  When its image is removed nevertheless, they stay until it goes as well.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Sequence

from kernelkit.engine import images, when
from kernelkit.engine.engine import Engine
from kernelkit.engine.images import Json, users
from kernelkit.engine.listing import Filters, check_filters, is_true, labels_match
from kernelkit.errors import Conflict, InvalidRequest, KernelkitError, NotFound
from kernelkit.image.catalogue import Image
from kernelkit.image.manifest import Platform
from kernelkit.image.reference import Reference


def remove(
    engine: Engine, word: str, *, force: bool = False, prune: bool = True, platform: Platform | None = None
) -> list[Json]:
    """Take a name away, or with an id all of them; with the last one goes the image, and with `prune` its parents.

    What Docker answers: the names and ids that are gone.  Conflict when something speaks against it, NotFound.
    """
    image = images.find(engine, word, platform)
    alone = _in_one_repository(image)
    if _is_id(image, word):
        _refuse(engine, image, force=force, named=bool(image.tags or image.digests) and not alone)
        return _delete(engine, image, force=force, prune=prune, untagged=_untag_all(engine, image))
    user = next(iter(users(engine, image)), None)
    if user and alone and not force:
        raise Conflict(
            f'conflict: unable to remove repository reference "{word}" (must force) - container {user.short_id} is '
            f"using its referenced image {_short(image)}"
        )
    gone, left = _untag_one(engine, image, Reference.parse(word))
    if left:
        return gone
    try:
        return _delete(engine, image, force=force, prune=prune, untagged=gone)
    except Conflict:
        return gone  # it lost its last name, and stays for whom it is needed


def prune(engine: Engine, filters: Filters) -> Json:
    """Remove those that no container uses: the nameless ones, or all of them with `dangling=false`."""
    check_filters(filters, "dangling", "label", "label!", "until")
    if len(filters.get("until", ())) > 1:
        raise InvalidRequest("more than one until filter specified")
    only_nameless = is_true(filters, "dangling") is not False
    until = when.moment(filters["until"][0]) if filters.get("until") else None
    deleted: list[Json] = []
    before = images.disk_use(engine)
    for image in engine.store.images():
        if (only_nameless and image.tags) or not labels_match(images.labels(image), filters):
            continue
        if (until is not None and images.nanoseconds(image) > until) or users(engine, image):
            continue
        for name in (*image.tags, *image.digests) or (image.id,):
            with contextlib.suppress(KernelkitError):  # in use, or removed by somebody else meanwhile
                deleted += remove(engine, name)
    freed = max(0, before - images.disk_use(engine))
    engine.events.publish("image", "prune", "", {"reclaimed": str(freed)})
    return {"ImagesDeleted": deleted or None, "SpaceReclaimed": freed}


def let_go(engine: Engine, image_id: str) -> None:
    """A container of this image has gone: if the image was removed before, and this was its last one, nothing stays."""
    with contextlib.suppress(KernelkitError):
        image = engine.store.find(image_id)
        if image.retired and not users(engine, image):
            engine.store.remove(image_id)
            engine.trash_has_grown.set()


def sweep(engine: Engine) -> None:
    """What an engine left behind that was killed while a container's removal let its image go."""
    for image in engine.store.retired():
        let_go(engine, image.id)


# inside -----------------------------------------------------------------------------------------------------------


def _is_id(image: Image, word: str) -> bool:
    """Whether the image was named by its id: no tag or digest of it is what the word means."""
    try:
        return Reference.parse(word).familiar() not in (*image.tags, *image.digests)
    except InvalidRequest:
        return True


def _in_one_repository(image: Image) -> bool:
    """Whether it has one tag at most, and is known by digests of no other repository."""
    names = [*image.tags, *image.digests]
    return bool(names) and len(image.tags) <= 1 and len(set(map(_repository, names))) == 1


def _refuse(engine: Engine, image: Image, *, force: bool, named: bool) -> None:
    """Raise the Conflict that speaks against the removal of the image; `named` when names do, `force` what helps."""
    short = _short(image)
    if _children(engine, image):
        raise Conflict(f"conflict: unable to delete {short} (cannot be forced) - image has dependent child images")
    found = users(engine, image)
    for c in found:
        if c.state.running:
            raise Conflict(
                f"conflict: unable to delete {short} (cannot be forced) - image is being used by running container "
                f"{c.short_id}"
            )
    if named and not force:
        raise Conflict(
            f"conflict: unable to delete {short} (must be forced) - image is referenced in multiple repositories"
        )
    if found and not force:
        raise Conflict(
            f"conflict: unable to delete {short} (must be forced) - image is being used by stopped container "
            f"{found[0].short_id}"
        )


def _children(engine: Engine, image: Image) -> bool:
    return any(other.parent == image.id for other in engine.store.images())


def _untag_one(engine: Engine, image: Image, name: Reference) -> tuple[list[Json], bool]:
    """Take one name; with a repository's last tag go the digests it was pulled by.  Whether names are left."""
    taken = [name.familiar()]
    left = [each for each in (*image.tags, *image.digests) if each not in taken]
    if not name.digest and not any(tag in left and _repository(tag) == _repository(taken[0]) for tag in image.tags):
        taken += [each for each in left if _repository(each) == _repository(taken[0])]
        left = [each for each in left if each not in taken]
    return _untag(engine, image, taken), bool(left)


def _untag_all(engine: Engine, image: Image) -> list[Json]:
    return _untag(engine, image, [*image.tags, *image.digests])


def _untag(engine: Engine, image: Image, names: Sequence[str]) -> list[Json]:
    gone: list[Json] = []
    for name in names:
        with contextlib.suppress(NotFound):  # by somebody else, at this moment
            engine.store.untag(Reference.parse(name))
            images.tell(engine, image, "untag")
            gone.append({"Untagged": name})
    return gone


def _delete(engine: Engine, image: Image, *, force: bool, prune: bool, untagged: list[Json]) -> list[Json]:
    """Remove the image and then its parents, as far as nothing speaks against it."""
    _refuse(engine, image, force=force, named=False)
    gone = [*untagged, {"Deleted": image.id}]
    if users(engine, image):
        engine.store.retire(image.id)
        let_go(engine, image.id)  # its containers may have gone at this very moment
    else:
        chains = dict(zip(image.diff_ids, _chain_ids(image), strict=True))
        gone += [{"Deleted": chains[diff_id]} for diff_id in engine.store.remove(image.id)]
        engine.trash_has_grown.set()
    engine.events.publish("image", "delete", image.id, {"name": image.id})
    with contextlib.suppress(KernelkitError):
        parent = images.find(engine, image.parent) if prune and image.parent else None
        if parent and not parent.tags and not parent.digests:
            gone = _delete(engine, parent, force=False, prune=True, untagged=gone)
    return gone


def _chain_ids(image: Image) -> list[str]:
    """The names of a layer with all that lie below it (OCI Image Specification, "Layer ChainID")."""
    found: list[str] = []
    for diff_id in image.diff_ids:
        both = f"{found[-1]} {diff_id}" if found else ""
        found.append(f"sha256:{hashlib.sha256(both.encode()).hexdigest()}" if both else diff_id)
    return found


def _repository(name: str) -> str:
    return Reference.parse(name).familiar_repository


def _short(image: Image) -> str:
    return image.id.partition(":")[2][:12]
