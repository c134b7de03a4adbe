"""Names and passwords, where Docker's client keeps them."""

from __future__ import annotations

import base64
import json
import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from kernelkit.cli import credentials
from tests.pure.cli.answers import ANSWERS
from tests.pure.cli.conftest import Said
from tests.pure.cli.fake_engine import FakeEngine

HELPER = """#!/bin/sh
# The protocol of docker-credential-helpers, with a folder as the store.
cat > "$STORE/input.$1"
case $1 in
    get) cat "$STORE/entry" 2>/dev/null || { echo "credentials not found in native keychain"; exit 1; } ;;
    store) cp "$STORE/input.store" "$STORE/entry" ;;
    erase) rm -f "$STORE/entry" ;;
esac
"""


@pytest.fixture
def config(fake: FakeEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "docker"))
    fake.answers = {"POST /auth": {"Status": "Login Succeeded", "IdentityToken": ""}}
    return tmp_path / "docker" / "config.json"


def test_a_login_is_kept_for_its_owner_alone(cli: Callable[..., Said], config: Path) -> None:
    assert cli("login", "-u", "me", "-p", "secret", "reg:5").out == "Login Succeeded\n"
    assert stat.S_IMODE(config.stat().st_mode) == 0o600
    entry = json.loads(config.read_text())["auths"]["reg:5"]["auth"]
    assert base64.b64decode(entry) == b"me:secret"
    assert credentials.find("reg:5") == {"username": "me", "password": "secret", "serveraddress": "reg:5"}
    assert os.listdir(config.parent) == ["config.json"]


def test_other_things_in_the_file_stay(cli: Callable[..., Said], config: Path) -> None:
    config.parent.mkdir()
    config.write_text('{"psFormat": "x", "auths": {"other": {"auth": "YTpi"}}}')
    cli("login", "-u", "me", "-p", "secret", "reg:5")
    cli("logout", "reg:5")
    assert json.loads(config.read_text()) == {"psFormat": "x", "auths": {"other": {"auth": "YTpi"}}}


def test_what_is_kept_is_tried_first(cli: Callable[..., Said], config: Path, fake: FakeEngine) -> None:
    credentials.store("reg:5", "me", "secret")
    said = cli("login", "reg:5")
    assert (said.code, said.out) == (0, "Login Succeeded\n")
    assert said.err.startswith("Authenticating with existing credentials... [Username: me]\n")
    assert json.loads(fake.asked[-1].body) == {"username": "me", "password": "secret", "serveraddress": "reg:5"}


def test_a_token_takes_the_place_of_the_password(cli: Callable[..., Said], config: Path, fake: FakeEngine) -> None:
    fake.answers = {"POST /auth": {"Status": "Login Succeeded", "IdentityToken": "tok"}}
    cli("login", "-u", "me", "-p", "secret", "reg:5")
    assert "secret" not in base64.b64decode(json.loads(config.read_text())["auths"]["reg:5"]["auth"]).decode()
    assert credentials.find("reg:5") == {"username": "me", "identitytoken": "tok", "serveraddress": "reg:5"}


def test_a_wrong_password_says_so_and_is_not_kept(cli: Callable[..., Said], config: Path, fake: FakeEngine) -> None:
    fake.answers = {"POST /auth": (401, {"message": "unauthorized: authentication required"})}
    said = cli("login", "-u", "me", "-p", "wrong", "reg:5")
    assert said.code == 1
    assert said.err.endswith("Error response from daemon: unauthorized: authentication required\n")
    assert not config.exists()


def test_a_helper_keeps_them_if_there_is_one(
    cli: Callable[..., Said], config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    helper = tmp_path / "docker-credential-folder"
    helper.write_text(HELPER)
    helper.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setenv("STORE", str(tmp_path))
    config.parent.mkdir()
    config.write_text('{"credsStore": "folder"}')
    said = cli("login", "-u", "me", "-p", "secret", "reg:5")
    assert "stored unencrypted" not in said.err
    assert "secret" not in config.read_text()
    assert credentials.find("reg:5") == {"username": "me", "password": "secret", "serveraddress": "reg:5"}
    cli("logout", "reg:5")
    assert credentials.find("reg:5") == {}


def test_a_helper_that_is_not_there_is_named(cli: Callable[..., Said], config: Path) -> None:
    config.parent.mkdir()
    config.write_text('{"credHelpers": {"reg:5": "nowhere"}}')
    said = cli("login", "-u", "me", "-p", "secret", "reg:5")
    assert said.code == 1
    assert "docker-credential-nowhere" in said.err


def test_a_file_that_is_no_json_is_named(cli: Callable[..., Said], config: Path) -> None:
    config.parent.mkdir()
    config.write_text("{")
    said = cli("pull", "reg:5/x")
    assert said.code == 1
    assert said.err.startswith(f"cannot read '{config}': ")


def test_credentials_go_to_the_registry_that_they_belong_to(config: Path) -> None:
    credentials.store("docker.io", "me", "secret")
    assert json.loads(config.read_text())["auths"].keys() == {"https://index.docker.io/v1/"}
    assert credentials.registry_auth("index.docker.io").keys() == {"X-Registry-Auth"}
    assert credentials.registry_auth("reg:5") == {}


def test_what_the_file_prefers_holds_where_nothing_else_is_said(
    cli: Callable[..., Said], config: Path, fake: FakeEngine
) -> None:
    fake.answers = ANSWERS
    config.parent.mkdir()
    config.write_text('{"psFormat": "table {{.Names}}", "imagesFormat": "{{.Tag}}"}')
    assert cli("ps").out == "NAMES\nmade\nweb\n"
    assert cli("images").out == "<none>\nlatest\n1.35\n"
    assert cli("ps", "--format", "{{.State}}").out == "created\nrunning\n"
    assert cli("ps", "-q").out == "f5d7940a66d2\nd01db81a3f25\n"
