"""Making busybox and bash from the packages of this machine, whatever happens meanwhile."""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import pytest

from kernelkit.embedded import recipes
from kernelkit.embedded.layout import Layout
from kernelkit.embedded.packages import Wanted, find
from kernelkit.errors import InvalidRequest, KernelkitError, Unavailable
from tests.patience import wait_until

PREPARE = [sys.executable, "-m", "kernelkit.embedded", "prepare"]
REPOSITORY = Path(__file__).parents[3]

pytestmark = pytest.mark.skipif(
    not Path("/bin/busybox").exists() or not Path("/bin/bash-static").exists(),
    reason="needs busybox-static and bash-static",
)


def prepared(home: Path, *names: str) -> Layout:
    recipes.prepare(home, names or ("busybox", "bash"), say=lambda line: None)
    return Layout(home / "embedded")


def layers(layout: Layout, name: str) -> list[Path]:
    manifest = layout.json(layout.children(layout.tags(name)["latest"])[0])
    return [layout.path(layer["digest"]) for layer in manifest["layers"]]


def unpacked(layout: Layout, name: str, folder: Path) -> Path:
    for layer in layers(layout, name):
        with tarfile.open(layer) as tar:
            tar.extraction_filter = lambda entry, _: entry  # the first 3.11, Debian 12's, has no `filter=` yet
            tar.extractall(folder)
    return folder


def test_bash_is_one_layer_on_busybox(tmp_path: Path) -> None:
    layout = prepared(tmp_path, "bash")
    assert recipes.ready(tmp_path, "busybox")
    assert recipes.ready(tmp_path, "bash")
    assert layers(layout, "bash")[:-1] == layers(layout, "busybox")
    assert len(layers(layout, "bash")) == 2


def test_a_shell_runs_in_either(tmp_path: Path) -> None:
    layout = prepared(tmp_path)
    busybox = unpacked(layout, "busybox", tmp_path / "busybox")
    bash = unpacked(layout, "bash", tmp_path / "bash")
    ran = subprocess.run(["chroot", busybox, "sh", "-c", "id -un; env true"], capture_output=True, text=True)
    assert ran.stdout == "root\n", ran.stderr
    ran = subprocess.run(["chroot", bash, "bash", "-c", "echo ${BASH_VERSION%%(*}"], capture_output=True, text=True)
    assert f"{ran.stdout.strip()}" in layout.tags("bash")


def test_each_version_is_a_tag(tmp_path: Path) -> None:
    for name in ("busybox", "bash"):
        tags = set(prepared(tmp_path, name).tags(name)) - {"latest"}
        finest = max(tags, key=len).split(".")
        assert tags == {".".join(finest[: i + 1]) for i in range(3)}


def test_the_same_packages_give_the_same_images(tmp_path: Path) -> None:
    first, second = prepared(tmp_path / "one"), prepared(tmp_path / "two")
    for name in ("busybox", "bash"):
        assert first.tags(name) == second.tags(name)


def test_nothing_is_made_twice(tmp_path: Path) -> None:
    said: list[str] = []
    recipes.prepare(tmp_path, ["busybox"], say=said.append)
    assert said == ["making the image 'busybox'", "the image 'busybox' is ready"]
    recipes.prepare(tmp_path, ["busybox"], say=said.append)
    assert len(said) == 2


def test_a_blob_that_has_gone_is_made_again(tmp_path: Path) -> None:
    layout = prepared(tmp_path)
    for layer in layers(layout, "bash"):
        layer.unlink()
    assert not recipes.ready(tmp_path, "bash")
    prepared(tmp_path)
    assert recipes.ready(tmp_path, "busybox")
    assert recipes.ready(tmp_path, "bash")


def test_an_unknown_name_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match="there is no embedded image 'nosuch'"):
        prepared(tmp_path, "busybox", "nosuch")
    assert not (tmp_path / "embedded").exists()


def test_a_home_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "embedded").write_text("not a folder")
    with pytest.raises(KernelkitError, match=f"cannot make the image 'busybox' in '{tmp_path}/embedded': .*"):
        prepared(tmp_path, "busybox")


def test_a_full_disk_is_named_and_leaves_nothing_in_use(tmp_path: Path) -> None:
    code = f"mount -t tmpfs -o size=1m tmpfs {tmp_path} && exec {' '.join(PREPARE)} busybox --home {tmp_path}"
    ran = subprocess.run(
        ["unshare", "--mount", "--propagation", "private", "sh", "-c", code],
        capture_output=True, text=True, cwd=REPOSITORY,
    )  # fmt: skip
    assert ran.returncode == 1
    assert "No space left on device" in ran.stderr
    assert len(ran.stderr.splitlines()) == 1


def test_many_at_once_make_each_image_once(tmp_path: Path) -> None:
    command = [*PREPARE, "bash", "--home", str(tmp_path)]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=REPOSITORY) for _ in range(6)]
    said = "".join(process.communicate()[0] for process in running)
    assert [process.returncode for process in running] == [0] * 6
    assert said.count("making the image 'busybox'") == 1
    assert said.count("making the image 'bash'") == 1
    assert recipes.ready(tmp_path, "bash")


def test_killed_at_any_instant_it_leaves_nothing_half_made_in_use(tmp_path: Path) -> None:
    """Whatever index.json names is whole at every moment, and the next attempt succeeds."""
    chance = random.Random(2)
    layout = Layout(tmp_path / "embedded")
    for _ in range(15):
        process = subprocess.Popen([*PREPARE, "--home", str(tmp_path)], stdout=subprocess.DEVNULL, cwd=REPOSITORY)
        time.sleep(chance.uniform(0.03, 0.15))
        process.kill()
        process.wait()
        for name in ("busybox", "bash"):
            assert not layout.tags(name) or layout.is_complete(name)
        if layout.is_complete("bash"):
            shutil.rmtree(tmp_path / "embedded")
    prepared(tmp_path)
    assert layout.is_complete("bash")
    assert list((tmp_path / "embedded/making").iterdir()) == []


def test_an_ordinary_user_makes_the_same_images(tmp_path: Path, home: Path) -> None:
    ours = prepared(tmp_path)
    os.chown(home, 65534, 65534)
    code = (
        "import os, sys, pathlib; from kernelkit.embedded import recipes; os.setgid(65534); os.setuid(65534); "
        "recipes.prepare(pathlib.Path(sys.argv[1]), say=print)"
    )
    ran = subprocess.run([sys.executable, "-c", code, home], capture_output=True, text=True, cwd=REPOSITORY)
    assert ran.returncode == 0, ran.stderr
    assert Layout(home / "embedded").tags("bash") == ours.tags("bash")


def package(folder: Path, name: str, program: Path, path: str) -> Path:
    """A Debian package that holds one program."""
    root = folder / "root"
    (root / "DEBIAN").mkdir(parents=True)
    (root / path).parent.mkdir(parents=True)
    shutil.copy2(program, root / path)
    control = f"Package: {name}\nVersion: 1\nArchitecture: all\nMaintainer: nobody <nobody@localhost>\nDescription: x\n"
    (root / "DEBIAN/control").write_text(control)
    made = folder / f"{name}_1_all.deb"
    subprocess.run(["dpkg-deb", "--build", root, made], check=True, capture_output=True)
    shutil.rmtree(root)
    return made


def test_a_package_that_apt_has_kept_is_used_without_a_network(tmp_path: Path) -> None:
    root, scratch = tmp_path / "machine", tmp_path / "scratch"
    wanted = Wanted("busybox-static", ("bin/busybox",), root)
    wanted.kept.mkdir(parents=True)
    scratch.mkdir()
    package(wanted.kept, "busybox-static", Path("/bin/busybox"), "bin/busybox")
    program = find(wanted, scratch, say=lambda line: pytest.fail(f"it asked the network: {line}"))
    assert program.content == Path("/bin/busybox").read_bytes()
    assert program.mtime == int(Path("/bin/busybox").stat().st_mtime)


def test_a_broken_package_is_passed_over(tmp_path: Path) -> None:
    root, scratch = tmp_path / "machine", tmp_path / "scratch"
    wanted = Wanted("busybox-static", ("bin/busybox",), root)
    wanted.kept.mkdir(parents=True)
    scratch.mkdir()
    whole = package(wanted.kept, "busybox-static", Path("/bin/busybox"), "bin/busybox")
    broken = whole.with_name("busybox-static_2_all.deb")
    broken.write_bytes(whole.read_bytes()[:5000])
    assert find(wanted, scratch, say=print).content == Path("/bin/busybox").read_bytes()


def test_without_program_package_and_network_one_line_says_what_is_missing(tmp_path: Path) -> None:
    code = (
        "import pathlib, sys; from kernelkit.embedded.packages import Wanted, find; p = pathlib.Path(sys.argv[1]); "
        "find(Wanted('busybox-static', ('bin/busybox',), p), p, say=print)"
    )
    began = time.monotonic()
    ran = subprocess.run(
        ["unshare", "--net", sys.executable, "-c", code, tmp_path], capture_output=True, text=True, cwd=REPOSITORY
    )
    last = ran.stderr.splitlines()[-1]
    assert f"no static program at '{tmp_path}/bin/busybox', and the package 'busybox-static' cannot be had: " in last
    assert "apt-get install busybox-static" in last
    assert Unavailable.__name__ in last
    assert time.monotonic() - began < 60


def test_in_the_background_it_returns_at_once_and_the_image_appears(tmp_path: Path) -> None:
    with Layout(tmp_path / "embedded").making("busybox"):  # as long as we do, nobody else can
        subprocess.run([*PREPARE, "bash", "--background", "--home", str(tmp_path)], check=True, cwd=REPOSITORY)
        assert not recipes.ready(tmp_path, "bash")
    wait_until(lambda: recipes.ready(tmp_path, "bash"))


def test_the_layout_is_one_that_other_tools_read(tmp_path: Path) -> None:
    prepared(tmp_path)
    if not shutil.which("skopeo"):
        pytest.skip("needs skopeo")
    ran = subprocess.run(
        ["skopeo", "inspect", "--config", f"oci:{tmp_path}/embedded:bash:latest"], capture_output=True, text=True
    )
    assert json.loads(ran.stdout)["config"]["Cmd"] == ["bash"], ran.stderr
