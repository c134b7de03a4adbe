"""A minimal Debian, made for real: about 15 seconds, from a mirror."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import pytest

from kernelkit.embedded import recipes
from kernelkit.embedded.layout import Layout

PREPARE = [sys.executable, "-m", "kernelkit.embedded", "prepare"]
REPOSITORY = Path(__file__).parents[3]

pytestmark = pytest.mark.skipif(not shutil.which("mmdebstrap"), reason="needs mmdebstrap")


def start(home: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen([*PREPARE, "debian", "--home", str(home)], cwd=REPOSITORY, stdout=subprocess.DEVNULL)


def descendants(pid: int) -> list[int]:
    found: list[int] = []
    for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        found += [int(child), *descendants(int(child))]
    return found


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_a_build_that_is_killed_leaves_nothing_and_the_next_one_is_whole(tmp_path: Path) -> None:
    """Killed in the middle: no process, no mount, no tag stays behind; then the image is made and stands by itself."""
    process = start(tmp_path)
    time.sleep(4)
    tools = descendants(process.pid)
    assert tools, "it ended before it could be killed"
    process.send_signal(signal.SIGKILL)
    process.wait()
    for _ in range(100):
        if not any(is_running(pid) for pid in tools):
            break
        time.sleep(0.1)
    assert not [pid for pid in tools if is_running(pid)]
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
        tar.extractall(root, filter="tar", numeric_owner=True)
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
