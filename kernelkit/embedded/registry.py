"""A small registry over plain HTTP: serves the embedded images, read-only, as Docker Hub would (Registry API v2).

Repositories are named as on Docker Hub (`library/busybox`), so it can stand in for it as a mirror; every request needs
a token, as there.  It reads the folder afresh for each request: an image appears when it has been made.

    python -m kernelkit.embedded.registry DIRECTORY [--port PORT]
"""

from __future__ import annotations

import argparse
import contextlib
import http.server
import json
import os
import re
import signal
import socket
import sys
import threading
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from kernelkit.embedded import ranges
from kernelkit.embedded.layout import INDEX, MANIFEST, Descriptor, Layout
from kernelkit.embedded.recipes import NAMES
from kernelkit.embedded.tokens import LIFETIME, SERVICE, Mint

_NAMESPACE = "library/"

# The paths of the API (Distribution Specification, section Endpoints).
_MANIFEST = re.compile(r"/v2/([a-z0-9._/-]+)/manifests/([A-Za-z0-9_][A-Za-z0-9._:-]*)")
_BLOB = re.compile(r"/v2/([a-z0-9._/-]+)/blobs/(sha256:[0-9a-f]{64})")
_TAGS = re.compile(r"/v2/([a-z0-9._/-]+)/tags/list")


def serve(directory: Path, address: str = "127.0.0.1", port: int = 0, *, log: bool = False) -> Server:
    """Bind a registry for a folder of images to an address; port 0 takes a free one. `start()` makes it answer.

    Raises OSError when the port is taken.
    """
    return Server(directory, address, port, log=log)


class Server:
    """The registry: one thread that accepts, one more for each connection; nothing runs while nobody asks."""

    def __init__(self, directory: Path, address: str, port: int, *, log: bool = False) -> None:
        layout, mint = Layout(directory), Mint(os.urandom(32))

        class Answer(_Answer):
            """An answer from this server's folder, for its tokens."""

        Answer.layout, Answer.mint, Answer.log = layout, mint, log
        self._http = _Listener((address, port), Answer)
        self._thread: threading.Thread | None = None
        self._stopping = False

    @property
    def url(self) -> str:
        """Where it answers: `http://127.0.0.1:40123`."""
        address, port = self._http.server_address[:2]
        return f"http://{address!s}:{port}"

    def start(self) -> None:
        """Answer requests from now on, in threads that do not keep the process alive."""
        self._thread = threading.Thread(target=self._accept, name="embedded registry", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Take no more requests and free the port."""
        self._stopping = True
        if self._thread:
            # The accepting thread sleeps until somebody knocks.
            with contextlib.suppress(OSError):
                socket.create_connection(self._http.server_address[:2], timeout=1).close()  # type: ignore[arg-type]
            self._thread.join()
        self._http.server_close()

    def _accept(self) -> None:
        while not self._stopping:
            self._http.handle_request()


class _Listener(http.server.ThreadingHTTPServer):
    daemon_threads = True
    # All of our sockets are on loopback, where a queue costs nothing and a refusal costs a client a second.
    request_queue_size = 64

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that vanishes in the middle is not worth a traceback."""


class _Refusal(Exception):
    """An error answer: its status, and the code and message of the specification's section Error Codes."""

    def __init__(self, status: HTTPStatus, code: str, message: str) -> None:
        super().__init__(message)
        self.status, self.code, self.message = status, code, message


class _Answer(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 60  # seconds for the next request on a connection, and for each write to a client that does not read
    disable_nagle_algorithm = True
    layout: Layout
    mint: Mint
    log: bool

    def do_GET(self) -> None:
        """Answer a request in full."""
        try:
            self._route()
        except _Refusal as refusal:
            self._refuse(refusal)
        except OSError as error:
            if isinstance(error, ConnectionError | TimeoutError):
                self.close_connection = True
                return
            self._refuse(_Refusal(HTTPStatus.INTERNAL_SERVER_ERROR, "UNKNOWN", error.strerror or str(error)))

    do_HEAD = do_GET

    def _read_only(self) -> None:
        # The body, if any, is not read, so the connection cannot go on.
        self.close_connection = True
        self._refuse(_Refusal(HTTPStatus.METHOD_NOT_ALLOWED, "UNSUPPORTED", "this registry is read-only"))

    do_POST = do_PUT = do_PATCH = do_DELETE = _read_only

    def _route(self) -> None:
        url = urlsplit(self.path)
        if url.path == "/token":
            self._token(parse_qs(url.query))
        elif url.path in ("/v2/", "/v2"):
            self._check_token("")
            self._send_json({})
        elif found := _MANIFEST.fullmatch(url.path):
            self._manifest(self._name(found[1]), found[2])
        elif found := _BLOB.fullmatch(url.path):
            self._blob(self._name(found[1]), found[2])
        elif found := _TAGS.fullmatch(url.path):
            name = self._name(found[1])
            self._send_json({"name": found[1], "tags": sorted(self._tags(name))})
        else:
            raise _Refusal(HTTPStatus.NOT_FOUND, "NOT_FOUND", f"there is nothing at '{url.path}'")

    def _name(self, repository: str) -> str:
        """The image that a repository holds, once the client has shown its token."""
        self._check_token(repository)
        name = repository.removeprefix(_NAMESPACE)
        if repository == name or name not in NAMES:
            raise _Refusal(HTTPStatus.NOT_FOUND, "NAME_UNKNOWN", f"there is no embedded image '{repository}'")
        return name

    def _check_token(self, repository: str) -> None:
        scheme, _, token = self.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not self.mint.allows(token.strip(), repository):
            raise _Refusal(HTTPStatus.UNAUTHORIZED, "UNAUTHORIZED", "authentication required")

    def _token(self, query: dict[str, list[str]]) -> None:
        scopes = [scope for value in query.get("scope", []) for scope in value.split()]
        token = self.mint.issue(scopes)
        self._send_json({"token": token, "access_token": token, "expires_in": LIFETIME})

    def _tags(self, name: str) -> dict[str, Descriptor]:
        tags = self.layout.tags(name)
        if not tags:
            why = "is being prepared, try again in a minute" if self.layout.is_being_made(name) else "is not prepared"
            raise _Refusal(HTTPStatus.NOT_FOUND, "MANIFEST_UNKNOWN", f"the embedded image '{name}' {why}")
        return tags

    def _manifest(self, name: str, reference: str) -> None:
        tags = self._tags(name)
        found = self.layout.blobs(name).get(reference) if ":" in reference else tags.get(reference)
        if found is None or found.media_type not in (INDEX, MANIFEST):
            raise _Refusal(HTTPStatus.NOT_FOUND, "MANIFEST_UNKNOWN", f"manifest unknown: '{name}' has no '{reference}'")
        # A client from before image indexes gets the only platform there is.
        if found.media_type == INDEX and not self._accepts(INDEX) and self._accepts(MANIFEST):
            found = self.layout.children(found)[0]
        self._send_file(found, found.media_type)

    def _accepts(self, media_type: str) -> bool:
        header = ",".join(self.headers.get_all("Accept") or ["*/*"])
        accepted = {part.split(";")[0].strip() for part in header.split(",")}
        return bool(accepted & {media_type, "*/*", "application/*"})

    def _blob(self, name: str, digest: str) -> None:
        found = self.layout.blobs(name).get(digest)
        if found is None:
            raise _Refusal(HTTPStatus.NOT_FOUND, "BLOB_UNKNOWN", f"blob unknown: '{digest}'")
        self._send_file(found, "application/octet-stream")

    def _send_file(self, blob: Descriptor, media_type: str) -> None:
        with self.layout.path(blob.digest).open("rb") as file:
            try:
                part = ranges.parse(self.headers.get("Range"), blob.size)
            except ranges.Unsatisfiable:
                headers = {"Content-Range": f"bytes */{blob.size}"}
                return self._head(HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, "text/plain", 0, headers)
            first, length = part or (0, blob.size)
            headers = {"Docker-Content-Digest": blob.digest, "ETag": f'"{blob.digest}"', "Accept-Ranges": "bytes"}
            if part:
                headers["Content-Range"] = f"bytes {first}-{first + length - 1}/{blob.size}"
            self._head(HTTPStatus.PARTIAL_CONTENT if part else HTTPStatus.OK, media_type, length, headers)
            if self.command != "HEAD":
                self.wfile.flush()
                self.connection.sendfile(file, first, length)
        return None

    def _send_json(self, value: dict[str, Any], status: HTTPStatus = HTTPStatus.OK, **headers: str) -> None:
        body = json.dumps(value).encode() + b"\n"
        self._head(status, "application/json", len(body), {k.replace("_", "-"): v for k, v in headers.items()})
        if self.command != "HEAD":
            self.wfile.write(body)

    def _refuse(self, refusal: _Refusal) -> None:
        headers = {}
        if refusal.status == HTTPStatus.UNAUTHORIZED:
            headers["WWW_Authenticate"] = self._challenge()
        errors = [{"code": refusal.code, "message": refusal.message, "detail": None}]
        self._send_json({"errors": errors}, refusal.status, **headers)

    def _challenge(self) -> str:
        """Where to get the token that is missing (RFC 6750, section 3), by the name the client has for this server."""
        address, port = self.connection.getsockname()[:2]
        host = self.headers.get("Host") or f"{address}:{port}"
        challenge = f'Bearer realm="http://{host}/token",service="{SERVICE}"'
        found = re.match(r"/v2/([a-z0-9._/-]+)/(manifests|blobs|tags)/", self.path)
        return f'{challenge},scope="repository:{found[1]}:pull"' if found else challenge

    def _head(self, status: HTTPStatus, media_type: str, length: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        self.send_header("Docker-Distribution-Api-Version", "registry/2.0")
        self.send_header("Content-Type", media_type)
        self.send_header("Content-Length", str(length))
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()

    def version_string(self) -> str:
        """What the Server header says."""
        return "kernelkit"

    def log_message(self, format: str, *arguments: Any) -> None:
        """A line for each request, on standard error, for those who asked for it."""
        if self.log:
            print(format % arguments, file=sys.stderr, flush=True)


def main(arguments: list[str] | None = None) -> int:
    """Serve until SIGINT or SIGTERM; the first line printed is the URL."""
    parser = argparse.ArgumentParser(prog="python -m kernelkit.embedded.registry")
    parser.add_argument("directory", type=Path, help="the folder of images: HOME/embedded")
    parser.add_argument("--address", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0, the default, takes a free one")
    options = parser.parse_args(arguments)
    # Blocked before any thread exists, so that no thread is interrupted and sigwait gets them.
    ends = (signal.SIGINT, signal.SIGTERM)
    signal.pthread_sigmask(signal.SIG_BLOCK, ends)
    try:
        server = serve(options.directory, options.address, options.port, log=True)
    except OSError as error:
        print(f"kernelkit: cannot listen on '{options.address}:{options.port}': {error.strerror}", file=sys.stderr)
        return 1
    server.start()
    print(server.url, flush=True)
    signal.sigwait(ends)
    server.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
