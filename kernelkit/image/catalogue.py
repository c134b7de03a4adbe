"""Images and layers as values, and the ways in which a user may name one: tag, digest, id, or the beginning of one."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kernelkit.errors import NotFound
from kernelkit.image.manifest import Descriptor
from kernelkit.image.reference import Reference


@dataclass(frozen=True)
class Layer:
    """One layer as it is stored: `size` is that of its files in bytes, `blob` its archive."""

    diff_id: str
    size: int
    blob: Descriptor


@dataclass(frozen=True)
class Image:
    """An image: `id` is its config's digest, `layers` are directories, bottom to top, `tags` and `digests` names.

    `config` is the OCI image config; `size` the bytes of all layers' files; `parent` the id of the local image it was
    made from; `retired` says that it was removed and is here for containers only.  A layer that occurs twice is listed
    once, where it lies highest: overlay would refuse it, and the result is the same.
    """

    id: str
    config: dict[str, Any] = field(compare=False, repr=False)
    layers: tuple[Path, ...] = ()
    tags: tuple[str, ...] = ()
    digests: tuple[str, ...] = ()
    size: int = 0
    created: str = ""
    parent: str = ""
    tagged: str = ""
    retired: bool = False
    manifest: Descriptor | None = field(default=None, repr=False)

    @property
    def diff_ids(self) -> tuple[str, ...]:
        """The digests of the layers' archives, all of them, bottom to top."""
        return tuple((self.config.get("rootfs") or {}).get("diff_ids") or ())


class Catalogue:
    """Images, with the ways to find them: built once for each state of the index."""

    def __init__(self, images: Iterable[Image]) -> None:
        everything = tuple(images)
        self.images = tuple(image for image in everything if not image.retired)
        self.retired = tuple(image for image in everything if image.retired)
        # Containers know their image by its whole id, and stay when it has been removed.
        self._by_name: dict[str, Image] = {image.id: image for image in everything}
        for image in self.images:
            self._by_name[image.id.partition(":")[2]] = image
            self._by_name.update(dict.fromkeys((*image.tags, *image.digests), image))
            # `busybox` alone means `busybox:latest`; it is what most commands say.
            self._by_name.update({tag.removesuffix(":latest"): image for tag in image.tags if tag.endswith(":latest")})

    def find(self, text: str) -> Image:
        """An image by name, digest, id or the beginning of one."""
        found = self._by_name.get(text)
        if found:
            return found
        name = text if text.startswith("sha256:") and len(text) == 71 else _familiar(text)
        found = self._by_name.get(name)
        if found:
            return found
        if "@" in name and (
            found := self._by_name.get(name.partition("@")[0].rpartition(":")[0] + "@" + name.partition("@")[2])
        ):
            return found
        prefix = text.removeprefix("sha256:")
        alike = [i for i in self.images if i.id.partition(":")[2].startswith(prefix)] if prefix else []
        if len(alike) == 1:
            return alike[0]
        raise NotFound(f"No such image: {name}")


def _familiar(text: str) -> str:
    if len(text) == 64 and all(c in "0123456789abcdef" for c in text):
        return f"sha256:{text}"
    return Reference.parse(text).familiar()
