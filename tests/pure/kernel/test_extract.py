"""Where in its directory an archive's member goes, by the name it claims."""

from __future__ import annotations

import pytest

from kernelkit.kernel.extract import split
from kernelkit.kernel.tar import BadArchive


@pytest.mark.parametrize(
    ("name", "parts"),
    [("a", "|a"), ("./a/b/", "a|b"), ("a/./b//c", "a/b|c"), ("a/../b", "|b"), ("./", "|"), ("", "|"), ("/", "|")],
)
def test_names_are_cleaned(name: str, parts: str) -> None:
    assert b"|".join(split(name.encode())).decode() == parts


@pytest.mark.parametrize("name", ["..", "a/../../b", "/../x", "a/../.."])
def test_a_name_that_leads_out_is_refused(name: str) -> None:
    with pytest.raises(BadArchive, match="leads out"):
        split(name.encode())


def test_a_name_longer_than_the_kernel_takes_is_refused() -> None:
    with pytest.raises(BadArchive, match="longer than the kernel takes"):
        split(b"a" * 5000)
