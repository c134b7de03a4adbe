"""What `tar -c | tar -x` does: a new directory filled with what others have, their owners and dates kept."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass

from kernelkit.kernel.pack import pack
from kernelkit.kernel.tar import Stream
from kernelkit.kernel.untar import untar
from kernelkit.kernel.words import join


@dataclass(frozen=True)
class FillDirectory:
    """Copy what is in `sources`, given from the top and seen as overlayfs would show them, into `target`."""

    sources: tuple[str, ...]
    target: str

    def perform(self) -> None:
        """Pack and unpack at once; OSError, and BadArchive for what an archive cannot hold."""
        with contextlib.closing(pack(*self.sources)) as pieces:
            untar(Stream(pieces), self.target)

    def shell(self) -> str:
        """As tar(1) says it, the lowest first; it does not know what an upper one hides."""
        target = join([self.target])
        return " && ".join(f"tar -C {join([source])} -c . | tar -C {target} -x" for source in reversed(self.sources))
