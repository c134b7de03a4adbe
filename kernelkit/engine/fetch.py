"""Brings an image here for a client that wants to see how it goes: messages as they come, an end when it leaves."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from kernelkit.engine.engine import Engine
from kernelkit.engine.origin import bring
from kernelkit.engine.telling import Tell, telling
from kernelkit.image.credentials import Credentials
from kernelkit.image.reference import Reference

Json = dict[str, Any]


class Fetch:
    """One pull, in a thread of its own; `messages` are Docker's progress objects."""

    def __init__(self, engine: Engine, reference: Reference, platform: str, credentials: Credentials | None) -> None:
        self._engine = engine
        self._reference = reference
        self._platform = platform
        self._credentials = credentials

    def messages(self) -> Iterator[Json]:
        """What there is to tell; raises what went wrong. Breaking off ends the pull."""
        return telling(self._work, "pull")

    def _work(self, tell: Tell) -> None:
        bring(self._engine, self._reference, platform=self._platform, credentials=self._credentials, progress=tell)
