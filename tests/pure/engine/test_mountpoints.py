"""`-v` and `--mount` as mount points."""

from __future__ import annotations

from typing import Any

import pytest

from kernelkit.engine.mountpoints import check, parse, shown
from kernelkit.errors import InvalidRequest


def test_a_folder_is_bound_and_a_name_is_a_volume() -> None:
    assert parse("/a/../b:/x/:ro") == {
        "Type": "bind",
        "Source": "/b",
        "Destination": "/x",
        "Mode": "ro",
        "RW": False,
        "Propagation": "rprivate",
    }
    assert parse("vol:/x") == {"Type": "volume", "Name": "vol", "Destination": "/x", "Mode": "", "RW": True}
    assert parse("/x")["Name"] == ""
    assert parse("/a:/x:rslave,ro,z")["Propagation"] == "rslave"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a:b:c:d", "invalid volume specification: 'a:b:c:d'"),
        ("/a:relative", "invalid mount path: 'relative' mount path must be absolute"),
        ("/a:/x/..", "destination can't be '/'"),
        ("/a:/x:bogus", "invalid mode: bogus"),
        ("/a:/x:ro,rw", "invalid mode: ro,rw"),
        ("/a:/x:slave,private", "invalid mode: slave,private"),
        ("vol:/x:rslave", 'invalid mount config for type "volume": field BindOptions must not be specified'),
        ("/a:/x:nocopy", 'invalid mount config for type "bind": field VolumeOptions must not be specified'),
        ("/a:/proc", '"/proc" cannot be mounted because it is inside /proc'),
        ("/a:/x/../proc/keys", '"/proc/keys" cannot be mounted because it is inside /proc'),
    ],
)
def test_what_cannot_be_mounted_is_said(text: str, said: str) -> None:
    with pytest.raises(InvalidRequest, match=said):
        parse(text)


def test_figures_of_a_container_s_own_may_lie_over_the_kernel_s() -> None:
    assert parse("/a:/proc/meminfo")["Destination"] == "/proc/meminfo"
    assert parse("/a:/process")["Destination"] == "/process"


@pytest.mark.parametrize(
    ("wish", "said"),
    [
        ({"Type": "bogus", "Target": "/x"}, 'invalid mount config for type "bogus": mount type unknown'),
        ({"Type": "volume", "Target": "/x/.."}, "invalid specification: destination can't be '/'"),
        ({"Type": "image", "Target": "/x"}, "field Source must not be empty"),
        ({"Type": "tmpfs", "Target": "/x", "VolumeOptions": {}}, "field VolumeOptions must not be specified"),
        ({"Type": "volume", "Target": "/x", "VolumeOptions": {"Subpath": "a"}}, "when using anonymous volumes"),
        ({"Type": "bind", "Target": "/x"}, "field Source must not be empty"),
        ({"Type": "tmpfs", "Source": "/a", "Target": "/x"}, "field Source must not be specified"),
        ({"Type": "tmpfs", "Target": "x"}, "mount path must be absolute"),
        ({"Type": "tmpfs", "Target": "/proc/1"}, "is inside /proc"),
        ({"Type": "bind", "Source": "/not/there", "Target": "/x"}, "bind source path does not exist: /not/there"),
        (
            {"Type": "bind", "Source": "/", "Target": "/x", "BindOptions": {"Propagation": "far"}},
            "invalid propagation mode: far",
        ),
        *(
            ({"Source": "v", "Target": "/x", "VolumeOptions": {"Subpath": path}}, "must be a relative path within")
            for path in ("..", "../a", "a/../../b", "/a")
        ),
    ],
)
def test_a_mount_that_cannot_be_is_said(wish: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidRequest, match=said):
        check(wish)


def test_what_only_a_start_has_to_know_is_not_shown() -> None:
    mount = {"Type": "bind", "Source": "/a", "Spec": {"NonRecursive": True}}
    assert shown([mount]) == [{"Type": "bind", "Source": "/a"}]


def test_a_part_may_be_said_in_a_roundabout_way() -> None:
    wish = {"Source": "v", "Target": "/x", "VolumeOptions": {"Subpath": "a/../b/..c"}}
    assert check(wish) is wish
