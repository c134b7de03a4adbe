"""Folders of the host in a container: read-only with what is mounted in them, told of what is mounted later, or not."""

from __future__ import annotations

import http.client
import json
import socket
import time
from collections.abc import Iterator

import pytest

from tests.conftest import Kernelkit

HOSTS = ("practice", "real")


@pytest.fixture
def kk(shared_kk: Kernelkit) -> Iterator[Kernelkit]:
    """The file's kernelkit, with a folder on a mount of its own in which something else is mounted."""
    shell(
        shared_kk,
        "mkdir -p $HOME_OF_TEST/outer",
        "mount -t tmpfs outer $HOME_OF_TEST/outer",
        "mkdir $HOME_OF_TEST/outer/inner $HOME_OF_TEST/outer/late $HOME_OF_TEST/outer/back",
        "mount -t tmpfs inner $HOME_OF_TEST/outer/inner",
        "touch $HOME_OF_TEST/outer/inner/there",
    )
    yield shared_kk
    for identity in shared_kk.docker("ps", "-aq").stdout.split():
        shared_kk.docker("rm", "-fv", identity)
    shell(shared_kk, "umount -R $HOME_OF_TEST/outer")
    assert f"{shared_kk.home}/outer" not in shell(shared_kk, "cat /proc/self/mountinfo")


def shell(kk: Kernelkit, *lines: str) -> str:
    script = "\n".join(lines).replace("$HOME_OF_TEST", str(kk.home))
    return kk("shell", "sh", "-ec", script).stdout


def refused(kk: Kernelkit, *words: str) -> str:
    ran = kk.docker(*words, check=False)
    assert ran.returncode == 125
    return ran.stderr


def writable(kk: Kernelkit, *options: str) -> list[str]:
    """Those of the folder and the one mounted in it that a container can write to."""
    script = "for d in /x /x/inner; do touch $d/new 2>/dev/null && echo $d; done; true"
    return kk.docker("run", "--rm", *options, "busybox", "sh", "-c", script).stdout.split()


@pytest.mark.client(28)
def test_read_only_goes_for_all_that_is_mounted_in_a_folder(kk: Kernelkit) -> None:
    source = f"{kk.home}/outer"
    assert writable(kk, "-v", f"{source}:/x") == ["/x", "/x/inner"]
    assert writable(kk, "-v", f"{source}:/x:ro") == []
    mount = f"type=bind,src={source},dst=/x"
    assert writable(kk, "--mount", f"{mount},readonly") == []
    assert writable(kk, "--mount", f"{mount},readonly,bind-recursive=enabled") == []
    assert writable(kk, "--mount", f"{mount},readonly,bind-recursive=writable") == ["/x/inner"]
    force = f"{mount},readonly,bind-recursive=readonly,bind-propagation=rprivate"
    assert writable(kk, "--mount", force) == []
    seen = kk.docker("run", "--rm", "-v", f"{source}:/x:ro", "busybox", "cat", "/proc/mounts").stdout
    assert [line.split()[3].split(",")[0] for line in seen.splitlines() if " /x" in line] == ["ro", "ro"]


@pytest.mark.client(28)
def test_what_is_mounted_in_a_folder_need_not_come_along(kk: Kernelkit) -> None:
    mount = f"type=bind,src={kk.home}/outer,dst=/x,bind-recursive=disabled"
    assert kk.docker("run", "--rm", "--mount", mount, "busybox", "ls", "/x/inner").stdout == ""
    assert writable(kk, "--mount", mount) == ["/x", "/x/inner"]
    assert kk.docker("run", "--rm", "-v", f"{kk.home}/outer:/x", "busybox", "ls", "/x/inner").stdout == "there\n"


@pytest.mark.parametrize("kind", ["shared", "rshared", "slave", "rslave"])
def test_who_wants_to_be_told_of_mounts_needs_a_shared_one(kk: Kernelkit, kind: str) -> None:
    shell(kk, "mount --make-private $HOME_OF_TEST/outer")
    said = refused(kk, "run", "--rm", "-v", f"{kk.home}/outer/late:/x:{kind}", "busybox", "true")
    what = "shared mount" if "shared" in kind else "shared or slave mount"
    assert f"path {kk.home}/outer/late is mounted on {kk.home}/outer but it is not a {what}" in said


@pytest.mark.parametrize("way", ["-v", "--mount"])
def test_a_shared_folder_passes_mounts_on_both_ways(kk: Kernelkit, way: str) -> None:
    # Somebody has started something in between: what waits for the next start was born before the mount was shared.
    kk.docker("run", "--rm", "busybox", "true")
    shell(kk, "mount --make-shared $HOME_OF_TEST/outer")
    source = f"{kk.home}/outer"
    option = {"-v": f"{source}:/x:rshared", "--mount": f"type=bind,src={source},dst=/x,bind-propagation=rshared"}[way]
    kk.docker("run", "-d", "--name", "s1", "--privileged", way, option, "busybox", "sleep", "1000")
    shown = kk.docker("inspect", "-f", "{{range .Mounts}}{{.Mode}} {{.Propagation}} {{.Source}}{{end}}", "s1").stdout
    assert shown.split() == [*(["rshared"] if way == "-v" else []), "rshared", source]
    assert "there" in kk.docker("exec", "s1", "ls", "/x/inner").stdout

    shell(kk, "mount -t tmpfs late $HOME_OF_TEST/outer/late", "touch $HOME_OF_TEST/outer/late/file")
    assert kk.docker("exec", "s1", "ls", "/x/late").stdout == "file\n"
    kk.docker("exec", "s1", "sh", "-c", "mount -t tmpfs back /x/back && touch /x/back/from-inside")
    assert shell(kk, "ls $HOME_OF_TEST/outer/back") == "from-inside\n"

    kk.docker("rm", "-f", "s1")
    mounts = shell(kk, "cat /proc/self/mountinfo")
    for name in ("inner", "late", "back"):
        assert f" {source}/{name} " in mounts, "a container's end takes nothing away from the host"


def test_a_slave_is_told_and_tells_nobody(kk: Kernelkit) -> None:
    kk.docker("run", "--rm", "busybox", "true")
    shell(kk, "mount --make-shared $HOME_OF_TEST/outer")
    options = ["--privileged", "-v", f"{kk.home}/outer:/x:rslave"]
    kk.docker("run", "-d", "--name", "s1", *options, "busybox", "sleep", "1000")
    kk.docker("exec", "s1", "mount", "-t", "tmpfs", "back", "/x/back")
    shell(kk, "mount -t tmpfs late $HOME_OF_TEST/outer/late", "touch $HOME_OF_TEST/outer/late/file")

    assert kk.docker("exec", "s1", "ls", "/x/late").stdout == "file\n"
    assert f" {kk.home}/outer/back " not in shell(kk, "cat /proc/self/mountinfo")
    tags = kk.docker("exec", "s1", "cat", "/proc/self/mountinfo").stdout
    assert [" master:" in line for line in tags.splitlines() if " /x " in line] == [True]


def test_a_private_folder_is_told_nothing(kk: Kernelkit) -> None:
    shell(kk, "mount --make-shared $HOME_OF_TEST/outer")
    kk.docker("run", "-d", "--name", "s1", "-v", f"{kk.home}/outer:/x", "busybox", "sleep", "1000")
    shell(kk, "mount -t tmpfs late $HOME_OF_TEST/outer/late", "touch $HOME_OF_TEST/outer/late/file")
    time.sleep(0.1)
    assert kk.docker("exec", "s1", "ls", "/x/late").stdout == ""


def test_modes_that_contradict_themselves_are_refused(kk: Kernelkit) -> None:
    for mode in ("ro,rw", "rshared,rslave", "default", "z,Z"):
        assert f"invalid mode: {mode}" in refused(kk, "run", "-v", f"{kk.home}/outer:/x:{mode}", "busybox", "true")
    said = refused(kk, "run", "-v", "named:/x:rshared", "busybox", "true")
    assert "invalid volume specification: 'named:/x:rshared': invalid mount config for type \"volume\"" in said


def test_before_version_1_44_read_only_was_the_mount_alone(kk: Kernelkit) -> None:
    script = "touch /x/new || touch /x/inner/new && echo inner"
    body = {
        "Image": "busybox",
        "Cmd": ["sh", "-c", script],
        "HostConfig": {"Binds": [f"{kk.home}/outer:/x:ro"]},
    }
    for version, said in (("v1.43", "inner\n"), ("v1.44", "")):
        connection = http.client.HTTPConnection("localhost")
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.connect(str(kk.socket))
        kind = {"Content-Type": "application/json"}
        connection.request("POST", f"/{version}/containers/create", json.dumps(body), kind)
        identity = json.loads(connection.getresponse().read())["Id"]
        connection.close()
        assert kk.docker("start", "-a", identity, check=False).stdout == said
