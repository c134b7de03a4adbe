"""`docker rmi` of what containers stand on and of what has several names, forced or not: Docker's rules and words."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest

from tests.conftest import Kernelkit
from tests.patience import wait_until


@pytest.fixture
def kk(shared_kk: Kernelkit) -> Iterator[Kernelkit]:
    yield shared_kk
    shared_kk.empty()
    if images := shared_kk.docker("images", "-aq").stdout.split():
        shared_kk.docker("rmi", "-f", *images)
    shared_kk.docker("pull", "-q", "busybox")


def identity(kk: Kernelkit, name: str = "busybox") -> str:
    return kk.docker("image", "inspect", "--format", "{{.Id}}", name).stdout.strip()


def listed(kk: Kernelkit) -> list[str]:
    """All names with their images; Docker's client prints those of one image in any order."""
    return sorted(kk.docker("images", "--format", "{{.Repository}}:{{.Tag}} {{.ID}}").stdout.splitlines())


def refusal(kk: Kernelkit, *words: str) -> str:
    """What is said when nothing is removed."""
    before = listed(kk)
    refused = kk.docker("rmi", *words, check=False)
    assert refused.returncode == 1
    assert listed(kk) == before
    return refused.stderr.strip().removeprefix("Error response from daemon: ")


def test_an_id_with_several_names_has_to_be_forced(kk: Kernelkit) -> None:
    whole = identity(kk)
    short = whole[7:19]
    kk.docker("tag", "busybox", "other:1")
    assert refusal(kk, short) == (
        f"conflict: unable to delete {short} (must be forced) - image is referenced in multiple repositories"
    )
    kk.docker("tag", "busybox", "busybox:1")
    kk.docker("rmi", "other:1")
    assert "(must be forced) - image is referenced in multiple repositories" in refusal(kk, short), "two tags of one"
    gone = kk.docker("rmi", "-f", short).stdout.splitlines()
    assert gone[:2] == ["Untagged: busybox:1", "Untagged: busybox:latest"]
    assert f"Deleted: {whole}" in gone
    assert kk.docker("images", "-q").stdout == ""


def test_one_of_several_names_goes_though_a_container_runs(kk: Kernelkit) -> None:
    kk.docker("tag", "busybox", "other:1")
    kk.docker("run", "-d", "other:1", "sleep", "1000")
    assert kk.docker("rmi", "other:1").stdout == "Untagged: other:1\n"
    assert kk.docker("ps", "--format", "{{.Image}}").stdout.strip() == identity(kk)[7:19], "the name means nothing now"


def test_what_a_container_that_has_ended_stands_on_has_to_be_forced(kk: Kernelkit) -> None:
    whole = identity(kk)
    container = kk.docker("run", "-d", "busybox", "true").stdout[:12]
    kk.docker("wait", container)
    assert refusal(kk, "busybox") == (
        f'conflict: unable to remove repository reference "busybox" (must force) - container {container} is using its '
        f"referenced image {whole[7:19]}"
    )
    assert refusal(kk, whole) == (
        f"conflict: unable to delete {whole[7:19]} (must be forced) - image is being used by stopped container "
        f"{container}"
    )


@pytest.mark.parametrize("by", ["name", "id"])
def test_a_container_outlives_its_image(kk: Kernelkit, by: str) -> None:
    whole = identity(kk)
    kk.docker("run", "--name", "heir", "busybox", "sh", "-c", "echo begun >> /file; cat /file")
    gone = kk.docker("rmi", "-f", "busybox" if by == "name" else whole).stdout.splitlines()
    assert gone[0] == "Untagged: busybox:latest"
    assert gone[-1] == f"Deleted: {whole}", "the layers stay"
    assert kk.docker("images", "-aq").stdout == ""
    for command in (("image", "inspect", whole), ("run", whole, "true"), ("history", whole)):
        assert "No such image" in kk.docker(*command, check=False).stderr
    assert kk.docker("ps", "-a", "--format", "{{.Image}}").stdout.strip() == whole[7:19]
    assert kk.docker("inspect", "--format", "{{.Image}} {{.Config.Image}}", "heir").stdout == f"{whole} busybox\n"
    assert kk.docker("start", "-a", "heir").stdout == "begun\nbegun\n"
    assert kk.docker("diff", "heir").stdout == "A /file\n"
    kk.docker("commit", "heir", "kept")
    assert kk.docker("run", "--rm", "kept", "cat", "/file").stdout == "begun\nbegun\n"
    kk.docker("rm", "heir")
    kk.docker("rmi", "kept")
    assert list((kk.home / "layers").iterdir()) == []
    assert list((kk.home / "blobs/sha256").iterdir()) == []


def test_what_a_killed_engine_could_not_let_go_is_gone_with_the_next(kk: Kernelkit) -> None:
    """As if it had died between the removal of the container and that of its image."""
    kk.docker("create", "--name", "heir", "busybox", "true")
    kk.docker("rmi", "-f", "busybox")
    index = kk.home / "index.json"
    retired = index.read_text()
    layers, blobs = kk.home / "layers", kk.home / "blobs"
    for folder in (layers, blobs):
        shutil.copytree(folder, kk.home / f"{folder.name}.kept", symlinks=True)
    kk.docker("rm", "heir")
    assert list(layers.iterdir()) == []
    kk("down")
    for folder in (layers, blobs):
        shutil.rmtree(folder)
        (kk.home / f"{folder.name}.kept").rename(folder)
    index.write_text(retired)
    kk("up")
    assert kk.docker("images", "-aq").stdout == ""
    wait_until(lambda: not list(layers.iterdir()))


def test_an_image_that_comes_back_is_the_containers_again(kk: Kernelkit) -> None:
    whole = identity(kk)
    kk.docker("create", "--name", "heir", "busybox", "true")
    kk.docker("rmi", "-f", "busybox")
    kk.docker("pull", "-q", "busybox")
    assert identity(kk) == whole
    assert kk.docker("ps", "-a", "--format", "{{.Image}}").stdout == "busybox\n"
    kk.docker("rm", "heir")
    assert identity(kk) == whole


def test_what_runs_keeps_its_image_by_id_and_not_its_name(kk: Kernelkit) -> None:
    whole = identity(kk)
    container = kk.docker("run", "-d", "--name", "runs", "busybox", "sleep", "1000").stdout[:12]
    assert refusal(kk, "-f", whole) == (
        f"conflict: unable to delete {whole[7:19]} (cannot be forced) - image is being used by running container "
        f"{container}"
    )
    gone = kk.docker("rmi", "-f", "busybox").stdout.splitlines()
    assert gone[0] == "Untagged: busybox:latest"
    assert not any(line.startswith("Deleted") for line in gone)
    assert kk.docker("images", "--format", "{{.Repository}} {{.ID}}").stdout == f"<none> {whole[7:19]}\n"
    assert kk.docker("exec", "runs", "echo", "ok").stdout == "ok\n"


def test_what_others_were_made_from_loses_only_its_name(kk: Kernelkit) -> None:
    whole = identity(kk)
    kk.docker("run", "--name", "maker", "busybox", "touch", "/new")
    kk.docker("commit", "maker", "made")
    kk.docker("rm", "maker")
    assert refusal(kk, "-f", whole) == (
        f"conflict: unable to delete {whole[7:19]} (cannot be forced) - image has dependent child images"
    )
    assert not any(line.startswith("Deleted") for line in kk.docker("rmi", "busybox").stdout.splitlines())
    assert kk.docker("images", "--format", "{{.Repository}}").stdout == "made\n"
    assert f"Deleted: {whole}" in kk.docker("rmi", "made").stdout, "the parent goes with its last child"


def test_a_parent_stays_when_that_is_asked_for(kk: Kernelkit) -> None:
    whole = identity(kk)
    kk.docker("run", "--name", "maker", "busybox", "touch", "/new")
    kk.docker("commit", "maker", "made")
    kk.docker("rm", "maker")
    kk.docker("rmi", "busybox")
    kk.docker("rmi", "--no-prune", "made")
    assert kk.docker("images", "-q", "--no-trunc").stdout == f"{whole}\n"
