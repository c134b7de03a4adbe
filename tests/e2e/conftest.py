"""The engine's API, asked with raw HTTP, and what is asked by both clients."""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlencode

import pytest

from tests.conftest import Kernelkit
from tests.patience import PATIENCE


class Api(http.client.HTTPConnection):
    """One connection to the engine's socket."""

    def __init__(self, kk: Kernelkit) -> None:
        super().__init__("localhost", timeout=PATIENCE)
        self._path = str(kk.socket)

    def connect(self) -> None:
        """To the unix socket."""
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(PATIENCE)
        self.sock.connect(self._path)

    def ask(self, method: str, path: str, body: Any = None, **query: Any) -> tuple[int, Any]:
        """The status and the JSON, or the bytes, of an answer."""
        target = f"{path}?{urlencode(query)}" if query else path
        headers = {"Content-Type": "application/json"} if body is not None else {}
        self.request(method, target, json.dumps(body) if body is not None else None, headers)
        answer = self.getresponse()
        content = answer.read()
        if "json" in (answer.getheader("Content-Type") or "") and content:
            return answer.status, json.loads(content)
        return answer.status, content


@pytest.fixture
def api(shared_kk: Kernelkit) -> Iterator[Api]:
    """A connection to the file's engine; whatever containers a test makes go after it."""
    connection = Api(shared_kk)
    yield connection
    connection.close()
    shared_kk.empty()


Client = Callable[..., Any]


@pytest.fixture(params=["kernelkit", "docker"])
def client(kk: Kernelkit, request: pytest.FixtureRequest) -> Client:
    """One of the two clients."""
    return kk if request.param == "kernelkit" else kk.docker
