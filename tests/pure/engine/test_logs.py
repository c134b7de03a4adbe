"""Logs read from files in Docker's json-file format."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from kernelkit.engine.engine import Engine
from kernelkit.engine.logs import Reader, Wish
from kernelkit.engine.model import Container
from kernelkit.host.channel import LogSettings
from kernelkit.host.log import Log, squeeze

TIMES = [f"2026-11-23T20:25:5{i}.000000000Z" for i in range(10)]


def entry(text: str, stream: str = "stdout", when: int = 0) -> str:
    return json.dumps({"log": text, "stream": stream, "time": TIMES[when]}) + "\n"


@pytest.fixture
def reader(tmp_path: Path) -> Any:
    """A function that makes a reader of the log in a folder."""
    engine = cast(Engine, SimpleNamespace(folder=lambda _: tmp_path))
    container = cast(Container, SimpleNamespace(id="1", host_config={}))
    return lambda **wish: Reader(engine, container, Wish(framed=False, **wish))


def said(pieces: Any) -> str:
    return b"".join(pieces).decode()


def test_each_stream_can_be_had_alone(reader: Any, tmp_path: Path) -> None:
    (tmp_path / "log").write_text(entry("out\n") + entry("err\n", "stderr"))

    assert said(reader().there()) == "out\nerr\n"
    assert said(reader(stdout=False).there()) == "err\n"


def test_frames_say_which_stream_and_how_long(reader: Any, tmp_path: Path) -> None:
    (tmp_path / "log").write_text(entry("err\n", "stderr"))
    framed = reader()
    framed._wish = Wish()

    assert b"".join(framed.there()) == b"\2\0\0\0\0\0\0\4err\n"


def test_the_tail_goes_back_over_rotated_files(reader: Any, tmp_path: Path) -> None:
    (tmp_path / "log.2").write_text(entry("1\n") + entry("2\n"))
    (tmp_path / "log.1").write_text(entry("3\n"))
    (tmp_path / "log").write_text(entry("4\n") + entry("5\n"))

    assert said(reader().there()) == "1\n2\n3\n4\n5\n"
    assert said(reader(tail=0).there()) == ""
    assert said(reader(tail=1).there()) == "5\n"
    assert said(reader(tail=4).there()) == "2\n3\n4\n5\n"
    assert said(reader(tail=99).there()) == "1\n2\n3\n4\n5\n"


def test_the_tail_of_long_lines_is_whole(reader: Any, tmp_path: Path) -> None:
    lines = [f"{i}{'x' * 50_000}\n" for i in range(4)]
    (tmp_path / "log").write_text("".join(map(entry, lines)))

    assert said(reader(tail=3).there()) == "".join(lines[1:])


def test_times_bound_what_is_shown(reader: Any, tmp_path: Path) -> None:
    (tmp_path / "log").write_text("".join(entry(f"{i}\n", when=i) for i in range(5)))
    second = 1_000_000_000
    first = 1795465550 * second

    bounded = reader(since=first + second, until=first + 3 * second)
    assert said(bounded.there()) == "1\n2\n3\n"
    assert bounded.over
    assert said(reader(tail=1, timestamps=True).there()) == f"{TIMES[4]} 4\n"


def test_what_is_added_comes_once_even_when_the_file_is_rotated(reader: Any, tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text(entry("1\n"))
    following = reader()
    assert said(following.there()) == "1\n"
    with log.open("a") as file:
        file.write(entry("2\n"))
    assert said(following.added()) == "2\n"
    with log.open("a") as file:
        file.write(entry("3\n"))
    log.rename(tmp_path / "log.1")
    log.write_text(entry("4\n"))
    assert said(following.added()) == "3\n4\n"
    assert said(following.added()) == ""


@pytest.mark.parametrize("tail", [-1, 0])
def test_what_was_rotated_before_anybody_saw_it_is_not_lost(reader: Any, tmp_path: Path, tail: int) -> None:
    following = reader(tail=tail)
    assert said(following.there()) == ""
    (tmp_path / "log.1").write_text(entry("1\n"))
    (tmp_path / "log").write_text(entry("2\n"))
    assert said(following.added()) == "1\n2\n"
    assert said(following.added()) == ""


def rotate(folder: Path, text: str) -> None:
    """Number the files anew, and begin one with this text."""
    for number in range(len(list(folder.iterdir())) - 1, 0, -1):
        (folder / f"log.{number}").rename(folder / f"log.{number + 1}")
    (folder / "log").rename(folder / "log.1")
    (folder / "log").write_text(entry(text))


@pytest.mark.parametrize("wish", [{}, {"tail": 9}])
def test_files_that_are_rotated_while_they_are_opened_are_read_once(
    reader: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wish: dict[str, int]
) -> None:
    (tmp_path / "log").write_text(entry("1\n"))
    rotate(tmp_path, "2\n")
    reading = reader(**wish)
    look, coming = reading._rotated, ["3\n"]

    def look_and_rotate() -> list[Path]:
        found: list[Path] = look()
        if coming:
            rotate(tmp_path, coming.pop())
        return found

    monkeypatch.setattr(reading, "_rotated", look_and_rotate)
    assert said(reading.there()) == "1\n2\n3\n"
    rotate(tmp_path, "4\n")
    rotate(tmp_path, "5\n")
    coming.append("6\n")
    assert said(reading.added()) == "4\n5\n6\n"
    assert said(reading.added()) == ""


def test_packed_files_are_read_like_the_others(reader: Any, tmp_path: Path) -> None:
    (tmp_path / "log.2.gz").write_bytes(gzip.compress((entry("1\n") + entry("2\n")).encode()))
    (tmp_path / "log.1.gz").write_bytes(gzip.compress((entry("3\n") + entry("4\n")).encode()))
    (tmp_path / "log.1.tmp").write_bytes(b"half packed")
    (tmp_path / "log").write_text(entry("5\n"))

    assert said(reader().there()) == "1\n2\n3\n4\n5\n"
    assert said(reader(tail=2).there()) == "4\n5\n"
    assert said(reader(tail=4).there()) == "2\n3\n4\n5\n"
    assert said(reader(tail=99).there()) == "1\n2\n3\n4\n5\n"


def test_a_file_that_is_just_being_packed_is_read_once(reader: Any, tmp_path: Path) -> None:
    (tmp_path / "log.1").write_text(entry("1\n"))
    (tmp_path / "log.1.gz").write_bytes(gzip.compress(entry("1\n").encode()))
    (tmp_path / "log").write_text(entry("2\n"))

    assert said(reader().there()) == "1\n2\n"


def test_what_came_before_a_file_was_packed_is_not_lost(reader: Any, tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text(entry("1\n"))
    following = reader()
    assert said(following.there()) == "1\n"
    with log.open("a") as file:
        file.write(entry("2\n"))
    log.rename(tmp_path / "log.1")
    squeeze(str(tmp_path / "log.1"))
    log.write_text(entry("3\n"))

    assert said(following.added()) == "2\n3\n"


@pytest.mark.parametrize("compress", [False, True])
def test_files_that_came_and_went_between_two_looks_are_not_lost(reader: Any, tmp_path: Path, compress: bool) -> None:
    log = Log(LogSettings(str(tmp_path / "log"), max_size=170, max_file=9, compress=compress))  # two entries a file
    log.write("stdout", b"0\n")
    following = reader()
    assert said(following.there()) == "0\n"
    for number in range(1, 8):
        log.write("stdout", f"{number}\n".encode())
    assert said(following.added()) == "".join(f"{number}\n" for number in range(1, 8))
    assert said(following.added()) == ""
    for number in range(8, 40):  # more than are kept: the newest of them
        log.write("stdout", f"{number}\n".encode())
    assert said(following.added()) == "".join(f"{number}\n" for number in range(22, 40))
    log.close()


def test_the_local_driver_has_a_place_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "local-logs").mkdir()
    (tmp_path / "local-logs" / "container.log").write_text(entry("1\n"))
    engine = cast(Engine, SimpleNamespace(folder=lambda _: tmp_path))
    container = cast(Container, SimpleNamespace(id="1", host_config={"LogConfig": {"Type": "local"}}))
    local = Reader(engine, container, Wish(framed=False))

    assert local.folder == tmp_path / "local-logs"
    assert said(local.there()) == "1\n"


def test_half_a_line_is_no_entry(reader: Any, tmp_path: Path) -> None:
    (tmp_path / "log").write_text(entry("1\n") + '{"log":"2')

    assert said(reader().there()) == "1\n"
    assert said(reader(tail=5).there()) == "1\n"
