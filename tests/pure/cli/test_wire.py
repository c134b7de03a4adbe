"""How an answer is read from a connection, whatever its bytes come like."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from kernelkit.cli.wire import ConnectionLost, Response, Wire


def wire(tmp_path: Path, content: bytes) -> Wire:
    """A connection over which these bytes have come, and its end."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "socket"))
        listener.listen()
        connection = Wire(str(tmp_path / "socket"))
        there, _ = listener.accept()
        there.sendall(content)
        there.close()
    return connection


def test_a_line_has_no_end_and_what_follows_is_kept(tmp_path: Path) -> None:
    connection = wire(tmp_path, b"one\r\ntwo\nrest")
    assert (connection.line(), connection.line(), connection.receive()) == (b"one", b"two", b"rest")
    with pytest.raises(ConnectionLost):
        connection.line()


def test_answers_that_only_say_wait_are_passed_over(tmp_path: Path) -> None:
    content = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
    answer = Response(wire(tmp_path, content), "POST", lambda _: None)
    assert (answer.status, answer.read()) == (200, b"ok")


def test_an_answer_to_head_has_no_body_whatever_its_length(tmp_path: Path) -> None:
    kept: list[Wire] = []
    answer = Response(wire(tmp_path, b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"), "HEAD", kept.append)
    assert (answer.read(), kept) == (b"", [answer.wire])


def test_a_wire_is_kept_once_its_answer_was_read_and_not_before(tmp_path: Path) -> None:
    kept: list[Wire] = []
    answer = Response(wire(tmp_path, b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1"), "GET", kept.append)
    assert kept == []
    assert (answer.read(), answer.read(), kept) == (b"ok", b"", [answer.wire])
    assert answer.wire.receive() == b"HTTP/1.1"


def test_a_wire_that_is_to_be_closed_is_not_kept(tmp_path: Path) -> None:
    kept: list[Wire] = []
    head = b"HTTP/1.1 200 OK\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
    answer = Response(wire(tmp_path, head + b"3;x=y\r\nabc\r\n0\r\nTrailer: 1\r\n\r\n"), "GET", kept.append)
    assert (answer.read(), kept) == (b"abc", [])


def test_a_body_of_unknown_length_ends_with_the_connection(tmp_path: Path) -> None:
    answer = Response(wire(tmp_path, b'HTTP/1.1 200 OK\r\n\r\n{"a":1}\n{"b":2}'), "GET", lambda _: None)
    assert list(answer.messages()) == [{"a": 1}, {"b": 2}]
