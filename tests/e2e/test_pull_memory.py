"""A pull is streamed: what it takes in memory does not depend on the size of the image."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import zstandard

from tests.conftest import Kernelkit
from tests.layout import Compress, Layout, squeeze
from tests.registry import Registry

MIB = 1 << 20
LAYERS, SIZE = 3, 160 * MIB  # none of them would fit as a whole


def archive(number: int) -> bytes:
    """A tar of one file, mostly of zeros, so that there is little to send and much to unpack."""
    head = f"file{number}".encode().ljust(100, b"\0") + b"0000644\0" + b"0000000\0" * 2
    head += f"{SIZE:011o}\0".encode() + b"00000000000\0" + b" " * 8 + b"0"
    head = head.ljust(257, b"\0") + b"ustar\x0000"
    block = bytearray(head.ljust(512, b"\0"))
    block[148:156] = f"{sum(block):06o}\0 ".encode()
    return bytes(block) + bytes(SIZE) + bytes(1024)


def peak(kk: Kernelkit) -> float:
    """MiB that the engine has ever had in memory at once (proc(5), VmHWM)."""
    for status in Path("/proc").glob("[0-9]*/status"):
        try:
            words = (status.parent / "cmdline").read_bytes().split(b"\0")
            home = f"KERNELKIT_HOME={kk.home}".encode()
            if b"kernelkit.server.daemon" in words and home in (status.parent / "environ").read_bytes().split(b"\0"):
                found = re.search(r"VmHWM:\s+(\d+) kB", status.read_text())
                assert found
                return int(found[1]) / 1024
        except (FileNotFoundError, ProcessLookupError):
            continue
    raise AssertionError("there is no engine")


@pytest.mark.parametrize(("suffix", "compress"), [("+gzip", squeeze), ("+zstd", zstandard.ZstdCompressor(1).compress)])
def test_a_pull_of_a_large_image_stays_below_150_mib(
    kk: Kernelkit, registry: Registry, tmp_path: Path, suffix: str, compress: Compress
) -> None:
    layout = Layout(tmp_path / "layout")
    manifest = layout.manifest(map(archive, range(LAYERS)), suffix=suffix, compress=compress)
    name = registry.fill(layout.tag(manifest), f"large{suffix[1:]}:1")
    kk("pull", name)
    assert kk("images", "-q", name).stdout
    assert peak(kk) < 150
