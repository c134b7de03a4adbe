"""What counts as one name of an image, and what layers are called with all that lies below them."""

from __future__ import annotations

import hashlib

import pytest

from kernelkit.engine import rmi
from kernelkit.image.catalogue import Image

ONE, TWO = (f"sha256:{hashlib.sha256(word).hexdigest()}" for word in (b"one", b"two"))


@pytest.mark.parametrize(
    ("tags", "digests", "alone"),
    [
        ((), (), False),
        (("a:1",), (), True),
        (("a:1",), (f"a@{ONE}",), True),
        (("a:1",), (f"a@{ONE}", f"a@{TWO}"), True),
        (("a:1",), (f"b@{ONE}",), False),
        (("a:1", "a:2"), (), False),
        (("a:1", "b:1"), (f"a@{ONE}",), False),
        ((), (f"a@{ONE}",), True),
        ((), (f"a@{ONE}", f"b@{ONE}"), False),
    ],
)
def test_an_image_is_alone_with_one_tag_and_its_digests(
    tags: tuple[str, ...], digests: tuple[str, ...], alone: bool
) -> None:
    assert rmi._in_one_repository(Image(ONE, {}, tags=tags, digests=digests)) is alone


def test_a_layer_is_called_by_what_lies_below_it_as_well() -> None:
    """OCI Image Specification, "Layer ChainID"."""
    image = Image(ONE, {"rootfs": {"type": "layers", "diff_ids": [ONE, TWO]}})
    both = hashlib.sha256(f"{ONE} {TWO}".encode()).hexdigest()
    assert rmi._chain_ids(image) == [ONE, f"sha256:{both}"]
