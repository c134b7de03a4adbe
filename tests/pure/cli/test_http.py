"""The small HTTP client, against answers that are cut, chunked, closed or wrong."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from kernelkit.cli.http import ApiError, Client, query_string, quote
from kernelkit.cli.wire import ConnectionLost
from tests.pure.cli.conftest import Said
from tests.pure.cli.fake_engine import FakeEngine, chunked


@pytest.fixture
def client(fake: FakeEngine) -> Client:
    return Client(str(fake.path))


def raw(content: bytes) -> Callable[[BaseHTTPRequestHandler], None]:
    """Exactly these bytes, and the end of the connection."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.wfile.write(content)
        handler.close_connection = True

    return answer


def test_both_sides_agree_on_the_newest_version_that_both_speak(fake: FakeEngine, client: Client) -> None:
    for theirs, agreed in (("1.41", (1, 41)), ("1.99", (1, 50)), ("1.2", (1, 24)), ("nonsense", (1, 50))):
        fake.version = theirs
        client.version = (1, 50)
        client.ping()
        assert client.version == agreed


def test_the_version_is_in_the_path_but_for_what_is_ours(fake: FakeEngine, client: Client) -> None:
    fake.answers = {"GET /kernelkit/host": {"a": 1}, "GET /info": {"b": 2}}
    client.version = (1, 41)
    assert client.get("/kernelkit/host") == {"a": 1}
    assert client.get("/info") == {"b": 2}


def test_chunks_may_be_cut_anywhere(fake: FakeEngine, client: Client) -> None:
    fake.answers = {"GET /events": chunked(b'{"a"', b':1}\n{"b":', b"2}\n\n", b'{"c":3}')}
    assert list(client.request("GET", "/events").messages()) == [{"a": 1}, {"b": 2}, {"c": 3}]


def test_a_connection_is_used_again_once_its_answer_was_read(fake: FakeEngine, client: Client) -> None:
    fake.answers = {"DELETE /a": (204, None), "GET /b": [1]}
    client.delete("/a")
    first = client._idle[0]
    assert client.get("/b") == [1]
    assert client._idle == [first]


def test_an_answer_without_a_body_gives_its_connection_back_once(fake: FakeEngine, client: Client) -> None:
    fake.answers = {"POST /a": (204, None)}
    answers = [client.send("POST", "/a") for _ in range(3)]
    for pending in answers:
        pending.response().read()
    assert len(client._idle) == len({id(wire) for wire in client._idle}) == 3


def test_an_error_has_the_engine_s_words(fake: FakeEngine, client: Client) -> None:
    fake.answers = {
        "GET /a": (404, {"message": " No such container: x \n"}),
        "GET /b": raw(b"HTTP/1.1 500 X\r\n\r\nplain"),
    }
    for path, status, said in (("/a", 404, "No such container: x"), ("/b", 500, "plain")):
        with pytest.raises(ApiError) as error:
            client.get(path)
        assert (error.value.status, error.value.said) == (status, said)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"SSH-2.0-OpenSSH\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
        b"HTTP/1.1 200 OK\r\nContent-",
    ],
)
def test_an_engine_that_goes_away_is_said_to_be_gone(content: bytes, fake: FakeEngine, client: Client) -> None:
    fake.answers = {"GET /a": raw(content)}
    with pytest.raises(ConnectionLost):
        client.get("/a")


def test_a_body_in_pieces_is_sent_in_chunks(fake: FakeEngine, client: Client) -> None:
    fake.answers = {"PUT /a": (200, None)}
    client.request("PUT", "/a", None, iter([b"one", b"", b"two"])).read()
    assert fake.asked[-1].body == b"onetwo"


def test_an_engine_that_refuses_early_is_heard(fake: FakeEngine, client: Client) -> None:
    """It answers and closes while we still send: its answer counts, not the broken pipe."""
    fake.answers = {"PUT /a": raw(b'HTTP/1.1 404 X\r\nContent-Length: 19\r\n\r\n{"message":"no way"}'[:-1])}
    listener = socket.socket(socket.AF_UNIX)
    path = fake.path.with_name("early")
    listener.bind(str(path))
    listener.listen()

    def refuse() -> None:
        connection, _ = listener.accept()
        connection.recv(10)
        connection.sendall(b'HTTP/1.1 404 X\r\nContent-Length: 20\r\n\r\n{"message":"no way"}')
        connection.shutdown(socket.SHUT_RD)

    threading.Thread(target=refuse, daemon=True).start()
    with pytest.raises(ApiError, match="no way"):
        Client(str(path)).request("PUT", "/a", None, (b"x" * 65536 for _ in range(64)))
    listener.close()


def test_queries_leave_out_what_is_not_said() -> None:
    query = {"b": True, "a": "x y&z", "c": False, "d": None, "e": "", "f": ["1", "2"], "g": 0}
    assert query_string(query) == "?a=x+y%26z&b=1&f=1&f=2&g=0"
    assert quote("/a b/ü", safe=b"/") == "/a%20b/%C3%BC"


def test_nobody_there_is_one_clear_line(cli: Callable[..., Said], tmp_path: Path) -> None:
    said = cli("-H", f"unix://{tmp_path}/nobody", "ps")
    assert said.code == 1
    assert said.err == (
        f"Cannot connect to the engine at unix://{tmp_path}/nobody. Is it running? (No such file or directory)\n"
    )


def test_only_unix_sockets_are_spoken(cli: Callable[..., Said]) -> None:
    said = cli("-H", "tcp://127.0.0.1:2375", "ps")
    assert (said.code, said.err) == (125, "only unix sockets are spoken here: 'tcp://127.0.0.1:2375'\n")
