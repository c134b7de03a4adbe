"""A container's log as a shim writes it: split, rotated, packed."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from kernelkit.host.channel import LogSettings
from kernelkit.host.log import Log, squeeze


def said(data: bytes) -> list[str]:
    return [json.loads(line)["log"] for line in data.splitlines()]


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def written(path: Path, count: int, **settings: int | bool) -> None:
    log = Log(LogSettings(str(path), **settings))  # type: ignore[arg-type]
    for number in range(count):
        log.write("stdout", f"{number}\n".encode())
    log.close()


def test_the_oldest_of_the_rotated_files_goes(tmp_path: Path) -> None:
    written(tmp_path / "log", 9, max_size=170, max_file=3)  # two entries a file

    assert names(tmp_path) == ["log", "log.1", "log.2"]
    assert said((tmp_path / "log").read_bytes()) == ["8\n"]
    assert said((tmp_path / "log.1").read_bytes()) == ["6\n", "7\n"]
    assert said((tmp_path / "log.2").read_bytes()) == ["4\n", "5\n"]


def test_a_single_file_begins_again(tmp_path: Path) -> None:
    written(tmp_path / "log", 3, max_size=170, max_file=1)

    assert names(tmp_path) == ["log"]
    assert said((tmp_path / "log").read_bytes()) == ["2\n"]


def test_rotated_files_are_packed(tmp_path: Path) -> None:
    written(tmp_path / "log", 9, max_size=170, max_file=3, compress=True)

    assert names(tmp_path) == ["log", "log.1.gz", "log.2.gz"]
    assert said(gzip.decompress((tmp_path / "log.1.gz").read_bytes())) == ["6\n", "7\n"]
    assert said(gzip.decompress((tmp_path / "log.2.gz").read_bytes())) == ["4\n", "5\n"]
    assert (tmp_path / "log.1.gz").stat().st_mode & 0o777 == 0o640


def test_a_file_that_could_not_be_packed_grows_old_like_the_others(tmp_path: Path) -> None:
    (tmp_path / "log.1").write_text("of a time without compression\n")
    written(tmp_path / "log", 3, max_size=170, max_file=3, compress=True)
    assert names(tmp_path) == ["log", "log.1.gz", "log.2"]
    written(tmp_path / "log", 2, max_size=170, max_file=3, compress=True)
    assert names(tmp_path) == ["log", "log.1.gz", "log.2.gz"]


def test_nothing_half_made_is_left_when_a_file_cannot_be_packed(tmp_path: Path) -> None:
    plain = tmp_path / "log.1"
    plain.write_text("x")
    (tmp_path / "log.1.gz").mkdir()

    with pytest.raises(OSError):
        squeeze(str(plain))
    assert names(tmp_path) == ["log.1", "log.1.gz"]
