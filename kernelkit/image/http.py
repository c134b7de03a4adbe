"""The requests made to a registry, as operations: what was asked of whom, and how it ended.

    Request     an answer that fits in memory: a manifest, a token
    FetchBlob   one that goes to a file, from some offset on

Both go through a Connection, which knows the credentials: they are not part of the operation, so no record has them.
"""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Mapping
from dataclasses import InitVar, dataclass, field
from typing import Any, Protocol
from urllib.parse import urljoin, urlsplit

import requests
import urllib3
from requests.adapters import HTTPAdapter

from kernelkit.errors import RegistryError
from kernelkit.kernel.words import join

LARGEST_ANSWER = 4 << 20  # bytes; a manifest may be no larger (OCI Distribution Specification, "Pushing Manifests")
PIECE = 1 << 18  # bytes read from a socket at once
_REDIRECTS = 10
_SILENCE = (10, 60)  # seconds to wait for a connection, and for the next byte


class Refused(RegistryError):
    """A registry said no; `code` is HTTP's, `headers` and `body` are what came with it."""

    def __init__(self, message: str, code: int, headers: Mapping[str, str], body: bytes = b"") -> None:
        super().__init__(message)
        self.code = code
        self.headers = headers
        self.body = body


class Broken(RegistryError):
    """A connection that could not be made, or that ended too early."""


@dataclass(frozen=True)
class Answer:
    """What a server said."""

    code: int
    headers: Mapping[str, str]
    body: bytes
    url: str


class Sink(Protocol):
    """Where a blob's bytes go."""

    def restart(self) -> None:
        """Forget what came before: the server begins at the beginning."""

    def write(self, piece: bytes) -> None:
        """Take the next bytes."""


@dataclass
class Connection:
    """Connections to registries, kept open from one request to the next; may be used by several threads.

    `insecure` hosts may show any certificate.
    """

    insecure: frozenset[str] = frozenset()
    agent: str = "kernelkit"
    _authorization: dict[str, str] = field(default_factory=dict)
    _session: requests.Session = field(default_factory=requests.Session)

    def __post_init__(self) -> None:
        if self.insecure:
            warnings.simplefilter("ignore", urllib3.exceptions.InsecureRequestWarning)
        for scheme in ("http://", "https://"):
            self._session.mount(scheme, HTTPAdapter(pool_connections=8, pool_maxsize=8))
        self._session.headers.update({"User-Agent": self.agent, "Accept-Encoding": "identity"})

    def authorize(self, url: str, header: str) -> None:
        """Say this to the server of that URL, and to no other; an empty header takes it back."""
        self._authorization[origin(url)] = header

    def scheme(self, url: str) -> str:
        """`Bearer` or `Basic` when the server of that URL is told who asks, else empty."""
        return self._authorization.get(origin(url), "").partition(" ")[0]

    def open(self, method: str, url: str, headers: Mapping[str, str], body: Any = None) -> requests.Response:
        """Ask, following redirects; the answer's content is not read yet. Raises Broken.

        Another host is not told the credentials, and nothing goes on in plain HTTP that began in HTTPS.
        """
        for _ in range(_REDIRECTS):
            sent = dict(headers)
            if authorization := self._authorization.get(origin(url)):
                sent.setdefault("Authorization", authorization)
            try:
                answer = self._session.request(
                    method,
                    url,
                    headers=sent,
                    data=body,
                    stream=True,
                    allow_redirects=False,
                    timeout=_SILENCE,
                    verify=False if urlsplit(url).netloc in self.insecure else None,
                    auth=_as_it_is,
                )
            except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
                raise Broken(f"no answer from {_place(url)}: {reason(error)}") from None
            if not answer.is_redirect:
                return answer
            where = urljoin(url, answer.headers["Location"])
            answer.close()
            if urlsplit(url).scheme == "https" and urlsplit(where).scheme != "https":
                raise Broken(f"{_place(url)} redirects to plain HTTP")
            if origin(where) != origin(url):
                headers = {name: value for name, value in headers.items() if name.lower() != "authorization"}
            url = where
            if answer.status_code == 303:
                method, body = "GET", None
        raise Broken(f"{_place(url)} redirects too often")

    def close(self) -> None:
        """Close what is open."""
        self._session.close()


@dataclass(frozen=True)
class Request:
    """One request whose answer fits in memory.

    `headers` are (name, value) pairs; `authorization` says only how the server is told who asks, `variable` what the
    shell text calls the answer.
    """

    method: str
    url: str
    headers: tuple[tuple[str, str], ...] = ()
    authorization: str = ""
    variable: str = ""
    connection: InitVar[Connection | None] = None
    secret: InitVar[Mapping[str, str] | None] = None
    body: InitVar[bytes | None] = None

    def __post_init__(
        self, connection: Connection | None, secret: Mapping[str, str] | None, body: bytes | None
    ) -> None:
        object.__setattr__(self, "_private", (connection, secret, body))

    def perform(self) -> Answer:
        """Raises Refused for an answer of 400 and above, Broken for none.

        One exception: who has not said who they are, and is asked to, gets that answer: it is how a registry begins.
        """
        connection, secret, body = self._private  # type: ignore[attr-defined]
        response = (connection or Connection()).open(
            self.method, self.url, {**dict(self.headers), **(secret or {})}, body
        )
        try:
            content = b"" if self.method == "HEAD" else content_of(response)
        finally:
            response.close()
        is_question = response.status_code == 401 and not self.authorization
        if response.status_code >= 400 and not is_question:
            raise refusal(response.status_code, response.headers, content, self.url)
        return Answer(response.status_code, response.headers, content, response.url)

    def shell(self) -> str:
        """As curl(1) says it."""
        method = {"GET": [], "HEAD": ["--head"]}.get(self.method, ["-X", self.method])
        headers = [word for name, value in self.headers for word in ("-H", f"{name}: {value}")]
        text = f"{join(['curl', '-fsSL', *method, *headers, self.url])}{said_authorization(self.authorization)}"
        return f"{self.variable}=$({text} | jq -r '.token // .access_token')" if self.variable else text

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_private": (None, None, None)}


@dataclass(frozen=True)
class FetchBlob:
    """Download a blob of `size` bytes into a file, from `offset` on."""

    url: str
    path: str
    size: int
    offset: int = 0
    authorization: str = ""
    connection: InitVar[Connection | None] = None
    sink: InitVar[Sink | None] = None

    def __post_init__(self, connection: Connection | None, sink: Sink | None) -> None:
        object.__setattr__(self, "_private", (connection, sink))

    def perform(self) -> None:
        """Raises Refused for an answer of 400 and above, Broken when the connection breaks."""
        connection, sink = self._private  # type: ignore[attr-defined]
        headers = {"Range": f"bytes={self.offset}-"} if self.offset else {}
        response = (connection or Connection()).open("GET", self.url, headers)
        sink = sink or _File(self.path)
        with response:
            if response.status_code >= 400:
                raise refusal(response.status_code, response.headers, content_of(response), self.url)
            if self.offset and not _continues(response, self.offset):
                sink.restart()
            try:
                while piece := response.raw.read(PIECE, decode_content=False):
                    sink.write(piece)
            except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
                raise Broken(f"the connection to {_place(self.url)} broke: {reason(error)}") from None

    def shell(self) -> str:
        """As curl(1) says it."""
        resume = ["-C", str(self.offset)] if self.offset else []
        return join(["curl", "-fsSL", *resume, "-o", self.path, self.url]) + said_authorization(self.authorization)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_private": (None, None)}


def origin(url: str) -> str:
    """Scheme, host and port: who would be told (RFC 6454, section 4)."""
    parts = urlsplit(url)
    port = parts.port or {"http": 80, "https": 443}.get(parts.scheme)
    return f"{parts.scheme}://{parts.hostname}:{port}"


def refusal(code: int, headers: Mapping[str, str], body: bytes, url: str) -> Refused:
    """An error answer as an exception that says what the registry says."""
    said = _said(body)
    return Refused(f"{_place(url)} answers {code}{': ' + said if said else ''}", code, headers, body)


def reason(error: BaseException) -> str:
    """What is at the bottom of a chain of network errors, in a few words."""
    while True:
        candidates = (getattr(error, "reason", None), error.__cause__, error.__context__, *error.args)
        inner = next((each for each in candidates if isinstance(each, BaseException)), None)
        if inner is None:
            break
        error = inner
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    text = str(error.args[-1] if error.args else error) or type(error).__name__
    return text.splitlines()[0][:200]


def _as_it_is(request: requests.PreparedRequest) -> requests.PreparedRequest:
    """Stands where requests would otherwise look for a password in ~/.netrc."""
    return request


def content_of(response: requests.Response) -> bytes:
    """An answer's content, when it fits in memory; raises RegistryError, Broken."""
    content = b""
    try:
        while len(content) <= LARGEST_ANSWER and (piece := response.raw.read(PIECE, decode_content=True)):
            content += piece
    except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
        raise Broken(f"the connection to {_place(response.url)} broke: {reason(error)}") from None
    if len(content) > LARGEST_ANSWER:
        raise RegistryError(f"{_place(response.url)} answers with more than {LARGEST_ANSWER} bytes")
    return content


def _continues(response: requests.Response, offset: int) -> bool:
    """Whether the server begins where it was asked to (RFC 9110, section 14.4)."""
    return response.status_code == 206 and response.headers.get("Content-Range", "").startswith(f"bytes {offset}-")


def _said(body: bytes) -> str:
    """The messages in a registry's error answer (OCI Distribution Specification, "Error Codes")."""
    try:
        errors = json.loads(body)["errors"]
        return ", ".join(str(error.get("message") or error.get("code")) for error in errors)
    except (ValueError, KeyError, TypeError, AttributeError):
        return ""


def _place(url: str) -> str:
    return f"registry '{urlsplit(url).netloc}'"


def said_authorization(scheme: str) -> str:
    """Shell has the secrets in variables; the record has none."""
    return {"Bearer": ' -H "Authorization: Bearer $TOKEN"', "Basic": ' -u "$USERNAME:$PASSWORD"'}.get(scheme, "")


class _File:
    """A file as a sink."""

    def __init__(self, path: str) -> None:
        self._path = path

    def restart(self) -> None:
        os.truncate(self._path, 0)

    def write(self, piece: bytes) -> None:
        with open(self._path, "ab") as file:
            file.write(piece)
