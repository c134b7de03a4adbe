"""Mounts made, shared and hidden for real, in mount namespaces of their own; and what a hostile image cannot do."""

from __future__ import annotations

import os
import stat
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from kernelkit.kernel.mount import (
    Bind,
    MakeMountPoint,
    MaskPath,
    Mount,
    ProtectPath,
    Remount,
    SetPropagation,
    ShareMount,
)
from kernelkit.kernel.paths import make_in_root, open_in_root
from kernelkit.kernel.unshare import Unshare
from tests.child import in_child


def alone(work: Callable[[], Any]) -> Any:
    """What `work` returns in a mount namespace of its own."""

    def there() -> Any:
        Unshare(("mount",)).perform()
        SetPropagation("/").perform()
        return work()

    return in_child(there)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A root directory with a few links that would lead out of it."""
    root = tmp_path / "root"
    (root / "dev").mkdir(parents=True)
    (root / "there").mkdir()
    (root / "outside").symlink_to(tmp_path / "outside")
    (root / "up").symlink_to("../../../../../../..")
    (root / "dangling").symlink_to("/missing/below")
    (root / "file-link").symlink_to(str(tmp_path / "made-outside"))
    os.mknod(root / "dev/null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
    return root


@pytest.fixture
def sleeper() -> Iterator[int]:
    """A process in a mount namespace of its own, with something mounted there."""
    script = "mount -t tmpfs -o size=1m shm /mnt && touch /mnt/theirs && echo ready && exec sleep 100"
    process = subprocess.Popen(["unshare", "-m", "sh", "-c", script], stdout=subprocess.PIPE, text=True)
    assert process.stdout
    assert process.stdout.readline() == "ready\n"
    yield process.pid
    process.kill()
    process.communicate()


@pytest.mark.parametrize("path", ["/a/b", "/up/a", "/outside/a", "/dangling", "/dangling/more", "/there"])
def test_a_mount_point_is_made_inside_whatever_the_links_say(root: Path, tmp_path: Path, path: str) -> None:
    before = {p for p in tmp_path.rglob("*") if root not in p.parents}
    for _ in range(2):
        make_in_root(os.fspath(root), path, directory=True)
    fd = open_in_root(os.fspath(root), path, os.O_PATH | os.O_DIRECTORY)
    assert os.readlink(f"/proc/self/fd/{fd}").startswith(f"{root}")
    os.close(fd)
    assert {p for p in tmp_path.rglob("*") if root not in p.parents} == before


def test_a_file_is_never_made_through_a_link_that_leads_out(root: Path, tmp_path: Path) -> None:
    make_in_root(os.fspath(root), "/file-link", directory=False)
    assert not (tmp_path / "made-outside").exists()
    assert (root / str(tmp_path / "made-outside").lstrip("/")).read_bytes() == b""


def test_an_ordinary_place_is_reached_without_links(root: Path) -> None:
    MakeMountPoint("/proc", directory=True, root=os.fspath(root), ordinary=True).perform()
    assert (root / "proc").is_dir()
    for path in ("/outside", "/dangling", "/up/proc"):
        with pytest.raises(OSError, match=f"must be mounted on an ordinary directory, .*: '{path}'"):
            MakeMountPoint(path, directory=True, root=os.fspath(root), ordinary=True).perform()


def test_a_mount_through_a_link_stays_inside(root: Path, tmp_path: Path) -> None:
    def work() -> list[str]:
        MakeMountPoint("/outside/x", directory=True, root=os.fspath(root)).perform()
        Mount("tmpfs", "inner", "/outside/x", ("size=1m",), os.fspath(root)).perform()
        return [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines() if " inner " in line]

    assert alone(work) == [f"{root}{tmp_path}/outside/x"]


def test_a_bind_takes_its_options_in_a_second_call(root: Path, tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()

    def work() -> str:
        Bind(os.fspath(tmp_path / "source"), "/there", root=os.fspath(root)).perform()
        Remount("/there", ("ro", "noexec"), os.fspath(root)).perform()
        line = next(x for x in Path("/proc/self/mountinfo").read_text().splitlines() if x.split()[4] == f"{root}/there")
        return line.split()[5]

    assert {"ro", "noexec"} <= set(alone(work).split(","))


def test_what_is_hidden_reads_empty_and_its_mode_is_nobody_else_s(root: Path) -> None:
    (root / "secret").write_text("secret")
    (root / "folder").mkdir()
    (root / "folder/secret").write_text("secret")
    null = os.fspath(root / "dev/null")
    before = os.stat("/dev/null").st_mode

    def work() -> tuple[str, list[str]]:
        for name in ("secret", "folder", "not-there", "secret/below"):
            MaskPath(os.fspath(root / name), null).perform()
        os.chmod(root / "secret", 0o600)
        with pytest.raises(OSError, match="Read-only"):
            (root / "folder/x").write_text("x")
        return (root / "secret").read_text(), os.listdir(root / "folder")

    assert alone(work) == ("", [])
    assert os.stat("/dev/null").st_mode == before
    assert (root / "secret").read_text() == "secret", "elsewhere nothing is hidden"


def test_what_is_not_the_null_device_hides_nothing(root: Path) -> None:
    (root / "secret").write_text("secret")
    (root / "dev/fake").write_text("fake")
    (root / "dev/link").symlink_to("/dev/null")
    for name in ("fake", "link"):
        with pytest.raises(OSError, match="is not the null device"):
            MaskPath(os.fspath(root / "secret"), os.fspath(root / "dev" / name)).perform()


def test_what_is_protected_cannot_be_written(root: Path) -> None:
    def work() -> None:
        ProtectPath(os.fspath(root / "there")).perform()
        ProtectPath(os.fspath(root / "not-there")).perform()
        (root / "there/x").write_text("x")

    with pytest.raises(OSError, match="Read-only"):
        alone(work)


def test_a_mount_of_another_namespace_is_shared(root: Path, sleeper: int) -> None:
    def work() -> list[str]:
        ShareMount(sleeper, "/mnt", "/there", os.fspath(root)).perform()
        (root / "there/ours").write_text("")
        return sorted(os.listdir(root / "there"))

    assert alone(work) == ["ours", "theirs"]
    assert sorted(os.listdir(f"/proc/{sleeper}/root/mnt")) == ["ours", "theirs"]
    assert not any(str(root) in line for line in Path("/proc/self/mountinfo").read_text().splitlines())


def test_its_author_returns_to_its_own_namespace_when_that_fails(root: Path, sleeper: int) -> None:
    def work() -> bool:
        before = os.readlink("/proc/self/ns/mnt")
        with pytest.raises(FileNotFoundError):
            ShareMount(sleeper, "/not-there", "/there", os.fspath(root)).perform()
        return os.readlink("/proc/self/ns/mnt") == before

    assert alone(work)


def test_the_kernel_s_answer_names_the_place(root: Path) -> None:
    with pytest.raises(OSError, match=f"Invalid argument: '{root}/there'"):
        alone(lambda: Mount("tmpfs", "x", "/there", ("size=wrong",), os.fspath(root)).perform())
