"""Files go into containers and out of them, and images into archives and out of them, by the stock docker client."""

from __future__ import annotations

import io
import json
import os
import subprocess
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pexpect
import pytest

from tests.conftest import Kernelkit

FOREVER = ("sleep", "1000000")


@pytest.fixture
def kk_(shared_kk: Kernelkit) -> Iterator[Kernelkit]:
    """The shared one, without this test's containers, images and volumes afterwards."""
    yield shared_kk
    shared_kk.empty()
    shared_kk.docker("volume", "prune", "-f", "--filter", "all=1", check=False)
    for name in shared_kk.docker("images", "--format", "{{.Repository}}:{{.Tag}} {{.ID}}").stdout.splitlines():
        if not name.startswith("busybox:latest"):
            shared_kk.docker("rmi", "-f", name.split()[1 if "<none>" in name else 0], check=False)


def binary(kk: Kernelkit, *arguments: str, input: bytes | None = None) -> bytes:
    """What a docker command prints, as bytes."""
    process = subprocess.run(
        ["docker", *arguments], env={**os.environ, **kk.env}, input=input, capture_output=True, timeout=120
    )
    assert process.returncode == 0, process.stderr.decode()
    return process.stdout


def members(data: bytes) -> dict[str, tarfile.TarInfo]:
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        return {member.name: member for member in archive.getmembers()}


def lines(text: str) -> list[str]:
    return sorted(text.split("\n")[:-1])


# --- diff


def test_diff_tells_what_changed_and_not_what_the_engine_mounted(kk_: Kernelkit, tmp_path: Path) -> None:
    """As in golden/diff.txt: places for volumes are told, those that every container has are not."""
    script = "echo x > /tmp/index.html; rm /etc/group 2>/dev/null || rm /etc/passwd; touch /etc/new; chmod 700 /root"
    volumes = ["-v", f"{tmp_path}:/bind", "-v", "named:/data"]
    kk_.docker("run", "--name", "changer", *volumes, "busybox", "sh", "-c", script)
    found = lines(kk_.docker("diff", "changer").stdout)
    assert {"A /bind", "A /data", "C /tmp", "A /tmp/index.html", "C /etc", "A /etc/new"} <= set(found)
    assert any(line in found for line in ("D /etc/group", "D /etc/passwd"))
    assert not any(path in line for line in found for path in ("/etc/hosts", "/etc/hostname", "/etc/resolv", "/proc"))
    assert not any(line.split()[1] in ("/", "/dev", "/sys") for line in found)
    kk_.docker("run", "--name", "idle", "busybox", "true")
    assert kk_.docker("diff", "idle").stdout == ""


# --- commit


def test_the_tutorials_way_of_making_an_image(kk_: Kernelkit) -> None:
    """Run with -it, change files, ctrl-p ctrl-q, commit, run the commit, see the changes."""
    terminal = kk_.terminal(["docker", "run", "-it", "--name", "workshop", "busybox", "sh"])
    terminal.expect("[#$] ")
    terminal.sendline("echo made by hand > /hello.txt && rm -r /var && echo do''ne")
    terminal.expect("done")
    terminal.expect("[#$] ")
    terminal.send("\x10")
    terminal.send("\x11")
    terminal.expect(pexpect.EOF)
    terminal.close()
    assert kk_.docker("ps", "--format", "{{.Names}}").stdout == "workshop\n"
    identity = kk_.docker("commit", "-m", "by hand", "-a", "a student", "workshop", "mine:1").stdout.strip()
    assert kk_.docker("ps", "--format", "{{.Status}}").stdout.startswith("Up")
    assert kk_.docker("run", "--rm", "mine:1", "cat", "/hello.txt").stdout == "made by hand\n"
    assert kk_.docker("run", "--rm", "mine:1", "ls", "-d", "/var", check=False).returncode == 1
    assert kk_.docker("run", "--rm", "busybox", "ls", "/hello.txt", check=False).returncode == 1
    about = json.loads(kk_.docker("image", "inspect", "mine:1").stdout)[0]
    assert (about["Id"], about["Comment"], about["Author"]) == (identity, "by hand", "a student")
    assert about["Parent"] == json.loads(kk_.docker("image", "inspect", "busybox").stdout)[0]["Id"]
    history = kk_.docker("history", "--format", "{{.CreatedBy}} {{.Comment}}", "mine:1").stdout.splitlines()
    assert history[0] == "sh by hand"


def layer_of(kk: Kernelkit, image: str) -> dict[str, tarfile.TarInfo]:
    """The members of an image's topmost layer, as they are stored."""
    descriptor = json.loads(kk.docker("image", "inspect", image).stdout)[0]["Descriptor"]
    manifest = json.loads((kk.home / "blobs" / descriptor["digest"].replace(":", "/")).read_text())
    return members((kk.home / "blobs" / manifest["layers"][-1]["digest"].replace(":", "/")).read_bytes())


def test_exactly_what_changed_becomes_a_layer(kk_: Kernelkit) -> None:
    script = """
echo one > /root/one; ln /root/one /root/two; ln -s one /root/three; mkfifo /root/pipe
rm /etc/passwd; rm -r /var; mkdir /var; touch /var/new; mkdir -p /a/b/c; chmod 1777 /a; chown 12:34 /root/one
: >> /etc/group"""
    kk_.docker("run", "--name", "maker", "busybox", "sh", "-ec", script)
    kk_.docker("commit", "maker", "made")
    found = layer_of(kk_, "made")
    assert set(found) - {"etc/group"} == {
        "a", "a/b", "a/b/c", "etc", "etc/.wh.passwd", "root", "root/one", "root/two", "root/three", "root/pipe",
        "var", "var/.wh..wh..opq", "var/new",
    }  # fmt: skip
    assert found["root/two"].islnk()
    assert (found["root/one"].uid, found["root/one"].gid, found["a"].mode) == (12, 34, 0o1777)
    look = "stat -c %h /root/one; ls /var; cat /root/two; ls /etc/passwd 2>/dev/null || echo gone"
    assert kk_.docker("run", "--rm", "made", "sh", "-c", look).stdout.split() == ["2", "new", "one", "gone"]
    # The same content is the same layer.
    kk_.docker("commit", "maker", "made:again")
    layers = [json.loads(kk_.docker("image", "inspect", i).stdout)[0]["RootFS"] for i in ("made", "made:again")]
    assert layers[0] == layers[1]
    # And the image that it was made from is as it was.
    assert kk_.docker("run", "--rm", "busybox", "ls", "/etc/passwd").stdout == "/etc/passwd\n"


def test_settings_can_be_changed_by_a_commit(kk_: Kernelkit) -> None:
    kk_.docker("run", "--name", "set", "-e", "OWN=1", "busybox", "true")
    changes = [
        'CMD ["sh", "-c", "echo $GREETING $OWN; pwd; id -u"]', "ENV GREETING=hello", "WORKDIR /usr", "USER 12",
        "LABEL by=me", "EXPOSE 80 53/udp", "VOLUME /data", "STOPSIGNAL SIGINT", 'ONBUILD RUN true',
        "HEALTHCHECK --interval=5s CMD true",
    ]  # fmt: skip
    flags = [word for change in changes for word in ("-c", change)]
    kk_.docker("commit", *flags, "set", "changed")
    assert kk_.docker("run", "--rm", "changed").stdout.split() == ["hello", "1", "/usr", "12"]
    config = json.loads(kk_.docker("image", "inspect", "changed").stdout)[0]["Config"]
    assert config["ExposedPorts"] == {"80/tcp": {}, "53/udp": {}}
    assert (config["Labels"], config["Volumes"], config["OnBuild"]) == ({"by": "me"}, {"/data": {}}, ["RUN true"])
    assert config["Healthcheck"] == {"Test": ["CMD-SHELL", "true"], "Interval": 5_000_000_000}
    refused = kk_.docker("commit", "-c", "FROM x", "set", "no", check=False)
    assert "from is not a valid change command" in refused.stderr


def test_a_container_stands_still_while_it_is_committed(kk_: Kernelkit) -> None:
    kk_.docker("run", "-d", "--name", "busy", "busybox", "sh", "-c", "while :; do date > /now; done")
    kk_.docker("commit", "busy", "still")
    kk_.docker("commit", "--pause=false", "busy", "moving")
    until = str(int(time.time()) + 1)
    events = kk_.docker("events", "--since", "0", "--until", until, "--filter", "container=busy").stdout
    assert [word for word in events.split() if word in ("pause", "unpause", "commit")] == [
        "pause", "unpause", "commit", "commit"
    ]  # fmt: skip
    assert kk_.docker("inspect", "-f", "{{.State.Status}}", "busy").stdout == "running\n"


# --- cp


@pytest.mark.parametrize("running", [True, False])
def test_files_are_copied_in_and_out(kk_: Kernelkit, tmp_path: Path, running: bool) -> None:
    volume = ["-v", "kept:/kept"]
    kk_.docker("run", "-d", "--name", "box", *volume, "busybox", *FOREVER)
    kk_.docker("exec", "box", "sh", "-c", "echo inside > /kept/from; mkdir -p /d/e; echo deep > /d/e/f; ln -s /d/e /l")
    if not running:
        kk_.docker("kill", "box")
    (tmp_path / "tree/sub").mkdir(parents=True)
    (tmp_path / "tree/sub/file").write_text("content")
    (tmp_path / "tree/sub/file").chmod(0o4750)
    kk_.docker("cp", f"{tmp_path}/tree", "box:/tmp")
    kk_.docker("cp", f"{tmp_path}/tree/.", "box:/tmp/unpacked", check=False)
    kk_.docker("cp", f"{tmp_path}/tree/sub/file", "box:/kept/renamed")
    kk_.docker("cp", "box:/d", str(tmp_path / "out"))
    kk_.docker("cp", "box:/l/f", str(tmp_path / "through-a-link"))
    kk_.docker("cp", "box:/kept/from", str(tmp_path / "from-a-volume"))
    kk_.docker("cp", "-L", "box:/l", str(tmp_path / "followed"))
    kk_.docker("cp", "box:/l", str(tmp_path / "link"))
    assert (tmp_path / "out/e/f").read_text() == "deep\n"
    assert (tmp_path / "through-a-link").read_text() == "deep\n"
    assert (tmp_path / "from-a-volume").read_text() == "inside\n"
    assert (tmp_path / "followed/f").read_text() == "deep\n"
    assert (tmp_path / "link").readlink() == Path("/d/e")
    if not running:
        kk_.docker("start", "box")
    look = "cat /tmp/tree/sub/file /kept/renamed; stat -c %a /tmp/tree/sub/file"
    assert kk_.docker("exec", "box", "sh", "-c", look).stdout == "contentcontent4750\n"
    # It went into the volume, not under it.
    assert kk_.docker("run", "--rm", *volume, "busybox", "cat", "/kept/renamed").stdout == "content"


def test_a_running_containers_temporary_files_are_within_reach(kk_: Kernelkit, tmp_path: Path) -> None:
    kk_.docker("run", "-d", "--name", "tmp", "--tmpfs", "/scratch", "busybox", *FOREVER)
    (tmp_path / "f").write_text("in memory")
    kk_.docker("cp", str(tmp_path / "f"), "tmp:/scratch/f")
    assert kk_.docker("exec", "tmp", "cat", "/scratch/f").stdout == "in memory"
    assert binary(kk_, "cp", "tmp:/scratch/f", "-")[512:521] == b"in memory"
    # The kernel's own files are not the container's.
    found = members(binary(kk_, "cp", "tmp:/", "-"))
    assert "/proc" in found
    assert not [name for name in found if name.startswith(("/proc/", "/sys/", "/dev/"))]


def test_archives_come_and_go_by_pipes(kk_: Kernelkit) -> None:
    kk_.docker("create", "--name", "pipe", "busybox", "cat", "/srv/a/b")
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        info = tarfile.TarInfo("a/b")
        info.size, info.uid, info.mtime = 5, 1000, 1_600_000_000
        archive.addfile(info, io.BytesIO(b"hello"))
    nowhere = kk_.docker("cp", "-", "pipe:/srv", check=False, input="")
    assert nowhere.stderr == 'destination "pipe:/srv" must be a directory\n'
    binary(kk_, "cp", "-", "pipe:/tmp", input=buffer.getvalue())
    back = members(binary(kk_, "cp", "-a", "pipe:/tmp/a", "-"))
    assert (back["a/b"].uid, back["a/b"].mtime, back["a/b"].size) == (1000, 1_600_000_000, 5)


@pytest.mark.parametrize("running", [True, False])
def test_no_link_leads_out_of_the_container(kk_: Kernelkit, tmp_path: Path, running: bool) -> None:
    (tmp_path / "secret").write_text("the host's")
    kk_.docker("run", "-d", "--name", "jail", "busybox", *FOREVER)
    script = (
        f"mkdir -p /out{tmp_path}; ln -s {tmp_path} /way; ln -s ../../../../../../..{tmp_path} /up; ln -s / /root/r"
    )
    kk_.docker("exec", "jail", "sh", "-c", script)
    if not running:
        kk_.docker("kill", "jail")
    for path in ("/way/secret", "/up/secret", "/../../../way/secret", f"/root/r{tmp_path}/secret"):
        assert kk_.docker("cp", f"jail:{path}", "-", check=False).returncode != 0
    (tmp_path / "mine").write_text("mine")
    assert kk_.docker("cp", str(tmp_path / "mine"), "jail:/way/mine2", check=False).returncode != 0
    # An archive that brings its own link, and then something to go through it.
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        link = tarfile.TarInfo("leads")
        link.type, link.linkname = tarfile.SYMTYPE, str(tmp_path)
        archive.addfile(link)
        archive.addfile(tarfile.TarInfo("leads/planted"))
    subprocess.run(
        ["docker", "cp", "-", "jail:/tmp"], input=buffer.getvalue(), env={**os.environ, **kk_.env}, check=False
    )
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine", "secret"]


def test_what_cannot_be_copied_is_said(kk_: Kernelkit, tmp_path: Path) -> None:
    (tmp_path / "f").write_text("f")
    (tmp_path / "tmp").mkdir()
    kk_.docker("run", "-d", "--name", "shut", "--read-only", "-v", "vv:/vv:ro", "busybox", *FOREVER)
    said = kk_.docker("cp", str(tmp_path / "f"), "shut:/f", check=False)
    assert "container rootfs is marked read-only" in said.stderr
    assert (
        "mounted volume is marked read-only" in kk_.docker("cp", str(tmp_path / "f"), "shut:/vv/f", check=False).stderr
    )
    missing = kk_.docker("cp", "shut:/nope", str(tmp_path), check=False)
    assert missing.returncode == 1
    assert "nope" in missing.stderr
    (tmp_path / "own").write_text("own")
    kk_.docker("run", "-d", "--name", "held", "-v", f"{tmp_path}/own:/own", "busybox", *FOREVER)
    (tmp_path / "own").rename(tmp_path / "Own")
    for place in ("/etc/hosts", "/own"):
        busy = kk_.docker("cp", str(tmp_path / "f"), f"held:{place}", check=False)
        assert f"device or resource busy: {place}" in busy.stderr
    assert kk_.docker("exec", "held", "cat", "/own").stdout == "own"
    assert "localhost" in kk_.docker("exec", "held", "cat", "/etc/hosts").stdout
    assert kk_.docker("diff", "held").stdout == "A /own\n"
    unmade = kk_.docker("cp", str(tmp_path / "Own"), "held:/proc", check=False)
    assert unmade.stderr.endswith("no such file or directory: Own\n")
    assert kk_("cp", str(tmp_path / "f"), "held:", check=False).stderr == "no such directory\n"
    kk_.docker("create", "--name", "open", "busybox")
    over = kk_.docker("cp", str(tmp_path / "tmp"), "open:/etc/passwd", check=False)
    assert over.returncode == 1


# --- export, import, save, load


def test_export_has_all_files_and_import_makes_an_image_of_them(kk_: Kernelkit, tmp_path: Path) -> None:
    kk_.docker(
        "run", "--name", "whole", "-v", "vol:/vol", "busybox", "sh", "-c", "echo x > /x; rm -r /var; echo > /vol/f"
    )
    data = binary(kk_, "export", "whole")
    found = members(data)
    assert {"x", "bin/busybox", "vol", "etc/hosts"} <= set(found)
    assert not {"var", "vol/f"} & set(found)
    for name, compress in (("plain", []), ("gzip", ["gzip", "-1"]), ("xz", ["xz", "-0"])):
        packed = subprocess.run(compress, input=data, stdout=subprocess.PIPE, check=True).stdout if compress else data
        (tmp_path / "files").write_bytes(packed)
        flags = ["-m", "from files", "-c", 'CMD ["cat", "/x"]', "-c", "ENV A=1"]
        identity = kk_.docker("import", *flags, str(tmp_path / "files"), f"imported:{name}").stdout.strip()
        assert kk_.docker("run", "--rm", f"imported:{name}").stdout == "x\n"
        about = json.loads(kk_.docker("image", "inspect", identity).stdout)[0]
        assert (about["Comment"], len(about["RootFS"]["Layers"])) == ("from files", 1)
    refused = kk_.docker("import", "-", "junk", input="this is no archive" * 100, check=False)
    assert "not a tar archive" in refused.stderr


def test_saved_images_are_loaded_again(kk_: Kernelkit, tmp_path: Path) -> None:
    kk_.docker("run", "--name", "one", "busybox", "sh", "-c", "echo 1 > /one; rm /etc/passwd")
    identity = kk_.docker("commit", "one", "saved:1").stdout.strip()
    kk_.docker("tag", "saved:1", "saved:2")
    kk_.docker("save", "-o", str(tmp_path / "all.tar"), "saved")
    found = members((tmp_path / "all.tar").read_bytes())
    assert {"manifest.json", "index.json", "oci-layout"} <= set(found)
    before = json.loads(kk_.docker("image", "inspect", identity).stdout)[0]
    kk_.docker("rm", "-f", "one")
    kk_.docker("rmi", "saved:1", "saved:2")
    assert kk_.docker("images", "-q", "saved").stdout == ""
    subprocess.run(["xz", "-0", "-k", str(tmp_path / "all.tar")], check=True)
    loaded = kk_.docker("load", "-i", str(tmp_path / "all.tar.xz")).stdout
    assert loaded == "Loaded image: saved:1\nLoaded image: saved:2\n"
    after = json.loads(kk_.docker("image", "inspect", "saved:2").stdout)[0]
    assert [after[key] for key in ("Id", "RootFS", "Descriptor")] == [
        before[key] for key in ("Id", "RootFS", "Descriptor")
    ]
    assert kk_.docker("run", "--rm", "saved:1", "cat", "/one").stdout == "1\n"
    assert kk_.docker("run", "--rm", "saved:1", "ls", "/etc/passwd", check=False).returncode == 1


def test_a_saved_chain_of_images_is_the_same_chain_when_it_is_loaded(kk_: Kernelkit, tmp_path: Path) -> None:
    """Only images that were saved together are each other's parents again, as Docker has it."""
    before = ["busybox", "link:1", "link:2"]
    for number in (1, 2):
        kk_.docker("run", "--name", f"link{number}", before[number - 1], "touch", f"/{number}")
        kk_.docker("commit", f"link{number}", f"link:{number}")
    kk_.docker("rm", "link1", "link2")
    history = kk_.docker("history", "-q", "link:2").stdout
    kk_.docker("save", "-o", str(tmp_path / "both.tar"), "link:2", "link:1")
    with tarfile.open(tmp_path / "both.tar") as archive:
        file = archive.extractfile("repositories")
        assert file
        assert list(json.load(file)["link"]) == ["2", "1"]
    kk_.docker("save", "-o", str(tmp_path / "alone.tar"), "link:2")
    kk_.docker("rmi", "link:2", "link:1")
    kk_.docker("load", "-i", str(tmp_path / "alone.tar"))
    assert kk_.docker("history", "-q", "link:2").stdout.split()[1:] == ["<missing>"] * 3
    kk_.docker("rmi", "link:2")
    kk_.docker("load", "-i", str(tmp_path / "both.tar"))
    assert kk_.docker("history", "-q", "link:2").stdout.split()[:2] == history.split()[:2]
    assert kk_.docker("rmi", "link:1").stdout == "Untagged: link:1\n"


def skopeo(*arguments: str) -> Any:
    return subprocess.run(
        ["skopeo", "--insecure-policy", *arguments], check=True, capture_output=True, text=True
    ).stdout


def test_other_tools_read_what_was_saved_and_write_what_is_loaded(kk_: Kernelkit, tmp_path: Path) -> None:
    layers = json.loads(kk_.docker("image", "inspect", "busybox").stdout)[0]["RootFS"]
    kk_.docker("save", "-o", str(tmp_path / "saved.tar"), "busybox")
    for source in (f"docker-archive:{tmp_path}/saved.tar", f"oci-archive:{tmp_path}/saved.tar"):
        config = json.loads(skopeo("inspect", "--config", "--raw", source))
        assert config["rootfs"]["diff_ids"]
    kk_.docker("tag", "busybox", "keeps:it")
    for number, kind in enumerate(("docker-archive", "oci-archive")):
        file, name = tmp_path / f"{kind}.tar", f"from-{kind}:{number}"
        skopeo("copy", f"docker-archive:{tmp_path}/saved.tar", f"{kind}:{file}:{name}")
        assert kk_.docker("load", "-i", str(file)).stdout == f"Loaded image: {name}\n"
        assert kk_.docker("run", "--rm", name, "echo", "runs").stdout == "runs\n"
        assert json.loads(kk_.docker("image", "inspect", name).stdout)[0]["RootFS"] == layers


def test_an_archive_without_an_image_is_refused(kk_: Kernelkit, tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "none.tar", "w") as archive:
        archive.addfile(tarfile.TarInfo("file"))
    assert "the archive holds no image" in kk_.docker("load", "-i", str(tmp_path / "none.tar"), check=False).stderr
    (tmp_path / "junk").write_bytes(b"junk" * 1000)
    assert "not a tar archive" in kk_.docker("load", "-i", str(tmp_path / "junk"), check=False).stderr
    assert not list((kk_.home / "loads").glob("*"))
