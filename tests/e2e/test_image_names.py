"""The names of an image come and go as Docker's do, the digests it was pulled by among them."""

from __future__ import annotations

from tests.conftest import Kernelkit


def test_a_repository_without_tags_has_no_digests_either(shared_kk: Kernelkit) -> None:
    """The image stays, under the name that another repository has for it."""
    shared_kk("tag", "busybox", "mine:1")
    digest = shared_kk("images", "--digests", "--format", "{{.Digest}}", "busybox").stdout.strip()
    gone = shared_kk("rmi", "busybox").stdout.splitlines()
    assert gone == ["Untagged: busybox:latest", f"Untagged: busybox@{digest}"]
    assert shared_kk("images", "--format", "{{.Repository}}:{{.Tag}}").stdout == "mine:1\n"


def test_a_repository_with_another_tag_keeps_its_digests(shared_kk: Kernelkit) -> None:
    shared_kk("pull", "busybox")
    shared_kk("tag", "busybox", "busybox:other")
    assert shared_kk("rmi", "busybox:other").stdout == "Untagged: busybox:other\n"
    assert "sha256:" in shared_kk("images", "--digests", "--format", "{{.Digest}}", "busybox").stdout


def test_what_looks_like_a_digest_is_no_name(shared_kk: Kernelkit) -> None:
    shared_kk.docker("pull", "-q", "busybox")
    shared_kk.docker("create", "--name", "named", "busybox")
    said = "refusing to create an ambiguous tag using digest algorithm as name"
    assert said in shared_kk.docker("tag", "busybox", "sha256:abc", check=False).stderr
    assert said in shared_kk.docker("commit", "named", "sha256:abc", check=False).stderr
    shared_kk.docker("rm", "named")
    assert "image name cannot be blank" in shared_kk.docker("rmi", " ", check=False).stderr


def test_an_image_whose_name_has_a_slash_is_inspected_by_name_alone(shared_kk: Kernelkit) -> None:
    """The stock client asks for a container of that name first, and for the image only when there is none."""
    shared_kk.docker("pull", "-q", "busybox")
    shared_kk.docker("tag", "busybox", "registry.example:5000/team/tool:1")
    identity = shared_kk.docker("image", "inspect", "-f", "{{.Id}}", "busybox").stdout
    for client in (shared_kk.docker, shared_kk):
        assert client("inspect", "-f", "{{.Id}}", "registry.example:5000/team/tool:1").stdout == identity
        assert "o such object: team/nothing" in client("inspect", "team/nothing", check=False).stderr
        assert "o such container: team/nothing" in client("logs", "team/nothing", check=False).stderr
        assert "o such container: team/nothing" in client("stop", "team/nothing", check=False).stderr
        assert "team/nothing" in client("volume", "rm", "team/nothing", check=False).stderr
    shared_kk.docker("rmi", "registry.example:5000/team/tool:1")
