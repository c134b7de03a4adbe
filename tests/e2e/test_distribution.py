"""What a registry says of an image that is not here, as PyPI's `docker` asks for it."""

from __future__ import annotations

from pathlib import Path

import docker
import pytest

from tests.conftest import Kernelkit
from tests.layout import Layout, busybox, tar
from tests.registry import Registry


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return Layout(tmp_path / "layout")


def test_an_image_is_described_by_its_registry(shared_kk: Kernelkit, registry: Registry, layout: Layout) -> None:
    platforms = ("linux/amd64", "linux/arm64/v8")
    index = layout.index([layout.manifest([tar(busybox())], each) for each in platforms])
    many = registry.fill(layout.tag(index, "many"), "described:many")
    single = layout.manifest([tar(busybox())], "linux/s390x")
    one = registry.fill(layout.tag(single, "one"), "described:one")
    client = docker.DockerClient(base_url=f"unix://{shared_kk.socket}")
    try:
        found = client.images.get_registry_data(many)
        assert [found.has_platform(each) for each in ("linux/amd64", "linux/arm64/v8", "linux/s390x")] == [1, 1, 0]
        assert found.id == found.attrs["Descriptor"]["digest"]
        assert client.images.get_registry_data(one).attrs["Platforms"] == [{"architecture": "s390x", "os": "linux"}]
        with pytest.raises(docker.errors.NotFound, match="manifest unknown"):
            client.images.get_registry_data(f"{many.rpartition(':')[0]}:nosuch")
    finally:
        client.close()
    assert "described" not in shared_kk.docker("images").stdout
