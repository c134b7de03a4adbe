"""What older versions of the API do not know."""

from __future__ import annotations

from typing import Any

import pytest

from kernelkit.errors import InvalidRequest
from kernelkit.server import since


def asked(**mount: Any) -> dict[str, Any]:
    return {"HostConfig": {"Mounts": [{"Target": "/x", **mount}]}}


@pytest.mark.parametrize(
    ("mount", "version", "said"),
    [
        (
            {"Type": "bind", "BindOptions": {"ReadOnlyForceRecursive": True}},
            (1, 44),
            "BindOptions.ReadOnlyForceRecursive needs API v1.44 or newer",
        ),
        ({"VolumeOptions": {"Subpath": "a"}}, (1, 45), "VolumeOptions.Subpath needs API v1.45 or newer"),
        ({"Type": "image"}, (1, 48), 'Mount type "Image" needs API v1.48 or newer'),
    ],
)
def test_a_kind_of_mount_needs_a_version(mount: dict[str, Any], version: tuple[int, int], said: str) -> None:
    since.check(asked(**mount), version)
    with pytest.raises(InvalidRequest) as refused:
        since.check(asked(**mount), (version[0], version[1] - 1))
    assert refused.value.message == said


@pytest.mark.parametrize("body", [{}, {"HostConfig": None}, {"HostConfig": []}, {"HostConfig": {"Mounts": None}}])
def test_what_says_nothing_of_mounts_is_somebody_else_s_to_judge(body: dict[str, Any]) -> None:
    since.check(body, (1, 24))
