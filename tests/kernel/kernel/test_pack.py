"""What is packed can be unpacked, by us and by tar(1), and the same files give the same bytes."""

from __future__ import annotations

import hashlib
import io
import os
import re
import stat
import subprocess
import tarfile
from pathlib import Path

import pytest

from kernelkit.image.layer import MarkRemoved, UnpackLayer
from kernelkit.kernel.pack import pack, pack_open
from kernelkit.kernel.tar import Stream
from kernelkit.kernel.untar import untar


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Something of everything, with whole seconds."""
    root = tmp_path / "tree"
    (root / "d/e").mkdir(parents=True)
    (root / "d/large").write_bytes(os.urandom(1_000_000))
    (root / "d/e/small").write_text("small")
    (root / "empty").write_text("")
    os.chown(root / "d/e/small", 1000, 3_000_000)
    (root / "d/e/small").chmod(0o4711)
    os.setxattr(root / "d/e/small", "user.note", b"\0binary\n")
    os.setxattr(root / "d", "user.dir", b"yes")
    os.setxattr(root / "d/large", "security.capability", bytes.fromhex("0100000200040000000000000000000000000000"))
    os.link(root / "d/large", root / "z-again")
    (root / "s").symlink_to("/d/" + "long/" * 30)
    os.link(root / "s", root / "t", follow_symlinks=False)
    (root / ("n" * 150)).mkdir()
    (root / ("n" * 150) / ("m" * 90)).write_text("long")
    (root / "ümlaut").write_text("ü")
    os.mknod(root / "null", 0o666 | stat.S_IFCHR, os.makedev(1, 3))
    os.mknod(root / "disk", 0o660 | stat.S_IFBLK, os.makedev(259, 65_537))
    os.mkfifo(root / "pipe")
    for number, path in enumerate(sorted(root.rglob("*"), reverse=True)):
        os.utime(path, (0, 1_600_000_000 + number), follow_symlinks=False)
    os.utime(root / "d", (0, -100))
    return root


def listing(root: Path) -> bytes:
    """Everything about everything in a tree, by find(1) and sha256sum(1)."""
    script = (
        "find . -mindepth 1 ! -type d -printf '%p %M %U %G %s %T@ %l %n\\n' | sort;"
        "find . -mindepth 1 -type d -printf '%p %M %U %G %T@\\n' | sort;"
        "find . -type f | sort | xargs -d '\\n' sha256sum; stat -c '%n %t %T' null disk"
    )
    return subprocess.check_output(["sh", "-c", script], cwd=root)


def test_it_comes_back_the_same(tree: Path, tmp_path: Path) -> None:
    (tmp_path / "back").mkdir()
    untar(Stream(pack(str(tree))), str(tmp_path / "back"))
    assert listing(tmp_path / "back") == listing(tree)
    for name in ("d", "d/large", "d/e/small"):
        names = os.listxattr(tree / name)
        assert os.listxattr(tmp_path / "back" / name) == names
        assert [os.getxattr(tmp_path / "back" / name, n) for n in names] == [os.getxattr(tree / name, n) for n in names]


def test_tar_and_pythons_tarfile_read_it(tree: Path, tmp_path: Path) -> None:
    data = b"".join(pack(str(tree)))
    assert len(data) % 512 == 0
    (tmp_path / "back").mkdir()
    subprocess.run(["tar", "-xpf", "-", "--numeric-owner", "-C", str(tmp_path / "back")], input=data, check=True)
    assert listing(tmp_path / "back") == listing(tree)
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        assert len(archive.getmembers()) == len(list(tree.rglob("*")))


def test_the_same_files_give_the_same_digest(tree: Path, tmp_path: Path) -> None:
    """However they came there: here by a copy that makes them in another order."""
    subprocess.run(["cp", "-a", str(tree), str(tmp_path / "copy")], check=True)
    digests = [hashlib.sha256(b"".join(pack(str(root)))).hexdigest() for root in (tree, tmp_path / "copy")]
    assert digests[0] == digests[1]


def test_a_prefix_makes_one_directory_of_it(tree: Path) -> None:
    with tarfile.open(fileobj=io.BytesIO(b"".join(pack(str(tree), prefix=b"top/")))) as archive:
        assert archive.getnames()[0] == "top"
        assert all(name.startswith("top") for name in archive.getnames())


def test_sockets_are_left_out(tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    os.mknod(tmp_path / "x/socket", stat.S_IFSOCK | 0o600)
    assert b"".join(pack(str(tmp_path / "x"))) == bytes(1024)


def test_what_an_overlay_changed_becomes_a_layer_that_changes_the_same(tmp_path: Path) -> None:
    """A real overlay, changed through its mount; the layer of its upper side, stacked, gives the same files."""
    for name in ("lower/d/sub", "lower/gone/x", "lower/emptied", "upper", "work", "merged", "again"):
        (tmp_path / name).mkdir(parents=True)
    for name in ("a", "b", "d/c", "d/sub/f", "emptied/old", "gone/x/y"):
        (tmp_path / "lower" / name).write_text(name)
    script = f"""
set -e; cd {tmp_path}
mount -t overlay none -o lowerdir=lower,upperdir=upper,workdir=work merged
echo changed > merged/a; rm merged/b; rm -r merged/gone; rm -r merged/emptied; mkdir merged/emptied
echo new > merged/emptied/new; ln merged/a merged/a2; rm merged/d/c; chmod 700 merged/d/sub
rm merged/d/sub/f; ln -s a merged/link
cd merged; find . -mindepth 1 -printf '%p %M %s %l %n\\n' | grep -v ' d' | sort
find . -type d -printf '%p %M\\n' | sort
"""
    changed = subprocess.run(["unshare", "-m", "sh", "-c", script], check=True, capture_output=True).stdout
    archive = tmp_path / "layer.tar"
    archive.write_bytes(b"".join(pack(str(tmp_path / "upper"), layer=True)))
    with tarfile.open(archive) as packed:
        names = set(packed.getnames())
    assert {".wh.b", ".wh.gone", "emptied/.wh..wh..opq", "d/.wh.c", "d/sub/.wh.f"} <= names
    unpacked = UnpackLayer(str(archive), str(tmp_path / "layer")).perform()
    MarkRemoved(str(tmp_path / "layer"), unpacked.removed, unpacked.opaque).perform()
    script = f"""
cd {tmp_path}; mount -t overlay none -o lowerdir=layer:lower again; cd again
find . -mindepth 1 -printf '%p %M %s %l %n\\n' | grep -v ' d' | sort
find . -type d -printf '%p %M\\n' | sort
"""
    again = subprocess.run(["unshare", "-m", "sh", "-c", script], check=True, capture_output=True).stdout
    assert again == changed
    # And packing the layer gives that layer: its digest can be had again from its directory.
    assert b"".join(pack(str(tmp_path / "layer"), layer=True)) == archive.read_bytes()


def changed(folder: Path, script: str) -> Path:
    """Run a script in an overlay over `lower`; its upper side."""
    for name in ("lower/d/sub", "lower/etc", "upper", "work", "merged"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    for name in ("a", "d/c", "d/sub/f"):
        (folder / "lower" / name).write_text(name)
    mount = f"mount -t overlay none -o lowerdir=lower,upperdir=upper,workdir=work merged; cd merged; {script}"
    subprocess.run(["unshare", "-m", "sh", "-ec", mount], cwd=folder, check=True)
    return folder / "upper"


def layer_names(folder: Path, script: str) -> list[str]:
    upper, lower, made = changed(folder, script), str(folder / "lower"), frozenset((b"proc", b"etc", b"etc/hosts"))
    with tarfile.open(fileobj=io.BytesIO(b"".join(pack(str(upper), layer=True, below=[lower], made=made)))) as archive:
        return archive.getnames()


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ("touch d/sub/new; rm d/sub/new", []),
        ("mkdir proc; touch etc/hosts", []),
        ("touch etc/hosts etc/new", ["etc", "etc/new"]),
        ("echo x > etc/hosts", ["etc", "etc/hosts"]),
        ("mkdir -p proc/x", ["proc", "proc/x"]),
        ("echo x > d/sub/f", ["d", "d/sub", "d/sub/f"]),
        ("rm d/sub/f; touch d/sub/g; rm d/sub/g", ["d", "d/sub", "d/sub/.wh.f"]),
        ("chmod 700 d/sub", ["d", "d/sub"]),
        ('setfattr -n user.x -v y d || python3 -c \'import os; os.setxattr("d", "user.x", b"y")\'', ["d"]),
        ("rm -r d; mkdir d", ["d", "d/.wh..wh..opq"]),
        ("mkdir n", ["n"]),
        ("chmod 700 etc; touch etc/hosts", ["etc"]),
    ],
)
def test_a_layer_has_the_changes_and_the_way_to_them(tmp_path: Path, script: str, expected: list[str]) -> None:
    assert layer_names(tmp_path, f"({script}) 2>/dev/null") == expected


def test_the_view_of_several_directories_is_what_overlay_shows(tree: Path, tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    upper = changed(tmp_path / "x", "rm d/c; echo n > d/sub/f; rm -r etc; echo > etc; mkdir new; ln d/sub/f new/f")
    sheets = [str(upper), str(tmp_path / "x/lower"), str(tree)]
    (tmp_path / "packed").mkdir()
    untar(Stream(pack(*sheets)), str(tmp_path / "packed"))
    files = "find . -mindepth 1 ! -type d -printf '%p %M %U %G %s %T@ %l\\n' | sort"
    look = f"{files}; find . -type d -printf '%p %M\\n' | sort"
    mount = f"mount -t overlay none -o lowerdir={':'.join(sheets)} x/merged; cd x/merged; {look}"
    mounted = subprocess.check_output(["unshare", "-m", "sh", "-ec", mount], cwd=tmp_path)
    packed = subprocess.check_output(["sh", "-ec", f"cd packed; {look}"], cwd=tmp_path)
    assert [seconds(line) for line in mounted.splitlines()] == [seconds(line) for line in packed.splitlines()]


def test_a_whiteout_of_what_is_nowhere_does_not_show(tmp_path: Path) -> None:
    """overlayfs lists such a name and knows nothing of it; an image's layer may well have one."""
    for name in ("top", "bottom"):
        (tmp_path / name).mkdir()
    (tmp_path / "bottom/d").mkdir()
    os.mknod(tmp_path / "bottom/d/none", stat.S_IFCHR, 0)
    (tmp_path / "bottom/d/some").touch()
    for sheets in (["top", "bottom"], ["bottom"]):
        data = b"".join(pack(*(str(tmp_path / sheet) for sheet in sheets)))
        with tarfile.open(fileobj=io.BytesIO(data)) as archive:
            assert archive.getnames() == ["d", "d/some"]


def seconds(line: bytes) -> bytes:
    """A line of find's without parts of seconds, and without directories' times."""
    return re.sub(rb"(\d{9,})\.\d+", rb"\1", line)


def test_one_file_is_packed_under_another_name(tree: Path) -> None:
    fd = os.open(tree, os.O_RDONLY)
    try:
        small, deep, link = (b"".join(pack_open(name, fd, b"other")) for name in (b"d/e/small", b"d", b"s"))
    finally:
        os.close(fd)
    with tarfile.open(fileobj=io.BytesIO(small)) as archive:
        assert [(m.name, m.size, m.mode) for m in archive.getmembers()] == [("other", 5, 0o4711)]
    with tarfile.open(fileobj=io.BytesIO(deep)) as archive:
        assert archive.getnames() == ["other", "other/e", "other/e/small", "other/large"]
    with tarfile.open(fileobj=io.BytesIO(link)) as archive:
        assert archive.getmembers()[0].issym()
