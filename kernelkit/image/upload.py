"""A repository that is written to: blobs uploaded, taken over from other repositories, and manifests put on top.

    HEAD  /v2/NAME/blobs/DIGEST                          → 200: it is there, nothing is sent
    POST  /v2/NAME/blobs/uploads/?mount=DIGEST&from=…    → 201: taken over; 202: send it, to the place it names
    PATCH the place, with the bytes                      → again from where the registry is, when the connection broke
    PUT   the place?digest=DIGEST                        → 201
    PUT   /v2/NAME/manifests/TAG

OCI Distribution Specification, "Push".
"""

from __future__ import annotations

import re
from collections.abc import Callable
from urllib.parse import urlencode, urljoin, urlsplit

from kernelkit.errors import RegistryError
from kernelkit.image.http import Answer, Broken, Refused
from kernelkit.image.manifest import Descriptor
from kernelkit.image.registry import BUSY, Registry
from kernelkit.image.send import SendBlob

_RECEIVED = re.compile(r"(?:bytes=)?0-(\d+)")
_FORGOTTEN = (404, 416)  # the registry knows nothing of the upload, or is elsewhere in it


class WritableRegistry(Registry):
    """One repository at one server, to push to."""

    def has(self, digest: str) -> bool:
        """Whether a blob is there already. Raises RegistryError."""
        try:
            return self.request("HEAD", f"{self.url}/blobs/{digest}").code == 200
        except Refused as error:
            if error.code == 404:
                return False
            raise self._denied(error) from None

    def send(self, blob: Descriptor, path: str, sent: Callable[[int], None] = lambda _: None, source: str = "") -> bool:
        """Upload a blob; False when it was taken over from the repository `source` instead.

        A connection that breaks is made again for as long as each one brings something.  Where a registry has lost what
        it had (docker-registry 2.8 gives up an upload that broke off in the middle), it gets it from the beginning.
        """
        place = self._begin({"mount": blob.digest, "from": source} if source else {})
        if not place:
            return False
        offset = failures = 0
        is_broken = False
        while offset < blob.size:
            try:
                if is_broken:
                    before, (place, offset) = offset, self._resume(place)
                    failures = 1 if offset > before else failures
                is_broken = True
                place, offset = self._send(place, blob, path, offset, sent), blob.size
            except (Refused, Broken) as error:
                if isinstance(error, Refused) and error.code not in (*BUSY, *_FORGOTTEN):
                    raise self._denied(error) from None
                failures += 1
                if failures >= self._patience.attempts:
                    raise
                self._sleep(self._pause(failures, None))
        sent(blob.size)
        try:
            self.request("PUT", f"{place}{'&' if '?' in place else '?'}{urlencode({'digest': blob.digest})}")
        except Refused as error:
            raise self._denied(error) from None
        return True

    def put_manifest(self, name: str, content: bytes, media_type: str) -> None:
        """Give the repository a manifest under a tag or its digest."""
        try:
            self.request("PUT", f"{self.url}/manifests/{name}", (("Content-Type", media_type),), content)
        except Refused as error:
            raise self._denied(error) from None

    def _begin(self, query: dict[str, str]) -> str:
        """Where to upload to; empty when the blob is there now, taken over from another repository."""
        url = f"{self.url}/blobs/uploads/"
        try:
            answer = self.request("POST", f"{url}?{urlencode(query)}" if query else url)
        except Refused as error:
            raise self._denied(error) from None
        if answer.code == 201:
            return ""
        if not answer.headers.get("Location"):
            raise RegistryError(f"registry '{urlsplit(self.base).netloc}' does not say where to upload to")
        return urljoin(answer.url, answer.headers["Location"])

    def _send(self, place: str, blob: Descriptor, path: str, offset: int, sent: Callable[[int], None]) -> str:
        """Send all from `offset` on; where to go on."""

        def operation() -> SendBlob:
            scheme = self.connection.scheme(place)
            return SendBlob(place, path, blob.size, offset, scheme, self.connection, sent)

        answer: Answer = self._attempt(operation)
        return urljoin(place, answer.headers.get("Location") or place)

    def _resume(self, place: str) -> tuple[str, int]:
        """Where to go on and from which byte: from the beginning when the registry has forgotten the upload."""
        try:
            answer = self.request("GET", place)
        except Refused:
            return self._begin({}), 0
        received = _RECEIVED.fullmatch(answer.headers.get("Range", ""))
        # A registry that has nothing yet says 0-0, as if it had one byte.
        offset = int(received[1]) + 1 if received and received[1] != "0" else 0
        return urljoin(place, answer.headers.get("Location") or place), offset

    def _denied(self, error: Refused) -> RegistryError:
        """A refusal of an upload, in Docker's words."""
        if error.code not in (401, 403):
            return error
        said = str(error).partition(": ")[2] or "requested access to the resource is denied"
        return RegistryError(f"denied: {said}", f"docker login {self.reference.domain}")
