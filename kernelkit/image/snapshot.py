"""A layer's archive from what a container has changed."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Generator
from dataclasses import dataclass

from kernelkit.image.manifest import LAYER, Descriptor
from kernelkit.image.press import Press
from kernelkit.kernel.pack import pack
from kernelkit.kernel.words import join

# The archive of nothing: two blocks of zeros.
EMPTY = "sha256:5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef"


@dataclass(frozen=True)
class Packed:
    """What came out: the bytes of files, and the blob that the archive is; its digest is the layer's diff ID."""

    size: int
    blob: Descriptor


@dataclass(frozen=True)
class PackLayer:
    """Pack what the directory `upper` changes in those `below`, given from the top, into an archive, and hash it.

    The archive is not compressed: most of them are never sent anywhere.  Empty files and directories at the paths in
    `made` are left out.
    """

    upper: str
    below: tuple[str, ...]
    archive: str
    made: tuple[str, ...] = ()

    def perform(self) -> Packed:
        """What it is packed into; raises OSError with the kernel's answer."""
        made = frozenset(map(os.fsencode, self.made))
        sizes: list[int] = []

        def pieces() -> Generator[bytes, None, None]:
            sizes.append((yield from pack(self.upper, layer=True, below=self.below, made=made)))

        press = Press(self.archive, compress=False)
        try:
            # Closed at once also when the disk is full: the file that is being read may be removed to make room.
            with contextlib.closing(pieces()) as packed:
                for _ in press.passing(packed):
                    pass
        except BaseException:
            press.finish()
            raise
        return Packed(sizes[0], Descriptor(LAYER, *press.finish()))

    def shell(self) -> str:
        """As tar(1) says it."""
        return join(["tar", "-cf", self.archive, "-C", self.upper, "--sort=name", "--numeric-owner", "--xattrs", "."])
