"""Capabilities between names and masks."""

from __future__ import annotations

from kernelkit.kernel.capability import NAMES, bounding, mask, named


def test_numbers_are_the_kernels() -> None:
    assert mask(["CAP_CHOWN"]) == 1
    assert mask(["CAP_NET_BIND_SERVICE"]) == 0x400
    assert mask(["CAP_CHECKPOINT_RESTORE"]) == 1 << 40
    assert len(NAMES) == 41


def test_a_mask_and_its_names_are_the_same_set() -> None:
    assert mask(named(0xA80425FB)) == 0xA80425FB
    assert named(0) == ()
    assert named(1 << 62) == ()


def test_the_bounding_set_is_read_from_a_status_file() -> None:
    status = "Name:\tcat\nCapInh:\t0000000000000000\nCapBnd:\t0000000000000401\nCapAmb:\t0000000000000000\n"
    assert bounding(status) == {"CAP_CHOWN", "CAP_NET_BIND_SERVICE"}
