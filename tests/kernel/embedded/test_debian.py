"""A minimal Debian, made for real: about 15 seconds, from a mirror."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from kernelkit.embedded import recipes
from kernelkit.embedded.layout import Layout
from tests.patience import wait_until

PREPARE = [sys.executable, "-m", "kernelkit.embedded", "prepare"]
REPOSITORY = Path(__file__).parents[3]

pytestmark = pytest.mark.skipif(not shutil.which("mmdebstrap"), reason="needs mmdebstrap")


def start(home: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen([*PREPARE, "debian", "--home", str(home)], cwd=REPOSITORY, stdout=subprocess.DEVNULL)


def descendants(pid: int) -> Iterator[int]:
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:  # it has just ended
        return
    for child in map(int, children):
        yield child
        yield from descendants(child)


def running(pid: int) -> tuple[str, str]:
    """Since when it runs, for numbers come again, and which program; empty when it has ended. proc(5)"""
    try:
        before, _, after = Path(f"/proc/{pid}/stat").read_text().rpartition(")")
    except OSError:
        return "", ""
    return ("", "") if after.split()[0] == "Z" else (after.split()[19], before.partition("(")[2])


@pytest.mark.timeout(1200)  # two builds, of which a busy machine makes minutes
def test_a_build_that_is_killed_leaves_nothing_and_the_next_one_is_whole(tmp_path: Path) -> None:
    """Killed in the middle: no process, no mount, no tag stays behind; then the image is made and stands by itself."""
    process = start(tmp_path)
    try:
        while "dpkg" not in {running(pid)[1] for pid in descendants(process.pid)}:
            assert process.poll() is None, "it ended before it could be killed"
            time.sleep(0.01)
        tools = {pid: running(pid)[0] for pid in descendants(process.pid)}
    finally:
        process.kill()
        process.wait()
    wait_until(lambda: not any(since and running(pid)[0] == since for pid, since in tools.items()))
    assert str(tmp_path) not in Path("/proc/self/mountinfo").read_text()
    assert not recipes.ready(tmp_path, "debian")

    said: list[str] = []
    recipes.prepare(tmp_path, ["debian"], say=said.append)
    assert said[-1] == "the image 'debian' is ready"
    assert list((tmp_path / "embedded/making").iterdir()) == []

    layout = Layout(tmp_path / "embedded")
    tags = layout.tags("debian")
    assert len(tags) == 3
    assert "latest" in tags
    manifest = layout.json(layout.children(tags["latest"])[0])
    root = tmp_path / "root"
    with tarfile.open(layout.path(manifest["layers"][0]["digest"])) as tar:
        assert not [entry.name for entry in tar if entry.isdev()]
        tar.extraction_filter = lambda entry, _: entry  # the first 3.11, Debian 12's, has no `filter=` yet
        tar.extractall(root, numeric_owner=True)
    assert not (root / "etc/resolv.conf").exists()
    assert not (root / "etc/hostname").exists()
    script = ". /etc/os-release; echo $VERSION_ID; dpkg --audit; dpkg -s apt | grep -c 'ok installed'; id -un"
    ran = subprocess.run(["chroot", root, "bash", "-c", script], capture_output=True, text=True)
    assert ran.stdout.split() == [next(tag for tag in tags if tag.isdigit()), "1", "root"], ran.stderr
    shutil.rmtree(root)


def test_without_a_mirror_one_line_says_so(tmp_path: Path) -> None:
    ran = subprocess.run(
        ["unshare", "--net", *PREPARE, "debian", "--home", tmp_path],
        capture_output=True, text=True, cwd=REPOSITORY,
    )  # fmt: skip
    assert ran.returncode == 1
    assert ran.stderr.startswith("kernelkit: cannot make the image 'debian': mmdebstrap: ")
    assert len(ran.stderr.splitlines()) == 1
    assert os.listdir(tmp_path / "embedded/making") == []


def test_without_the_tools_one_line_names_them(tmp_path: Path) -> None:
    ran = subprocess.run(
        [*PREPARE, "debian", "--home", tmp_path],
        capture_output=True,
        text=True,
        cwd=REPOSITORY,
        env={"PATH": "/nosuch"},
    )
    assert ran.returncode == 1
    assert ran.stderr == (
        "kernelkit: cannot make the image 'debian': 'mmdebstrap' is not installed (apt-get install mmdebstrap)\n"
    )
