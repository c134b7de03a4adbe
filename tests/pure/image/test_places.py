"""Mirrors, plain HTTP and loopback: who is asked, and how."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from kernelkit.errors import InvalidRequest
from kernelkit.image.places import HUB_URL, Places


def test_mirrors_are_asked_before_docker_hub_and_the_environments_first(tmp_path: Path) -> None:
    (tmp_path / "registries.json").write_text(json.dumps({"mirrors": ["https://m.example/"], "insecure": ["r:5000"]}))
    places = Places.of(tmp_path, {"KERNELKIT_REGISTRY_MIRRORS": "http://127.0.0.1:5000, https://n.example"})
    assert places.bases("docker.io") == ["http://127.0.0.1:5000", "https://n.example", "https://m.example", HUB_URL]
    assert places.bases("quay.io") == ["https://quay.io"]
    assert places.bases("r:5000") == ["http://r:5000", "https://r:5000"]


@pytest.mark.parametrize("host", ["localhost", "localhost:5000", "127.0.0.1:5000", "127.9.9.9", "[::1]:5000"])
def test_loopback_may_speak_plain_http(host: str) -> None:
    assert Places().bases(host) == [f"http://{host}", f"https://{host}"]


@pytest.mark.parametrize("host", ["localhost.example", "10.0.0.1:5000", "127.0.0.1.example:80"])
def test_nobody_else_may(host: str) -> None:
    assert Places().bases(host) == [f"https://{host}"]


@pytest.mark.parametrize("text", ["{", "[]", '{"mirrors": 1}', '{"mirrors": ["m.example"]}'])
def test_a_configuration_that_makes_no_sense_is_refused_by_name(tmp_path: Path, text: str) -> None:
    (tmp_path / "registries.json").write_text(text)
    with pytest.raises(InvalidRequest, match=r"registries\.json|m\.example"):
        Places.of(tmp_path, {})
