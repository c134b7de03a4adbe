"""`push`: an image goes to a registry, and of it only what is not there yet.

layers, three at a time: there already · taken over from another repository · uploaded  →  config  →  manifest
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from kernelkit.engine import images
from kernelkit.engine.engine import Engine
from kernelkit.engine.telling import Tell
from kernelkit.errors import InvalidRequest, KernelkitError, NotFound
from kernelkit.image import manifest as manifests
from kernelkit.image.catalogue import Image
from kernelkit.image.credentials import Credentials
from kernelkit.image.http import Connection
from kernelkit.image.manifest import Descriptor, Manifest, Platform
from kernelkit.image.places import Places
from kernelkit.image.reference import Reference
from kernelkit.image.upload import WritableRegistry
from kernelkit.trace import Operation, Trace

Json = dict[str, Any]

AT_ONCE = 3  # layers
_OFTEN = 0.1  # seconds between two messages about the same layer
_SOURCES = 3  # repositories that a layer is looked for in


def push(
    engine: Engine,
    repository: str,
    tag: str,
    credentials: Credentials | None,
    tell: Tell,
    platform: Platform | None = None,
) -> None:
    """Push one tag of a repository, or with no tag all of them, telling Docker's messages.

    NotFound for what is not here, or not for that platform, AuthenticationFailed, RegistryError.
    """
    if platform:
        images.find(engine, f"{repository}:{tag}" if tag else repository, platform)
    tell({"status": f"The push refers to repository [{Reference.parse(repository).repository}]"})
    for name in tags_of(engine, repository, tag):
        Push(engine, name, credentials, tell).run()


def tags_of(engine: Engine, repository: str, tag: str) -> list[Reference]:
    """The names that are meant; NotFound in Docker's words when there is none, InvalidRequest for a digest."""
    reference = Reference.parse(f"{repository}:{tag}" if tag else repository)
    if reference.digest:
        raise InvalidRequest("cannot push a digest reference")
    wanted = reference.familiar_repository
    known = sorted(name for image in engine.store.images() for name in image.tags)
    names = [name for name in known if name.rpartition(":")[0] == wanted and tag in ("", name.rpartition(":")[2])]
    if not names:
        what = f"tag does not exist: {reference.familiar()}" if tag else f"No such image: {wanted}"
        if not any(name.rpartition(":")[0] == wanted for name in known):
            what = f"An image does not exist locally with the tag: {wanted}"
        raise NotFound(what)
    return [Reference.parse(name) for name in names]


class Push:
    """One tag on its way."""

    def __init__(self, engine: Engine, name: Reference, credentials: Credentials | None, tell: Tell) -> None:
        self._engine = engine
        self._name = name
        self._credentials = credentials if credentials is not None else Credentials.of(name.domain)
        self._hear = tell
        self._trace = Trace(engine.records.tell)
        self._telling = threading.Lock()
        self._is_over = threading.Event()
        self._image = engine.store.compress(name.familiar(), self._trace, "push")
        self._sources = _sources(engine, name, self._image)

    def run(self) -> None:
        """From the first question to the manifest."""
        described = self._image.manifest
        if described is None:
            raise NotFound(f"No such image: {self._name.familiar()}")
        content = self._engine.store.read_blob(described.digest)
        body = Manifest.parse(manifests.read(content))
        places = Places.of(self._engine.store.home)
        bases = (
            places.bases(self._name.domain)[-1:]
            if self._name.domain == "docker.io"
            else places.bases(self._name.domain)
        )
        hosts = frozenset(h for h in (base.partition("://")[2] for base in bases) if places.is_insecure(h))
        connection = Connection(hosts)
        try:
            registry = self._reached(bases, connection, body.config)
            layers = dict(zip(self._image.diff_ids, body.layers, strict=True))
            self._send_all(registry, layers)
            self._send_config(registry, body.config)
            registry.put_manifest(self._name.tag, content, described.media_type)
        finally:
            connection.close()
        self._note(described)

    def _reached(self, bases: list[str], connection: Connection, config: Descriptor) -> WritableRegistry:
        """The first server that answers; what is asked is whether the config is there, which is asked anyway."""
        failed: KernelkitError | None = None
        for base in bases:
            registry = WritableRegistry(
                base,
                self._name,
                connection,
                self._perform,
                credentials=self._credentials,
                actions="pull,push",
                sources=tuple(dict.fromkeys(path for paths in self._sources.values() for path in paths)),
                sleep=self._sleep,
            )
            try:
                registry.has(config.digest)
                return registry
            except KernelkitError as error:
                failed = failed or error
        raise failed or NotFound(f"no registry for '{self._name.familiar()}'")

    def _send_all(self, registry: WritableRegistry, layers: dict[str, Descriptor]) -> None:
        for diff_id in layers:
            self._tell("Preparing", diff_id, {})
        for diff_id in list(layers)[AT_ONCE:]:
            self._tell("Waiting", diff_id, {})
        with ThreadPoolExecutor(AT_ONCE, "push") as pool:
            tasks = [pool.submit(self._send, registry, diff_id, blob) for diff_id, blob in layers.items()]
            failed: list[BaseException] = []
            for task in tasks:
                error = task.exception()
                if error:
                    self._is_over.set()
                    failed.append(error)
        # The others' "was given up" says less than what it was given up for.
        for error in sorted(failed, key=lambda error: isinstance(error, Abandoned)):
            raise error

    def _send(self, registry: WritableRegistry, diff_id: str, blob: Descriptor) -> None:
        try:
            if registry.has(blob.digest):
                self._tell("Layer already exists", diff_id)
                return
            source = next(iter(self._sources.get(blob.digest, ())), "")
            meter = self._meter(diff_id, blob)
            meter(0)
            if registry.send(blob, os.fspath(self._engine.store.blob_path(blob.digest)), meter, source):
                self._tell("Pushed", diff_id)
            else:
                self._tell(f"Mounted from {source}", diff_id)
        except BaseException:
            self._is_over.set()
            raise

    def _send_config(self, registry: WritableRegistry, config: Descriptor) -> None:
        if not registry.has(config.digest):
            registry.send(config, os.fspath(self._engine.store.blob_path(config.digest)))

    def _note(self, described: Descriptor) -> None:
        """Remember the digest under which it is there now, and say it."""
        name, digest = self._name, described.digest
        self._engine.store.add(described, names=[name], digests=[f"{name.familiar_repository}@{digest}"])
        self._engine.events.publish("image", "push", name.familiar(), {"name": name.familiar_repository})
        self._hear({"status": f"{name.tag}: digest: {digest} size: {described.size}"})
        about = {"Tag": name.tag, "Digest": digest, "Size": described.size}
        self._hear({"progressDetail": {}, "aux": about})

    def _meter(self, diff_id: str, blob: Descriptor) -> Callable[[int], None]:
        last = 0.0

        def sent(current: int) -> None:
            nonlocal last
            self._check()
            if time.monotonic() - last >= _OFTEN or current == blob.size:
                last = time.monotonic()
                self._tell("Pushing", diff_id, {"current": current, "total": blob.size})

        return sent

    def _perform(self, operation: Operation) -> Any:
        self._check()
        return self._trace.perform("push", operation)

    def _check(self) -> None:
        if self._is_over.is_set():
            raise Abandoned("the push was given up")

    def _sleep(self, seconds: float) -> None:
        self._is_over.wait(seconds)
        self._check()

    def _tell(self, status: str, diff_id: str, detail: Json | None = None) -> None:
        message = {"status": status, "progressDetail": detail or {}, "id": diff_id.partition(":")[2][:12]}
        with self._telling:
            self._hear(message)


class Abandoned(KernelkitError):
    """The push ended for another reason while this was going on."""


def _sources(engine: Engine, name: Reference, image: Image) -> dict[str, list[str]]:
    """Other repositories of the same registry in which a layer is, as far as is known here: digest → paths."""
    found: dict[str, list[str]] = {}
    mine = set(image.diff_ids)
    for other in engine.store.images():
        # Only what was pulled from there or pushed there has a digest's name.
        names = [Reference.parse(text) for text in other.digests]
        paths = [each.path for each in names if each.domain == name.domain and each.path != name.path]
        for diff_id in mine & set(other.diff_ids) if paths else ():
            layer = engine.store.layer(diff_id)
            if layer:
                known = found.setdefault(layer.blob.digest, [])
                known += [path for path in paths if path not in known][: _SOURCES - len(known)]
    return found
