"""Files packed for a container and unpacked from one, and archives that try to get out of the folder."""

from __future__ import annotations

import io
import os
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from kernelkit.cli.copy import Spot, place, split
from kernelkit.cli.output import Failure
from kernelkit.cli.pack import pack
from kernelkit.cli.unpack import Source, unpack


def archive(*entries: tarfile.TarInfo | tuple[tarfile.TarInfo, bytes]) -> bytes:
    tape = io.BytesIO()
    with tarfile.open(fileobj=tape, mode="w") as tar:
        for entry in entries:
            head, content = entry if isinstance(entry, tuple) else (entry, b"")
            head.size = len(content)
            tar.addfile(head, io.BytesIO(content))
    return tape.getvalue()


def file(name: str, content: bytes = b"x", **fields: object) -> tuple[tarfile.TarInfo, bytes]:
    head = tarfile.TarInfo(name)
    for key, value in fields.items():
        setattr(head, key, value)
    return head, content


def link(name: str, target: str, kind: bytes = tarfile.SYMTYPE) -> tarfile.TarInfo:
    head = tarfile.TarInfo(name)
    head.type, head.linkname = kind, target
    return head


def pieces(content: bytes, size: int = 700) -> Iterator[bytes]:
    yield from (content[i : i + size] for i in range(0, len(content), size))


def put(content: bytes, folder: Path, first: str = "", becomes: str = "") -> int:
    return unpack(Source(pieces(content)), str(folder), rename=(first, becomes), owners=False)


def test_what_is_packed_comes_out_the_same(tmp_path: Path) -> None:
    source = tmp_path / "source"
    (source / "sub").mkdir(parents=True)
    (source / "a").write_bytes(os.urandom(200_000))
    (source / "a").chmod(0o640)
    (source / "empty").touch()
    (source / "sub" / "link").symlink_to("../a")
    os.link(source / "a", source / "hard")
    os.mkfifo(source / "fifo")
    (source / "fifo").chmod(0o622)
    os.utime(source / "a", ns=(1_500_000_000_250_000_000,) * 2)
    target = tmp_path / "target"
    target.mkdir()
    put(b"".join(pack(str(source), "source")), target)
    out = target / "source"
    assert (out / "a").read_bytes() == (source / "a").read_bytes()
    assert (out / "a").stat().st_mode & 0o7777 == 0o640
    assert (out / "a").stat().st_mtime_ns == 1_500_000_000_250_000_000
    assert (out / "a").stat().st_ino == (out / "hard").stat().st_ino
    assert (out / "empty").read_bytes() == b""
    assert os.readlink(out / "sub" / "link") == "../a"
    assert (out / "fifo").is_fifo()
    assert (out / "fifo").stat().st_mode & 0o7777 == 0o622


def test_the_first_part_of_the_names_can_be_another(tmp_path: Path) -> None:
    put(archive(file("etc/passwd"), link("etc/hard", "etc/passwd", tarfile.LNKTYPE)), tmp_path, "etc", "new")
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == ["hard", "passwd"]
    put(archive(file("./a"), file("b")), tmp_path, ".", "root")
    assert sorted(path.name for path in (tmp_path / "root").iterdir()) == ["a", "b"]


@pytest.mark.parametrize(
    "entries",
    [
        [file("../evil")],
        [file("a/../../evil")],
        [link("out", ".."), file("out/evil")],
        [link("out", "/"), file("out/tmp/evil")],
        [link("a", "b"), link("b", ".."), file("a/evil")],
        [link("evil", "../secret", tarfile.LNKTYPE)],
        [link("out", ".."), link("evil", "out/secret", tarfile.LNKTYPE)],
    ],
)
def test_no_archive_gets_out_of_its_folder(entries: list[tarfile.TarInfo], tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    inside = tmp_path / "inside"
    inside.mkdir()
    with pytest.raises(Failure, match="leads out of"):
        put(archive(*entries), inside)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["inside", "secret"]
    assert not (inside / "evil").exists()


def test_an_absolute_name_is_taken_from_the_folder(tmp_path: Path) -> None:
    put(archive(file("/etc/kernelkit-test")), tmp_path)
    assert (tmp_path / "etc" / "kernelkit-test").exists()


def test_a_link_that_is_there_is_replaced_and_not_written_through(tmp_path: Path) -> None:
    (tmp_path / "outside").write_text("old")
    inside = tmp_path / "inside"
    inside.mkdir()
    (inside / "a").symlink_to("../outside")
    put(archive(file("a", b"new")), inside)
    assert (tmp_path / "outside").read_text() == "old"
    assert (inside / "a").read_text() == "new"


def test_files_and_folders_do_not_replace_each_other(tmp_path: Path) -> None:
    (tmp_path / "dir").mkdir()
    with pytest.raises(Failure, match="cannot overwrite directory"):
        put(archive(file("dir")), tmp_path)
    (tmp_path / "file").touch()
    folder = tarfile.TarInfo("file")
    folder.type = tarfile.DIRTYPE
    with pytest.raises(Failure, match="cannot overwrite non-directory"):
        put(archive(folder), tmp_path)


def test_an_archive_that_breaks_off_is_said_to(tmp_path: Path) -> None:
    with pytest.raises(Failure, match="cannot be read"):
        put(archive(file("a", b"x" * 5000))[:2000], tmp_path)


def test_a_file_that_shrinks_meanwhile_keeps_the_archive_whole(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"x" * 200_000)
    content = b""
    for i, piece in enumerate(pack(str(path), "a")):
        if i == 0:
            path.write_bytes(b"y")
        content += piece
    with tarfile.open(fileobj=io.BytesIO(content)) as tar:
        assert tar.getmembers()[0].size == 200_000
    assert len(content) % 512 == 0


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("web:/etc", ("web", "/etc")),
        ("/a:b", ("", "/a:b")),
        ("./a:b", ("", "./a:b")),
        ("a", ("", "a")),
        ("web:", ("web", "")),
    ],
)
def test_a_colon_separates_the_container(text: str, parts: tuple[str, str]) -> None:
    assert split(text) == parts


def there(path: str, *, is_dir: bool) -> Spot:
    return Spot(path, exists=True, is_dir=is_dir)


def test_where_a_copy_goes_depends_on_what_is_there() -> None:
    folder, plain, gone = (
        there("/d", is_dir=True),
        there("/f", is_dir=False),
        Spot("/x/new", exists=False, is_dir=False),
    )
    assert place(folder, folder) == ("/d", "")
    assert place(plain, folder) == ("/d", "")
    assert place(plain, plain) == ("/", "f")
    assert place(folder, gone) == place(plain, gone) == ("/x", "new")
    with pytest.raises(Failure, match="cannot copy directory"):
        place(folder, plain)
    with pytest.raises(Failure, match="no such directory"):
        place(plain, Spot("/x/new/", exists=False, is_dir=False))
