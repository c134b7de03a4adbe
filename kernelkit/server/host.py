"""The practice host over HTTP: what it is, ordinary tools run in it, operations performed in it."""

from __future__ import annotations

from typing import Any

from kernelkit.engine import look
from kernelkit.engine.engine import Engine
from kernelkit.errors import InvalidRequest
from kernelkit.server.messages import Answer, Request, as_json


def about(engine: Engine, request: Request) -> Answer:
    """`GET /kernelkit/host`: facts of the practice host."""
    return as_json(look.facts(engine))


def shell(engine: Engine, request: Request) -> Answer:
    """`POST /kernelkit/shell`: run a tool in the host, or in a container's namespaces with the host's tools."""
    body = request.json()
    words, kinds, text = body.get("args"), body.get("kinds") or [], body.get("input") or ""
    if not isinstance(words, list) or not words or not all(isinstance(word, str) for word in words):
        raise InvalidRequest("invalid JSON: 'args' should be a list of strings, the program first")
    if not isinstance(kinds, list) or not isinstance(text, str):
        raise InvalidRequest("invalid JSON: 'kinds' should be a list, 'input' a string")
    return as_json(look.run(engine, words, _container(body), kinds, text))


def perform(engine: Engine, request: Request) -> Answer:
    """`POST /kernelkit/perform`: perform operations in the host or in a container, and tell how each one ended."""
    body = request.json()
    operations = body.get("operations")
    if not isinstance(operations, list):
        raise InvalidRequest("invalid JSON: 'operations' should be a list")
    steps = look.perform(engine, str(body.get("stage") or "lesson"), operations, _container(body))
    return as_json({"steps": steps})


def _container(body: dict[str, Any]) -> str:
    name = body.get("container") or ""
    if not isinstance(name, str):
        raise InvalidRequest("invalid JSON: 'container' should be a name or an id")
    return name
