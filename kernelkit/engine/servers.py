"""Which servers are asked about a repository, one after the other, and as whom."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from kernelkit.engine.engine import Engine
from kernelkit.errors import AuthenticationFailed, KernelkitError, NotFound
from kernelkit.image.credentials import Credentials
from kernelkit.image.http import Broken, Connection
from kernelkit.image.places import HUB_URL, Places
from kernelkit.image.reference import HUB, Reference
from kernelkit.image.registry import Registry
from kernelkit.trace import Operation, Trace

T = TypeVar("T")


def inquire(
    engine: Engine, reference: Reference, question: Callable[[Registry], T], credentials: Credentials | None = None
) -> T:
    """What the registry of a repository answers when nothing is to be fetched; errors as of `ask`."""
    places = Places.of(engine.home)
    bases = places.bases(reference.domain)
    hosts = frozenset(host for host in (base.partition("://")[2] for base in bases) if places.is_insecure(host))
    connection, trace = Connection(hosts), Trace(engine.records.tell)
    try:
        return ask(
            question,
            reference,
            bases,
            connection,
            lambda operation: trace.perform("pull", operation),
            credentials=credentials,
        )
    finally:
        connection.close()


def ask(
    question: Callable[[Registry], T],
    reference: Reference,
    bases: Sequence[str],
    connection: Connection,
    perform: Callable[[Operation], Any],
    *,
    credentials: Credentials | None = None,
    sleep: Callable[[float], None] = time.sleep,
) -> T:
    """The first answer to a question to the repository at these URLs; when none has one, the most telling error.

    A mirror is not told the credentials that were given for the registry it stands for.
    """
    errors: list[KernelkitError] = []
    for base in bases:
        host = base.partition("://")[2]
        hub = HUB_URL if HUB_URL in bases else bases[-1]
        own = host == reference.domain or (reference.domain == HUB and base == hub)
        given = credentials if own and credentials is not None else None
        registry = Registry(
            base,
            reference,
            connection,
            perform,
            credentials=given if given is not None else Credentials.of(reference.domain if own else host),
            sleep=sleep,
        )
        try:
            return question(registry)
        except KernelkitError as error:
            errors.append(error)
    raise max(reversed(errors) if reference.domain == HUB else errors, key=_telling)


def _telling(error: KernelkitError) -> int:
    """How much an error says: a wrong password more than that an image is not there, that more than silence."""
    if isinstance(error, AuthenticationFailed):
        return 3
    return 2 if isinstance(error, NotFound) else 0 if isinstance(error, Broken) else 1
