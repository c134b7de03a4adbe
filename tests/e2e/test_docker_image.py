"""`docker image …` and `docker volume …` with the stock client: what is printed, and what is then on disk."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.conftest import Kernelkit


@pytest.fixture
def kk(shared_kk: Kernelkit) -> Iterator[Kernelkit]:
    yield shared_kk
    shared_kk.empty()
    others = [tag for tag in tags(shared_kk) if tag != "busybox:latest"]
    if others:
        shared_kk.docker("rmi", "-f", *others)
    shared_kk.docker("volume", "prune", "-f", "--filter", "all=1")


def tags(kk: Kernelkit, *words: str) -> list[str]:
    return sorted(kk.docker("images", "--format", "{{.Repository}}:{{.Tag}}", *words).stdout.split())


def inspect(kk: Kernelkit, name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(kk.docker("image", "inspect", name).stdout)[0]
    return found


def test_an_image_is_listed_and_inspected(kk: Kernelkit) -> None:
    row = kk.docker("images", "busybox").stdout.splitlines()[1].split()
    found = inspect(kk, "busybox")
    assert row[:2] == ["busybox", "latest"]
    assert row[2] == found["Id"].removeprefix("sha256:")[:12]
    assert found["RepoTags"] == ["busybox:latest"]
    assert found["RepoDigests"][0].startswith("busybox@sha256:")
    assert (found["Os"], found["Config"]["Cmd"]) == ("linux", ["sh"])
    assert len(found["RootFS"]["Layers"]) == 1
    assert inspect(kk, found["Id"][:20]) == found
    assert inspect(kk, found["RepoDigests"][0]) == found
    assert kk.docker("history", "-q", "--no-trunc", "busybox").stdout.split()[0] == found["Id"]


def test_tags_come_and_go(kk: Kernelkit) -> None:
    kk.docker("tag", "busybox", "mine:1")
    kk.docker("tag", "busybox", "localhost:5000/a/b")
    assert tags(kk) == ["busybox:latest", "localhost:5000/a/b:latest", "mine:1"]
    assert tags(kk, "--filter", "reference=m*") == ["mine:1"]
    assert tags(kk, "--filter", "reference=*:latest") == ["busybox:latest"]
    assert (
        kk.docker("rmi", "mine:1", "localhost:5000/a/b").stdout
        == "Untagged: mine:1\nUntagged: localhost:5000/a/b:latest\n"
    )
    assert tags(kk) == ["busybox:latest"]
    assert "No such image: mine:1" in kk.docker("rmi", "mine:1", check=False).stderr
    assert "invalid reference format" in kk.docker("tag", "busybox", "Mine:", check=False).stderr


def test_the_image_is_looked_for_before_the_name_is_judged(kk: Kernelkit) -> None:
    """Or it would not be pulled when both are wrong, as Docker's client does when it is told that it is missing."""
    wrong = ("create", "--pull", "never", "--name", "b")
    assert "No such image: nosuch:latest" in kk.docker(*wrong, "nosuch", check=False).stderr
    assert "Invalid container name (b)" in kk.docker(*wrong, "busybox", check=False).stderr


def test_an_image_in_use_is_kept(kk: Kernelkit) -> None:
    kk.docker("run", "-d", "--name", "uses", "busybox", "sleep", "1000")
    short = kk.docker("ps", "-q").stdout.strip()
    refused = kk.docker("rmi", "busybox", check=False)
    assert refused.returncode == 1
    assert (
        f'unable to remove repository reference "busybox" (must force) - container {short} is using' in refused.stderr
    )
    by_id = kk.docker("rmi", "-f", inspect(kk, "busybox")["Id"], check=False)
    assert f"(cannot be forced) - image is being used by running container {short}" in by_id.stderr
    assert tags(kk) == ["busybox:latest"]


def test_the_last_name_takes_the_image_with_it(kk: Kernelkit) -> None:
    kk.docker("run", "--name", "makes", "busybox", "touch", "/new")
    kk.docker("commit", "makes", "made:1")
    kk.docker("rm", "makes")
    found = inspect(kk, "made:1")
    layer = kk.home / "layers" / found["RootFS"]["Layers"][-1].removeprefix("sha256:")
    assert layer.is_dir()
    assert tags(kk, "--filter", "since=busybox") == ["made:1"]
    assert tags(kk, "--filter", "before=made:1") == ["busybox:latest"]
    said = kk.docker("rmi", "made:1").stdout
    assert f"Deleted: {found['Id']}" in said
    assert not layer.exists()
    assert kk.docker("run", "--rm", "busybox", "echo", "ok").stdout == "ok\n", "shared layers stay"


def test_prune_takes_the_nameless(kk: Kernelkit) -> None:
    for content in ("1", "2"):
        kk.docker("run", "--name", "makes", "busybox", "sh", "-c", f"echo {content} > /new")
        kk.docker("commit", "makes", "made:1")
        kk.docker("rm", "makes")
    assert len(kk.docker("images", "-q", "--filter", "dangling=true").stdout.split()) == 1
    assert "deleted: sha256:" in kk.docker("image", "prune", "-f").stdout
    assert kk.docker("images", "-q", "--filter", "dangling=true").stdout == ""
    assert tags(kk) == ["busybox:latest", "made:1"]
    kk.docker("image", "prune", "-a", "-f", "--filter", "label=nosuch")
    assert tags(kk) == ["busybox:latest", "made:1"]


def test_search_is_refused_clearly(kk: Kernelkit) -> None:
    assert "search is not supported by kernelkit" in kk.docker("search", "x", check=False).stderr


def test_volumes(kk: Kernelkit) -> None:
    assert kk.docker("volume", "create", "--label", "a=b", "data").stdout == "data\n"
    found = json.loads(kk.docker("volume", "inspect", "data").stdout)[0]
    assert (found["Name"], found["Driver"], found["Labels"], found["Scope"]) == ("data", "local", {"a": "b"}, "local")
    kk.docker("run", "--rm", "-v", "data:/d", "busybox", "sh", "-c", "echo kept > /d/file")
    assert (kk.home / "volumes/data/_data/file").read_text() == "kept\n"
    assert found["Mountpoint"] == str(kk.home / "volumes/data/_data")
    assert kk.docker("volume", "ls", "-q", "--filter", "label=a=b").stdout == "data\n"
    assert kk.docker("volume", "ls", "-q", "--filter", "dangling=false").stdout == ""
    identity = kk.docker("create", "-v", "data:/d", "busybox").stdout.strip()
    refused = kk.docker("volume", "rm", "data", check=False)
    assert f"remove data: volume is in use - [{identity}]" in refused.stderr
    kk.docker("rm", identity)
    kk.docker("volume", "rm", "data")
    assert not (kk.home / "volumes/data").exists()
    assert "no such volume" in kk.docker("volume", "inspect", "data", check=False).stderr.lower()


def test_a_new_volume_begins_with_what_the_image_has_there(kk: Kernelkit) -> None:
    inside = kk.docker("run", "--rm", "busybox", "ls", "/etc").stdout
    listed = kk.docker("run", "--rm", "-v", "etc:/copy", "busybox", "ls", "/copy").stdout
    assert listed == ""
    copied = kk.docker("run", "--rm", "-v", "filled:/etc", "busybox", "ls", "/etc").stdout
    assert set(copied.split()) == set(inside.split())


def test_a_new_volume_at_a_link_begins_with_what_the_link_leads_to(kk: Kernelkit) -> None:
    kk.docker("run", "--name", "linked", "busybox", "sh", "-c", "mkdir /data; echo 1 > /data/f; ln -s data /link")
    kk.docker("commit", "linked", "linked:1")
    kk.docker("rm", "linked")
    assert kk.docker("run", "--rm", "-v", "of-link:/link", "linked:1", "sh", "-c", "ls /link /data").stdout == (
        "/data:\nf\n\n/link:\nf\n"
    )


def test_disk_use(kk: Kernelkit) -> None:
    kk.docker(
        "run", "--name", "d1", "-v", "data:/d", "busybox", "dd", "if=/dev/zero", "of=/d/x", "bs=1000", "count=500"
    )
    rows = {line.split("  ")[0]: line for line in kk.docker("system", "df").stdout.splitlines()}
    assert "500kB" in rows["Local Volumes"]
    assert rows["Containers"].split()[1:3] == ["1", "0"]
