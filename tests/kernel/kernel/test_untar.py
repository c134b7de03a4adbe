"""What is unpacked is what tar(1) would unpack, and nothing gets out of the directory."""

from __future__ import annotations

import io
import os
import stat
import subprocess
import tarfile
import threading
from pathlib import Path
from typing import Any

import pytest

from kernelkit.kernel.tar import BadArchive, Stream
from kernelkit.kernel.untar import Limits, Written, untar

NONE = Limits()


def archive(*members: tuple[str, bytes, Any], form: int = tarfile.PAX_FORMAT) -> bytes:
    """An archive of (name, kind, fields or content) members, exactly as they are named."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=form) as tar:
        for name, kind, what in members:
            info = tarfile.TarInfo(name)
            info.type, info.mode, info.mtime = kind, 0o755 if kind == tarfile.DIRTYPE else 0o644, 1000
            content = what if isinstance(what, bytes) else b""
            info.size = len(content)
            for key, value in what.items() if isinstance(what, dict) else ():
                setattr(info, key, value)
            tar.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def unpack(data: bytes, directory: Path, limits: Limits = NONE) -> Written:
    directory.mkdir(exist_ok=True)
    return untar(Stream([data]), str(directory), limits)


def tree(directory: Path) -> dict[str, tuple[Any, ...]]:
    """Everything about everything in a directory."""
    found = {}
    for path in [directory, *directory.rglob("*")]:
        status = path.lstat()
        content: object = None
        if stat.S_ISREG(status.st_mode):
            content = path.read_bytes()
        elif stat.S_ISLNK(status.st_mode):
            content = os.readlink(path)
        xattrs = {
            name: os.getxattr(path, name, follow_symlinks=False) for name in os.listxattr(path, follow_symlinks=False)
        }
        found[str(path.relative_to(directory))] = (
            oct(status.st_mode), status.st_uid, status.st_gid, status.st_mtime_ns, status.st_rdev,
            status.st_nlink if not stat.S_ISDIR(status.st_mode) else 0, content, xattrs,
        )  # fmt: skip
    return found


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """What an archive would like to reach: beside the directory that it is unpacked into."""
    folder = tmp_path / "outside"
    folder.mkdir()
    (folder / "secret").write_text("untouched")
    return folder


def test_a_tree_comes_out_as_it_went_in(tmp_path: Path) -> None:
    """Modes, owners, times to the nanosecond, both kinds of links, devices, xattrs, capabilities, holes, odd names."""
    source = tmp_path / "source"
    (source / "usr/bin").mkdir(parents=True)
    program = source / "usr/bin/program"
    program.write_bytes(os.urandom(3_000_000))
    os.chown(program, 1000, 2000)
    program.chmod(0o6755)
    os.setxattr(program, "user.note", b"\0\xffbinary\n")
    os.setxattr(program, "security.capability", bytes.fromhex("0100000200040000000000000000000000000000"))
    os.link(program, source / "usr/bin/same")
    (source / "bin").symlink_to("usr/bin")
    os.chown(source / "bin", 5, 6, follow_symlinks=False)
    (source / ("long-" * 40)).write_text("long name")
    (source / "\udcff\n'name").write_text("odd name")
    group = source / "group"
    group.mkdir()
    os.chown(group, 0, 50)
    group.chmod(0o2775)
    (group / "file").write_text("not the group's")
    os.chown(group / "file", 0, 0)
    sticky = source / "tmp"
    sticky.mkdir()
    sticky.chmod(0o1777)
    os.mknod(source / "null", 0o666 | stat.S_IFCHR, os.makedev(1, 3))
    os.mkfifo(source / "pipe")
    with (source / "holes").open("wb") as file:
        file.truncate(50_000_000)
        file.seek(20_000_000)
        file.write(b"here")
    for number, path in enumerate(sorted(source.rglob("*"), reverse=True)):
        os.utime(path, ns=(0, 1_600_000_000_123_456_789 + number), follow_symlinks=False)
    os.utime(source, ns=(0, 5))
    command = ["tar", "-cf", "-", "--format=pax", "--sparse", "--numeric-owner", "--xattrs", "--xattrs-include=*"]
    data = subprocess.run([*command, "-C", str(source), "."], check=True, capture_output=True).stdout
    unpack(data, tmp_path / "target")
    assert tree(tmp_path / "target") == tree(source)
    assert (tmp_path / "target/holes").stat().st_blocks < 1000
    same = (tmp_path / "target/usr/bin/same").stat()
    assert same.st_ino == (tmp_path / "target/usr/bin/program").stat().st_ino


def test_the_callers_umask_is_left_alone_and_does_not_matter(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        unpack(archive(("d/", tarfile.DIRTYPE, {"mode": 0o777}), ("d/f", tarfile.REGTYPE, b"x")), tmp_path / "t")
        assert os.umask(0o077) == 0o077
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "t/d").stat().st_mode) == 0o777
    assert stat.S_IMODE((tmp_path / "t/d/f").stat().st_mode) == 0o644


def test_absolute_names_begin_at_the_directory(tmp_path: Path, outside: Path) -> None:
    target = str(outside / "secret")
    unpack(archive((target, tarfile.REGTYPE, b"evil")), tmp_path / "t")
    assert (outside / "secret").read_text() == "untouched"
    assert (tmp_path / f"t{target}").read_text() == "evil"


@pytest.mark.parametrize("name", ["../outside/secret", "a/../../outside/secret", "./../x", "..", "a/../..", "/../x"])
def test_a_name_that_leads_out_is_refused(tmp_path: Path, outside: Path, name: str) -> None:
    with pytest.raises(BadArchive, match="leads out"):
        unpack(archive((name, tarfile.REGTYPE, b"evil")), tmp_path / "t")
    assert (outside / "secret").read_text() == "untouched"


@pytest.mark.parametrize("absolute", [True, False])
def test_a_link_in_the_middle_leads_nowhere_outside(tmp_path: Path, outside: Path, absolute: bool) -> None:
    link = str(outside) if absolute else "../outside"
    data = archive(("way", tarfile.SYMTYPE, {"linkname": link}), ("way/secret", tarfile.REGTYPE, b"evil"))
    with pytest.raises(BadArchive, match="link to nowhere"):
        unpack(data, tmp_path / "t")
    assert (outside / "secret").read_text() == "untouched"


def test_a_link_in_the_middle_is_followed_inside(tmp_path: Path) -> None:
    data = archive(
        ("usr/lib/", tarfile.DIRTYPE, {}),
        ("lib", tarfile.SYMTYPE, {"linkname": "/usr/lib"}),
        ("lib/x.so", tarfile.REGTYPE, b"code"),
        ("lib/up", tarfile.SYMTYPE, {"linkname": "../../../../../usr"}),
        ("lib/up/share", tarfile.REGTYPE, b"shared"),
    )
    unpack(data, tmp_path / "t")
    assert (tmp_path / "t/usr/lib/x.so").read_bytes() == b"code"
    assert (tmp_path / "t/usr/share").read_bytes() == b"shared"


def test_the_last_link_is_replaced_and_not_followed(tmp_path: Path, outside: Path) -> None:
    for kind in (tarfile.REGTYPE, tarfile.DIRTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE, tarfile.SYMTYPE):
        link = {"linkname": str(outside / "secret")}
        again = b"evil" if kind == tarfile.REGTYPE else {"linkname": "elsewhere", "mode": 0o777, "uid": 7}
        unpack(archive(("x", tarfile.SYMTYPE, link), ("x", kind, again)), tmp_path / f"t{kind!r}")
    assert (outside / "secret").read_text() == "untouched"
    assert (outside / "secret").stat().st_uid == 0
    assert stat.S_IMODE((outside / "secret").stat().st_mode) == 0o644


def test_a_directory_that_becomes_a_link_between_two_entries_is_a_link_for_the_second(
    tmp_path: Path, outside: Path
) -> None:
    data = archive(
        ("d/", tarfile.DIRTYPE, {}),
        ("d/a", tarfile.REGTYPE, b"first"),
        ("d", tarfile.SYMTYPE, {"linkname": str(outside)}),
        ("d/secret", tarfile.REGTYPE, b"evil"),
    )
    with pytest.raises(BadArchive):
        unpack(data, tmp_path / "t")
    assert (outside / "secret").read_text() == "untouched"


def test_a_directory_that_is_replaced_by_another_is_not_written_into_any_more(tmp_path: Path) -> None:
    data = archive(
        ("d/e/", tarfile.DIRTYPE, {}),
        ("d/e/a", tarfile.REGTYPE, b"first"),
        ("d", tarfile.REGTYPE, b"a file for a while"),
        ("d/", tarfile.DIRTYPE, {}),
        ("d/e/b", tarfile.REGTYPE, b"second"),
    )
    unpack(data, tmp_path / "t")
    assert [path.name for path in (tmp_path / "t/d/e").iterdir()] == ["b"]


@pytest.mark.parametrize("link", ["../outside/secret", "way/secret", "/way/secret", "nothing"])
def test_a_hard_link_to_what_is_outside_or_missing_is_refused(tmp_path: Path, outside: Path, link: str) -> None:
    data = archive(
        ("way", tarfile.SYMTYPE, {"linkname": "../outside"}),
        ("mine", tarfile.LNKTYPE, {"linkname": link}),
        ("mine", tarfile.REGTYPE, b"evil"),
    )
    with pytest.raises(BadArchive):
        unpack(data, tmp_path / "t")
    assert (outside / "secret").read_text() == "untouched"
    assert (outside / "secret").stat().st_nlink == 1


def test_a_hard_link_to_a_link_is_that_link(tmp_path: Path, outside: Path) -> None:
    link = {"linkname": str(outside / "secret")}
    data = archive(
        ("s", tarfile.SYMTYPE, link), ("h", tarfile.LNKTYPE, {"linkname": "s"}), ("h", tarfile.REGTYPE, b"evil")
    )
    unpack(data, tmp_path / "t")
    assert (outside / "secret").read_text() == "untouched"
    assert (tmp_path / "t/s").is_symlink()
    assert (tmp_path / "t/h").read_bytes() == b"evil"


def test_times_and_modes_of_directories_are_not_given_to_what_took_their_place(tmp_path: Path, outside: Path) -> None:
    before = outside.stat()
    data = archive(("d/", tarfile.DIRTYPE, {"mode": 0o7777}), ("d", tarfile.SYMTYPE, {"linkname": str(outside)}))
    unpack(data, tmp_path / "t")
    assert (outside.stat().st_mode, outside.stat().st_mtime_ns) == (before.st_mode, before.st_mtime_ns)


def test_overlays_own_notes_are_not_taken_from_an_archive(tmp_path: Path) -> None:
    notes = {
        f"SCHILY.xattr.{name}": "/outside"
        for name in ("trusted.overlay.redirect", "user.overlay.opaque", "trusted.overlay.metacopy", "user.fine")
    }
    unpack(
        archive(("d/", tarfile.DIRTYPE, {"pax_headers": notes}), ("f", tarfile.REGTYPE, {"pax_headers": notes})),
        tmp_path / "t",
    )
    assert os.listxattr(tmp_path / "t/d") == os.listxattr(tmp_path / "t/f") == ["user.fine"]


def test_a_bomb_is_stopped(tmp_path: Path) -> None:
    with pytest.raises(BadArchive, match="more than is allowed"):
        unpack(archive(("big", tarfile.REGTYPE, bytes(10_000))), tmp_path / "t", Limits(size=5_000))
    many = archive(*((f"f{number}", tarfile.REGTYPE, b"") for number in range(100)))
    with pytest.raises(BadArchive, match="more than is allowed"):
        unpack(many, tmp_path / "u", Limits(entries=50))
    assert len(list((tmp_path / "u").iterdir())) <= 50


def test_a_directory_deeper_than_python_would_recurse_is_made(tmp_path: Path) -> None:
    deep = "d/" * 1900
    unpack(archive((deep + "f", tarfile.REGTYPE, b"x")), tmp_path / "t")
    subprocess.run(["rm", "-rf", str(tmp_path / "t")], check=True)
    with pytest.raises(BadArchive, match="longer than the kernel takes"):
        unpack(archive(("d/" * 2500 + "f", tarfile.REGTYPE, b"x")), tmp_path / "u")


@pytest.mark.parametrize("name", ["f/x", "loop/x"])
def test_a_parent_that_is_no_directory_is_refused(tmp_path: Path, name: str) -> None:
    data = archive(
        ("f", tarfile.REGTYPE, b"a file"),
        ("loop", tarfile.SYMTYPE, {"linkname": "loop"}),
        (name, tarfile.REGTYPE, b"x"),
    )
    with pytest.raises(BadArchive, match=r"cannot be a directory|link to nowhere"):
        unpack(data, tmp_path / "t")


def test_no_descriptor_and_no_thread_is_left(tmp_path: Path) -> None:
    descriptors, threads = set(os.listdir("/proc/self/fd")), set(threading.enumerate())
    many = archive(*((f"d{number}/f", tarfile.REGTYPE, b"") for number in range(400)))
    unpack(many, tmp_path / "t")
    with pytest.raises(BadArchive):
        unpack(many[:100_000], tmp_path / "u")
    assert set(os.listdir("/proc/self/fd")) <= descriptors  # of others' some may have gone meanwhile
    assert set(threading.enumerate()) <= threads


def test_zeros_become_a_hole(tmp_path: Path) -> None:
    content = bytes(5 << 20) + b"end" + bytes(3 << 20)
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as packed:
        for name, data in (("holes", content), ("only", bytes(2 << 20))):
            info = tarfile.TarInfo(name)
            info.size = len(data)
            packed.addfile(info, io.BytesIO(data))
    data = archive.getvalue()
    untar(Stream(data[i : i + (1 << 18)] for i in range(0, len(data), 1 << 18)), str(tmp_path))
    assert (tmp_path / "holes").read_bytes() == content
    assert (tmp_path / "only").read_bytes() == bytes(2 << 20)
    assert (tmp_path / "holes").stat().st_blocks * 512 < 1 << 20
    assert (tmp_path / "only").stat().st_blocks * 512 < 1 << 16


@pytest.mark.parametrize("kind", [tarfile.REGTYPE, tarfile.SYMTYPE])
def test_what_something_is_mounted_on_is_not_replaced(tmp_path: Path, kind: bytes) -> None:
    """From another mount namespace the kernel would let the place go, and the mount with it: unlink(2), EBUSY."""
    inside = tmp_path / "inside"
    inside.mkdir()
    (inside / "hosts").write_text("old")
    (tmp_path / "over").write_text("mounted")
    script = f"mount --bind {tmp_path}/over {inside}/hosts && echo ready && cat && cat {inside}/hosts"
    command = ["unshare", "-m", "sh", "-c", script]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout
        assert other.stdout.readline() == "ready\n"
        root = os.open(f"/proc/{other.pid}/root{inside}", os.O_PATH | os.O_DIRECTORY)
        try:
            with pytest.raises(OSError, match="busy"):
                untar(Stream([archive(("hosts", kind, {"linkname": "new"}))]), f"/proc/self/fd/{root}")
        finally:
            os.close(root)
        assert other.communicate("")[0] == "mounted"
    assert (inside / "hosts").read_text() == "old"
