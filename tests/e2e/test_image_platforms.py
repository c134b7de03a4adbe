"""`--platform` of every command about images: an image is here for one platform, as in Docker's own store."""

from __future__ import annotations

import io
import json
import platform
import tarfile
from pathlib import Path

import pytest

from tests.conftest import Kernelkit

HERE = {"x86_64": "linux/amd64", "aarch64": "linux/arm64"}.get(platform.machine(), "")
OTHER = "linux/s390x"

pytestmark = [
    pytest.mark.skipif(not HERE, reason="knows the platforms amd64 and arm64"),
    pytest.mark.client(28),
]


@pytest.mark.parametrize(
    "command",
    [
        ("history", "--platform", OTHER, "busybox"),
        ("image", "inspect", "--platform", OTHER, "busybox"),
        ("rmi", "--platform", OTHER, "busybox"),
        ("push", "--platform", OTHER, "busybox"),
        ("create", "--pull", "never", "--platform", OTHER, "busybox"),
    ],
)
def test_an_image_for_another_platform_is_not_there(shared_kk: Kernelkit, command: tuple[str, ...]) -> None:
    refused = shared_kk.docker(*command, check=False)
    assert refused.returncode == 1
    assert f"was found but its platform ({HERE}) does not match the specified platform ({OTHER})" in refused.stderr
    assert shared_kk.docker("images", "-q", "busybox").stdout


def test_the_platform_that_is_there_can_be_asked_for(shared_kk: Kernelkit, tmp_path: Path) -> None:
    identity = shared_kk.docker("image", "inspect", "--platform", HERE, "--format", "{{.Id}}", "busybox").stdout.strip()
    assert shared_kk.docker("history", "--platform", HERE, "-q", "--no-trunc", "busybox").stdout.split()[0] == identity
    shared_kk.docker("save", "--platform", HERE, "-o", str(tmp_path / "saved.tar"), "busybox")
    shared_kk.docker("tag", "busybox", "again")
    assert shared_kk.docker("rmi", "--platform", HERE, "again").stdout == "Untagged: again:latest\n"
    loaded = shared_kk.docker("load", "--platform", HERE, "-i", str(tmp_path / "saved.tar"))
    assert loaded.stdout == "Loaded image: busybox:latest\n"
    assert shared_kk.docker("run", "--rm", "--platform", HERE, "busybox", "echo", "ok").stdout == "ok\n"


def test_several_platforms_are_refused_in_words(shared_kk: Kernelkit) -> None:
    refused = shared_kk.docker("rmi", "--platform", f"{HERE},{OTHER}", "busybox", check=False)
    assert "multiple platforms are not supported" in refused.stderr


def test_save_and_load_say_what_there_is(shared_kk: Kernelkit, tmp_path: Path) -> None:
    archive = tmp_path / "saved.tar"
    refused = shared_kk.docker("save", "--platform", OTHER, "-o", str(archive), "busybox", check=False)
    assert f"no suitable export target found for platform {OTHER}" in refused.stderr
    shared_kk.docker("save", "-o", str(archive), "busybox")
    refused = shared_kk.docker("load", "--platform", OTHER, "-i", str(archive), check=False)
    assert f"the archive holds no image for the platform {OTHER}: it has {HERE}" in refused.stderr


def test_of_an_archive_for_several_platforms_one_is_loaded(shared_kk: Kernelkit, tmp_path: Path) -> None:
    """The archive has two images of the same layer, each under a name of its own."""
    saved = tmp_path / "saved.tar"
    shared_kk.docker("save", "-o", str(saved), "busybox")
    with tarfile.open(saved) as archive:
        table = json.load(archive.extractfile("manifest.json") or io.BytesIO())
        config = json.load(archive.extractfile(table[0]["Config"]) or io.BytesIO())
        layer = (archive.extractfile(table[0]["Layers"][0]) or io.BytesIO()).read()
    both = tmp_path / "both.tar"
    with tarfile.open(both, "w") as archive:
        files = {"layer.tar": layer}
        for word in (HERE, OTHER):
            architecture = word.partition("/")[2]
            files[f"{architecture}.json"] = json.dumps({**config, "architecture": architecture}).encode()
        rows = [
            {"Config": f"{name}.json", "RepoTags": [f"for:{name}"], "Layers": ["layer.tar"]}
            for name in (HERE.partition("/")[2], OTHER.partition("/")[2])
        ]
        files["manifest.json"] = json.dumps(rows).encode()
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    assert shared_kk.docker("load", "--platform", OTHER, "-i", str(both)).stdout == "Loaded image: for:s390x\n"
    assert shared_kk.docker("images", "--format", "{{.Tag}}", "for").stdout == "s390x\n"
    assert shared_kk.docker("image", "inspect", "--format", "{{.Architecture}}", "for:s390x").stdout == "s390x\n"
    shared_kk.docker("rmi", "for:s390x")


def test_the_tree_shows_images_as_they_are(shared_kk: Kernelkit) -> None:
    shown = shared_kk.docker("images", "--tree").stdout
    identity = shared_kk.docker("images", "-q", "busybox").stdout.strip()
    assert "busybox:latest" in shown
    assert identity in shown
