"""All tags of a repository, for `docker pull --all-tags`."""

from __future__ import annotations

from kernelkit.engine.engine import Engine
from kernelkit.engine.servers import ask
from kernelkit.image.credentials import Credentials
from kernelkit.image.http import Connection
from kernelkit.image.places import Places
from kernelkit.image.reference import Reference
from kernelkit.trace import Trace


def tags(engine: Engine, repository: str, credentials: Credentials | None = None) -> list[Reference]:
    """The names of everything that a repository has; NotFound, AuthenticationFailed, RegistryError."""
    reference = Reference.parse(repository)
    places = Places.of(engine.home)
    bases = places.bases(reference.domain)
    hosts = frozenset(host for host in (base.partition("://")[2] for base in bases) if places.is_insecure(host))
    connection, trace = Connection(hosts), Trace(engine.records.tell)
    try:
        found = ask(
            lambda registry: registry.tags(),
            reference,
            bases,
            connection,
            lambda operation: trace.perform("pull", operation),
            credentials=credentials,
        )
    finally:
        connection.close()
    return [Reference(reference.domain, reference.path, tag) for tag in found]
