"""Volumes that are file systems: the words for what the kernel refuses, and who has them mounted."""

from __future__ import annotations

import errno
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from kernelkit.engine import volume_mounts
from kernelkit.engine.engine import Engine
from kernelkit.engine.model import Container, Volume
from kernelkit.errors import KernelkitError
from kernelkit.kernel.mount_volume import MountVolume


def held(**options: str) -> tuple[MountVolume, ...]:
    book = SimpleNamespace(volume=lambda name: Volume(name, "", options=options))
    users: dict[str, list[str]] = {}
    engine = SimpleNamespace(home=Path("/h"), state=book, volume_users=users, volumes_change=threading.Lock())
    mounts = [{"Type": "volume", "Name": "v"}, {"Type": "volume", "Name": "v"}, {"Type": "bind", "Source": "/a"}]
    container = Container("c", "c", "", "i", "i", {}, {}, mounts=mounts)
    found = volume_mounts.hold(cast(Engine, engine), container)
    assert users == ({"v": ["c"]} if found else {})
    return found


def test_a_volume_is_mounted_where_an_ordinary_one_has_its_folder() -> None:
    options = {"type": "tmpfs", "device": "tmpfs", "o": "size=1m,,uid=7"}
    assert held(**options) == (MountVolume("tmpfs", "tmpfs", "/h/volumes/v/_data", ("size=1m", "uid=7")),)


def test_an_ordinary_volume_is_not_mounted() -> None:
    assert held() == ()


def test_a_file_server_is_looked_up() -> None:
    (volume,) = held(type="nfs", device=":/a", o="addr=127.0.0.1,rw")
    assert volume.options == ("addr=127.0.0.1", "rw")
    (other,) = held(type="tmpfs", device="x", o="addr=nosuch.invalid")
    assert other.options == ("addr=nosuch.invalid",), "which means nothing to others"
    with pytest.raises(KernelkitError, match=r"error resolving passed in network volume address: lookup a\.\.b"):
        held(type="nfs", device=":/a", o="addr=a..b")


def test_what_the_kernel_refuses_is_said_in_dockers_words() -> None:
    bound = MountVolume("none", "/a", "/v/_data", ("bind", "ro"))
    assert volume_mounts.refused(bound, errno.ENOENT) == (
        "error while mounting volume '/v/_data': failed to mount local volume: "
        "mount /a:/v/_data, flags: 0x1001: no such file or directory"
    )
    plain = MountVolume("ext4", "/dev/x", "/v/_data", ("data=journal",))
    assert volume_mounts.refused(plain, errno.ENODEV).endswith(
        "mount /dev/x:/v/_data, data: data=journal: no such device"
    )
