"""The folder of images: what is published is whole, and the same every time."""

from __future__ import annotations

import gzip
import hashlib
import json
import threading
from pathlib import Path

from kernelkit.embedded.layout import INDEX, Layout

CONFIG = {"created": "2026-01-02T03:04:05Z", "config": {"Cmd": ["sh"]}}


def publish(folder: Path, name: str, *tags: str, content: bytes = b"a tar") -> Layout:
    layout = Layout(folder)
    with layout.making(name) as making:
        making.publish(tags, CONFIG, [making.add_layer([content[:2], content[2:]])])
    return layout


def test_a_published_image_can_be_read_back(tmp_path: Path) -> None:
    layout = publish(tmp_path, "busybox", "latest", "1")
    assert set(layout.tags("busybox")) == {"latest", "1"}
    index = layout.tags("busybox")["latest"]
    assert index.media_type == INDEX
    manifest = layout.json(layout.children(index)[0])
    assert gzip.decompress(layout.path(manifest["layers"][0]["digest"]).read_bytes()) == b"a tar"
    config = json.loads(layout.path(manifest["config"]["digest"]).read_bytes())
    assert config["rootfs"]["diff_ids"] == [f"sha256:{hashlib.sha256(b'a tar').hexdigest()}"]
    assert config["config"] == {"Cmd": ["sh"]}
    assert layout.is_complete("busybox")


def test_every_blob_is_named_by_its_content(tmp_path: Path) -> None:
    layout = publish(tmp_path, "busybox", "latest")
    blobs = layout.blobs("busybox")
    assert len(blobs) == 4
    for digest, blob in blobs.items():
        content = layout.path(digest).read_bytes()
        assert f"sha256:{hashlib.sha256(content).hexdigest()}" == digest
        assert len(content) == blob.size


def test_the_same_content_gives_the_same_digests(tmp_path: Path) -> None:
    first, second = (publish(tmp_path / side, "busybox", "latest") for side in ("one", "two"))
    assert first.tags("busybox") == second.tags("busybox")


def test_publishing_again_replaces_an_image_s_tags_and_no_other_image_s(tmp_path: Path) -> None:
    publish(tmp_path, "busybox", "latest", "1")
    publish(tmp_path, "busybox-too", "latest")
    layout = publish(tmp_path, "busybox", "latest", "2", content=b"another tar")
    assert set(layout.tags("busybox")) == {"latest", "2"}
    assert set(layout.tags("busybox-too")) == {"latest"}


def test_an_image_without_one_of_its_blobs_is_not_complete(tmp_path: Path) -> None:
    layout = publish(tmp_path, "busybox", "latest")
    path = layout.path(next(iter(layout.blobs("busybox"))))
    content = path.read_bytes()
    path.write_bytes(content[:-1])
    assert not layout.is_complete("busybox")
    path.unlink()
    assert not layout.is_complete("busybox")
    path.write_bytes(content)
    assert layout.is_complete("busybox")


def test_nothing_is_there_before_the_first_image(tmp_path: Path) -> None:
    layout = Layout(tmp_path / "absent")
    assert layout.tags("busybox") == {}
    assert not layout.is_complete("busybox")
    assert not layout.is_being_made("busybox")


def test_one_at_a_time_makes_an_image(tmp_path: Path) -> None:
    layout, order = Layout(tmp_path), []

    def second() -> None:
        with layout.making("busybox"):
            order.append("second")

    with layout.making("busybox"):
        assert layout.is_being_made("busybox")
        assert not layout.is_being_made("bash")
        thread = threading.Thread(target=second)
        thread.start()
        thread.join(0.1)
        order.append("first")
    thread.join()
    assert order == ["first", "second"]
    assert list((tmp_path / "making").iterdir()) == []


def test_what_an_earlier_attempt_left_is_cleared_away(tmp_path: Path) -> None:
    abandoned = tmp_path / "making/busybox.abc/lists"
    abandoned.mkdir(parents=True)
    other = tmp_path / "making/bash.abc"
    other.mkdir()
    publish(tmp_path, "busybox", "latest")
    assert list((tmp_path / "making").iterdir()) == [other]
