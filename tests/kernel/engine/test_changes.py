"""What a container has changed is what a real overlay's upper directory says, and no more."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from kernelkit.engine.changes import compare
from kernelkit.kernel.rm import remove_tree

# As setcap(8) would, where it is installed: cap_net_raw+ep, which changes nothing else of a file.
CAPABILITY = "0100000200200000000000000000000000000000"
SETCAP = (
    f"{sys.executable} -c 'import os, sys\n"
    f'for name in sys.argv[1:]: os.setxattr(name, "security.capability", bytes.fromhex("{CAPABILITY}"))\''
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two lower sheets, with room for an upper one."""
    for name in ("one/d/sub", "one/gone/x", "one/emptied", "one/etc", "two/d", "upper", "work", "merged"):
        (tmp_path / name).mkdir(parents=True)
    files = ("one/a", "one/b", "one/d/c", "one/d/sub/f", "one/emptied/old", "one/gone/x/y", "one/etc/passwd", "two/d/t")
    for name in files:
        (tmp_path / name).write_text(name)
    (tmp_path / "one/link").symlink_to("a")
    os.utime(tmp_path / "one/link", (1, 1), follow_symlinks=False)  # or one made in the same moment would be the same
    return tmp_path


def diff(folder: Path, script: str) -> list[str]:
    """The lines of `docker diff` after a script has been run in the merged view."""
    mount = f"mount -t overlay none -o lowerdir=two:one,upperdir=upper,workdir=work merged; cd merged; {script}"
    subprocess.run(["unshare", "-m", "sh", "-ec", mount], cwd=folder, check=True)
    found = compare(str(folder / "upper"), [str(folder / "two"), str(folder / "one")])
    return ["CAD"[change.kind] + " " + change.path for change in found]


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ("true", []),
        ("echo x > new", ["A /new"]),
        ("echo x > a", ["C /a"]),
        ("rm a", ["D /a"]),
        ("echo x > d/new", ["C /d", "A /d/new"]),
        ("rm d/sub/f", ["C /d", "C /d/sub", "D /d/sub/f"]),
        ("chmod 700 d/sub", ["C /d", "C /d/sub"]),
        ("chmod 600 a; chown 1:1 d/t", ["C /a", "C /d", "C /d/t"]),
        ("rm -r gone", ["D /gone"]),
        ("rm -r gone; mkdir gone; echo > gone/new", ["C /gone", "A /gone/new", "D /gone/x"]),
        ("rm -r d/sub; mkdir d/sub", ["C /d", "C /d/sub", "D /d/sub/f"]),
        ("rm a; mkdir a; echo > a/x", ["C /a", "A /a/x"]),
        ("rm -r gone; echo > gone", ["C /gone"]),
        ("mkdir -p n/m; echo > n/m/f; ln n/m/f n/g", ["A /n", "A /n/g", "A /n/m", "A /n/m/f"]),
        ("ln -sf b link", ["C /link"]),
        ("mv a c", ["D /a", "A /c"]),
        ("mkfifo p; mknod null c 1 3", ["A /null", "A /p"]),
        (": >> a", []),
        (f"{SETCAP} a d/t", ["C /a", "C /d", "C /d/t"]),
        ("touch d/new; rm d/new", []),
        ("mkdir proc sys dev; touch etc/hosts etc/hostname etc/resolv.conf", []),
        ("touch etc/hosts etc/new", ["C /etc", "A /etc/new"]),
        ("echo 127.0.0.1 me > etc/hosts; mkdir dev; touch dev/x", ["C /dev", "A /dev/x", "C /etc", "A /etc/hosts"]),
        ("rm -r etc; mkdir etc; touch etc/hosts", ["C /etc", "D /etc/passwd"]),
        ("echo > 'new\nline'; echo > $(printf '\\377')", None),
    ],
)
def test_a_change_is_told_as_docker_does(folder: Path, script: str, expected: list[str] | None) -> None:
    if expected is None:
        mount = f"mount -t overlay none -o lowerdir=two:one,upperdir=upper,workdir=work merged; cd merged; {script}"
        subprocess.run(["unshare", "-m", "sh", "-ec", mount], cwd=folder, check=True)
        found = compare(str(folder / "upper"), [str(folder / "two"), str(folder / "one")])
        assert [os.fsencode(change.path) for change in found] == [b"/new\nline", b"/\xff"]
    else:
        assert diff(folder, script) == expected


def test_what_the_engine_made_is_told_only_as_the_way_to_something(tmp_path: Path) -> None:
    """An image without /etc gets one for the three files that every container has."""
    for name in ("two", "one/d", "upper", "work", "merged"):
        (tmp_path / name).mkdir(parents=True)
    assert diff(tmp_path, "mkdir etc; touch etc/hosts etc/hostname") == []
    assert diff(tmp_path, "echo > etc/new") == ["C /etc", "A /etc/new"]


def test_a_tree_may_be_deeper_than_python_goes(folder: Path) -> None:
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))  # as the engine does
    script = "i=0; while [ $i -lt 1500 ]; do mkdir d && cd -P ./d && i=$((i+1)); done; touch end"
    lines = diff(folder, f"mkdir top; cd top; {script}")
    assert lines[:3] == ["A /top", "A /top/d", "A /top/d/d"]
    assert len(lines) == 1502
    assert lines[-1].endswith("/d/end")
    remove_tree(str(folder / "upper"))
    assert not (folder / "upper").exists()
