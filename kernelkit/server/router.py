"""Which handler answers which path."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any

from kernelkit.errors import InvalidRequest, NotFound
from kernelkit.server.messages import Answer, Request

NEWEST, OLDEST = (1, 50), (1, 24)  # versions of the Docker Engine API

Handler = Callable[[Any, Request], Answer]
Route = tuple[str, str, Handler]

_VERSION = re.compile(r"/v(\d+)\.(\d+)(/.*)")


class MethodNotAllowed(InvalidRequest):
    """There is such a path, but not for this method."""

    status = 405


class Router:
    """A table of (method, pattern, handler).

    In a pattern `{name}` stands for one piece of the path, `{name...}` for one or more of them: names of images have
    slashes.  The first match wins.
    """

    def __init__(self, routes: Iterable[Route]) -> None:
        self._routes: dict[str, list[tuple[str, re.Pattern[str], Handler]]] = {}
        for method, pattern, handler in routes:
            self._routes.setdefault(_first(pattern), []).append((method, _compile(pattern), handler))

    def find(self, request: Request) -> Handler:
        """The handler of a request, whose `version`, `path` and `parts` are filled in; NotFound, InvalidRequest."""
        versioned = _VERSION.fullmatch(request.path)
        if versioned:
            request.version = int(versioned[1]), int(versioned[2])
            request.path = versioned[3]
            _check(request.version)
        known = False
        for method, pattern, handler in self._routes.get(_first(request.path), ()):
            match = pattern.fullmatch(request.path)
            if match:
                if method == request.method:
                    request.parts = match.groupdict()
                    return handler
                known = True
        if known:
            raise MethodNotAllowed(f"method {request.method} is not allowed for '{request.path}'")
        raise NotFound("page not found")


def _check(version: tuple[int, int]) -> None:
    said = f"client version {version[0]}.{version[1]} is too"
    if version > NEWEST:
        raise InvalidRequest(f"{said} new. Maximum supported API version is {NEWEST[0]}.{NEWEST[1]}")
    if version < OLDEST:
        raise InvalidRequest(
            f"{said} old. Minimum supported API version is {OLDEST[0]}.{OLDEST[1]}, "
            "please upgrade your client to a newer version"
        )


def _first(path: str) -> str:
    return path.split("/", 2)[1] if path.startswith("/") else ""


def _compile(pattern: str) -> re.Pattern[str]:
    pieces = re.split(r"\{(\w+)(\.\.\.)?\}", pattern)
    text = re.escape(pieces[0])
    for name, many, literal in zip(pieces[1::3], pieces[2::3], pieces[3::3], strict=True):
        text += f"(?P<{name}>{'.+' if many else '[^/]+'})" + re.escape(literal)
    return re.compile(text)
