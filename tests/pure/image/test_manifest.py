"""Manifests and indexes of others are judged before they are believed."""

from __future__ import annotations

from typing import Any

import pytest

from kernelkit.errors import InvalidRequest, KernelkitError, NotFound, RegistryError
from kernelkit.image import manifest
from kernelkit.image.manifest import Descriptor, Manifest, Platform

DIGEST = "sha256:" + "0" * 64


def entry(platform: str, digit: str) -> dict[str, Any]:
    names = dict(zip(("os", "architecture", "variant"), platform.split("/"), strict=False))
    return {"mediaType": manifest.MANIFEST, "digest": "sha256:" + digit * 64, "size": 1, "platform": names}


INDEX = {
    "manifests": [
        entry("linux/arm/v5", "5"),
        entry("linux/arm/v7", "7"),
        entry("linux/amd64", "a"),
        entry("linux/arm64/v8", "8"),
        entry("unknown/unknown", "0"),
        entry("windows/amd64", "b"),
    ]
}


@pytest.mark.parametrize(
    ("wanted", "digit"),
    [
        ("linux/amd64", "a"),
        ("amd64", "a"),
        ("x86_64", "a"),
        ("aarch64", "8"),
        ("linux/arm64", "8"),
        ("arm64", "8"),
        ("linux/arm64/v8", "8"),
        ("linux/arm", "7"),
        ("linux/arm/v7", "7"),
        ("linux/arm/v6", "5"),
        ("windows/amd64", "b"),
    ],
)
def test_an_index_gives_the_best_manifest_for_a_platform(wanted: str, digit: str) -> None:
    assert manifest.choose(INDEX, Platform.parse(wanted)).digest == "sha256:" + digit * 64


def test_a_platform_that_is_not_there_is_named_and_so_are_those_that_are() -> None:
    with pytest.raises(NotFound) as missing:
        manifest.choose(INDEX, Platform.parse("linux/s390x"))
    assert missing.value.message == "no matching manifest for linux/s390x in the manifest list entries"
    assert "linux/arm64/v8" in missing.value.hint


@pytest.mark.parametrize("text", ["/", "linux//v7", "a/b/c/d", "foo"])
def test_a_malformed_platform_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequest):
        Platform.parse(text)


LAYER = {"mediaType": manifest.LAYER + "+gzip", "digest": DIGEST, "size": 5}


@pytest.mark.parametrize(
    "value",
    [
        {},
        {"schemaVersion": 1, "fsLayers": []},
        {"config": {}, "layers": []},
        {"config": LAYER, "layers": {}},
        {"config": LAYER, "layers": [{**LAYER, "digest": "sha256:../../etc/passwd"}]},
        {"config": LAYER, "layers": [{**LAYER, "digest": "sha256:" + "0" * 63 + "/"}]},
        {"config": LAYER, "layers": [{**LAYER, "digest": None}]},
        {"config": LAYER, "layers": [{**LAYER, "size": -1}]},
        {"config": LAYER, "layers": [{**LAYER, "size": "5"}]},
        {"config": LAYER, "layers": [{**LAYER, "mediaType": "application/vnd.cncf.helm.chart.content.v1.tar+gzip"}]},
        {"config": LAYER, "layers": [LAYER] * 501},
        {"config": [], "layers": [LAYER]},
    ],
)
def test_a_manifest_that_is_none_is_refused(value: dict[str, Any]) -> None:
    with pytest.raises(RegistryError):
        Manifest.parse(value)


def test_a_docker_manifest_is_read_as_an_oci_one() -> None:
    layers = [{**LAYER, "mediaType": manifest.DOCKER_LAYER + ".gzip"}, {**LAYER, "mediaType": manifest.LAYER + "+zstd"}]
    read = Manifest.parse({"schemaVersion": 2, "config": LAYER, "layers": layers})
    assert [layer.size for layer in read.layers] == [5, 5]
    assert read.config == Descriptor(LAYER["mediaType"], DIGEST, 5)


@pytest.mark.parametrize("content", [b"", b"[]", b"null", b"{", b"\xff", b"[" * 100_000])
def test_what_is_no_json_object_is_refused(content: bytes) -> None:
    with pytest.raises(KernelkitError):
        manifest.read(content)


def test_a_platform_is_read_as_docker_s_api_says_it() -> None:
    wanted = Platform("linux", "arm64", "v8")
    assert Platform.read('{"architecture": "arm64", "os": "linux", "variant": "v8"}') == wanted
    assert wanted.as_json() == {"architecture": "arm64", "os": "linux", "variant": "v8"}
    assert Platform("linux", "amd64").as_json() == {"architecture": "amd64", "os": "linux"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("linux/arm64", "failed to parse platform"),
        ("[]", "failed to parse platform"),
        ('{"os": "linux"}', "both OS and Architecture must be provided"),
        ("{}", "both OS and Architecture must be provided"),
    ],
)
def test_a_platform_that_is_none_is_refused(text: str, said: str) -> None:
    with pytest.raises(InvalidRequest, match=said):
        Platform.read(text)
