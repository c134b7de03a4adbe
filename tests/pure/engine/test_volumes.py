"""What a volume's options may say."""

from __future__ import annotations

import pytest

from kernelkit.engine.model import Volume
from kernelkit.engine.volumes import check_options
from kernelkit.errors import InvalidRequest


@pytest.mark.parametrize(
    "options",
    [
        {"type": "tmpfs", "device": "tmpfs"},
        {"type": "none", "device": "/a", "o": "bind,ro"},
        {"type": "nfs", "device": ":/a", "o": "addr=127.0.0.1,rw"},
        {"size": "0"},
    ],
)
def test_what_the_local_driver_takes(options: dict[str, str]) -> None:
    check_options(Volume("v", "", options=options))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"nosuch": "1"}, 'create v: invalid option: "nosuch"'),
        ({"type": "tmpfs"}, 'create v: missing required option: "device"'),
        ({"device": "/a"}, 'create v: missing required option: "type"'),
        ({"o": "bind", "type": "none", "size": "1m"}, "create v: quota size requested but no quota support"),
        ({"size": "1x"}, "create v: invalid size: '1x'"),
        (
            {"type": "cifs", "device": "//a/b", "o": "username=a,password=b"},
            "create v: a password in a volume's options is not supported by kernelkit",
        ),
    ],
)
def test_what_it_refuses(options: dict[str, str], said: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        check_options(Volume("v", "", options=options))
    assert refused.value.message == said
