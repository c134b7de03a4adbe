"""Passwords come from Docker's own configuration, go to the registry they are for, and show nowhere."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest

from kernelkit.errors import InvalidRequest
from kernelkit.image.credentials import Credentials, find

AUTH = base64.b64encode(b"me:se:cret").decode()


@pytest.mark.parametrize("key", ["https://index.docker.io/v1/", "docker.io", "index.docker.io"])
def test_docker_hubs_entry_is_found_under_all_its_names(key: str) -> None:
    assert find("docker.io", {"auths": {key: {"auth": AUTH}}}) == Credentials("me", "se:cret")


@pytest.mark.parametrize("key", ["r.example:5000", "https://r.example:5000", "http://r.example:5000/v1/"])
def test_a_registrys_entry_is_found_with_and_without_scheme(key: str) -> None:
    assert find("r.example:5000", {"auths": {key: {"auth": AUTH}}}) == Credentials("me", "se:cret")


def test_nobody_gets_anothers_password() -> None:
    config = {"auths": {"https://index.docker.io/v1/": {"auth": AUTH}}}
    assert not find("docker.io.example", config)
    assert not find("r.example", config)


@pytest.mark.parametrize("config", [{"auths": {"r": {"auth": "%%%"}}}, {"auths": {"r": None}}, {"auths": None}, {}])
def test_a_damaged_entry_is_no_entry(config: dict[str, object]) -> None:
    assert not find("r", config)


def test_a_helper_program_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    helper = tmp_path / "docker-credential-drawer"
    helper.write_text('#!/bin/sh\nread name; printf \'{"Username": "me", "Secret": "for %s"}\' "$name"\n')
    helper.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    (tmp_path / "config.json").write_text(json.dumps({"credHelpers": {"r.example": "drawer"}}))
    assert Credentials.of("r.example", {"DOCKER_CONFIG": str(tmp_path)}) == Credentials("me", "for r.example")
    assert not Credentials.of("other.example", {"DOCKER_CONFIG": str(tmp_path)})


def test_the_header_of_the_docker_api_is_read() -> None:
    text = json.dumps({"username": "me", "password": "p?>", "serveraddress": "r"})
    for encoded in (base64.urlsafe_b64encode(text.encode()), base64.b64encode(text.encode()).rstrip(b"=")):
        assert Credentials.from_header(encoded.decode()) == Credentials("me", "p?>")
    assert not Credentials.from_header("e30=")
    with pytest.raises(InvalidRequest):
        Credentials.from_header("&")


def test_a_password_does_not_show() -> None:
    shown = repr(Credentials("me", "secret", "secret", "secret"))
    assert "secret" not in shown
