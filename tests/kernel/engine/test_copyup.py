"""Which sheets show together at a place, as overlayfs says it itself."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from kernelkit.engine.copyup import shown


@pytest.fixture
def layers(tmp_path: Path) -> list[Path]:
    """Three layers, the topmost first, each with /data."""
    made = [tmp_path / name for name in ("top", "middle", "bottom")]
    for layer in made:
        (layer / "data").mkdir(parents=True)
    return made


def names(found: list[str]) -> list[str]:
    return [Path(path).parent.name for path in found]


def test_all_that_have_the_directory_show(layers: list[Path]) -> None:
    assert names(shown(layers, "/data")) == ["top", "middle", "bottom"]
    (layers[1] / "data").rmdir()
    assert names(shown(layers, "/data")) == ["top", "bottom"]
    assert shown(layers, "/nosuch") == []


def test_below_an_opaque_directory_nothing_shows(layers: list[Path]) -> None:
    os.setxattr(layers[1] / "data", "trusted.overlay.opaque", b"y")

    assert names(shown(layers, "/data")) == ["top", "middle"]


def test_below_a_whiteout_nothing_shows(layers: list[Path]) -> None:
    (layers[1] / "data").rmdir()
    os.mknod(layers[1] / "data", stat.S_IFCHR, 0)

    assert names(shown(layers, "/data")) == ["top"]


def test_a_file_or_a_link_in_the_way_hides_what_is_below(layers: list[Path]) -> None:
    (layers[1] / "data").rmdir()
    (layers[1] / "data").symlink_to("/etc")

    assert names(shown(layers, "/data")) == ["top"]
