"""What cp(1) would do if it could reach into a container: an archive unpacked where the container would see it."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import InitVar, dataclass
from typing import Any

from kernelkit.kernel.extract import Tree
from kernelkit.kernel.tar import Entry, Stream
from kernelkit.kernel.untar import Written, unpack
from kernelkit.kernel.words import join


@dataclass(frozen=True)
class UnpackInto:
    """Unpack an archive into the directory `path` of a tree, whose links lead nowhere outside `root`.

    `keep_kinds` refuses to put a file in the place of a directory, or the other way round; `owner` is who gets the
    files, (uid, gid), or empty for whoever the archive says.  `source` gives the archive, `descriptor` is of the root,
    which may be in a mount namespace in which `root` means something else than here.
    """

    root: str
    path: str
    keep_kinds: bool = False
    owner: tuple[int, ...] = ()
    source: InitVar[Iterable[bytes]] = ()
    descriptor: InitVar[int] = -1

    def __post_init__(self, source: Iterable[bytes], descriptor: int) -> None:
        object.__setattr__(self, "_private", (source, descriptor))

    def perform(self) -> Written:
        """Raises BadArchive, or OSError with the kernel's answer; what was written before stays."""
        source, given = self._private  # type: ignore[attr-defined]
        root = os.dup(given) if given >= 0 else os.open(self.root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            tree = Tree(root, os.fsencode(self.path).strip(b"/"), self.keep_kinds)
            return unpack(Stream(source), tree, keep=self._give if self.owner else None)
        finally:
            os.close(root)

    def shell(self) -> str:
        """As tar(1) says it, for an archive on standard input."""
        place = f"{self.root.rstrip('/')}/{self.path.strip('/')}".rstrip("/") or "/"
        become = (
            ["setpriv", f"--reuid={self.owner[0]}", f"--regid={self.owner[1]}", "--clear-groups"] if self.owner else []
        )
        return join([*become, "tar", "-xpf", "-", "-C", place, "--numeric-owner"])

    def _give(self, entry: Entry, parent: bytes, name: bytes) -> bool:
        entry.uid, entry.gid = self.owner
        return True

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_private": ((), -1)}
