"""Who is asked first."""

from __future__ import annotations

from pathlib import Path

import pytest

from kernelkit.embedded import sources
from kernelkit.errors import InvalidRequest

OURS = "http://127.0.0.1:5000"
ROUTES = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n"
DEFAULT = "eth0\t00000000\t0100000A\t0003\t0\t0\t0\t00000000\t0\t0\t0\n"
LOCAL = "eth0\t0000000A\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n"
ZERO, NO_ROUTE = "0" * 32, f"{'0' * 32} 00 {'0' * 32} 00 {'0' * 32} ffffffff 00000001 00000000 00200200       lo\n"


@pytest.mark.parametrize(
    ("setting", "hub_answers", "remembered", "expected"),
    [
        ("off", False, True, [sources.HUB]),
        ("prefer", True, False, [OURS, sources.HUB]),
        ("fallback", True, False, [sources.HUB, OURS]),
        ("fallback", True, True, [OURS, sources.HUB]),
        ("fallback", False, False, [OURS, sources.HUB]),
    ],
)
def test_order(setting: str, hub_answers: bool, remembered: bool, expected: list[str]) -> None:
    assert sources.order(setting, OURS, hub_answers=hub_answers, remembered=remembered) == expected


def test_the_setting_is_one_of_three_words() -> None:
    assert sources.setting({}) == "fallback"
    assert sources.setting({"KERNELKIT_EMBEDDED": "prefer"}) == "prefer"
    with pytest.raises(InvalidRequest, match="KERNELKIT_EMBEDDED is 'yes'"):
        sources.setting({"KERNELKIT_EMBEDDED": "yes"})


def test_only_official_images_of_docker_hub_have_an_embedded_twin() -> None:
    assert sources.embedded_name("docker.io", "library/bash") == "bash"
    assert sources.embedded_name("docker.io", "somebody/bash") == ""
    assert sources.embedded_name("docker.io", "bash") == ""
    assert sources.embedded_name("docker.io", "library/alpine") == ""
    assert sources.embedded_name("localhost:5000", "library/bash") == ""


@pytest.mark.parametrize(
    ("route", "ipv6_route", "expected"),
    [
        (ROUTES + LOCAL + DEFAULT, "", True),
        (ROUTES + LOCAL, "", False),
        (ROUTES, NO_ROUTE, False),
        (ROUTES, NO_ROUTE.replace("lo\n", "eth0\n"), True),
        (None, None, False),
        ("garbage\nx\n", "y\n", False),
    ],
)
def test_a_way_out_is_a_default_route(
    tmp_path: Path, route: str | None, ipv6_route: str | None, expected: bool
) -> None:
    if route is not None and ipv6_route is not None:
        (tmp_path / "route").write_text(route)
        (tmp_path / "ipv6_route").write_text(ipv6_route)
    assert sources.has_way_out(tmp_path) == expected


def test_what_was_given_is_remembered(tmp_path: Path) -> None:
    assert not sources.remembered(tmp_path, "bash")
    sources.remember(tmp_path, "bash")
    sources.remember(tmp_path, "bash")
    assert sources.remembered(tmp_path, "bash")
    assert not sources.remembered(tmp_path, "debian")
