"""The name of an image, as Docker reads it: `debian`, `library/debian:12`, `localhost:5000/a/b@sha256:…`.

    [DOMAIN/]PATH[:TAG][@DIGEST]

The first component is a domain only when it has a dot or a port, is `localhost`, or has a capital letter; without one
the image is Docker Hub's, and a bare word there is in `library`.  Grammar: the OCI Distribution Specification, "Pulling
manifests", and the reference grammar of Docker's distribution project.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from kernelkit.errors import InvalidRequest

HUB = "docker.io"
_HUB_ALIAS = "index.docker.io"

_LABEL = r"[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?"
_DOMAIN = rf"(?:{_LABEL}(?:\.{_LABEL})*|\[[a-fA-F0-9:]+\])(?::[0-9]+)?"
_COMPONENT = r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*"
_PATH = rf"{_COMPONENT}(?:/{_COMPONENT})*"
_TAG = r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}"
_DIGEST = r"[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9a-fA-F]{32,}"
_GRAMMAR = re.compile(rf"({_DOMAIN})/({_PATH})(?::({_TAG}))?(?:@({_DIGEST}))?")
_IDENTITY = re.compile(r"[a-f0-9]{64}")
_LENGTHS = {"sha256": 64, "sha384": 96, "sha512": 128}  # hexadecimal digits

LONGEST = 255  # characters of domain and path together


@dataclass(frozen=True)
class Reference:
    """An image's full name. With neither tag nor digest written, the tag is `latest`."""

    domain: str
    path: str
    tag: str = ""
    digest: str = ""

    @classmethod
    def parse(cls, text: str) -> Reference:
        """Read a name; raises InvalidRequest, with Docker's words, for one that is none.

        >>> Reference.parse("debian").canonical()
        'docker.io/library/debian:latest'
        """
        if _IDENTITY.fullmatch(text):
            raise InvalidRequest(f"invalid repository name ({text}), cannot specify 64-byte hexadecimal strings")
        domain, rest = _split_domain(text)
        name = rest.split("@")[0].split(":")[0]
        if name != name.lower():
            raise InvalidRequest(f"invalid reference format: repository name ({name}) must be lowercase")
        found = _GRAMMAR.fullmatch(f"{domain}/{rest}")
        if not found:
            raise InvalidRequest("invalid reference format")
        domain, path, tag, digest = found[1], found[2], found[3] or "", found[4] or ""
        if len(f"{domain}/{path}") > LONGEST:
            raise InvalidRequest(f"repository name must not be more than {LONGEST} characters")
        if digest:
            algorithm, _, digits = digest.partition(":")
            if algorithm not in _LENGTHS:
                raise InvalidRequest("unsupported digest algorithm")
            if len(digits) != _LENGTHS[algorithm] or digits != digits.lower():
                raise InvalidRequest("invalid checksum digest length")
        return cls(domain, path, tag or ("" if digest else "latest"), digest)

    @property
    def repository(self) -> str:
        """Domain and path: `docker.io/library/busybox`."""
        return f"{self.domain}/{self.path}"

    @property
    def familiar_repository(self) -> str:
        """The shortest name that means the same repository: `busybox`."""
        if self.domain != HUB:
            return self.repository
        return self.path.removeprefix("library/") if self.path.count("/") == 1 else self.path

    def familiar(self) -> str:
        """As Docker prints it: `busybox:latest`."""
        return self.familiar_repository + self._suffix()

    def canonical(self) -> str:
        """With nothing left out: `docker.io/library/busybox:latest`."""
        return self.repository + self._suffix()

    def _suffix(self) -> str:
        return (f":{self.tag}" if self.tag else "") + (f"@{self.digest}" if self.digest else "")


def _split_domain(text: str) -> tuple[str, str]:
    first, slash, rest = text.partition("/")
    is_domain = slash and ("." in first or ":" in first or first == "localhost" or first != first.lower())
    domain, rest = (first, rest) if is_domain else (HUB, text)
    if domain == _HUB_ALIAS:
        domain = HUB
    if domain == HUB and "/" not in rest:
        rest = f"library/{rest}"
    return domain, rest
