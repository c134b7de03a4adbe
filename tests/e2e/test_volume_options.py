"""Volumes that are file systems, parts of volumes, images as mounts: asked for by docker, seen in the kernel."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.conftest import Kernelkit
from tests.patience import PATIENCE

HOSTS = ("practice", "real")


@pytest.fixture
def kk(shared_kk: Kernelkit) -> Iterator[Kernelkit]:
    """The file's kernelkit; what a test has made goes at its end, and nothing must stay mounted."""
    yield shared_kk
    for identity in shared_kk.docker("ps", "-aq").stdout.split():
        shared_kk.docker("rm", "-fv", identity)
    for name in shared_kk.docker("volume", "ls", "-q").stdout.split():
        shared_kk.docker("volume", "rm", name)
    assert mounted(shared_kk) == []


def mounted(kk: Kernelkit) -> list[str]:
    """What is mounted below the folder of the volumes, on the host."""
    lines = kk("shell", "cat", "/proc/self/mountinfo").stdout.splitlines()
    return [line for line in lines if f" {kk.home}/volumes/" in line]


def refused(kk: Kernelkit, *words: str) -> str:
    ran = kk.docker(*words, check=False)
    assert ran.returncode != 0
    return ran.stderr


def mounts(kk: Kernelkit, name: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(kk.docker("inspect", "-f", "{{json .Mounts}}", name).stdout)
    return sorted(found, key=lambda mount: str(mount["Destination"]))


def in_time(kk: Kernelkit, what: list[str]) -> None:
    """Wait until this is all that is mounted: an end is noted a moment after it has come."""
    until = time.monotonic() + PATIENCE
    while mounted(kk) != what and time.monotonic() < until:
        time.sleep(0.05)
    assert mounted(kk) == what


def test_a_tmpfs_volume_is_mounted_from_the_first_user_to_the_last(kk: Kernelkit) -> None:
    options = ["-o", "type=tmpfs", "-o", "device=tmpfs", "-o", "o=size=4m,uid=1000,nosuid"]
    assert kk.docker("volume", "create", *options, "fast").stdout == "fast\n"
    known = json.loads(kk.docker("volume", "inspect", "fast").stdout)[0]
    assert known["Options"] == {"type": "tmpfs", "device": "tmpfs", "o": "size=4m,uid=1000,nosuid"}
    assert mounted(kk) == []

    kk.docker("run", "-d", "--name", "one", "-v", "fast:/x", "busybox", "sleep", "1000")
    (line,) = mounted(kk)
    assert f" {kk.home}/volumes/fast/_data rw,nosuid," in line
    assert " - tmpfs tmpfs rw,size=4096k,uid=1000" in line
    kk.docker("exec", "one", "sh", "-c", "echo said > /x/file")
    seen = kk.docker("run", "--name", "two", "-v", "fast:/y", "busybox", "sh", "-c", "cat /y/file; df -k /y")
    assert seen.stdout.startswith("said\n")
    assert " 4096 " in seen.stdout
    in_time(kk, [line])  # `one` has it still
    assert kk("shell", "cat", f"{kk.home}/volumes/fast/_data/file").stdout == "said\n"

    kk.docker("kill", "one")
    in_time(kk, [])
    again = kk.docker("run", "--rm", "-v", "fast:/x", "busybox", "ls", "/x")
    assert again.stdout == "", "what was in memory is gone with the mount"


def test_a_folder_is_a_volume(kk: Kernelkit) -> None:
    kk("shell", "mkdir", "-p", f"{kk.home}/elsewhere")
    options = ["-o", "type=none", "-o", "o=bind,ro", "-o", f"device={kk.home}/elsewhere"]
    kk.docker("volume", "create", "--driver", "local", *options, "folder")
    kk("shell", "sh", "-c", f"echo there > {kk.home}/elsewhere/file")

    kk.docker("run", "-d", "--name", "one", "-v", "folder:/x", "busybox", "sleep", "1000")
    assert kk.docker("exec", "one", "cat", "/x/file").stdout == "there\n"
    assert "Read-only file system" in kk.docker("exec", "one", "touch", "/x/new", check=False).stderr
    (line,) = mounted(kk)
    assert "/elsewhere " in line
    assert " ro," in line
    kk.docker("rm", "-f", "one")
    in_time(kk, [])


def test_a_volume_of_a_mount_is_made_with_its_options_and_filled_from_the_image(kk: Kernelkit) -> None:
    kk("shell", "mkdir", "-p", f"{kk.home}/home-of-etc")
    driver = f'volume-driver=local,volume-opt=type=none,volume-opt=device={kk.home}/home-of-etc,"volume-opt=o=bind,rw"'
    kk.docker("run", "--name", "one", "--mount", f"type=volume,src=etc,dst=/etc,{driver}", "busybox", "true")
    assert "passwd" in kk("shell", "ls", f"{kk.home}/home-of-etc").stdout.split()
    assert json.loads(kk.docker("volume", "inspect", "etc").stdout)[0]["Options"]["o"] == "bind,rw"
    in_time(kk, [])

    # A container that does not run is read and written where its volumes are.
    kk.docker("cp", "one:/etc/passwd", "-")
    kk("shell", "sh", "-c", f"echo late > {kk.home}/home-of-etc/late")
    assert "late" in kk.docker("cp", "one:/etc/late", "-").stdout
    assert mounted(kk) == []


def test_what_cannot_be_mounted_is_said_and_leaves_nothing(kk: Kernelkit) -> None:
    place = f"{kk.home}/volumes/gone/_data"
    kk.docker("volume", "create", "-o", "type=none", "-o", "o=bind", "-o", "device=/not/there", "gone")
    said = refused(kk, "run", "--name", "one", "-v", "gone:/x", "busybox", "true")
    assert (
        f"error while mounting volume '{place}': failed to mount local volume: "
        f"mount /not/there:{place}, flags: 0x1000: no such file or directory"
    ) in said
    kk.docker("volume", "create", "-o", "type=nosuchfs", "-o", "o=a=b,ro", "-o", "device=x", "odd")
    said = refused(kk, "run", "--name", "two", "-v", "odd:/x", "busybox", "true")
    assert "_data, flags: 0x1, data: a=b: no such device" in said
    assert mounted(kk) == []


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["-o", "nosuch=1"], 'create bad: invalid option: "nosuch"'),
        (["-o", "type=tmpfs"], 'create bad: missing required option: "device"'),
        (["-o", "device=tmpfs"], 'create bad: missing required option: "type"'),
        (["-o", "size=1g"], "create bad: quota size requested but no quota support"),
        (["-o", "size=much"], "create bad: invalid size: 'much'"),
        (["-d", "nosuch"], 'create bad: error looking up volume plugin nosuch: plugin "nosuch" not found'),
    ],
)
def test_options_that_mean_nothing_are_refused(kk: Kernelkit, options: list[str], said: str) -> None:
    assert said in refused(kk, "volume", "create", *options, "bad")
    assert kk.docker("volume", "ls", "-q").stdout == ""


def test_a_volume_driver_is_the_local_one(kk: Kernelkit) -> None:
    kk.docker("run", "--name", "one", "--volume-driver", "local", "-v", "plain:/x", "busybox", "touch", "/x/file")
    assert kk.docker("inspect", "-f", "{{.HostConfig.VolumeDriver}}", "one").stdout == "local\n"
    said = refused(kk, "run", "--volume-driver", "nosuch", "-v", "other:/x", "busybox", "true")
    assert 'create other: error looking up volume plugin nosuch: plugin "nosuch" not found' in said
    kk.docker("run", "--rm", "--volume-driver", "nosuch", "busybox", "true")  # nobody has asked it for anything


@pytest.mark.client(28)
def test_a_part_of_a_volume_is_mounted(kk: Kernelkit) -> None:
    script = "mkdir -p /x/a/b; echo deep > /x/a/b/file; ln -s /etc /x/out; ln -s a/b /x/in"
    kk.docker("run", "--rm", "-v", "parts:/x", "busybox", "sh", "-c", script)

    def look(subpath: str, *words: str) -> str:
        mount = f"type=volume,src=parts,dst=/y,volume-subpath={subpath}"
        return kk.docker("run", "--rm", "--mount", mount, "busybox", *words).stdout

    assert look("a/b", "ls", "/y") == "file\n"
    assert look("in", "ls", "/y") == "file\n"
    assert look("a/b/file", "cat", "/y") == "deep\n"
    part = ["--mount", "type=volume,src=parts,volume-subpath={},dst=/y"]
    for subpath, said in (
        ("out", "path concatenation escapes the base directory"),
        ("no/such", f"cannot access path {kk.home}/volumes/parts/_data/no/such: no such file or directory"),
        ("../x", "subpath must be a relative path within the volume"),
        ("/a", "subpath must be a relative path within the volume"),
    ):
        words = [word.format(subpath) for word in part]
        assert said in refused(kk, "run", "--rm", *words, "busybox", "true")
    anonymous = "type=volume,dst=/y,volume-subpath=a"
    assert "must not set Subpath when using anonymous" in refused(kk, "run", "--mount", anonymous, "busybox", "true")


@pytest.mark.client(28)
def test_an_image_is_mounted_read_only(kk: Kernelkit) -> None:
    kk.docker("run", "--name", "base", "busybox", "sh", "-c", "rm /etc/group; mkdir /more; echo top > /more/file")
    kk.docker("commit", "base", "layered")
    kk.docker("rm", "base")
    for image in ("busybox", "layered"):
        kk.docker("run", "-d", "--name", image, "--mount", f"type=image,src={image},dst=/i", "busybox", "sleep", "1000")
        assert "passwd" in kk.docker("exec", image, "ls", "/i/etc").stdout.split()
        assert "Read-only file system" in kk.docker("exec", image, "touch", "/i/new", check=False).stderr
        (mount,) = mounts(kk, image)
        shown = {key: mount[key] for key in ("Type", "Name", "Destination", "Mode", "RW", "Propagation")}
        wanted = {"Type": "image", "Name": image, "Destination": "/i", "Mode": "", "RW": False}
        assert shown == {**wanted, "Propagation": "rprivate"}
    seen = kk.docker("exec", "layered", "sh", "-c", "cat /i/more/file; ls -d /i/etc/group || true").stdout
    assert seen == "top\n"

    def part(subpath: str, *words: str, check: bool = True) -> str:
        mount = f"type=image,src=layered,dst=/p,image-subpath={subpath}"
        ran = kk.docker("run", "--rm", "--mount", mount, "busybox", *words, check=check)
        return ran.stdout + ran.stderr

    assert part("more", "ls", "/p") == "file\n"
    assert part("more/file", "cat", "/p") == "top\n"
    assert "Read-only file system" in part("more", "touch", "/p/new", check=False)
    assert "no such file or directory" in part("etc/group", "true", check=False)
    kk.docker("rm", "-f", "busybox")
    identity = kk.docker("images", "-q", "layered").stdout.strip()
    assert "image is being used by running container" in refused(kk, "rmi", "-f", identity)
    missing = refused(kk, "run", "--mount", "type=image,src=nosuch,dst=/i", "busybox", "true")
    assert "No such image: nosuch" in missing
    kk.docker("rm", "-f", "layered")
    kk.docker("rmi", "layered")


def test_each_kind_of_mount_is_shown_as_docker_shows_it(kk: Kernelkit) -> None:
    kk.docker("create", "--name", "made", "-v", "/made", "busybox")
    kk.docker("commit", "--change", "VOLUME /of-image", "made", "with-volume")
    (kk.home / "bound").mkdir(exist_ok=True)
    options = [
        *("-v", "named:/named", "-v", "named:/read:ro", "-v", "/alone", "-v", f"{kk.home}/bound:/bound"),
        *("-v", f"{kk.home}/bound:/bound-ro:ro,z", "--tmpfs", "/unseen", "--mount", "type=tmpfs,dst=/tmpfs"),
        *("--mount", "type=volume,dst=/anonymous", "--mount", "type=volume,src=named,dst=/mount,ro"),
        *("--mount", f"type=bind,src={kk.home}/bound,dst=/mount-bound,readonly"),
    ]
    kk.docker("create", "--name", "all", *options, "with-volume")
    found = {mount.pop("Destination"): mount for mount in mounts(kk, "all")}
    volume = {"Type": "volume", "Driver": "local", "Propagation": ""}

    def kind(place: str) -> tuple[Any, ...]:
        return tuple(found[place].get(key) for key in ("Type", "Driver", "Mode", "RW", "Propagation"))

    assert set(found) == {
        *("/named", "/read", "/alone", "/bound", "/bound-ro", "/tmpfs"),
        *("/anonymous", "/mount", "/mount-bound", "/of-image", "/made"),
    }
    for place in ("/of-image", "/alone", "/made"):
        assert kind(place) == ("volume", "local", "", True, "")
        assert len(found[place]["Name"]) == 64
    source = f"{kk.home}/volumes/named/_data"
    assert found["/named"] == {**volume, "Name": "named", "Source": source, "Mode": "z", "RW": True}
    assert found["/read"] == {**volume, "Name": "named", "Source": source, "Mode": "ro", "RW": False}
    assert found["/mount"] == {**volume, "Name": "named", "Source": source, "Mode": "z", "RW": False}
    assert kind("/anonymous") == ("volume", "local", "z", True, "")
    bind = {"Type": "bind", "Source": f"{kk.home}/bound", "Propagation": "rprivate"}
    assert found["/bound"] == {**bind, "Mode": "", "RW": True}
    assert found["/bound-ro"] == {**bind, "Mode": "ro,z", "RW": False}
    assert found["/mount-bound"] == {**bind, "Mode": "", "RW": False}
    assert found["/tmpfs"] == {"Type": "tmpfs", "Source": "", "Mode": "", "RW": True, "Propagation": ""}

    kk.docker("create", "--name", "from", "--volumes-from", "all:ro", "busybox")
    inherited = {mount["Destination"]: mount for mount in mounts(kk, "from")}
    assert inherited["/named"] == {**found["/named"], "Destination": "/named", "Mode": "", "RW": False}
    assert "/tmpfs" not in inherited
    kk.docker("rm", "-v", "all", "from", "made")
    kk.docker("rmi", "with-volume")
