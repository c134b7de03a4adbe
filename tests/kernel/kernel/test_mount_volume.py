"""Volumes attached for real, parts of them bound, trees made read-only, in mount namespaces of their own."""

from __future__ import annotations

import errno
import os
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kernelkit.kernel import libc
from kernelkit.kernel.mount import Bind, Mount, SetPropagation, ShareMount, Unmount
from kernelkit.kernel.mount_setattr import ProtectTree, can_protect_trees
from kernelkit.kernel.mount_volume import BindBelow, MountVolume, flags_and_data, is_mounted, mounted_below
from kernelkit.kernel.unshare import Unshare
from kernelkit.trace import Operation
from tests.child import in_child


def alone(work: Callable[[], Any]) -> Any:
    """What `work` returns in a mount namespace of its own."""

    def there() -> Any:
        Unshare(("mount",)).perform()
        SetPropagation("/").perform()
        return work()

    return in_child(there)


def by_shell(operation: Operation) -> None:
    subprocess.run(["sh", "-ec", operation.shell()], check=True)


def performed(operation: Operation) -> None:
    operation.perform()


both_ways = pytest.mark.parametrize("do", [performed, by_shell])


def count(place: Path) -> int:
    return sum(f" {place} " in line for line in Path("/proc/self/mountinfo").read_text().splitlines())


@pytest.mark.parametrize(
    ("options", "meant"),
    [
        (("bind",), (libc.MS_BIND, "")),
        (("rbind", "ro", "defaults"), (libc.MS_BIND | libc.MS_REC | libc.MS_RDONLY, "")),
        (("size=1m", "noexec", "uid=7"), (libc.MS_NOEXEC, "size=1m,uid=7")),
        (("bind", "rshared"), (libc.MS_BIND, "")),
    ],
)
def test_options_are_flags_or_the_file_system_s_own(options: tuple[str, ...], meant: tuple[int, str]) -> None:
    assert flags_and_data(options) == meant


@both_ways
def test_a_volume_is_mounted_once_however_often_it_is_wanted(tmp_path: Path, do: Callable[[Operation], None]) -> None:
    place = tmp_path / "with space"
    place.mkdir()

    def work() -> tuple[bool, int, bool]:
        volume = MountVolume("tmpfs", "tmpfs", str(place), ("size=1m", "mode=700"))
        do(volume)
        do(volume)
        found = count(Path(str(place).replace(" ", "\\040")))
        mounted = is_mounted(str(place))
        Unmount(str(place)).perform()
        return mounted, found, is_mounted(str(place))

    assert alone(work) == (True, 1, False)


def test_what_is_mounted_below_a_folder_can_be_unmounted_in_that_order(tmp_path: Path) -> None:
    inner = tmp_path / "v" / "a b" / "c"

    def work() -> tuple[list[str], list[str]]:
        for place in (tmp_path / "v" / "a b", inner, tmp_path / "v2"):
            place.mkdir(parents=True)
            Mount("tmpfs", "tmpfs", str(place)).perform()
        found = mounted_below(str(tmp_path / "v"))
        for each in found:
            Unmount(each).perform()
        return found, mounted_below(str(tmp_path / "v"))

    assert alone(work) == ([str(inner), str(inner.parent)], [])


def test_of_many_at_once_only_one_mounts(tmp_path: Path) -> None:
    place = tmp_path / "v"
    place.mkdir()

    def work() -> int:
        volume = MountVolume("tmpfs", "tmpfs", str(place))
        threads = [threading.Thread(target=volume.perform) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return count(place)

    # Threads that begin after unshare(2) share their mount namespace with the one that begins them.
    assert alone(work) == 1


@both_ways
def test_a_folder_is_bound_with_its_options(tmp_path: Path, do: Callable[[Operation], None]) -> None:
    source, place = tmp_path / "source", tmp_path / "v"
    source.mkdir()
    place.mkdir()

    def work() -> tuple[bool, int]:
        do(MountVolume("none", str(source), str(place), ("bind", "ro")))
        return is_mounted(str(place)), os.statvfs(place).f_flag & os.ST_RDONLY

    assert alone(work) == (True, os.ST_RDONLY)


def test_the_kernel_s_refusal_names_the_device(tmp_path: Path) -> None:
    def work() -> tuple[int, str]:
        try:
            MountVolume("none", "/not/there", str(tmp_path), ("bind",)).perform()
        except OSError as error:
            return error.errno or 0, str(error.filename)
        return 0, ""

    assert alone(work) == (errno.ENOENT, "/not/there")


@pytest.fixture
def base(tmp_path: Path) -> Path:
    """A volume in which somebody has put links, and a root directory to mount into."""
    base = tmp_path / "base"
    (base / "a").mkdir(parents=True)
    (base / "a/file").write_text("inside")
    (base / "in").symlink_to("a")
    (base / "out").symlink_to("../secret")
    (base / "absolute").symlink_to(tmp_path / "secret")
    (tmp_path / "secret").mkdir()
    (tmp_path / "root/x").mkdir(parents=True)
    (tmp_path / "root/f").touch()
    return base


@both_ways
@pytest.mark.parametrize(("part", "target"), [("a", "/x"), ("in", "/x"), ("a/file", "/f")])
def test_a_part_of_a_volume_appears_elsewhere(
    base: Path, tmp_path: Path, part: str, target: str, do: Callable[[Operation], None]
) -> None:
    def work() -> bool:
        do(BindBelow(str(base), part, target, root=str(tmp_path / "root")))
        return os.path.samefile(base / part, f"{tmp_path}/root{target}")

    assert alone(work)


@pytest.mark.parametrize(
    ("part", "number"),
    [("out", errno.EXDEV), ("absolute", errno.EXDEV), ("../secret", errno.EXDEV), ("no", errno.ENOENT)],
)
def test_no_link_leads_out_of_a_volume(base: Path, tmp_path: Path, part: str, number: int) -> None:
    def work() -> tuple[int, str]:
        try:
            BindBelow(str(base), part, "/x", root=str(tmp_path / "root")).perform()
        except OSError as error:
            return error.errno or 0, str(error.filename)
        return 0, ""

    assert alone(work) == (number, f"{base}/{part}")


@both_ways
def test_a_tree_is_read_only_with_all_that_is_mounted_in_it(tmp_path: Path, do: Callable[[Operation], None]) -> None:
    root = tmp_path / "root"
    (root / "x").mkdir(parents=True)
    source = tmp_path / "source"
    (source / "below it").mkdir(parents=True)

    def work() -> list[int]:
        Mount("tmpfs", "tmpfs", str(source / "below it")).perform()
        Bind(str(source), "/x", recursive=True, root=str(root)).perform()
        do(ProtectTree("/x", str(root)))
        places = (root / "x", root / "x/below it", source, source / "below it")
        return [os.statvfs(place).f_flag & os.ST_RDONLY for place in places]

    assert can_protect_trees()
    assert alone(work) == [os.ST_RDONLY, os.ST_RDONLY, 0, 0]


def test_a_tree_taken_from_elsewhere_is_told_of_what_happens_there(tmp_path: Path) -> None:
    """Two mount namespaces: what is mounted in one shows in the other, both ways."""
    source, place = tmp_path / "source", tmp_path / "place"
    (source / "early").mkdir(parents=True)
    (source / "late").mkdir()
    (source / "back").mkdir()
    place.mkdir()

    def work() -> tuple[int, int, int]:
        Mount("tmpfs", "tmpfs", str(source)).perform()
        for name in ("early", "late", "back"):
            (source / name).mkdir()
        Mount("tmpfs", "tmpfs", str(source / "early")).perform()
        SetPropagation(str(source), "shared").perform()
        there = os.getpid()

        def other() -> tuple[int, int]:
            Unshare(("mount",)).perform()
            SetPropagation("/").perform()
            ShareMount(there, str(source), str(place), recursive=True).perform()
            SetPropagation(str(place), "rshared").perform()
            subprocess.run(
                ["nsenter", "-t", str(there), "-m", "mount", "-t", "tmpfs", "x", str(source / "late")], check=True
            )
            Mount("tmpfs", "tmpfs", str(place / "back")).perform()
            return count(place / "early"), count(place / "late")

        early, late = in_child(other)
        return early, late, count(source / "back")

    assert alone(work) == (1, 1, 1)
