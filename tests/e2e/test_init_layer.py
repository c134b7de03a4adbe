"""/.dockerenv and the places to mount on: there in every container, and no change that it has made."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import Kernelkit

PLACES = ("etc/hostname", "etc/hosts", "etc/resolv.conf", "dev/console")


@pytest.fixture
def kk(shared_kk: Kernelkit) -> Iterator[Kernelkit]:
    yield shared_kk
    shared_kk.empty()


def exported(kk: Kernelkit, name: str, path: Path) -> tarfile.TarFile:
    kk("export", "-o", str(path), name)
    return tarfile.TarFile(fileobj=io.BytesIO(path.read_bytes()))


def test_a_container_can_tell_that_it_is_one(kk: Kernelkit) -> None:
    script = "stat -c '%F %a %u:%g %s' /.dockerenv; readlink /etc/mtab; ls -A / | grep docker"
    said = kk.docker("run", "--rm", "busybox", "sh", "-c", script).stdout
    assert said.splitlines() == ["regular empty file 755 0:0 0", "/proc/mounts", ".dockerenv"]


def test_it_has_changed_nothing(kk: Kernelkit) -> None:
    kk("run", "--name", "quiet", "busybox", "true")
    assert kk.docker("diff", "quiet").stdout == ""
    assert (
        list((kk.home / "containers" / kk("inspect", "-f", "{{.Id}}", "quiet").stdout.strip() / "upper").iterdir())
        == []
    )


def test_what_it_does_to_them_is_a_change(kk: Kernelkit) -> None:
    kk("run", "--name", "away", "busybox", "rm", "/.dockerenv")
    assert kk.docker("diff", "away").stdout.split() == ["D", "/.dockerenv"]
    kk("run", "--name", "written", "busybox", "sh", "-c", "echo mine >/.dockerenv")
    assert kk.docker("diff", "written").stdout.split() == ["C", "/.dockerenv"]


def test_an_archive_has_them_empty_and_an_image_not_at_all(kk: Kernelkit, tmp_path: Path) -> None:
    kk("run", "--name", "box", "busybox", "touch", "/mine")
    archive = exported(kk, "box", tmp_path / "box.tar")
    for name in (".dockerenv", *PLACES):
        member = archive.getmember(name)
        assert (member.isfile(), member.size, member.mode & 0o777) == (True, 0, 0o755), name
    kk("commit", "box", "image")
    layers = json.loads(kk("inspect", "image").stdout)[0]["RootFS"]["Layers"]
    assert len(layers) == 2
    kk("run", "--name", "again", "image", "cat", "/.dockerenv")
    assert kk("diff", "again").stdout == ""
    kk("save", "-o", str(tmp_path / "image.tar"), "image")
    with tarfile.open(tmp_path / "image.tar") as saved:
        manifest = json.load(saved.extractfile("manifest.json") or io.BytesIO())
        names = []
        for layer in manifest[0]["Layers"]:
            with tarfile.open(fileobj=saved.extractfile(layer)) as content:
                names += content.getnames()
    assert "mine" in names
    assert not {".dockerenv", "etc/mtab", "dev/console"} & set(names)


def test_the_image_s_own_folders_keep_their_looks(kk: Kernelkit, tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "root.tar", "w") as root:
        for name, mode, uid in (("etc", 0o750, 7), ("bin", 0o755, 0)):
            folder = tarfile.TarInfo(name)
            folder.type, folder.mode, folder.uid = tarfile.DIRTYPE, mode, uid
            root.addfile(folder)
        hosts = tarfile.TarInfo("etc/hosts")
        hosts.size = 5
        root.addfile(hosts, io.BytesIO(b"mine\n"))
        program = exported(kk, _made(kk), tmp_path / "busybox.tar").extractfile("bin/busybox")
        content = program.read() if program else b""
        member = tarfile.TarInfo("bin/busybox")
        member.mode, member.size = 0o755, len(content)
        root.addfile(member, io.BytesIO(content))
        for name in ("sh", "stat", "ls"):
            link = tarfile.TarInfo(f"bin/{name}")
            link.type, link.linkname = tarfile.SYMTYPE, "/bin/busybox"
            root.addfile(link)
    kk("import", str(tmp_path / "root.tar"), "odd")
    said = kk("run", "--name", "odd", "odd", "sh", "-c", "stat -c '%a %u' /etc /dev; ls /etc").stdout.split()
    assert said == ["750", "7", "755", "0", "hostname", "hosts", "mtab", "resolv.conf"]
    assert kk("diff", "odd").stdout == ""


def test_docker_s_inspect_tells_of_the_sheet(kk: Kernelkit) -> None:
    name = _made(kk)
    lower = json.loads(kk.docker("inspect", name).stdout)[0]["GraphDriver"]["Data"]["LowerDir"].split(":")
    assert Path(lower[0]).parent == kk.home / "init"
    assert (Path(lower[0]) / ".dockerenv").is_file()


def _made(kk: Kernelkit) -> str:
    return kk("create", "busybox", "true").stdout.strip()
