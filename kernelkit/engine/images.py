"""The images of this home as `docker image` finds, lists, inspects and names them."""

from __future__ import annotations

import fnmatch
import os
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Any

from kernelkit.engine import when
from kernelkit.engine.engine import Engine
from kernelkit.engine.listing import Filters, check_filters, is_true, labels_match
from kernelkit.engine.model import NEVER, Container, now
from kernelkit.errors import InvalidRequest, NotFound
from kernelkit.image.catalogue import Image
from kernelkit.image.manifest import Platform
from kernelkit.image.reference import Reference

Json = dict[str, Any]

ALGORITHM = "sha256"  # what looks like a digest is no name


def find(engine: Engine, name: str, platform: Platform | None = None) -> Image:
    """The image of that name, digest, id or beginning of an id, for that platform; NotFound in Docker's words."""
    try:
        image = engine.store.find(name)
        if image.retired:
            raise NotFound("it is here for containers only")
    except NotFound:
        raise NotFound(f"No such image: {_familiar(name)}") from None
    if platform and not Platform.of(image.config).rank(platform):
        raise NotFound(not_for(platform, name, image))
    return image


def not_for(platform: Platform, name: str, image: Image) -> str:
    """What is said when an image is here, and not for the platform that was asked for."""
    return (
        f"image with reference {name} was found but its platform ({Platform.of(image.config)}) does not match the "
        f"specified platform ({platform})"
    )


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
        "ContainerConfig": about.get("container_config") or {},
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
    tell(engine, image, "tag", name.familiar())


def disk_use(engine: Engine) -> int:
    """Bytes of all layers, each counted once; those that only a container stands on among them."""
    sizes: dict[str, int] = {}
    for image in (*engine.store.images(), *engine.store.retired()):
        for diff_id in image.diff_ids:
            layer = engine.store.layer(diff_id)
            sizes[diff_id] = layer.size if layer else 0
    return sum(sizes.values())


def users(engine: Engine, image: Image) -> list[Container]:
    """The containers that were made from it, or have it mounted."""
    return [c for c in engine.state.containers() if image.id in (c.image_id, *mounted_images(c))]


def mounted_images(container: Container) -> list[str]:
    """The ids of the images that a container has mounted."""
    return [mount["Spec"]["Image"] for mount in container.mounts if mount["Type"] == "image"]


def labels(image: Image) -> dict[str, str]:
    """The labels of an image."""
    return dict(_config(image).get("Labels") or {})


def nanoseconds(image: Image) -> int:
    """When an image was made, since the epoch; 0 when nobody wrote it down."""
    return _nanoseconds(image.created)


def tell(engine: Engine, image: Image, action: str, name: str = "") -> None:
    """Publish what happened to an image; its labels go with it, as Docker's do."""
    engine.events.publish("image", action, image.id, {**labels(image), "name": name or image.id})


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
        "Containers": len(users(engine, image)) if shared else -1,
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
    if name.familiar_repository == ALGORITHM:
        raise InvalidRequest("refusing to create an ambiguous tag using digest algorithm as name")
    return name


def _familiar(word: str) -> str:
    try:
        return Reference.parse(word).familiar()
    except InvalidRequest:
        return word


def _repository(name: str) -> str:
    return Reference.parse(name).familiar_repository


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
