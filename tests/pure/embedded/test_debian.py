"""What is done to a fresh system before it becomes a layer."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

from kernelkit.embedded.debian import Release, newest_before, release, tidy


def test_the_machine_s_own_release_is_made_and_bookworm_elsewhere() -> None:
    trixie = 'PRETTY_NAME="Debian"\nVERSION_ID="13"\nVERSION_CODENAME=trixie\nID=debian\n'
    assert release(trixie) == Release("trixie", "13")
    assert release('ID=ubuntu\nVERSION_ID="24.04"\nVERSION_CODENAME=noble\n') == Release("bookworm", "12")
    assert release("ID=debian\n") == Release("bookworm", "12")  # testing and unstable have no number
    assert release("") == Release("bookworm", "12")


def write(path: Path, files: dict[str, bytes], mtime: int) -> None:
    with tarfile.open(path, "w") as tar:
        for name, content in files.items():
            entry = tarfile.TarInfo(f"./{name}")
            entry.size, entry.mtime, entry.uname = len(content), mtime, "somebody"
            tar.addfile(entry, io.BytesIO(content))
        link = tarfile.TarInfo("./bin/a-link")
        link.type, link.linkname, link.mtime = tarfile.LNKTYPE, "./bin/ls", mtime
        tar.addfile(link)


def test_what_the_build_left_behind_does_not_reach_the_layer(tmp_path: Path) -> None:
    kept = {"bin/ls": b"ls", "etc/passwd": b"", "var/log/lastlog": b"", "etc/resolver": b"", "run/lock": b""}
    dropped = {
        "etc/resolv.conf": b"nameserver 192.0.2.1",
        "etc/hostname": b"me",
        "dev/null": b"",
        "var/log/dpkg.log": b"",
        "var/lib/dpkg/status-old": b"",
        "etc/passwd-": b"",
        "etc/apt/apt.conf.d/99mmdebstrap": b"",
    }
    write(tmp_path / "raw", {**dropped, **kept}, 500)
    tidy(tmp_path / "raw", tmp_path / "layer", 1000)
    with tarfile.open(tmp_path / "layer") as tar:
        assert set(tar.getnames()) == {*kept, "bin/a-link", "usr/sbin/policy-rc.d"}
        assert tar.getmember("bin/a-link").linkname == "bin/ls"
        assert {entry.uname for entry in tar} == {""}


def test_days_and_dates_of_the_build_are_evened_out(tmp_path: Path) -> None:
    for day, mtime in ((20_000, 5_000), (20_001, 6_000)):
        write(tmp_path / "raw", {"etc/shadow": f"root:*:{day}:0:99999:7:::\n".encode(), "bin/ls": b""}, mtime)
        tidy(tmp_path / "raw", tmp_path / f"layer-{day}", 1000)
    assert (tmp_path / "layer-20000").read_bytes() == (tmp_path / "layer-20001").read_bytes()
    with tarfile.open(tmp_path / "layer-20000") as tar:
        shadow = tar.extractfile("etc/shadow")
        assert shadow
        assert shadow.read() == b"root:*::0:99999:7:::\n"


def test_the_newest_packaged_file_gives_the_date(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "raw", "w") as tar:
        for name, mtime in (("packaged", 100), ("packaged later", 200), ("made by the build", 1000)):
            entry = tarfile.TarInfo(name)
            entry.mtime = mtime
            tar.addfile(entry)
    assert newest_before(tmp_path / "raw", 900) == 200
    assert newest_before(tmp_path / "raw", 50) == 0
