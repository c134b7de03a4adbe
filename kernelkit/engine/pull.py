"""`pull`: from a name to an image that a container can be stacked on.

manifest → config → layers that are not here yet (see arrival.py) → the image, under its name and digest
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any

from kernelkit.engine.arrival import AT_ONCE, FULL, Arrival, Way, message, short
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
from kernelkit.trace import Trace

Progress = Callable[[dict[str, Any]], None]


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
        self._way = Way(trace)
        self._bases = places

    def run(self) -> Image:
        """From the first request to the image."""
        configured = Places.of(self.store.home)
        bases = list(self._bases if self._bases is not None else configured.bases(self.reference.domain))
        hosts = {base.partition("://")[2] for base in bases}
        connection = Connection(frozenset(host for host in hosts if configured.is_insecure(host)))
        try:
            found = self._resolve(bases, connection)
            self._say(f"Pulling from {self.reference.path}", self.reference.digest or self.reference.tag)
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
            self._way.perform,
            credentials=self._credentials,
            sleep=self._way.sleep,
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
                self._way.renew()
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
                self._say("Already exists", short(layer.digest))
            else:
                self._say("Pulling fs layer", short(layer.digest), {})
                missing[diff_id] = layer
        for layer in list(missing.values())[AT_ONCE:]:
            self._say("Waiting", short(layer.digest), {})
        arrivals = [
            Arrival(self._way, self.store, found.registry, diff_id, layer) for diff_id, layer in missing.items()
        ]
        self._way.go([partial(self._stored, arrival.run) for arrival in arrivals], self._progress)

    def _config(self, found: _Found) -> dict[str, Any]:
        config = found.body.config
        if config.size > LARGEST_ANSWER:
            raise RegistryError(f"the config of '{self.reference.familiar()}' has {config.size} bytes")
        with locked(self.store.lock_path("blob", config.digest), self._way.check):
            if not self.store.blob_path(config.digest).exists():
                download = Download(config, self.store.blob_path(config.digest), lambda _: self._way.check())
                try:
                    found.registry.fetch(download)
                except WrongContent:
                    download.discard()
                    raise
                finally:
                    download.close()
        return manifests.read(self.store.read_blob(config.digest))

    def _stored(self, arrive: Callable[[], None]) -> None:
        with self._storing():
            arrive()

    @contextmanager
    def _storing(self) -> Iterator[None]:
        """What the kernel refuses in here is said in one line."""
        try:
            yield
        except FileNotFoundError as error:
            raise Removed(f"'{error.filename}' has been removed") from None
        except OSError as error:
            hint = "free some space there, or set KERNELKIT_HOME to a folder elsewhere" if error.errno in FULL else ""
            what = (error.strerror or str(error)).lower()
            said = f"cannot keep '{self.reference.familiar()}' in '{self.store.home}': {what}"
            raise KernelkitError(said, hint) from None

    # --- telling

    def _say(self, status: str, name: str = "", detail: dict[str, int] | None = None) -> None:
        """From the thread that called: a message for the client."""
        self._progress(message(status, name, detail))


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
