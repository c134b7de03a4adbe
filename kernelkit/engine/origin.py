"""Brings an image here from wherever this machine gets it: its registry, or the one that kernelkit embeds.

`busybox`, `bash` and `debian` can be made from Debian's packages, so that lesson 1 needs no internet: the embedded
registry is asked like any other, over HTTP, when Docker Hub cannot be reached or the user prefers it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from kernelkit.embedded import recipes, sources
from kernelkit.engine.engine import Engine
from kernelkit.engine.pull import pull
from kernelkit.errors import KernelkitError
from kernelkit.image.catalogue import Image
from kernelkit.image.credentials import Credentials
from kernelkit.image.http import Broken
from kernelkit.image.layer import UnpackLayer
from kernelkit.image.places import Places
from kernelkit.image.reference import HUB, Reference
from kernelkit.trace import Trace

SMALL = ("busybox", "bash")  # made in a second; debian takes a minute of both processors, and is made when asked for

OFFLINE = f"without the internet there are {', '.join(recipes.NAMES)}; KERNELKIT_REGISTRY_MIRRORS names mirrors"

Progress = Callable[[dict[str, Any]], None]


def bring(
    engine: Engine,
    reference: Reference,
    *,
    platform: str = "",
    credentials: Credentials | None = None,
    progress: Progress = lambda _: None,
) -> Image:
    """Pull an image, keep the record of how it came, and tell who watches.

    Raises KernelkitError in one clear line; what `progress` raises ends the pull.
    """
    places = _places(engine, reference, progress)
    trace = Trace(engine.records.tell)
    try:
        image = pull(
            engine.store,
            reference,
            platform=platform,
            credentials=credentials,
            progress=progress,
            trace=trace,
            places=places,
        )
    except Broken as error:
        raise Broken(error.message, OFFLINE) if reference.domain == HUB and not error.hint else error from None
    name = _embedded(reference)
    if name and any(_asked(step.operation, engine.origin) for step in trace.steps):
        sources.remember(engine.home, name)
    # A pull that only found everything in its place has nothing to say of how it came there.
    if any(isinstance(step.operation, UnpackLayer) for step in trace.steps) or not engine.records.pull_of(image.id):
        engine.records.pulled(image.id, trace.steps)
    engine.events.publish("image", "pull", reference.familiar(), {"name": reference.familiar_repository})
    return image


def _places(engine: Engine, reference: Reference, progress: Progress) -> list[str] | None:
    """Which servers to ask for one of the embedded names; None leaves it to the configuration."""
    name = _embedded(reference)
    if not name:
        return None
    mirrors = Places.of(engine.home).mirrors
    wish = sources.setting()
    answers = wish == "fallback" and not mirrors and sources.hub_answers()
    remembered = sources.remembered(engine.home, name)
    order = sources.order(wish, engine.origin, hub_answers=answers or bool(mirrors), remembered=remembered)
    if engine.origin in order and order[0] == engine.origin:
        _make(engine, name, progress)
    return [*mirrors, *order]


def _make(engine: Engine, name: str, progress: Progress) -> None:
    """Make the embedded image unless it has been made, saying what is going on meanwhile."""
    if recipes.ready(engine.home, name):
        return
    said: list[str] = []
    failed: list[KernelkitError] = []

    def make() -> None:
        try:
            recipes.prepare(engine.home, [name], say=said.append)
        except KernelkitError as error:
            failed.append(error)

    making = threading.Thread(target=make, name="embedded images", daemon=True)
    making.start()
    told = 0
    while making.is_alive() or told < len(said):
        while told < len(said):
            progress({"status": said[told]})
            told += 1
        making.join(0.05)
    if failed:
        raise failed[0]


def make_ahead(engine: Engine, names: tuple[str, ...] = SMALL) -> None:
    """Make the small embedded images in the background; what goes wrong is said again when one is pulled."""
    if sources.setting() == "off":
        return

    def make() -> None:
        for name in names:
            try:
                recipes.prepare(engine.home, [name], say=lambda _: None)
            except KernelkitError as error:
                engine.complain(f"make the image {name} ahead: {error}")

    threading.Thread(target=make, name="embedded images", daemon=True).start()


def _embedded(reference: Reference) -> str:
    return "" if reference.digest else sources.embedded_name(reference.domain, reference.path)


def _asked(operation: Any, origin: str) -> bool:
    return str(getattr(operation, "url", "")).startswith(f"{origin}/v2/")
