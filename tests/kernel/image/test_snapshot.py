"""A layer of what was changed: the archive first, the files a moment later, for whoever asks for them."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from kernelkit.errors import KernelkitError
from kernelkit.image.layer import UnpackLayer
from kernelkit.image.manifest import LAYER
from kernelkit.image.reference import Reference
from kernelkit.image.store import Store
from kernelkit.kernel.pack import pack
from tests.patience import PATIENCE

CHANGES = """
echo changed > a; rm b; rm -r gone; rm -r emptied; mkdir emptied; echo new > emptied/new; ln a a2; ln -s a link
chmod 4755 a; chown 7:8 a; chmod 2770 d; mkdir -p new/deep; echo f > new/deep/f; ln new/deep/f new/g; mkfifo pipe
mknod null c 1 3; touch d/sub/t; rm d/sub/t; mkdir proc; touch -d @-100 old; truncate -s 3000000 large
chown -h 5:6 link; mkdir d/o; rm -r d/o; chmod 1777 new
"""
LOOK = """
find . -type c -printf '%p %M %U %G\\n' | sort
find . ! -type d ! -type c -printf '%p %M %U %G %y %l %n %s %T@\\n' | sort
find . -mindepth 1 -type d -printf '%p %M %U %G %T@\\n' | sort
find . -type f | sort | xargs -d '\\n' sha256sum
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An overlay that has been changed."""
    for name in ("lower/d/sub", "lower/gone/x", "lower/emptied", "upper", "work", "merged"):
        (tmp_path / name).mkdir(parents=True)
    for name in ("a", "b", "d/c", "emptied/old", "gone/x/y"):
        (tmp_path / "lower" / name).write_text(name)
    mount = f"mount -t overlay none -o lowerdir=lower,upperdir=upper,workdir=work merged; cd merged; {CHANGES}"
    subprocess.run(["unshare", "-m", "sh", "-ec", mount], cwd=tmp_path, check=True)
    os.setxattr(tmp_path / "upper/new/deep/f", "user.note", b"\0binary\n")
    os.setxattr(tmp_path / "upper/new", "user.dir", b"yes")
    return tmp_path


def test_the_files_are_what_an_unpacked_archive_would_be(folder: Path) -> None:
    upper, lower = str(folder / "upper"), str(folder / "lower")
    one, two = Store(folder / "one"), Store(folder / "two")
    copied = one.add_upper(upper, [lower], ["proc"])
    unpacked = two.add_layer(pack(upper, layer=True, below=[lower], made=frozenset([b"proc"])))
    assert copied
    one.ensure(copied.diff_id)
    assert (copied.diff_id, copied.size) == (unpacked.diff_id, unpacked.size)
    assert (copied.blob.media_type, copied.blob.digest) == (LAYER, copied.diff_id)
    looks = [
        subprocess.run(["sh", "-c", LOOK], cwd=store.layer_path(copied.diff_id), capture_output=True, text=True).stdout
        for store in (one, two)
    ]
    assert looks[0] == looks[1]
    assert "d/sub" not in looks[0]
    for name in ("emptied", "new", "new/deep/f"):
        paths = [store.layer_path(copied.diff_id) / name for store in (one, two)]
        assert [os.listxattr(path) for path in paths[:1]] == [os.listxattr(path) for path in paths[1:]]
    assert os.getxattr(one.layer_path(copied.diff_id) / "emptied", "trusted.overlay.opaque") == b"y"


def test_nothing_changed_is_no_layer(tmp_path: Path) -> None:
    for name in ("lower", "upper/proc"):
        (tmp_path / name).mkdir(parents=True)
    store = Store(tmp_path / "home")
    assert store.add_upper(str(tmp_path / "upper"), [str(tmp_path / "lower")], ["proc"]) is None
    assert not list(store.home.glob("layers/*"))
    assert not list(store.home.glob("blobs/sha256/*"))


def test_the_same_content_is_the_same_layer(folder: Path) -> None:
    store = Store(folder / "home")
    layers = [store.add_upper(str(folder / "upper"), [str(folder / "lower")], []) for _ in range(2)]
    assert layers[0] == layers[1]
    assert len(list((store.home / "blobs/sha256").iterdir())) == 1


def test_an_image_is_compressed_when_it_has_to_be_carried(folder: Path) -> None:
    store = Store(folder / "home")
    layer = store.add_upper(str(folder / "upper"), [str(folder / "lower")], [])
    assert layer
    image = store.add_image({"os": "linux"}, [layer], names=[Reference.parse("x:1"), Reference.parse("x:2")])
    packed = store.compress("x:1")
    assert packed.id == image.id
    assert packed.tags == ("x:1", "x:2")
    assert packed.manifest
    manifest = json.loads(store.read_blob(packed.manifest.digest))
    [blob] = manifest["layers"]
    assert blob["mediaType"].endswith("+gzip")
    unpacked = subprocess.run(["gunzip", "-c"], stdin=store.blob_path(blob["digest"]).open("rb"), capture_output=True)
    assert len(unpacked.stdout) == layer.blob.size
    kept = {path.name for path in (store.home / "blobs/sha256").iterdir()}
    assert kept == {each["digest"][7:] for each in (blob, manifest["config"])} | {packed.manifest.digest[7:]}
    assert store.compress("x:2") == packed


def test_whoever_needs_the_files_waits_for_them(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(folder / "home")
    perform, go = UnpackLayer.perform, threading.Event()
    monkeypatch.setattr(UnpackLayer, "perform", lambda self: (go.wait(PATIENCE), perform(self))[1])
    layer = store.add_upper(str(folder / "upper"), [str(folder / "lower")], [])
    assert layer
    image = store.add_image({"os": "linux"}, [layer], names=[Reference.parse("x:1")])
    assert not image.layers[0].exists()
    assert store.layer(layer.diff_id) == layer
    threading.Timer(0.3, go.set).start()
    assert (store.find("x:1").layers[0] / "new/deep/f").read_text() == "f\n"


def test_who_asks_for_the_files_before_their_thread_has_begun_gets_them(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(folder / "home")
    start = threading.Thread.start

    def ask_first(thread: threading.Thread) -> None:
        for diff_id in store._pending if thread.name == "unpack" else ():
            store.ensure(diff_id)
            assert store.layer_path(diff_id).is_dir()
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", ask_first)
    layer = store.add_upper(str(folder / "upper"), [str(folder / "lower")], [])
    assert layer
    store.ensure(layer.diff_id)
    assert store.layer(layer.diff_id) == layer


def test_files_that_an_engine_did_not_unpack_any_more_are_unpacked_by_the_next(folder: Path) -> None:
    store = Store(folder / "home")
    layer = store.add_upper(str(folder / "upper"), [str(folder / "lower")], [])
    assert layer
    store.add_image({"os": "linux"}, [layer], names=[Reference.parse("x:1")])
    shutil.rmtree(store.find("x:1").layers[0])
    after = Store(folder / "home")
    after.sweep()
    assert (after.find("x:1").layers[0] / "new/deep/f").read_text() == "f\n"


def test_a_disk_that_was_full_meanwhile_is_tried_again(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(folder / "home")
    perform = UnpackLayer.perform

    def refuse(_: UnpackLayer) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(UnpackLayer, "perform", refuse)
    layer = store.add_upper(str(folder / "upper"), [str(folder / "lower")], [])
    assert layer
    store.add_image({"os": "linux"}, [layer], names=[Reference.parse("x:1")])
    with pytest.raises(KernelkitError, match=r"cannot unpack layer '.*': no space left on device"):
        store.find("x:1")
    monkeypatch.setattr(UnpackLayer, "perform", perform)
    assert (store.find("x:1").layers[0] / "new/deep/f").read_text() == "f\n"


def test_a_file_with_a_large_hole_stays_small(tmp_path: Path) -> None:
    for name in ("lower", "upper"):
        (tmp_path / name).mkdir()
    with (tmp_path / "upper/sparse").open("wb") as file:
        file.write(b"begin")
        file.truncate(300 << 20)
    store = Store(tmp_path / "home")
    layer = store.add_upper(str(tmp_path / "upper"), [str(tmp_path / "lower")], [])
    assert layer
    store.ensure(layer.diff_id)
    found = store.layer_path(layer.diff_id) / "sparse"
    assert found.stat().st_size == layer.size == 300 << 20
    for path in (found, store.blob_path(layer.blob.digest)):
        assert path.stat().st_blocks * 512 < 2 << 20
    assert layer.blob.size == store.blob_path(layer.blob.digest).stat().st_size


def test_a_disk_that_is_too_small_is_said_at_once(folder: Path) -> None:
    (folder / "upper/noise").write_bytes(os.urandom(3 << 20))
    (folder / "small").mkdir()
    script = f"""
mount -t tmpfs -o size=5m none {folder}/small
"$0" -c 'import sys; from kernelkit.image.store import *; store = Store(Path(sys.argv[1]))
try: store.add_upper(sys.argv[2], [sys.argv[3]], [])
except OSError as error: print(error.strerror)' {folder}/small {folder}/upper {folder}/lower
find {folder}/small -type f"""
    command = ["unshare", "-m", "sh", "-ec", script, sys.executable]
    ran = subprocess.run(command, cwd=Path(__file__).parents[3], capture_output=True, text=True, check=True)
    assert ran.stdout == "No space left on device\n"
