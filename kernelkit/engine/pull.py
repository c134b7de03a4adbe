"""`pull`: from a name to layers that a container can be stacked on.

    manifest → config → layers, three at a time, each one

        socket → file + sha256 ─┐                              thread 1
                                └→ inflate + sha256 ─┐         thread 2
                                                     └→ files  thread 3

A layer's files are written under another name while it is still being downloaded; they get their own only when both
digests are right.  What is here already, is half here, or is being fetched by somebody else is not fetched again.
"""

from __future__ import annotations

import errno
import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from kernelkit.engine.images import not_for
from kernelkit.engine.servers import ask
from kernelkit.errors import InvalidRequest, KernelkitError, NotFound, RegistryError
from kernelkit.image import manifest as manifests
from kernelkit.image.blob import Download, WrongContent
from kernelkit.image.catalogue import Image
from kernelkit.image.credentials import Credentials
from kernelkit.image.http import LARGEST_ANSWER, Connection
from kernelkit.image.lock import locked
from kernelkit.image.manifest import Descriptor, Manifest, Platform
from kernelkit.image.places import Places
from kernelkit.image.reference import Reference
from kernelkit.image.registry import Registry
from kernelkit.image.store import Removed, Store
from kernelkit.trace import Operation, Trace

Progress = Callable[[dict[str, Any]], None]

AT_ONCE = 3  # layers, as Docker
_FULL = (errno.ENOSPC, errno.EDQUOT)
_OFTEN = 0.1  # seconds between two messages about the same layer


def pull(
    store: Store,
    reference: Reference,
    *,
    platform: str = "",
    credentials: Credentials | None = None,
    progress: Progress = lambda _: None,
    trace: Trace | None = None,
    places: Sequence[str] | None = None,
) -> Image:
    """Bring an image here and say how it goes in Docker's messages; raises KernelkitError with one clear line.

    `places` are base URLs to ask in turn, instead of what the configuration says.  `progress` is called in this thread
    only; when it raises, the pull ends at once and what has arrived stays for the next one.
    """
    wanted = Platform.parse(platform)
    return Pull(store, reference, wanted, bool(platform), credentials, progress, trace or Trace(), places).run()


@dataclass
class _Found:
    """What the registry has: the digest that was asked for, the manifest for the platform, and all that led there."""

    registry: Registry
    digest: str
    manifest: Descriptor
    body: Manifest
    blobs: list[tuple[bytes, str]]


class Pull:
    """One pull under way."""

    def __init__(
        self,
        store: Store,
        reference: Reference,
        platform: Platform,
        is_asked: bool,
        credentials: Credentials | None,
        progress: Progress,
        trace: Trace,
        places: Sequence[str] | None,
    ) -> None:
        self.store = store
        self.reference = reference
        self.platform = platform
        self._platform_is_asked = is_asked
        self._credentials = credentials
        self._progress = progress
        self._trace = trace
        self._bases = places
        self._is_over = threading.Event()
        self._disk_is_full = False
        self._messages: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()

    def run(self) -> Image:
        """From the first request to the image."""
        configured = Places.of(self.store.home)
        bases = list(self._bases if self._bases is not None else configured.bases(self.reference.domain))
        hosts = {base.partition("://")[2] for base in bases}
        connection = Connection(frozenset(host for host in hosts if configured.is_insecure(host)))
        try:
            found = self._resolve(bases, connection)
            self._say(f"Pulling from {_path(self.reference)}", self.reference.digest or self.reference.tag)
            was_here = self._is_here(found)
            image = self._bring(found)
        finally:
            connection.close()
        self._say(f"Digest: {found.digest}")
        name = self.reference.familiar()
        self._say(
            f"Status: Image is up to date for {name}" if was_here else f"Status: Downloaded newer image for {name}"
        )
        if self._platform_is_asked and not Platform.of(image.config).rank(self.platform):
            # As Docker has it: what is there for one platform only is what there is.
            self._say(f"WARNING: {not_for(self.platform, name, image)}")
        return image

    # --- what there is

    def _resolve(self, bases: list[str], connection: Connection) -> _Found:
        """Ask one server after the other; when none has it, the most telling answer is raised."""
        return ask(
            self._ask,
            self.reference,
            bases,
            connection,
            self._perform,
            credentials=self._credentials,
            sleep=self._sleep,
        )

    def _ask(self, registry: Registry) -> _Found:
        name = self.reference.digest or self.reference.tag
        digest, content, media_type = registry.manifest(name)
        blobs, top = [], digest
        for _ in range(4):
            value = manifests.read(content)
            kind = value.get("mediaType") or media_type
            if not manifests.is_index(value, media_type):
                kind = kind if kind in manifests.ACCEPTED else manifests.MANIFEST
                blobs.append((content, kind))
                return _Found(registry, top, Descriptor(kind, digest, len(content)), Manifest.parse(value), blobs)
            blobs.append((content, kind))
            chosen = manifests.choose(value, self.platform)
            digest, content, media_type = registry.manifest(chosen.digest)
            if len(content) != chosen.size:
                raise RegistryError(f"manifest '{digest}' has {len(content)} bytes instead of {chosen.size}")
        raise RegistryError(f"the indexes of '{self.reference.familiar()}' lead to ever more indexes")

    def _is_here(self, found: _Found) -> bool:
        try:
            image = self.store.find(found.body.config.digest)
        except (NotFound, InvalidRequest):
            return False
        digest = f"{self.reference.familiar_repository}@{found.digest}"
        named = self.reference.familiar() in image.tags if self.reference.tag and not self.reference.digest else True
        return named and digest in image.digests and all(self.store.layer(diff_id) for diff_id in image.diff_ids)

    # --- bringing it here

    def _bring(self, found: _Found) -> Image:
        tagged = [] if self.reference.digest else [self.reference]
        digest = f"{self.reference.familiar_repository}@{found.digest}"
        for attempt in range(3):
            try:
                self._fetch_all(found)
                with self._storing():
                    for content, media_type in found.blobs:
                        self.store.add_blob(content, media_type)
                    return self.store.add(found.manifest, names=tagged, digests=[digest], tagged=_now())
            except Removed:  # by somebody else, at this very moment: it is fetched again
                if attempt == 2:
                    raise
                self._is_over.clear()
        raise AssertionError("not reached: the last attempt returns or raises")

    def _fetch_all(self, found: _Found) -> None:
        with self._storing():
            config = self._config(found)
        diff_ids = (config.get("rootfs") or {}).get("diff_ids") or []
        if len(diff_ids) != len(found.body.layers):
            raise RegistryError(f"the config of '{self.reference.familiar()}' does not fit its manifest")
        wanted = dict(zip(diff_ids, found.body.layers, strict=True))
        missing = {}
        for diff_id, layer in wanted.items():
            if self.store.layer(diff_id) and self.store.blob_path(layer.digest).exists():
                self._say("Already exists", _short(layer.digest))
            else:
                self._say("Pulling fs layer", _short(layer.digest), {})
                missing[diff_id] = layer
        for layer in list(missing.values())[AT_ONCE:]:
            self._say("Waiting", _short(layer.digest), {})
        self._in_threads([(self._layer, (found.registry, diff_id, layer)) for diff_id, layer in missing.items()])

    def _config(self, found: _Found) -> dict[str, Any]:
        config = found.body.config
        if config.size > LARGEST_ANSWER:
            raise RegistryError(f"the config of '{self.reference.familiar()}' has {config.size} bytes")
        with locked(self.store.lock_path("blob", config.digest), self._check):
            if not self.store.blob_path(config.digest).exists():
                download = Download(config, self.store.blob_path(config.digest), lambda _: self._check())
                try:
                    found.registry.fetch(download)
                except WrongContent:
                    download.discard()
                    raise
                finally:
                    download.close()
        return manifests.read(self.store.read_blob(config.digest))

    def _in_threads(self, tasks: list[tuple[Callable[..., None], tuple[Any, ...]]]) -> None:
        """Run the tasks, and pass on their messages from this thread; the first error ends them all."""
        if not tasks:
            return
        waiting = queue.SimpleQueue[tuple[Callable[..., None], tuple[Any, ...]]]()
        for each in tasks:
            waiting.put(each)
        errors: list[BaseException] = []

        def work() -> None:
            try:
                while not self._is_over.is_set():
                    task, arguments = waiting.get_nowait()
                    with self._storing():
                        task(*arguments)
            except queue.Empty:
                pass
            except BaseException as error:
                errors.append(error)
                self._is_over.set()
            finally:
                self._messages.put(None)

        workers = [threading.Thread(target=work, name="pull") for _ in tasks[:AT_ONCE]]
        for worker in workers:
            worker.start()
        working = len(workers)
        while working:
            message = self._messages.get()
            if message is None:
                working -= 1
            elif not errors:
                try:
                    self._progress(message)
                except BaseException as error:
                    errors.insert(0, error)
                    self._is_over.set()
        for worker in workers:
            worker.join()
        if errors:
            raise errors[0]

    def _layer(self, registry: Registry, diff_id: str, layer: Descriptor) -> None:
        """Have one layer here, unpacked, and its archive beside it."""
        layer_lock = locked(self.store.lock_path("layer", diff_id), self._check)
        blob_lock = locked(self.store.lock_path("blob", layer.digest), self._check)
        with layer_lock, blob_lock:
            try:
                self._download_and_unpack(registry, diff_id, layer)
            except WrongContent as error:
                if not error.resumed:
                    raise
                # What was here before may have been the wrong part of it: once more, from the beginning.
                self.store.blob_path(layer.digest).unlink(missing_ok=True)
                self._download_and_unpack(registry, diff_id, layer)
        self._tell("Pull complete", _short(layer.digest), {})

    def _download_and_unpack(self, registry: Registry, diff_id: str, layer: Descriptor) -> None:
        is_unpacked = self.store.layer(diff_id) is not None
        final = self.store.blob_path(layer.digest)
        if final.exists():
            if not is_unpacked:
                self._unpack(diff_id, layer, None)
            return
        meter = _Meter(self, layer)
        download = Download(layer, final, meter.received)
        fetching = threading.Thread(target=self._fetch, args=(registry, download, meter), name="download")
        fetching.start()
        try:
            if is_unpacked:
                for _ in download.pieces():
                    pass
            else:
                self._unpack(diff_id, layer, meter.extracted(download))
        except BaseException as error:
            download.fail(error)
            fetching.join()
            self._disk_is_full |= isinstance(error, OSError) and error.errno in _FULL
            if isinstance(error, WrongContent) or self._disk_is_full:
                download.discard()
            raise
        finally:
            fetching.join()
            download.close()

    def _fetch(self, registry: Registry, download: Download, meter: _Meter) -> None:
        """In a thread of its own: whoever takes the pieces hears of a failure."""
        try:
            registry.fetch(download)
            meter.is_downloaded = True
            self._tell("Download complete", meter.id, {})
        except BaseException as error:
            download.fail(error)

    def _unpack(self, diff_id: str, layer: Descriptor, source: Iterator[bytes] | None) -> None:
        self.store.unpack(diff_id, layer, self._perform, source=source)

    @contextmanager
    def _storing(self) -> Iterator[None]:
        """What the kernel refuses in here is said in one line."""
        try:
            yield
        except FileNotFoundError as error:
            raise Removed(f"'{error.filename}' has been removed") from None
        except OSError as error:
            hint = "free some space there, or set KERNELKIT_HOME to a folder elsewhere" if error.errno in _FULL else ""
            what = (error.strerror or str(error)).lower()
            message = f"cannot keep '{self.reference.familiar()}' in '{self.store.home}': {what}"
            raise KernelkitError(message, hint) from None

    # --- telling

    def _perform(self, operation: Operation) -> Any:
        self._check()
        return self._trace.perform("pull", operation)

    def _check(self) -> None:
        """Raises when the pull is over, because of an error or because nobody wants it any more."""
        if self._is_over.is_set():
            raise Abandoned("the pull was given up")

    def _sleep(self, seconds: float) -> None:
        self._is_over.wait(seconds)
        self._check()

    def _say(self, status: str, name: str = "", detail: dict[str, int] | None = None) -> None:
        """From the thread that called: a message for the client."""
        self._progress(_message(status, name, detail))

    def _tell(self, status: str, name: str, detail: dict[str, int]) -> None:
        """From any thread."""
        self._messages.put(_message(status, name, detail))


class Abandoned(KernelkitError):
    """The pull ended for another reason while this was going on."""


class _Meter:
    """How far one layer is, told often enough to be watched."""

    def __init__(self, pull: Pull, layer: Descriptor) -> None:
        self.id = _short(layer.digest)
        self.is_downloaded = False
        self._pull = pull
        self._total = layer.size
        self._last = 0.0

    def received(self, current: int) -> None:
        """So many bytes have arrived; raises when they are not wanted any more."""
        self._pull._check()
        self._bar("Downloading", current)
        if current == self._total:
            self._pull._tell("Verifying Checksum", self.id, {})

    def extracted(self, download: Download) -> Iterator[bytes]:
        """The pieces of a download, counted as they are taken."""
        current = 0
        for piece in download.pieces():
            self._pull._check()
            current += len(piece)
            yield piece
            # A client has one line for the layer, and extracting follows downloading there.
            if self.is_downloaded:
                self._bar("Extracting", current)
        self._last = 0.0
        self._bar("Extracting", current)

    def _bar(self, status: str, current: int) -> None:
        now = time.monotonic()
        if now - self._last >= _OFTEN:
            self._last = now
            self._pull._tell(status, self.id, {"current": current, "total": self._total})


def _message(status: str, name: str, detail: dict[str, int] | None) -> dict[str, Any]:
    message: dict[str, Any] = {"status": status}
    if detail is not None:
        message["progressDetail"] = detail
    if name:
        message["id"] = name
    return message


def _short(digest: str) -> str:
    return digest.partition(":")[2][:12]


def _path(reference: Reference) -> str:
    """A repository as Docker's first line names it: without the registry only on Docker Hub."""
    return reference.path


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
