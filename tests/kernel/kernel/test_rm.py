"""A tree is gone afterwards, and nothing else."""

from __future__ import annotations

import os
from pathlib import Path

from kernelkit.kernel.rm import remove_tree


def test_a_tree_goes_and_what_its_links_lead_to_stays(tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept/file").write_text("kept")
    tree = tmp_path / "tree"
    (tree / "a/b/c").mkdir(parents=True)
    (tree / "a/b/f").write_text("f")
    (tree / "a/link").symlink_to(tmp_path / "kept")
    (tree / "a/b/link").symlink_to(tmp_path / "kept/file")
    os.mkfifo(tree / "a/fifo")
    (tree / "a/b").chmod(0)
    assert remove_tree(str(tree))
    assert not tree.exists()
    assert (tmp_path / "kept/file").read_text() == "kept"


def test_a_file_goes_and_what_is_not_there_is_no_trouble(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert remove_tree(str(tmp_path / "file"))
    assert remove_tree(str(tmp_path / "file"))
    (tmp_path / "link").symlink_to("/")
    assert remove_tree(str(tmp_path / "link"))


def test_a_tree_may_be_deeper_than_python_and_open_files_go(tmp_path: Path) -> None:
    fd = top = os.open(tmp_path, os.O_RDONLY)
    for _ in range(3000):
        os.mkdir("d", dir_fd=fd)
        below = os.open("d", os.O_RDONLY, dir_fd=fd)
        if fd != top:
            os.close(fd)
        fd = below
    os.close(fd)
    os.close(top)
    assert remove_tree(str(tmp_path / "d"))
    assert os.listdir(tmp_path) == []
