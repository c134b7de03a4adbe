"""The images of this home as `docker image` shows, names and removes them."""

from __future__ import annotations

import contextlib
import fnmatch
import os
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Any

from kernelkit.engine import when
from kernelkit.engine.engine import Engine
from kernelkit.engine.listing import Filters, check_filters, is_true, labels_match
from kernelkit.engine.model import NEVER, Container, now
from kernelkit.errors import Conflict, InvalidRequest, KernelkitError, NotFound
from kernelkit.image.catalogue import Image
from kernelkit.image.reference import Reference

Json = dict[str, Any]


def find(engine: Engine, name: str) -> Image:
    """The image of that name, digest, id or beginning of an id; NotFound in Docker's words."""
    try:
        return engine.store.find(name)
    except NotFound:
        raise NotFound(f"No such image: {_familiar(name)}") from None


def listing(engine: Engine, filters: Filters, *, everything: bool = False, shared: bool = False) -> list[Json]:
    """Docker's `ImageSummary` of each, the newest first; those in between, parents without a name, only if asked."""
    check_filters(filters, "before", "since", "dangling", "label", "label!", "reference", "until")
    images = engine.store.images()
    parents = {image.parent for image in images}
    dangling = is_true(filters, "dangling")
    found = []
    for image in _between(engine, images, filters):
        nameless = not image.tags
        between = nameless and image.id in parents
        if (between and not everything) or (dangling is not None and dangling != (nameless and not between)):
            continue
        if filters.get("reference") and not any(_named(image, pattern) for pattern in filters["reference"]):
            continue
        if labels_match(_config(image).get("Labels"), filters):
            found.append(_summary(engine, image, filters.get("reference", ()), shared=shared))
    return found


def inspect(engine: Engine, image: Image) -> Json:
    """Docker's `ImageInspect`."""
    about = image.config
    layers = [os.fspath(layer) for layer in reversed(image.layers)]
    found: Json = {
        "Id": image.id,
        "RepoTags": list(image.tags),
        "RepoDigests": list(image.digests),
        "Parent": image.parent,
        "Comment": about.get("comment") or _comment(about),
        "Created": image.created or NEVER,
        "Container": about.get("container") or "",
        "DockerVersion": about.get("docker_version") or "",
        "Author": about.get("author") or "",
        "Config": {**_config(image)},
        "Architecture": about.get("architecture") or "",
        **({"Variant": about["variant"]} if about.get("variant") else {}),
        "Os": about.get("os") or "linux",
        "Size": image.size,
        "VirtualSize": image.size,
        "GraphDriver": {
            "Data": {
                **({"LowerDir": ":".join(layers[1:])} if len(layers) > 1 else {}),
                "UpperDir": layers[0] if layers else "",
            },
            "Name": "overlay2",
        },
        "RootFS": {"Type": "layers", "Layers": list(image.diff_ids)},
        "Metadata": {"LastTagTime": image.tagged or NEVER},
    }
    if image.manifest:
        found["Descriptor"] = image.manifest.as_json()
    return found


def history(engine: Engine, image: Image) -> list[Json]:
    """Docker's `HistoryResponseItem`s, the newest first."""
    entries = image.config.get("history") or [{} for _ in image.diff_ids]
    diff_ids = iter(image.diff_ids)
    rows: list[Json] = []
    for entry in entries:
        diff_id = "" if entry.get("empty_layer") else next(diff_ids, "")
        layer = engine.store.layer(diff_id) if diff_id else None
        rows.append(
            {
                "Id": "<missing>",
                "Created": _seconds(entry.get("created") or image.created),
                "CreatedBy": entry.get("created_by") or "",
                "Tags": None,
                "Size": layer.size if layer else 0,
                "Comment": entry.get("comment") or "",
            }
        )
    rows.reverse()
    # What was made here from one step to the next has an image of its own for each.
    here: Image | None = image
    for row in rows:
        if here is None:
            break
        row["Id"], row["Tags"] = here.id, list(here.tags) or None
        here = _parent(engine, here)
    return rows


def tag(engine: Engine, image: Image, repository: str, tag: str) -> None:
    """Give an image one more name; InvalidRequest for what is no name."""
    name = _new_name(repository, tag)
    engine.store.tag(image.id, name, tagged=now())
    engine.events.publish("image", "tag", image.id, {"name": name.familiar()})


def remove(engine: Engine, word: str, *, force: bool = False, prune: bool = True) -> list[Json]:
    """Take a name away, and with the last one the image; what Docker answers: the names and ids that are gone.

    Conflict while containers need it: with `force` only running ones count. NotFound.
    """
    image = find(engine, word)
    by_id = _is_id(image, word)
    names = [*image.tags, *(image.digests if by_id or not image.tags else ())]
    if not by_id:
        name = Reference.parse(word)
        kept = [tag for tag in image.tags if tag != name.familiar()]
        if name.digest:
            kept = list(image.tags)
        if kept or (name.digest and len(image.digests) > 1):
            gone = [_untag(engine, image, name)]
            # A repository that has lost its last tag loses the digests it was pulled by as well.
            if not name.digest and name.familiar_repository not in map(_repository, kept):
                digests = [Reference.parse(digest) for digest in image.digests]
                gone += [_untag(engine, image, d) for d in digests if d.familiar_repository == name.familiar_repository]
            return gone
    elif len({_repository(tag) for tag in image.tags}) > 1 and not force:
        short = image.id.partition(":")[2][:12]
        raise Conflict(
            f"conflict: unable to delete {short} (must be forced) - image is referenced in multiple repositories"
        )
    users = _users(engine, image)
    _refuse_used(image, word, users, by_id=by_id, force=force)
    gone = []
    for tagged in names if by_id else image.tags:
        with contextlib.suppress(NotFound):
            gone.append(_untag(engine, image, Reference.parse(tagged)))
    if users:
        return gone  # a stopped container keeps what it stands on, without a name
    with contextlib.suppress(Conflict) if not by_id else contextlib.nullcontext():
        gone += [{"Untagged": digest} for digest in image.digests if {"Untagged": digest} not in gone]
        gone += _delete(engine, image, prune=prune)
    return gone


def prune(engine: Engine, filters: Filters) -> Json:
    """Remove those that no container uses: the nameless ones, or all of them with `dangling=false`."""
    check_filters(filters, "dangling", "label", "label!", "until")
    only_nameless = is_true(filters, "dangling") is not False
    until = when.moment(filters["until"][0]) if filters.get("until") else None
    deleted: list[Json] = []
    before = disk_use(engine)
    for image in engine.store.images():
        if (only_nameless and image.tags) or not labels_match(_config(image).get("Labels"), filters):
            continue
        if (until is not None and _nanoseconds(image.created) > until) or _users(engine, image):
            continue
        with contextlib.suppress(KernelkitError):  # a parent of another one, or removed by somebody else meanwhile
            for name in image.tags:
                deleted.append(_untag(engine, image, Reference.parse(name)))
            deleted += _delete(engine, image, prune=True)
    freed = before - disk_use(engine)
    engine.events.publish("image", "prune", "", {"reclaimed": str(freed)})
    return {"ImagesDeleted": deleted or None, "SpaceReclaimed": max(0, freed)}


def disk_use(engine: Engine) -> int:
    """Bytes of all layers, each counted once."""
    sizes: dict[str, int] = {}
    for image in engine.store.images():
        for diff_id in image.diff_ids:
            layer = engine.store.layer(diff_id)
            sizes[diff_id] = layer.size if layer else 0
    return sum(sizes.values())


def containers(engine: Engine, image: Image) -> int:
    """How many containers were made from it."""
    return len(_users(engine, image))


# inside -----------------------------------------------------------------------------------------------------------


def _summary(engine: Engine, image: Image, patterns: Sequence[str], *, shared: bool) -> Json:
    """Docker's `ImageSummary`; with patterns it tells of those names only that match one."""
    return {
        "Id": image.id,
        "ParentId": image.parent,
        "RepoTags": _fitting(image.tags, patterns),
        "RepoDigests": _fitting(image.digests, patterns),
        "Created": _seconds(image.created),
        "Size": image.size,
        "SharedSize": _shared(engine, image) if shared else -1,
        "VirtualSize": image.size,
        "Labels": _config(image).get("Labels") or {},
        "Containers": containers(engine, image) if shared else -1,
    }


def _shared(engine: Engine, image: Image) -> int:
    """Bytes of the layers that another image has as well."""
    others = {diff_id for other in engine.store.images() if other.id != image.id for diff_id in other.diff_ids}
    layers = (engine.store.layer(diff_id) for diff_id in set(image.diff_ids) & others)
    return sum(layer.size for layer in layers if layer)


def _config(image: Image) -> Json:
    return image.config.get("config") or {}


def _comment(config: Json) -> str:
    entries = config.get("history") or []
    return str(entries[-1].get("comment") or "") if entries else ""


def _between(engine: Engine, images: Iterable[Image], filters: Filters) -> list[Image]:
    tests: list[Callable[[int], bool]] = []
    for word in filters.get("before", ()):
        limit = _nanoseconds(find(engine, word).created)
        tests.append(lambda created, limit=limit: created < limit)  # type: ignore[misc]
    for word in filters.get("since", ()):
        limit = _nanoseconds(find(engine, word).created)
        tests.append(lambda created, limit=limit: created > limit)  # type: ignore[misc]
    for word in filters.get("until", ()):
        limit = when.moment(word)
        tests.append(lambda created, limit=limit: created <= limit)  # type: ignore[misc]
    return [image for image in images if all(test(_nanoseconds(image.created)) for test in tests)]


def _named(image: Image, pattern: str) -> bool:
    """Whether a name of it matches."""
    return any(_fits(name, pattern) for name in (*image.tags, *image.digests))


def _fitting(names: Sequence[str], patterns: Sequence[str]) -> list[str]:
    """Those that match one of the patterns, or all when there is none."""
    return [name for name in names if not patterns or any(_fits(name, pattern) for pattern in patterns)]


def _fits(name: str, pattern: str) -> bool:
    """Whether a name matches `repository[:tag|@digest]` with `*`; without a tag, whatever tag or digest it has."""
    return _glob(name, pattern) or _glob(_repository(name), pattern)


def _glob(name: str, pattern: str) -> bool:
    """Go's path.Match: `*` stands for anything but a slash."""
    parts, wanted = name.split("/"), pattern.split("/")
    return len(parts) == len(wanted) and all(map(fnmatch.fnmatchcase, parts, wanted))


def _parent(engine: Engine, image: Image) -> Image | None:
    if not image.parent:
        return None
    try:
        return engine.store.find(image.parent)
    except NotFound:
        return None


def _new_name(repository: str, tag: str) -> Reference:
    name = Reference.parse(f"{repository}:{tag}" if tag else repository)
    if name.digest:
        raise InvalidRequest("refusing to create a tag with a digest reference")
    return name


def _is_id(image: Image, word: str) -> bool:
    """Whether the image was named by its id: no tag or digest of it is what the word means."""
    try:
        return Reference.parse(word).familiar() not in (*image.tags, *image.digests)
    except InvalidRequest:
        return True


def _familiar(word: str) -> str:
    try:
        return Reference.parse(word).familiar()
    except InvalidRequest:
        return word


def _users(engine: Engine, image: Image) -> list[Container]:
    return [c for c in engine.state.containers() if c.image_id == image.id]


def _refuse_used(image: Image, word: str, users: list[Container], *, by_id: bool, force: bool) -> None:
    running = [c for c in users if c.state.running]
    short = image.id.partition(":")[2][:12]
    if running and (by_id or not force):
        if by_id:
            raise Conflict(
                f"conflict: unable to delete {short} (cannot be forced) - image is being used by running container "
                f"{running[0].short_id}"
            )
        raise Conflict(
            f'conflict: unable to remove repository reference "{word}" (must force) - container '
            f"{running[0].short_id} is using its referenced image {short}"
        )
    if users and not force:
        if by_id:
            raise Conflict(
                f"conflict: unable to delete {short} (must be forced) - image is being used by stopped container "
                f"{users[0].short_id}"
            )
        raise Conflict(
            f'conflict: unable to remove repository reference "{word}" (must force) - container '
            f"{users[0].short_id} is using its referenced image {short}"
        )


def _repository(name: str) -> str:
    return Reference.parse(name).familiar_repository


def _untag(engine: Engine, image: Image, name: Reference) -> Json:
    engine.store.untag(name)
    engine.events.publish("image", "untag", image.id, {"name": image.id})
    return {"Untagged": name.familiar()}


def _delete(engine: Engine, image: Image, *, prune: bool) -> list[Json]:
    """Remove the image and then its parents, as far as they have no name, no other child and no container."""
    in_use = {diff_id for c in engine.state.containers() for diff_id in _layers_of(engine, c)}
    layers = engine.store.remove(image.id, in_use=in_use)
    engine.trash_has_grown.set()
    engine.events.publish("image", "delete", image.id, {"name": image.id})
    gone: list[Json] = [{"Deleted": image.id}, *({"Deleted": diff_id} for diff_id in layers)]
    parent = _parent(engine, image)
    if prune and parent and not parent.tags and not _users(engine, parent):
        with contextlib.suppress(Conflict):
            gone += _delete(engine, parent, prune=True)
    return gone


def _layers_of(engine: Engine, container: Container) -> tuple[str, ...]:
    try:
        return engine.store.find(container.image_id).diff_ids
    except NotFound:
        return ()


def _nanoseconds(created: str) -> int:
    try:
        return when.parse(_utc(created)) if created else 0
    except ValueError:
        return 0


def _seconds(created: str) -> int:
    return _nanoseconds(created) // 1_000_000_000


def _utc(created: str) -> str:
    """A time that somebody else wrote, with or without fraction and zone, as the engine writes it."""
    if created.endswith("Z"):
        return created
    return datetime.fromisoformat(created).astimezone(tz=None).isoformat()
