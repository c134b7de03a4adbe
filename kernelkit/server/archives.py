"""Archives over HTTP: files copied in and out, changes told and kept, images saved, loaded, imported and pushed."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from itertools import chain
from typing import Any

from kernelkit.engine import archive, changes, commit, export, importing, loading, push, saving, tags
from kernelkit.engine.engine import Engine
from kernelkit.engine.fetch import Fetch
from kernelkit.engine.model import Container
from kernelkit.engine.telling import telling
from kernelkit.errors import AuthenticationFailed, RegistryError
from kernelkit.image.credentials import Credentials
from kernelkit.image.layer import pieces_of
from kernelkit.server import images
from kernelkit.server.messages import JSON, Answer, Reply, Request, Stream, as_json, empty, line

TAR = "application/x-tar"
PATH_STAT = "X-Docker-Container-Path-Stat"
AT_ONCE = 2048  # lines of `diff` in one piece


def diff(engine: Engine, request: Request) -> Answer:
    """`GET /containers/{id}/changes`."""
    found = changes.changes(engine, _container(engine, request))

    def pieces() -> Iterator[bytes]:
        before = b"["
        lines: list[dict[str, Any]] = []
        for change in found:
            # Of a name that is no text, clients show what cannot be read as such a sign.
            lines.append({"Path": change.path, "Kind": change.kind})
            if len(lines) == AT_ONCE:
                yield before + _inside(lines)
                before = b","
                lines.clear()
        if lines:
            yield before + _inside(lines)
            before = b""
        yield (b"[]" if before == b"[" else b"]") + b"\n"

    return Stream(pieces(), JSON)


def commit_one(engine: Engine, request: Request) -> Answer:
    """`POST /commit`."""
    container = engine.state.container(request.text("container"))
    wish = commit.Wish(
        repository=request.text("repo"),
        tag=request.text("tag"),
        comment=request.text("comment"),
        author=request.text("author"),
        changes=request.texts("changes"),
        config=request.json() or None,
        pause=request.flag("pause", default=True),
    )
    return as_json({"Id": commit.commit(engine, container, wish).id}, 201)


def export_one(engine: Engine, request: Request) -> Answer:
    """`GET /containers/{id}/export`."""
    return Stream(export.export(engine, _container(engine, request)), "application/octet-stream")


def look(engine: Engine, request: Request) -> Answer:
    """`HEAD /containers/{id}/archive`."""
    about = archive.look(engine, _container(engine, request), request.text("path"))
    return Reply(200, b"", TAR, (_path_stat(about),))


def take(engine: Engine, request: Request) -> Answer:
    """`GET /containers/{id}/archive`."""
    about, pieces = archive.take(engine, _container(engine, request), request.text("path"))
    return Stream(pieces, TAR, 200, (_path_stat(about),))


def put(engine: Engine, request: Request) -> Answer:
    """`PUT /containers/{id}/archive`."""
    archive.put(
        engine,
        _container(engine, request),
        request.text("path"),
        request.body,
        keep_kinds=request.flag("noOverwriteDirNonDir"),
        own=request.flag("copyUIDGID"),
    )
    return empty(200)


def create(engine: Engine, request: Request) -> Answer:
    """`POST /images/create`: an import when it says from which source, else a pull."""
    if request.text("fromSrc"):
        return import_one(engine, request)
    try:
        return images.create(engine, request) if _one_tag(request) else pull_all(engine, request)
    except AuthenticationFailed as error:
        # To a 401 Docker's client answers by asking its user for a name and a password, wherever it runs.
        raise RegistryError(error.message, error.hint) from None


def pull_all(engine: Engine, request: Request) -> Answer:
    """A pull of a name without a tag: of all that the repository has."""
    credentials = Credentials.from_header(request.headers.get("x-registry-auth", "")) or None
    names = tags.tags(engine, request.text("fromImage"), credentials)
    fetches = (Fetch(engine, name, request.text("platform"), credentials).messages() for name in names)
    return images.progress(_summed_up(chain.from_iterable(fetches), names[0].familiar_repository if names else ""))


def _summed_up(messages: Iterator[dict[str, Any]], repository: str) -> Iterator[dict[str, Any]]:
    """With one status at the end in place of each tag's."""
    newer = False
    for message in messages:
        if message.get("status", "").startswith("Status: "):
            newer |= "Downloaded" in message["status"]
        else:
            yield message
    how = "Downloaded newer image" if newer else "Image is up to date"
    yield {"status": f"Status: {how} for {repository}"}


def _one_tag(request: Request) -> bool:
    name = request.text("fromImage")
    return bool(not name or request.text("tag") or "@" in name or ":" in name.rpartition("/")[2])


def import_one(engine: Engine, request: Request) -> Answer:
    """`POST /images/create?fromSrc=…`: an archive in the body, or somewhere on the web."""
    source = request.text("fromSrc")
    wish: dict[str, Any] = {
        "repository": request.text("repo"),
        "tag": request.text("tag"),
        "message": request.text("message"),
        "changes": request.texts("changes"),
        "platform": request.text("platform"),
        "source": source,
    }
    if source == "-":
        image = importing.import_files(engine, request.body, **wish)
    else:
        with importing.downloaded(engine, source) as path:
            image = importing.import_files(engine, pieces_of(str(path)), **wish)
    return Stream(iter([line({"status": image.id})]))


def save(engine: Engine, request: Request) -> Answer:
    """`GET /images/get` and `GET /images/{name}/get`."""
    names = [request["name"]] if "name" in request.parts else request.texts("names")
    return Stream(saving.save(engine, names, images.platform(request)), TAR)


def load(engine: Engine, request: Request) -> Answer:
    """`POST /images/load`; the whole archive is here before the first answer is given."""
    messages = _loading(engine, request)
    next(messages)
    return images.progress(messages)


def push_one(engine: Engine, request: Request) -> Answer:
    """`POST /images/{name}/push`."""
    name, tag = request["name"], request.text("tag")
    header = request.headers.get("x-registry-auth", "")
    credentials = Credentials.from_header(header) or None
    platform = images.platform(request)
    return images.progress(telling(lambda tell: push.push(engine, name, tag, credentials, tell, platform), "push"))


def _loading(engine: Engine, request: Request) -> Iterator[dict[str, Any]]:
    platform = images.platform(request)
    with loading.staged(engine, request.body) as folder:
        yield {}
        for message in telling(lambda tell: loading.load(engine, folder, tell, platform), "load"):
            if not (request.flag("quiet") and "progressDetail" in message):
                yield message


def _container(engine: Engine, request: Request) -> Container:
    return engine.state.container(request["id"])


def _path_stat(about: dict[str, Any]) -> tuple[str, str]:
    return PATH_STAT, base64.b64encode(json.dumps(about).encode()).decode()


def _inside(values: list[dict[str, Any]]) -> bytes:
    return json.dumps(values, separators=(",", ":"))[1:-1].encode()
