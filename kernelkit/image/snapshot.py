"""A layer from what a container has changed: copied and packed in one walk, so that each file is read once."""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass

from kernelkit.image.manifest import LAYER, Descriptor
from kernelkit.image.press import Press
from kernelkit.kernel.libc import unshare
from kernelkit.kernel.mirror import Mirror
from kernelkit.kernel.pack import pack
from kernelkit.kernel.untar import CLONE_FS
from kernelkit.kernel.words import join

# The archive of nothing: two blocks of zeros.
EMPTY = "sha256:5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef"


@dataclass(frozen=True)
class Copied:
    """What came out: the digest of the archive, bytes of files, and the blob that the archive is."""

    diff_id: str
    size: int
    blob: Descriptor


@dataclass(frozen=True)
class CopyLayer:
    """Copy what the directory `upper` changes in those `below`, given from the top, into a new directory, and pack it.

    The archive is not compressed: most of them are never sent anywhere.  Empty files and directories at the paths in
    `made` are left out.
    """

    upper: str
    below: tuple[str, ...]
    archive: str
    directory: str
    made: tuple[str, ...] = ()

    def perform(self) -> Copied:
        """Raises OSError with the kernel's answer; both are then half full."""
        os.mkdir(self.directory, 0o755)
        press = Press(self.archive, compress=False)
        failure: list[BaseException] = []
        sizes: list[int] = []

        def work() -> None:
            try:
                unshare(CLONE_FS)  # for a umask of this thread's own
                os.umask(0)
                sizes.append(self._copy(press))
            except BaseException as error:
                failure.append(error)

        thread = threading.Thread(target=work, name="copy")
        thread.start()
        thread.join()
        try:
            digest, size = press.finish()
        except OSError as error:
            failure.append(error)
        if failure:
            raise failure[0]
        return Copied(digest, sizes[0], Descriptor(LAYER, digest, size))

    def shell(self) -> str:
        """As cp(1) and tar(1) say it."""
        copy = join(["cp", "-a", "-T", self.upper, self.directory])
        order = ["--sort=name", "--numeric-owner", "--xattrs"]
        return f"{copy} && {join(['tar', '-cf', self.archive, '-C', self.directory, *order, '.'])}"

    def _copy(self, press: Press) -> int:
        root = os.open(self.directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        mirror = Mirror(root)
        made = frozenset(map(os.fsencode, self.made))
        try:
            for _ in press.passing(pack(self.upper, layer=True, below=self.below, made=made, mirror=mirror)):
                pass
        finally:
            mirror.close()
            os.close(root)
        return mirror.size
