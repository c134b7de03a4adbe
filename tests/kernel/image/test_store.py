"""The store: images are found by all their names, and every thread and process sees the same ones."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from kernelkit.errors import Conflict, InvalidRequest, NotFound
from kernelkit.image.catalogue import Image
from kernelkit.image.reference import Reference
from kernelkit.image.store import Removed, Store
from tests.layout import Files, squeeze, tar


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "home")


def make(store: Store, name: str, *layers: Files, parent: str = "", **config: Any) -> Image:
    """An image of these layers."""
    names = [Reference.parse(name)] if name else []
    kept = [store.add_layer([tar(files)]) for files in layers]
    body = {"architecture": "amd64", "os": "linux", "created": "2026-01-01T00:00:00Z", "config": config}
    return store.add_image(body, kept, names=names, parent=parent)


def test_an_image_is_found_by_all_its_names(store: Store) -> None:
    image = make(store, "busybox", {"a": b"a"})
    digits = image.id.removeprefix("sha256:")
    names = [
        "busybox",
        "busybox:latest",
        "library/busybox",
        "docker.io/library/busybox:latest",
        "index.docker.io/busybox",
    ]
    for name in (*names, image.id, digits, digits[:12], digits[:3], f"sha256:{digits[:12]}"):
        assert store.find(name) == image


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("nope", "nope:latest"),
        ("nope:1", "nope:1"),
        ("me/nope", "me/nope:latest"),
        ("r.example/nope", "r.example/nope:latest"),
        ("0123456789ab", "0123456789ab:latest"),
        ("f" * 64, "sha256:" + "f" * 64),
        ("sha256:" + "f" * 64, "sha256:" + "f" * 64),
        ("busybox:2", "busybox:2"),
    ],
)
def test_what_is_not_here_is_named_as_docker_does(store: Store, name: str, shown: str) -> None:
    make(store, "busybox", {"a": b"a"})
    with pytest.raises(NotFound) as missing:
        store.find(name)
    assert missing.value.message == f"No such image: {shown}"


def test_a_malformed_name_is_refused(store: Store) -> None:
    with pytest.raises(InvalidRequest, match="invalid reference format"):
        store.find("no such thing")


def test_an_ambiguous_beginning_finds_nothing(store: Store) -> None:
    images = [make(store, f"x:{number}", {"a": b"a"}, Cmd=[str(number)]) for number in range(20)]
    beginnings = [image.id[7:8] for image in images]
    twice = next(digit for digit in beginnings if beginnings.count(digit) > 1)
    with pytest.raises(NotFound):
        store.find(twice)


def test_finding_asks_the_disk_only_whether_anything_changed(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    image = make(store, "busybox", {"a": b"a"})
    store.find("busybox")
    for read in ("open", "read_bytes", "iterdir"):
        monkeypatch.setattr(Path, read, lambda path, *_: pytest.fail(f"it reads '{path}'"))
    assert store.find("busybox") == image


def test_the_same_content_is_the_same_image(store: Store, tmp_path: Path) -> None:
    one = make(store, "one", {"a": b"a"}, {"b": b"b"})
    two = make(store, "two", {"a": b"a"}, {"b": b"b"})
    elsewhere = make(Store(tmp_path / "other"), "x", {"a": b"a"}, {"b": b"b"})
    assert one.id == two.id == elsewhere.id
    assert store.find("one").tags == ("one:latest", "two:latest")
    assert len(list((store.home / "layers").iterdir())) == 4  # two directories, two notes
    assert not list(store.home.rglob("*.partial"))


def test_an_archive_is_kept_whole_however_it_was_compressed(store: Store) -> None:
    plain, packed = store.add_layer([tar({"a": b"a"})]), store.add_layer([squeeze(tar({"a": b"a"}))])
    assert plain == packed
    assert plain.size == 1


def test_tags_come_move_and_go(store: Store) -> None:
    one, two = make(store, "one", {"a": b"a"}), make(store, "two", {"b": b"b"})
    store.tag(one.id, Reference.parse("both:1"))
    assert store.find("both:1").id == one.id
    store.tag(two.id, Reference.parse("both:1"))
    assert store.find("both:1").id == two.id
    assert store.find(one.id).tags == ("one:latest",)
    store.untag(Reference.parse("both:1"))
    with pytest.raises(NotFound, match="No such image: both:1"):
        store.untag(Reference.parse("both:1"))
    store.untag(Reference.parse("one"))
    assert store.find(one.id).tags == ()
    assert len(store.images()) == 2


def test_a_new_image_takes_the_name_and_the_old_one_stays(store: Store) -> None:
    old, new = make(store, "app", {"a": b"1"}), make(store, "app", {"a": b"2"})
    assert store.find("app").id == new.id
    assert store.find(old.id).tags == ()


def test_what_no_image_needs_goes_with_the_last_one(store: Store) -> None:
    base: Files = {"a": b"a"}
    one, two = make(store, "one", base, {"b": b"b"}), make(store, "two", base, {"c": b"c"})
    gone = store.remove(one.id)
    assert gone == [one.diff_ids[1]]
    assert (two.layers[0] / "a").exists()
    assert store.remove("two") == [two.diff_ids[1], two.diff_ids[0]]
    assert store.images() == []
    assert not list((store.home / "layers").iterdir())
    assert not list((store.home / "blobs/sha256").iterdir())
    assert len(list((store.home / "trash").iterdir())) >= 3


def test_a_retired_image_stays_for_who_knows_its_whole_id(store: Store) -> None:
    image = make(store, "one", {"a": b"a"}, {"b": b"b"})
    store.retire(image.id)
    assert store.images() == []
    for name in ("one", image.id[:20]):
        with pytest.raises(NotFound):
            store.find(name)
    found = store.find(image.id)
    assert store.retired() == [found]
    assert (found.retired, found.tags, found.layers) == (True, (), image.layers)
    assert all(layer.is_dir() for layer in image.layers)
    store.remove(image.id)
    assert not list((store.home / "layers").iterdir())
    assert not list((store.home / "blobs/sha256").iterdir())


def test_an_image_that_comes_again_is_not_retired_any_more(store: Store) -> None:
    image = make(store, "one", {"a": b"a"})
    store.retire(image.id)
    again = make(store, "two", {"a": b"a"})
    assert (again.id, again.retired, again.tags) == (image.id, False, ("two:latest",))
    assert [each.id for each in store.images()] == [image.id]


def test_an_image_that_others_were_made_from_stays(store: Store) -> None:
    base = make(store, "base", {"a": b"a"})
    child = make(store, "child", {"a": b"a"}, {"b": b"b"}, parent=base.id)
    assert child.parent == base.id
    with pytest.raises(Conflict, match="image has dependent child images"):
        store.remove(base.id)
    store.remove(child.id)
    store.remove(base.id)


def test_an_image_of_layers_that_are_gone_is_refused(store: Store) -> None:
    image = make(store, "one", {"a": b"a"})
    store.remove(image.id)
    with pytest.raises(Removed):
        store.add_image({"config": {}}, image.diff_ids)
    assert store.images() == []


def test_another_process_sees_it_at_once(store: Store) -> None:
    make(store, "mine", {"a": b"a"})
    code = (
        "import sys; from kernelkit.image.store import *; s = Store(Path(sys.argv[1]));"
        "s.tag(s.find('mine').id, Reference.parse('theirs'))"
    )
    subprocess.run([sys.executable, "-c", code, str(store.home)], check=True, cwd=Path(__file__).parents[3])
    assert store.find("theirs") == store.find("mine")


def test_many_threads_and_processes_change_it_at_once(store: Store) -> None:
    image = make(store, "base", {"a": b"a"})
    code = (
        "import sys; from kernelkit.image.store import *; s = Store(Path(sys.argv[1]));"
        "[s.tag(sys.argv[2], Reference.parse(f'p:{sys.argv[3]}-{i}')) for i in range(10)]"
    )
    command = [sys.executable, "-c", code, str(store.home), image.id]
    root = Path(__file__).parents[3]
    processes = [subprocess.Popen([*command, str(number)], cwd=root) for number in range(3)]

    def tag(number: int) -> None:
        for i in range(10):
            store.tag(image.id, Reference.parse(f"t:{number}-{i}"))

    threads = [threading.Thread(target=tag, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [process.wait() for process in processes] == [0, 0, 0]
    assert len(store.find("base").tags) == 61
    assert not list((store.home / "locks").iterdir())


def test_what_another_tool_puts_there_does_no_harm(store: Store, tmp_path: Path) -> None:
    make(store, "mine", {"a": b"a"})
    name = f"oci:{store.home}:mine:latest"
    subprocess.run(["skopeo", "copy", "-q", "--insecure-policy", name, f"oci:{store.home}:foreign"], check=True)
    assert store.find("mine").tags == ("mine:latest",)
    store.tag("mine", Reference.parse("again"))
    inspected = subprocess.run(["skopeo", "inspect", f"oci:{store.home}:foreign"], capture_output=True)
    assert inspected.returncode == 0


def test_what_was_left_half_done_is_swept_away(store: Store) -> None:
    image = make(store, "kept", {"a": b"a"})
    received = store.home / "blobs/sha256" / f"{'1' * 64}.partial"
    unfinished = store.home / "blobs/sha256" / f"{'2' * 16}.partial"
    unnamed = [store.home / place for place in (".index.json.7.8", "layers/.9.json.7.8", "blobs/sha256/.9.7.8")]
    for path in (received, unfinished, *unnamed):
        path.write_text("some of it")
    for path in (store.home / "layers" / f"{'3' * 16}.partial", store.home / "layers" / f"{'4' * 64}.partial"):
        path.mkdir()
    (store.home / "loads" / "5").mkdir(parents=True)
    store.sweep()
    assert received.exists()
    assert not any(path.exists() for path in (unfinished, *unnamed))
    assert [path.name for path in (store.home / "layers").iterdir() if path.is_dir()] == [image.layers[0].name]
    assert not list((store.home / "loads").iterdir())
