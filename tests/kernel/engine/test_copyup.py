"""Which sheets show together at a place, as overlayfs says it itself."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from kernelkit.engine import peek
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


def test_a_link_is_followed_through_all_layers(layers: list[Path]) -> None:
    (layers[0] / "run").symlink_to("/var/run")
    (layers[1] / "var").mkdir()
    (layers[1] / "var/run").symlink_to("../data/./here")
    (layers[2] / "data/here").mkdir()
    assert peek.resolve(layers, "/run/new/file") == "/data/here/new/file"
    assert peek.resolve(layers, "/nosuch/./../run") == "/data/here"
    (layers[1] / "loop").symlink_to("loop")
    assert peek.resolve(layers, "/loop/x").startswith("/loop")


def test_a_link_that_an_upper_layer_hides_is_not_followed(layers: list[Path]) -> None:
    (layers[2] / "data/link").symlink_to("/elsewhere")
    assert peek.resolve(layers, "/data/link") == "/elsewhere"
    os.setxattr(layers[1] / "data", "trusted.overlay.opaque", b"y")
    assert peek.resolve(layers, "/data/link") == "/data/link"


def test_a_file_in_a_directory_that_an_upper_layer_made_anew_is_gone(layers: list[Path]) -> None:
    (layers[2] / "data/passwd").write_text("root")
    assert peek.read(layers, "/data/passwd") == "root"
    assert peek.status(layers, "/data/passwd")
    os.setxattr(layers[1] / "data", "trusted.overlay.opaque", b"y")
    assert peek.read(layers, "/data/passwd") == ""
    assert peek.status(layers, "/data/passwd") is None
