"""The Range header, as RFC 9110 section 14 has it."""

from __future__ import annotations

import pytest

from kernelkit.embedded.ranges import Unsatisfiable, parse


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("bytes=0-", (0, 100)),
        ("bytes=10-", (10, 90)),
        ("bytes=10-19", (10, 10)),
        ("bytes=99-", (99, 1)),
        ("bytes=90-500", (90, 10)),
        ("bytes=-5", (95, 5)),
        ("bytes=-500", (0, 100)),
    ],
)
def test_a_range_names_bytes(header: str, expected: tuple[int, int]) -> None:
    assert parse(header, 100) == expected


@pytest.mark.parametrize(
    "header", [None, "", "bytes", "bytes=-", "bytes=5-2", "lines=1-2", "bytes=1-2,5-6", "bytes=a-"]
)
def test_what_is_not_understood_means_the_whole(header: str | None) -> None:
    assert parse(header, 100) is None


@pytest.mark.parametrize("header", ["bytes=100-", "bytes=100-200", "bytes=-0"])
def test_a_range_outside_of_the_blob_cannot_be_satisfied(header: str) -> None:
    with pytest.raises(Unsatisfiable):
        parse(header, 100)
