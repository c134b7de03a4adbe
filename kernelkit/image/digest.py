"""Digests: content is named by its own hash, so whoever receives it can tell that it is what was asked for.

OCI Image Specification, "Descriptors: Digests".
"""

from __future__ import annotations

import hashlib
import re

from kernelkit.errors import RegistryError

_LENGTHS = {"sha256": 64, "sha512": 128}  # hexadecimal digits


def of(content: bytes) -> str:
    """The digest of some content.

    >>> of(b"")[:20]
    'sha256:e3b0c44298fc1'
    """
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def check(digest: object) -> str:
    """The digest, if it is one that can be computed; it may become part of a path. Raises RegistryError."""
    algorithm, _, digits = str(digest).partition(":")
    if _LENGTHS.get(algorithm) != len(digits) or not re.fullmatch("[0-9a-f]+", digits):
        raise RegistryError(f"'{digest}' is not a digest")
    return str(digest)


def matches(digest: str, content: bytes) -> bool:
    """Whether this is the content of that digest."""
    return hashlib.new(digest.partition(":")[0], content).hexdigest() == digest.partition(":")[2]
