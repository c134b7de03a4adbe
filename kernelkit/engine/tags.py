"""All tags of a repository, for `docker pull --all-tags`."""

from __future__ import annotations

from kernelkit.engine.engine import Engine
from kernelkit.engine.servers import inquire
from kernelkit.image.credentials import Credentials
from kernelkit.image.reference import Reference


def tags(engine: Engine, repository: str, credentials: Credentials | None = None) -> list[Reference]:
    """The names of everything that a repository has; NotFound, AuthenticationFailed, RegistryError."""
    reference = Reference.parse(repository)
    found = inquire(engine, reference, lambda registry: registry.tags(), credentials)
    return [Reference(reference.domain, reference.path, tag) for tag in found]
