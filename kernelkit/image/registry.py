"""A repository in a registry: its manifests and blobs, over the Distribution protocol (Registry API v2).

    GET /v2/NAME/manifests/TAG   → 401, with the name of a token server
    GET TOKEN-SERVER             → a token for this repository
    GET /v2/NAME/manifests/TAG   → an index, and from there by digest all the rest

Each request is an operation, given to `perform`.  A server that is busy is asked again, later each time.  OCI
Distribution Specification; for tokens, Docker's "Token Authentication Specification".
"""

from __future__ import annotations

import email.utils
import random
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode, urljoin, urlsplit

from kernelkit.errors import AuthenticationFailed, NotFound, RegistryError
from kernelkit.image import digest, manifest
from kernelkit.image.blob import Download
from kernelkit.image.credentials import Credentials
from kernelkit.image.http import Answer, Broken, Connection, FetchBlob, Refused, Request, refusal
from kernelkit.image.reference import Reference
from kernelkit.trace import Operation

BUSY = (408, 429, 500, 502, 503, 504)
_MOST_PAGES = 1000
_NEXT = re.compile(r'<([^>]+)>\s*;\s*rel="?next"?')
_CHALLENGE = re.compile(r'(?i)\b(Bearer|Basic)\s+((?:\s*,?\s*\w+=(?:"[^"]*"|[^\s,"]+))+)')
_PARAMETER = re.compile(r'(\w+)=(?:"([^"]*)"|([^\s,"]+))')


@dataclass(frozen=True)
class Patience:
    """How often a server is asked again, and after how many seconds: the first, then twice as many each time."""

    attempts: int = 5
    first: float = 0.5
    longest: float = 60.0


class Registry:
    """One repository at one server; `base` is its URL, `actions` what the token is to allow.

    `sources` are other repositories there, from which layers are to be taken over.
    """

    def __init__(
        self,
        base: str,
        reference: Reference,
        connection: Connection,
        perform: Callable[[Operation], Any],
        *,
        credentials: Credentials | None = None,
        actions: str = "pull",
        sources: tuple[str, ...] = (),
        patience: Patience = Patience(),
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.base = base
        self.reference = reference
        self.connection = connection
        self.credentials = credentials or Credentials()
        self._perform = perform
        self._actions = actions
        self._sources = sources
        self._patience = patience
        self._sleep = sleep

    @property
    def url(self) -> str:
        """The repository's URL, without a slash at its end."""
        return f"{self.base}/v2/{self.reference.path}"

    def manifest(self, name: str) -> tuple[str, bytes, str]:
        """A manifest or index by tag or digest: its digest, content and media type.

        Raises NotFound, AuthenticationFailed, RegistryError.
        """
        accept = (("Accept", ", ".join(manifest.ACCEPTED)),)
        try:
            answer = self.request("GET", f"{self.url}/manifests/{name}", accept)
        except Refused as error:
            raise self._explained(error) from None
        found = digest.of(answer.body)
        if ":" in name:
            if not digest.matches(name, answer.body):
                raise RegistryError(f"manifest verification failed for digest {name}")
            found = name
        elif (claimed := answer.headers.get("Docker-Content-Digest", "")).startswith("sha256:") and claimed != found:
            raise RegistryError(f"manifest verification failed for digest {claimed}")
        return found, answer.body, answer.headers.get("Content-Type", "").partition(";")[0]

    def tags(self) -> list[str]:
        """All tags, asked for page by page. Raises NotFound, AuthenticationFailed, RegistryError."""
        found: list[str] = []
        url = f"{self.url}/tags/list"
        for _ in range(_MOST_PAGES):
            try:
                answer = self.request("GET", url)
            except Refused as error:
                raise self._explained(error) from None
            found += [str(tag) for tag in manifest.read(answer.body).get("tags") or ()]
            following = _NEXT.search(answer.headers.get("Link", ""))
            if not following:
                break
            url = urljoin(answer.url, following[1])
        return found

    def fetch(self, download: Download) -> None:
        """Download a blob to its end, going on from what is there; verified and named when this returns.

        A connection that breaks is made again for as long as each one brings something.
        """
        blob = download.blob
        failures = 0
        while download.received < blob.size:
            before = download.received
            try:
                self._attempt(
                    lambda: FetchBlob(
                        f"{self.url}/blobs/{blob.digest}",
                        str(download.final),
                        blob.size,
                        download.received,
                        self.connection.scheme(self.url),
                        self.connection,
                        download,
                    )
                )
                if download.received < blob.size:
                    raise Broken(f"blob '{blob.digest}' ends after {download.received} of {blob.size} bytes")
                break
            except Refused as error:
                if error.code == 416 and before:  # what is here is not the beginning of what is there
                    download.restart()
                    continue
                if error.code == 404:
                    raise NotFound(f"blob unknown to registry: {blob.digest}") from None
                if error.code not in BUSY or failures + 1 >= self._patience.attempts:
                    raise
                failures += 1
                self._sleep(self._pause(failures, error.headers.get("Retry-After")))
            except Broken:
                failures = 1 if download.received > before else failures + 1
                if failures >= self._patience.attempts:
                    raise
                self._sleep(self._pause(failures, None))
        download.finish()

    def request(
        self, method: str, url: str, headers: tuple[tuple[str, str], ...] = (), body: bytes | None = None
    ) -> Answer:
        """Ask, again if need be; raises Refused or Broken."""
        for attempt in range(1, self._patience.attempts + 1):
            try:
                answer: Answer = self._attempt(
                    lambda: Request(
                        method, url, headers, self.connection.scheme(self.base), "", self.connection, None, body
                    )
                )
                return answer
            except Refused as error:
                if error.code not in BUSY or attempt == self._patience.attempts:
                    raise
                self._sleep(self._pause(attempt, error.headers.get("Retry-After")))
        raise AssertionError("not reached: the last attempt returns or raises")

    def _attempt(self, make: Callable[[], Operation]) -> Any:
        """Perform a request; if the server wants to know who asks, tell it and ask again."""
        for is_second in (False, True):
            try:
                answer = self._perform(make())
                if not (isinstance(answer, Answer) and answer.code == 401):
                    return answer
                refused = refusal(401, answer.headers, answer.body, answer.url)
            except Refused as error:
                if error.code != 401:
                    raise
                refused = error
            if is_second or not self._introduce(refused):
                break
        if self.credentials:
            hint = f"docker login {self.reference.domain}"
            raise AuthenticationFailed("unauthorized: incorrect username or password", hint)
        raise refused

    def _introduce(self, error: Refused) -> bool:
        """Get what the challenge asks for (RFC 9110, section 11.6.1); whether there is something new to say."""
        for scheme, text in _CHALLENGE.findall(error.headers.get("WWW-Authenticate", "")):
            parameters = {name.lower(): quoted or bare for name, quoted, bare in _PARAMETER.findall(text)}
            if scheme.lower() == "bearer":
                self.connection.authorize(self.base, f"Bearer {self._token(parameters)}")
                return True
            if not self.credentials.username:
                raise AuthenticationFailed("no basic auth credentials", f"docker login {self.reference.domain}")
            self.connection.authorize(self.base, self.credentials.basic())
            return True
        if self.credentials:
            raise AuthenticationFailed(
                "unauthorized: incorrect username or password", f"docker login {self.reference.domain}"
            )
        return False

    def _token(self, parameters: dict[str, str]) -> str:
        if self.credentials.registry_token:
            return self.credentials.registry_token
        realm = parameters.get("realm", "")
        if urlsplit(realm).scheme not in ("http", "https"):
            raise RegistryError(f"registry '{urlsplit(self.base).netloc}' names no token server")
        if self.credentials and urlsplit(self.base).scheme == "https" and urlsplit(realm).scheme != "https":
            raise RegistryError(f"registry '{urlsplit(self.base).netloc}' wants a password sent in plain HTTP")
        scope = parameters.get("scope") or f"repository:{self.reference.path}:{self._actions}"
        if self._actions != "pull":  # one token for all that is going to be asked
            others = (f"repository:{path}:pull" for path in self._sources)
            scope = " ".join((f"repository:{self.reference.path}:{self._actions}", *others))
        query = {"service": parameters["service"]} if parameters.get("service") else {}
        try:
            answer = self._perform(self._token_request(realm, query, scope))
            if answer.code == 401:
                raise refusal(401, answer.headers, answer.body, realm)
        except Refused as error:
            if self.credentials and error.code in (400, 401, 403):
                hint = f"docker login {self.reference.domain}"
                raise AuthenticationFailed("unauthorized: incorrect username or password", hint) from None
            raise
        found = manifest.read(answer.body)
        token = found.get("token") or found.get("access_token")
        if not isinstance(token, str):
            raise RegistryError(f"token server '{urlsplit(realm).netloc}' gives no token")
        return token

    def _token_request(self, realm: str, query: dict[str, str], scope: str) -> Request:
        if self.credentials.identity_token:
            form = {**query, "scope": scope, "client_id": "kernelkit", "grant_type": "refresh_token"}
            body = urlencode({**form, "refresh_token": self.credentials.identity_token}).encode()
            kind = (("Content-Type", "application/x-www-form-urlencoded"),)
            return Request("POST", realm, kind, "", "TOKEN", self.connection, None, body)
        scopes = [("scope", each) for each in scope.split(" ")]
        url = f"{realm}{'&' if '?' in realm else '?'}{urlencode([*query.items(), *scopes])}"
        if not self.credentials.username:
            return Request("GET", url, (), "", "TOKEN", self.connection)
        return Request("GET", url, (), "Basic", "TOKEN", self.connection, {"Authorization": self.credentials.basic()})

    def _pause(self, failures: int, retry_after: str | None) -> float:
        """Seconds to wait: what the server says, else twice as long each time, never quite the same."""
        if retry_after:
            asked = _seconds(retry_after)
            if asked > self._patience.longest:
                raise RegistryError(
                    f"registry '{urlsplit(self.base).netloc}' is busy", f"it asks to come back in {asked:.0f} seconds"
                )
            return asked
        doubled = self._patience.first * float(2 ** (failures - 1))
        return min(doubled, self._patience.longest) * random.uniform(0.5, 1.0)

    def _explained(self, error: Refused) -> RegistryError | NotFound:
        """A refusal of a manifest, in Docker's words."""
        said = str(error).partition(": ")[2]
        if error.code == 404:
            return NotFound(
                f"manifest for {self.reference.familiar()} not found: manifest unknown: {said or 'not found'}"
            )
        if error.code in (401, 403):
            return NotFound(
                f"pull access denied for {self.reference.familiar_repository}, repository does not exist or may "
                f"require 'docker login': denied: {said or 'requested access to the resource is denied'}"
            )
        return error


def _seconds(text: str) -> float:
    """A Retry-After header's value (RFC 9110, section 10.2.3): seconds, or a date."""
    if text.strip().isdigit():
        return float(text)
    try:
        return max(0.0, email.utils.parsedate_to_datetime(text).timestamp() - time.time())
    except ValueError:
        return 1.0
