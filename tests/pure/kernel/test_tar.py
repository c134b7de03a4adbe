"""Archives are read as tar(1) and Python's tarfile write them, and refused when they are none."""

from __future__ import annotations

import io
import subprocess
import tarfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kernelkit.kernel.tar import BadArchive, Entry, Stream, read


def entries(data: bytes, piece: int = 1000) -> list[tuple[Entry, bytes]]:
    """Everything in an archive, read in pieces."""
    stream = Stream(data[i : i + piece] for i in range(0, len(data), piece))
    return [(entry, b"".join(bytes(part) for part in stream.parts(entry.stored))) for entry in read(stream)]


def archive(*members: tuple[tarfile.TarInfo, bytes], form: int = tarfile.PAX_FORMAT) -> bytes:
    """An archive by tarfile."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=form) as tar:
        for info, content in members:
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def member(name: str, kind: bytes = tarfile.REGTYPE, **fields: object) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type = kind
    for key, value in fields.items():
        setattr(info, key, value)
    return info


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
@pytest.mark.parametrize("piece", [1, 511, 512, 10_000])
def test_every_kind_of_member_is_read(form: int, piece: int) -> None:
    data = archive(
        (member("a", mode=0o4755, uid=1000, gid=7, mtime=1_700_000_000), b"x" * 1500),
        (member("empty"), b""),
        (member("d", tarfile.DIRTYPE, mode=0o1777), b""),
        (member("s", tarfile.SYMTYPE, linkname="a"), b""),
        (member("h", tarfile.LNKTYPE, linkname="a"), b""),
        (member("c", tarfile.CHRTYPE, devmajor=5, devminor=1), b""),
        (member("p", tarfile.FIFOTYPE), b""),
        form=form,
    )
    got = entries(data, piece)
    assert [(e.name.rstrip(b"/"), e.kind) for e, _ in got] == [
        (b"a", b"0"), (b"empty", b"0"), (b"d", b"5"), (b"s", b"2"), (b"h", b"1"), (b"c", b"3"), (b"p", b"6"),
    ]  # fmt: skip
    first = got[0]
    assert (first[0].mode, first[0].uid, first[0].gid, first[0].mtime) == (0o4755, 1000, 7, 1_700_000_000 * 10**9)
    assert first[1] == b"x" * 1500
    assert got[3][0].link == got[4][0].link == b"a"
    assert (got[5][0].major, got[5][0].minor) == (5, 1)


@pytest.mark.parametrize("form", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_long_names_links_and_large_numbers_are_read(form: int) -> None:
    name, link = "n/" * 150 + "é", "l/" * 200 + "l"
    data = archive((member(name, tarfile.SYMTYPE, linkname=link, uid=3_000_000_000, mtime=-5), b""), form=form)
    [(entry, _)] = entries(data)
    assert (entry.name.decode(), entry.link.decode(), entry.uid) == (name, link, 3_000_000_000)
    assert entry.mtime == -5 * 10**9


def test_a_long_name_of_ustar_is_put_together() -> None:
    name = "/".join(["d" * 40] * 4)
    [(entry, _)] = entries(archive((member(name), b""), form=tarfile.USTAR_FORMAT))
    assert entry.name.decode() == name


def test_extended_attributes_and_fractions_of_seconds_are_read() -> None:
    info = member("x")
    info.pax_headers = {"SCHILY.xattr.user.note": "hello\nworld=1", "mtime": "1.5", "comment": "x"}
    [(entry, _), (plain, _)] = entries(archive((info, b"c"), (member("y"), b"")))
    assert entry.xattrs == {b"user.note": b"hello\nworld=1"}
    assert entry.mtime == 1_500_000_000
    assert plain.xattrs == {}


@pytest.mark.parametrize(
    "sparse", ["--format=gnu", "--sparse-version=0.0", "--sparse-version=0.1", "--sparse-version=1.0"]
)
def test_sparse_files_are_read_in_all_of_gnus_formats(tmp_path: Path, sparse: str) -> None:
    original = tmp_path / "holes"
    with original.open("wb") as file:
        for number in range(30):  # more than fit into one header
            file.seek(number * 1_000_000)
            file.write(b"%d" % number * 3000)
        file.truncate(40_000_000)
    form = [sparse] if "format" in sparse else ["--format=pax", sparse]
    command = ["tar", "-cSf", "-", *form, "-C", str(tmp_path), "holes"]
    data = subprocess.run(command, check=True, capture_output=True).stdout
    [(entry, content)] = entries(data)
    assert (entry.name, entry.size) == (b"holes", 40_000_000)
    assert entry.parts is not None
    built = bytearray(entry.size)
    for offset, length in entry.parts:
        built[offset : offset + length], content = content[:length], content[length:]
    assert bytes(built) == original.read_bytes()
    assert not content


@pytest.mark.parametrize(
    "data",
    [
        b"hello",
        b"x" * 512,
        archive((member("a"), b"x" * 5000))[:3000],
        archive((member("a"), b"x" * 5000))[:100],
        archive((member("a"), b"x")).replace(b"ustar", b"Ustar", 1),
    ],
    ids=["words", "a block of letters", "cut in content", "cut in header", "changed"],
)
def test_what_is_no_archive_is_refused(data: bytes) -> None:
    with pytest.raises(BadArchive):
        entries(data)


@pytest.mark.parametrize(
    "records",
    [
        b"5 a=b\n",
        b"0 a=b\n",
        b"x a=b\n",
        b"999 a=b\n",
        b"6 ab=\n\n",
        b"-6 a=b\n",
        b"12 size=-1\n\n\n",
        b"14 mtime=1e99\n",
    ],
)
def test_a_malformed_extended_header_is_refused(records: bytes) -> None:
    header = member("pax", b"x", size=len(records)).tobuf(tarfile.USTAR_FORMAT)
    with pytest.raises(BadArchive):
        entries(header + records.ljust(512, b"\0") + archive((member("a"), b"")))


def test_a_header_that_wants_all_memory_is_refused() -> None:
    for kind in (b"x", b"g", b"L", b"K"):
        header = member("big", kind, size=1 << 33).tobuf(tarfile.GNU_FORMAT)
        with pytest.raises(BadArchive, match="extended header"):
            entries(header + bytes(1024))


def test_the_last_content_may_end_where_the_archive_does() -> None:
    """As `umoci insert` writes its layers: without padding, and without the blocks of zeros at the end."""
    whole = archive((member("a"), b"one"), (member("b"), b"two"))
    end = whole.index(b"two") + 3
    assert [entry.name for entry, _ in entries(whole[:end])] == [b"a", b"b"]
    with pytest.raises(BadArchive, match="in the middle of an entry"):
        entries(whole[: end - 1])


def test_an_empty_archive_has_no_members() -> None:
    assert entries(b"") == entries(bytes(1024)) == []


@settings(max_examples=300)
@given(st.binary(max_size=2000), st.integers(0, 4000), st.binary(min_size=1, max_size=40))
def test_damage_is_read_or_refused_and_nothing_else(tail: bytes, at: int, noise: bytes) -> None:
    info = member("x/" * 80)
    info.pax_headers = {"SCHILY.xattr.user.a": "b", "GNU.sparse.major": "1", "GNU.sparse.minor": "0"}
    data = bytearray(archive((info, b"1\n0\n5\n".ljust(517, b"\0")), (member("y"), b"content")) + tail)
    data[at : at + len(noise)] = noise
    try:
        entries(bytes(data))
    except BadArchive:
        pass
