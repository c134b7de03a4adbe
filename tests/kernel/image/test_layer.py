"""Unpacked layers, stacked by the kernel's overlay, show the files that the image's maker meant."""

from __future__ import annotations

import os
import pickle
import stat
import subprocess
from pathlib import Path

import pytest

from kernelkit.image.layer import MarkRemoved, Unpacked, UnpackLayer
from kernelkit.kernel.tar import BadArchive
from tests.layout import Files, squeeze, tar


def unpack(folder: Path, files: Files, name: str) -> Unpacked:
    """A layer of these files, as `folder/name`."""
    archive = folder / f"{name}.tgz"
    archive.write_bytes(squeeze(tar(files)))
    unpacked = UnpackLayer(str(archive), str(folder / name)).perform()
    MarkRemoved(str(folder / name), unpacked.removed, unpacked.opaque).perform()
    return unpacked


def stacked(folder: Path, *names: str) -> list[str]:
    """What is in the layers when the kernel stacks them, the last one on top."""
    merged = folder / "merged"
    merged.mkdir()
    lower = ":".join(str(folder / name) for name in reversed(names))
    script = f'mount -t overlay none -o ro,lowerdir="{lower}" "{merged}" && cd "{merged}" && find . -mindepth 1'
    ran = subprocess.run(["unshare", "-m", "sh", "-c", script], capture_output=True, text=True, check=True)
    return sorted(line[2:] for line in ran.stdout.splitlines())


def test_what_a_layer_removes_is_gone(tmp_path: Path) -> None:
    unpack(tmp_path, {"a": b"a", "d/": None, "d/x": b"x", "d/y": b"y", "e/": None, "e/z": b"z"}, "base")
    found = unpack(tmp_path, {".wh.a": b"", "d/": None, "d/.wh.x": b"", ".wh.e": b"", "new": b"n"}, "top")
    assert found.removed == ("a", "d/x", "e")
    assert stacked(tmp_path, "base", "top") == ["d", "d/y", "new"]
    assert stat.S_ISCHR((tmp_path / "top/a").lstat().st_mode)
    assert (tmp_path / "top/a").lstat().st_rdev == 0


def test_an_opaque_directory_hides_what_was_in_it(tmp_path: Path) -> None:
    unpack(tmp_path, {"d/": None, "d/x": b"x", "d/sub/": None, "d/sub/y": b"y"}, "base")
    found = unpack(tmp_path, {"d/": None, "d/new": b"n", "d/.wh..wh..opq": b""}, "top")
    assert found.opaque == ("d",)
    assert stacked(tmp_path, "base", "top") == ["d", "d/new"]


def test_the_order_within_a_layer_does_not_matter(tmp_path: Path) -> None:
    """Whiteouts are about the layers below, even when they come after what the layer itself brings."""
    unpack(tmp_path, {"f": b"old", "d/": None, "d/old": b"o"}, "base")
    unpack(tmp_path, {"f": b"new", "d/": None, "d/new": b"n", ".wh.f": b"", ".wh.d": b""}, "top")
    assert stacked(tmp_path, "base", "top") == ["d", "d/new", "f"]
    assert (tmp_path / "top/f").read_bytes() == b"new"


def test_a_layer_that_only_removes_brings_the_directories_it_removes_from(tmp_path: Path) -> None:
    unpack(tmp_path, {"usr/": None, "usr/share/": None, "usr/share/doc": b"d", "usr/bin": b"b"}, "base")
    unpack(tmp_path, {"usr/share/.wh.doc": b""}, "top")
    assert stacked(tmp_path, "base", "top") == ["usr", "usr/bin", "usr/share"]


@pytest.mark.parametrize("name", [".wh.", ".wh..", ".wh...", "d/.wh..wh.plnk", ".wh..wh.aufs"])
def test_odd_whiteouts_are_no_whiteouts(tmp_path: Path, name: str) -> None:
    found = unpack(tmp_path, {"d/": None, name: b"", "kept": b""}, "top")
    assert (found.removed, found.opaque) == ((), ())
    assert sorted(os.listdir(tmp_path / "top")) == ["d", "kept"]


def test_a_whiteout_behind_a_link_stays_in_the_layer(tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/secret").write_text("untouched")
    with pytest.raises(BadArchive):
        unpack(tmp_path, {"way": "../outside", "way/.wh.secret": b"", "way/.wh..wh..opq": b""}, "top")
    assert (tmp_path / "outside/secret").read_text() == "untouched"
    assert not os.listxattr(tmp_path / "outside")


def test_the_digest_is_that_of_the_whole_tar(tmp_path: Path) -> None:
    """What comes after the archive's end counts too."""
    data = tar({"a": b"a"}) + b"\0" * 100_000 + b"rest"
    archive = tmp_path / "layer"
    archive.write_bytes(squeeze(data))
    found = UnpackLayer(str(archive), str(tmp_path / "out")).perform()
    told = subprocess.run(["sha256sum"], input=data, capture_output=True, check=True).stdout.decode().split()[0]
    assert found == Unpacked(f"sha256:{told}", 1, (), ())


def test_said_is_done(tmp_path: Path) -> None:
    """The shell text, typed, gives the same files."""
    files: Files = {"d/": None, "d/f": b"content", "l": "d/f", ".wh.gone": b"", "d/.wh..wh..opq": b""}
    unpacked = unpack(tmp_path, files, "done")
    said = UnpackLayer(str(tmp_path / "done.tgz"), str(tmp_path / "said"))
    marked = MarkRemoved(str(tmp_path / "said"), unpacked.removed, unpacked.opaque)
    subprocess.run(["sh", "-ec", f"{said.shell()}\n{marked.shell().replace('setfattr', 'true')}"], check=True)
    look = "find . -printf '%p %M %s %l %T@\\n' | grep -v '^\\. ' | sort"
    seen = [subprocess.check_output(look, shell=True, cwd=tmp_path / name) for name in ("done", "said")]
    assert _without_times_of_devices(seen[0]) == _without_times_of_devices(seen[1])


def _without_times_of_devices(listing: bytes) -> list[bytes]:
    return [line.rpartition(b" ")[0] if b" c" in line else line for line in listing.splitlines()]


def test_an_operation_can_be_sent_to_another_process(tmp_path: Path) -> None:
    operation = UnpackLayer("a", "b", source=iter([b""]))
    assert pickle.loads(pickle.dumps(operation)) == operation == UnpackLayer("a", "b")
