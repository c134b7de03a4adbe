"""An image out of bare files: `docker import`. It has one layer, and knows nothing but what it is told."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from kernelkit.engine.amend import amended
from kernelkit.engine.commit import name
from kernelkit.engine.engine import Engine
from kernelkit.engine.model import now
from kernelkit.errors import InvalidRequest, RegistryError
from kernelkit.image.catalogue import Image
from kernelkit.image.http import Broken, Connection, FetchBlob, Refused
from kernelkit.image.manifest import Platform
from kernelkit.kernel.files import MakeDirectory, MoveToTrash
from kernelkit.kernel.tar import BadArchive
from kernelkit.trace import Trace


def import_files(
    engine: Engine,
    archive: Iterable[bytes],
    *,
    repository: str = "",
    tag: str = "",
    message: str = "",
    changes: Sequence[str] = (),
    platform: str = "",
    source: str = "-",
) -> Image:
    """Make an image of one layer; InvalidRequest for what is no archive, or a name or change that is none."""
    names = [name(repository, tag)] if repository else []
    config = amended({}, changes)
    runs_on = Platform.parse(platform)
    if runs_on.os != "linux":
        raise InvalidRequest("operating system is not supported")
    trace = Trace(engine.records.tell)
    try:
        layer = engine.store.add_layer(archive, trace, "load")
    except BadArchive as error:
        raise InvalidRequest(str(error)) from None
    moment, said = now(), message or f"Imported from {source}"
    whole = {
        "architecture": runs_on.architecture,
        "os": runs_on.os,
        **({"variant": runs_on.variant} if runs_on.variant else {}),
        "created": moment,
        "comment": said,
        "config": {key: value for key, value in config.items() if value},
        "history": [{"created": moment, "comment": said}],
    }
    image = engine.store.add_image(whole, [layer], names=names, tagged=moment if names else "")
    engine.records.pulled(image.id, trace.steps)
    engine.events.publish("image", "import", image.id, {"name": names[0].familiar() if names else image.id})
    return image


@contextmanager
def downloaded(engine: Engine, url: str) -> Iterator[Path]:
    """A file from the web, gone afterwards; InvalidRequest for what is no URL, RegistryError when it does not come."""
    if not url.startswith(("http://", "https://")):
        raise InvalidRequest(f"cannot import from '{url}'", "give a URL that begins with http:// or https://, or -")
    folder = engine.home / "loads" / os.urandom(8).hex()
    trace = Trace(engine.records.tell)
    trace.perform("load", MakeDirectory(os.fspath(folder), 0o700))
    connection = Connection()
    try:
        try:
            trace.perform("load", FetchBlob(url, os.fspath(folder / "archive"), 0, connection=connection))
        except Refused as error:
            raise RegistryError(f"failed to GET {url} with status {error.code}") from None
        except Broken as error:
            # It is no registry that does not answer here.
            raise Broken(f"failed to GET {url}: {error.message.rpartition(': ')[2]}") from None
        yield folder / "archive"
    finally:
        connection.close()
        trace.perform("load", MoveToTrash(os.fspath(folder), os.fspath(engine.trash)))
        engine.trash_has_grown.set()
