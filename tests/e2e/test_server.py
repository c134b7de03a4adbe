"""Requests that are malformed, huge, slow, cut off or many never harm the engine or another request."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from testcontainers.core import config
from testcontainers.core.container import DockerContainer

from tests.conftest import Kernelkit
from tests.patience import PATIENCE, wait_until


class Raw:
    """A connection on which anything can be said."""

    def __init__(self, kk: Kernelkit) -> None:
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(PATIENCE)
        self.socket.connect(str(kk.socket))
        self._rest = b""

    def say(self, text: bytes) -> None:
        """Send it as it is."""
        self.socket.sendall(text)

    def answer(self) -> tuple[int, dict[str, str], bytes]:
        """Status, headers and body of one answer with a length; status 0 when the connection ends before."""
        while b"\r\n\r\n" not in self._rest:
            if not self._more():
                return 0, {}, self._rest
        head, _, self._rest = self._rest.partition(b"\r\n\r\n")
        first, *fields = head.decode().split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (field.partition(":") for field in fields)}
        length = int(headers.get("content-length", "0"))
        while len(self._rest) < length and self._more():
            continue
        body, self._rest = self._rest[:length], self._rest[length:]
        return int(first.split()[1]), headers, body

    def _more(self) -> bool:
        try:
            piece = self.socket.recv(65536)
        except ConnectionResetError:
            return False
        self._rest += piece
        return bool(piece)

    def close(self) -> None:
        """Hang up."""
        self.socket.close()


@pytest.fixture
def raw(shared_kk: Kernelkit) -> Iterator[Raw]:
    connection = Raw(shared_kk)
    yield connection
    connection.close()
    other = Raw(shared_kk)
    other.say(b"GET /_ping HTTP/1.1\r\nHost: x\r\n\r\n")
    assert other.answer()[0] == 200, "the engine answers others as before"
    other.close()


def message(body: bytes) -> str:
    return str(json.loads(body)["message"])


@pytest.mark.parametrize(
    "text",
    [
        b"\x00\x01\x02\x03\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET /_ping HTTP/1.1\r\nno colon here\r\nHost: x\r\n\r\n",
        b"GET /_ping HTTP/1.1\r\n\r\n",  # without Host
        b"POST /containers/create HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n",
        b"POST /containers/create HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
    ],
    ids=["bytes", "no target", "no colon", "no host", "negative length", "two lengths"],
)
def test_what_is_no_request_is_refused_and_the_connection_closed(raw: Raw, text: bytes) -> None:
    raw.say(text)
    status, headers, body = raw.answer()

    assert status == 400
    assert headers["connection"] == "close"
    assert message(body).startswith("malformed request")
    assert raw.answer()[0] == 0


def test_a_head_without_end_is_refused(raw: Raw) -> None:
    fields = [b"X-%d: %s\r\n" % (i, b"y" * 1000) for i in range(200)]
    raw.say(b"GET /_ping HTTP/1.1\r\nHost: x\r\n" + b"".join(fields[:100]))

    assert raw.answer()[0] in (400, 431)
    raw.say(b"".join(fields[100:]))  # who was still talking is heard out, or it would not come to read the answer


def test_a_body_that_is_too_large_is_refused(raw: Raw) -> None:
    raw.say(b"POST /containers/create HTTP/1.1\r\nHost: x\r\nContent-Length: 9000000\r\n\r\n")
    answered = threading.Thread(target=lambda: None)
    answered.start()
    try:
        raw.say(b"[" * 9_000_000)
    except (BrokenPipeError, ConnectionResetError):
        pass  # it did not want to hear it all
    status, _, body = raw.answer()
    assert status == 400
    assert "too large" in message(body)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"{", "invalid JSON"),
        (b"[]", "not an object"),
        (b"[" * 100_000, "invalid JSON"),
        (b"\xff\xfe", "invalid JSON"),
        (b'{"Image": {}, "Cmd": ["x"]}', ""),
        (b'{"Image": "busybox", "HostConfig": []}', "HostConfig"),
        (b'{"Image": "busybox", "Env": "A=b"}', "'Env'"),
        (b'{"Image": "busybox", "HostConfig": {"Memory": "lots"}}', "'Memory' is a string"),
    ],
)
def test_a_body_of_the_wrong_kind_is_refused_in_one_line(raw: Raw, body: bytes, said: str) -> None:
    raw.say(b"POST /containers/create HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
    status, _, answer = raw.answer()

    assert status == 400, answer
    assert said in message(answer)
    assert "\n" not in message(answer)
    assert "Traceback" not in message(answer)


def test_a_body_that_is_cut_off_makes_nothing(raw: Raw, shared_kk: Kernelkit) -> None:
    before = shared_kk.docker("ps", "-aq").stdout
    for _ in range(10):
        other = Raw(shared_kk)
        other.say(b'POST /containers/create HTTP/1.1\r\nHost: x\r\nContent-Length: 500\r\n\r\n{"Image": "busybox"')
        other.close()
    time.sleep(0.2)
    assert shared_kk.docker("ps", "-aq").stdout == before


def test_slow_clients_keep_nobody_waiting(raw: Raw, shared_kk: Kernelkit) -> None:
    slow = [Raw(shared_kk) for _ in range(200)]
    for each in slow:
        each.say(b"GET /_ping HT")
    began = time.monotonic()
    raw.say(b"GET /_ping HTTP/1.1\r\nHost: x\r\n\r\n")
    assert raw.answer()[0] == 200
    assert time.monotonic() - began < 20
    slow[0].say(b"TP/1.1\r\nHost: x\r\n\r\n")
    assert slow[0].answer()[0] == 200, "and are answered when they have come to their end"
    for each in slow:
        each.close()


def test_more_idle_connections_than_there_are_threads_make_room(raw: Raw, shared_kk: Kernelkit) -> None:
    idle = [Raw(shared_kk) for _ in range(1100)]
    with contextlib.suppress(BrokenPipeError):
        raw.say(b"GET /_ping HTTP/1.1\r\nHost: x\r\n\r\n")
    assert raw.answer()[0] in (200, 0)  # it may be the one that has been silent for longest
    assert shared_kk.docker("version", "--format", "{{.Server.APIVersion}}").stdout == "1.50\n"
    for each in idle:
        each.close()


def test_requests_on_one_connection_are_answered_one_after_another(raw: Raw) -> None:
    raw.say(b"GET /_ping HTTP/1.1\r\nHost: x\r\n\r\n" * 3 + b"HEAD /_ping HTTP/1.1\r\nHost: x\r\n\r\n")
    assert [raw.answer()[0] for _ in range(3)] == [200, 200, 200]


def test_a_body_may_come_in_chunks_and_after_being_asked_for(raw: Raw, shared_kk: Kernelkit) -> None:
    body = json.dumps({"Image": "busybox", "Cmd": ["true"]}).encode()
    raw.say(
        b"POST /containers/create?name=chunked HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n"
        b"Expect: 100-continue\r\n\r\n"
    )
    assert raw.answer()[0] == 100
    for byte in (body[:7], body[7:]):
        raw.say(b"%x\r\n%s\r\n" % (len(byte), byte))
    raw.say(b"0\r\n\r\n")
    assert raw.answer()[0] == 201
    shared_kk.docker("rm", "chunked")


def test_the_socket_is_its_owner_s_alone(shared_kk: Kernelkit) -> None:
    assert shared_kk.socket.stat().st_mode & 0o777 == 0o600


def served(url: str) -> bytes:
    """What is served there; nothing by a server that is not listening yet."""
    try:
        with urllib.request.urlopen(url, timeout=PATIENCE) as answer:
            return bytes(answer.read())
    except OSError:
        return b""


def test_testcontainers_starts_waits_and_stops(shared_kk: Kernelkit, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{shared_kk.socket}")
    monkeypatch.setenv("TESTCONTAINERS_RYUK_DISABLED", "true")
    monkeypatch.setattr(config.testcontainers_config, "ryuk_disabled", True)
    command = ["sh", "-c", "mkdir /www; echo hello > /www/index.html; echo ready; exec httpd -f -p 80 -h /www"]
    with DockerContainer("busybox").with_command(command).with_exposed_ports(80) as container:
        wait_until(lambda: b"ready" in container.get_logs()[0])
        port = int(container.get_exposed_port(80))
        wait_until(lambda: served(f"http://127.0.0.1:{port}/") == b"hello\n")
        # The docker package loses what comes in one piece with the head of the answer.
        wait_until(lambda: container.exec(["echo", "inside"]).output == b"inside\n")
        identity = container.get_wrapped_container().id
    assert identity not in shared_kk.docker("ps", "-aq", "--no-trunc").stdout
    assert not (Path(shared_kk.home) / "containers" / identity).exists()
