"""The plan of a container's file tree."""

from __future__ import annotations

from kernelkit.container import rootfs
from kernelkit.kernel.files import MakeDevice, MakeDirectory, MakeLink
from kernelkit.kernel.mount import (
    Bind,
    MakeMountPoint,
    MaskPath,
    Mount,
    PivotRoot,
    ProtectPath,
    Remount,
    SetPropagation,
    ShareMount,
    Unmount,
)
from kernelkit.kernel.mount_setattr import ProtectTree
from kernelkit.kernel.mount_volume import BindBelow

ROOT = "/c/merged"
NULL = {"path": "/dev/null", "type": "c", "major": 1, "minor": 3, "fileMode": 0o666}


def test_the_kernel_s_file_systems_want_ordinary_places() -> None:
    plan = rootfs.mounts([{"destination": "/proc", "type": "proc", "source": "proc", "options": ["nosuid"]}], ROOT)

    assert plan == [
        MakeMountPoint("/proc", directory=True, root=ROOT, ordinary=True),
        Mount("proc", "proc", "/proc", ("nosuid",), ROOT),
    ]


def test_a_tmpfs_of_the_user_s_may_be_anywhere() -> None:
    plan = rootfs.mounts([{"destination": "/t", "type": "tmpfs", "source": "tmpfs", "options": []}], ROOT)

    assert plan[0] == MakeMountPoint("/t", directory=True, root=ROOT)


def test_a_fresh_dev_is_filled() -> None:
    dev = {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["mode=755"]}
    plan = rootfs.mounts([dev], ROOT, devices=[NULL])

    assert plan[:3] == [
        MakeMountPoint("/dev", directory=True, root=ROOT, ordinary=True),
        Mount("tmpfs", "tmpfs", "/dev", ("mode=755",), ROOT),
        MakeDevice("/c/merged/dev/null", "c", 1, 3, 0o666),
    ]
    assert MakeLink("pts/ptmx", "/c/merged/dev/ptmx") in plan


def test_a_folder_of_the_user_s_in_its_place_is_left_as_it_is() -> None:
    dev = {"destination": "/dev", "type": "bind", "source": "/host/dev", "options": ["rbind"]}

    assert not [op for op in rootfs.mounts([dev], ROOT, devices=[NULL]) if isinstance(op, MakeDevice)]


def test_a_file_is_bound_on_a_file_and_options_take_a_second_call() -> None:
    bound = {"destination": "/etc/hosts", "type": "bind", "source": "/c/hosts", "options": ["rbind", "ro", "rslave"]}
    plan = rootfs.mounts([bound], ROOT, files=frozenset(("/etc/hosts",)))

    assert plan == [
        MakeMountPoint("/etc/hosts", directory=False, root=ROOT),
        Bind("/c/hosts", "/etc/hosts", recursive=True, root=ROOT),
        Remount("/etc/hosts", ("ro",), ROOT),
        SetPropagation("/etc/hosts", "rslave", ROOT),
    ]


def test_read_only_is_all_that_is_mounted_below_where_the_kernel_can() -> None:
    bound = {"destination": "/x", "type": "bind", "source": "/a", "options": ["bind", "rprivate", "rro"]}

    assert rootfs.mounts([bound], ROOT) == [
        MakeMountPoint("/x", directory=True, root=ROOT),
        Bind("/a", "/x", recursive=False, root=ROOT),
        ProtectTree("/x", ROOT),
    ]


def test_a_part_of_a_volume_is_looked_for_below_it() -> None:
    part = {"destination": "/x", "type": "bind", "source": "/v/_data", "subpath": "a/b", "options": ["rbind", "ro"]}

    assert rootfs.mounts([part], ROOT, files=frozenset(("/x",))) == [
        MakeMountPoint("/x", directory=False, root=ROOT),
        BindBelow("/v/_data", "a/b", "/x", recursive=True, root=ROOT),
        Remount("/x", ("ro",), ROOT),
    ]


def test_a_part_of_an_image_is_taken_from_all_its_sheets() -> None:
    sheets = ("ro", "lowerdir=/b:/a")
    image = {"destination": "/x", "type": "overlay", "source": "/c/image-x", "subpath": "p", "options": list(sheets)}

    assert rootfs.mounts([image], ROOT) == [
        MakeDirectory("/c/image-x"),
        Mount("overlay", "overlay", "/c/image-x", sheets),
        MakeMountPoint("/x", directory=True, root=ROOT),
        BindBelow("/c/image-x", "p", "/x", recursive=True, root=ROOT),
    ]


def test_what_is_passed_on_comes_from_where_it_is_passed_on() -> None:
    options = ["rbind", "rslave", "rro"]
    bound = {"destination": "/x", "type": "bind", "source": "/proc/7/root/a", "options": options}

    assert rootfs.mounts([bound], ROOT, files=frozenset(("/x",))) == [
        MakeMountPoint("/x", directory=False, root=ROOT),
        ShareMount(7, "/a", "/x", ROOT, recursive=True),
        ProtectTree("/x", ROOT),
        SetPropagation("/x", "rslave", ROOT),
    ]


def test_what_another_process_has_mounted_is_shared_and_not_bound() -> None:
    shm = {"destination": "/dev/shm", "type": "bind", "source": "/proc/77/root/dev/shm", "options": ["rbind"]}

    assert rootfs.mounts([shm], ROOT) == [
        MakeMountPoint("/dev/shm", directory=True, root=ROOT),
        ShareMount(77, "/dev/shm", "/dev/shm", ROOT),
    ]


def test_each_hierarchy_is_mounted_and_only_they_are_read_only() -> None:
    cgroup = {"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup", "options": ["ro", "nosuid"]}
    plan = rootfs.mounts([cgroup], ROOT, hierarchies=[("memory", "memory"), ("unified", "")])

    assert [op for op in plan if isinstance(op, Mount)] == [
        Mount("tmpfs", "tmpfs", "/sys/fs/cgroup", ("nosuid", "mode=755"), ROOT),
        Mount("cgroup", "cgroup", "/sys/fs/cgroup/memory", ("ro", "nosuid", "memory"), ROOT),
        Mount("cgroup2", "cgroup", "/sys/fs/cgroup/unified", ("ro", "nosuid"), ROOT),
    ]
    alone = rootfs.mounts([cgroup], ROOT, hierarchies=[("", "")])
    assert alone[-1] == Mount("cgroup2", "cgroup", "/sys/fs/cgroup", ("ro", "nosuid"), ROOT)


def test_what_is_hidden_is_hidden_by_the_container_s_own_null() -> None:
    assert rootfs.conceal(["/proc/keys"], ["/proc/sys"], ROOT) == [
        MaskPath("/c/merged/proc/keys", "/c/merged/dev/null"),
        ProtectPath("/c/merged/proc/sys"),
    ]


def test_the_host_s_root_is_let_go() -> None:
    assert rootfs.enter(ROOT) == [PivotRoot(ROOT), Unmount(".", lazy=True)]
    assert rootfs.enter(ROOT, readonly=True)[0] == Remount(ROOT, ("ro",))
