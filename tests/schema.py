"""Docker's own description of its API, to hold our answers against: /work/shared/specs, or $KERNELKIT_SPECS."""

from __future__ import annotations

import functools
import os
from pathlib import Path
from typing import Any

import jsonschema
import yaml

SPECS = Path(os.environ.get("KERNELKIT_SPECS", "/work/shared/specs"))
VERSIONS = ("v1.41", "v1.50")
# Where Docker itself answers null, as golden/ shows, and its description does not say so.
DOCKER_S_OWN = ("HostConfig.MemorySwappiness",)


def available() -> bool:
    """Whether the descriptions are on this machine."""
    return (SPECS / "docker-engine-api" / "v1.50.yaml").exists()


@functools.cache
def document(version: str) -> dict[str, Any]:
    """The description of one version, its schemas turned from Swagger 2.0 into JSON Schema."""
    text = (SPECS / "docker-engine-api" / f"{version}.yaml").read_text()
    loaded: dict[str, Any] = yaml.load(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    return _nullable(loaded)


def check(answer: Any, method: str, path: str, status: int = 200, version: str = "v1.50") -> None:
    """Fail when an answer is not what the description says of `method` and `path`, as written there."""
    whole = document(version)
    schema = _schema(whole, method, path, status)
    validator = jsonschema.Draft4Validator({**schema, "definitions": whole["definitions"]})
    problems = [e for e in validator.iter_errors(answer) if ".".join(map(str, e.path)) not in DOCKER_S_OWN]
    problems = sorted(problems, key=lambda error: list(map(str, error.path)))
    said = "\n".join(f"{'.'.join(map(str, e.path))}: {e.message[:300]}" for e in problems)
    assert not problems, f"{method} {path} is not as {version} says:\n{said}"


def fields(method: str, path: str, status: int = 200, version: str = "v1.50") -> set[str]:
    """The names of the fields that an answer may have, at its top."""
    whole = document(version)
    schema = _schema(whole, method, path, status)
    return set(_resolved(schema, whole).get("properties", {}))


def _schema(whole: dict[str, Any], method: str, path: str, status: int) -> dict[str, Any]:
    responses = whole["paths"][path][method.lower()]["responses"]
    found: dict[str, Any] = responses.get(status, responses.get(str(status)))["schema"]
    return found


def _resolved(schema: dict[str, Any], whole: dict[str, Any]) -> dict[str, Any]:
    while "$ref" in schema:
        schema = whole["definitions"][schema["$ref"].rpartition("/")[2]]
    return schema


def _nullable(node: Any) -> Any:
    """`x-nullable`, and what Go writes as null for an empty list or map, said in JSON Schema."""
    if isinstance(node, list):
        return [_nullable(item) for item in node]
    if not isinstance(node, dict):
        return node
    found = {
        key: _nullable(value) for key, value in node.items() if key not in ("example", "x-omitempty", "discriminator")
    }
    kind = found.get("type")
    if isinstance(kind, str) and (found.get("x-nullable") or kind in ("array", "object")):
        found["type"] = [kind, "null"]
        if "enum" in found:
            found["enum"] = [*found["enum"], None]
    return found
