"""`docker login`, and what it opens: a registry that wants a password, with the stock client."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import Kernelkit
from tests.e2e.test_push import LOCKED, PASSWORDS
from tests.registry import Registry


@pytest.fixture
def locked(tmp_path: Path, kk: Kernelkit) -> Iterator[Registry]:
    """A registry that wants a password."""
    if kk.machine:
        pytest.skip("the registry would be on another machine than the engine")
    (tmp_path / "passwords").write_text(PASSWORDS)
    real = Registry(tmp_path, LOCKED.format(file=tmp_path / "passwords"))
    yield real
    real.stop()


def test_login_knows_right_from_wrong_and_opens_the_registry(kk: Kernelkit, locked: Registry, tmp_path: Path) -> None:
    kk.env["DOCKER_CONFIG"] = str(tmp_path / "docker")
    kk("pull", "busybox")
    kk.docker("tag", "busybox", f"{locked.host}/mine:1")
    wrong = kk.docker("login", "-u", "me", "--password-stdin", locked.host, input="wrong", check=False)
    assert wrong.returncode == 1
    assert "unauthorized: incorrect username or password" in wrong.stderr
    assert "no basic auth credentials" in kk.docker("push", f"{locked.host}/mine:1", check=False).stderr
    right = kk.docker("login", "-u", "me", "--password-stdin", locked.host, input="right")
    assert "Login Succeeded" in right.stdout
    kk.docker("push", f"{locked.host}/mine:1")
    kk.docker("rmi", f"{locked.host}/mine:1")
    assert f"image for {locked.host}/mine:1" in kk.docker("pull", f"{locked.host}/mine:1").stdout
    kk.docker("logout", locked.host)
    assert "no basic auth credentials" in kk.docker("push", f"{locked.host}/mine:1", check=False).stderr
    nobody = kk.docker("login", "-u", "me", "--password-stdin", "127.0.0.1:1", input="right", check=False)
    assert nobody.returncode == 1
    assert "127.0.0.1:1" in nobody.stderr
