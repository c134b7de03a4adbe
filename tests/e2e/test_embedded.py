"""Other people's programs pull the embedded images: skopeo, and Docker itself with our registry as its mirror."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from kernelkit.embedded import recipes
from kernelkit.embedded.registry import serve
from tests.machine import Machine
from tests.patience import wait_until

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with busybox and bash in it."""
    home = tmp_path_factory.mktemp("home")
    recipes.prepare(home, say=print)
    return home / "embedded"


def test_busybox_and_bash_are_ready_within_ten_seconds(tmp_path: Path) -> None:
    """Of processor time: how long others keep it waiting is not its doing."""
    before = os.times()
    recipes.prepare(tmp_path, say=print)
    assert sum(os.times()[:4]) - sum(before[:4]) < 10


@pytest.mark.skipif(not shutil.which("skopeo"), reason="needs skopeo")
def test_skopeo_pulls_after_the_token_dance(images: Path, tmp_path: Path) -> None:
    server = serve(images)
    server.start()
    try:
        source = server.url.replace("http:", "docker:") + "/library/bash:latest"
        copy = ["skopeo", "copy", "--insecure-policy", "--src-tls-verify=false", source, f"dir:{tmp_path}/copy"]
        subprocess.run(copy, check=True, capture_output=True)
    finally:
        server.stop()
    manifest = json.loads((tmp_path / "copy/manifest.json").read_text())
    assert len(manifest["layers"]) == 2
    for layer in manifest["layers"]:
        assert (tmp_path / "copy" / layer["digest"].removeprefix("sha256:")).stat().st_size == layer["size"]


@pytest.mark.skipif(not (shutil.which("dockerd") and shutil.which("containerd")), reason="needs dockerd, containerd")
def test_docker_takes_it_for_docker_hub(images: Path, home: Path, machine: Machine) -> None:
    registry = machine.start(
        sys.executable, "-m", "kernelkit.embedded.registry", str(images),
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, cwd=ROOT,
    )  # fmt: skip
    assert registry.stdout
    mirror = registry.stdout.readline().strip()
    log = (home / "log").open("w")
    daemon = machine.start(
        "dockerd", f"--data-root={home}/data", f"--exec-root={home}/exec", f"--pidfile={home}/pid",
        f"--host=unix://{home}/sock", f"--registry-mirror={mirror}", "--storage-driver=vfs",
        "--iptables=false", "--ip-forward=false", "--ip-masq=false", "--bridge=none",
        stdout=log, stderr=log,
    )  # fmt: skip
    docker = ["docker", "--host", f"unix://{home}/sock"]
    try:

        def is_up() -> bool:
            assert daemon.poll() is None, (home / "log").read_text()
            return machine.run(*docker, "version", check=False).returncode == 0

        wait_until(is_up)
        for name in ("busybox", "bash"):
            said = machine.run(*docker, "pull", name).stdout
            assert f"Downloaded newer image for {name}:latest" in said
        inspected = json.loads(machine.run(*docker, "image", "inspect", "bash").stdout)[0]
        assert inspected["Config"]["Cmd"] == ["bash"]
        digest = json.loads((images / "index.json").read_text())["manifests"][0]["digest"]
        assert inspected["RepoDigests"] == [f"bash@{digest}"]
    finally:
        log.close()
        registry.stdout.close()  # both end with their machine
