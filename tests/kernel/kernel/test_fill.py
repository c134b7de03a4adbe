"""A directory filled from others, by the operation and by its line in shell."""

from __future__ import annotations

import os
import select
import subprocess
from pathlib import Path

import pytest

from kernelkit.kernel.fill import FillDirectory
from kernelkit.kernel.inotify import DirectoryWatch


@pytest.fixture
def sheets(tmp_path: Path) -> tuple[Path, Path]:
    """Two directories, an upper and a lower one, that have a file of the same name."""
    upper, lower = tmp_path / "upper", tmp_path / "lower"
    for sheet in (upper, lower):
        (sheet / "d").mkdir(parents=True)
        (sheet / "d/both").write_text(sheet.name)
    (lower / "only").write_text("lower")
    os.chown(lower / "only", 1000, 1001)
    (lower / "only").chmod(0o640)
    os.utime(lower / "only", (0, 1_600_000_000))
    (upper / "link").symlink_to("d/both")
    return upper, lower


def listing(folder: Path) -> str:
    script = "find . -mindepth 1 ! -type d -printf '%p %M %U %G %s %T@ %l\\n' | sort; cat d/both"
    return subprocess.check_output(["sh", "-c", script], cwd=folder, text=True)


def test_said_is_done(sheets: tuple[Path, Path], tmp_path: Path) -> None:
    performed, typed = tmp_path / "performed", tmp_path / "typed"
    for folder in (performed, typed):
        folder.mkdir()
    for sheet in sheets:  # as in an image: whole seconds
        for path in sheet.rglob("*"):
            os.utime(path, (0, 1_600_000_000), follow_symlinks=False)
    sources = tuple(map(str, sheets))

    FillDirectory(sources, str(performed)).perform()
    subprocess.run(["sh", "-ec", FillDirectory(sources, str(typed)).shell()], check=True)

    assert listing(performed) == listing(typed)
    assert listing(performed).endswith("upper")
    assert (performed / "only").stat().st_uid == 1000


def test_a_watch_tells_of_changes_and_only_once(tmp_path: Path) -> None:
    watch = DirectoryWatch(str(tmp_path))
    try:
        assert not readable(watch)
        (tmp_path / "log").write_text("x")
        assert readable(watch)
        watch.hush()
        assert not readable(watch)
        (tmp_path / "log").rename(tmp_path / "log.1")
        assert readable(watch)
    finally:
        watch.close()


def readable(watch: DirectoryWatch) -> bool:
    return bool(select.select([watch], [], [], 0)[0])
