"""Debian made by an ordinary user: half a minute of both processors, so not in `make test`."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from kernelkit.embedded.layout import Layout
from tests.machine import short_folder

REPOSITORY = Path(__file__).parents[2]
NOBODY = 65534
BECOME = f"""
import os, sys, pathlib
from kernelkit.embedded import recipes
os.setgroups([]); os.setgid({NOBODY}); os.setuid({NOBODY})
recipes.prepare(pathlib.Path(sys.argv[1]), ['debian'], say=print)
"""


@pytest.fixture
def folder() -> Iterator[Path]:
    """One that an ordinary user can walk through, which pytest's own are not."""
    folder = short_folder()
    folder.chmod(0o711)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.skipif(not shutil.which("newuidmap"), reason="needs uidmap")
@pytest.mark.skipif(not shutil.which("mmdebstrap"), reason="needs mmdebstrap")
def test_an_ordinary_user_with_subordinate_users_makes_it_and_owns_root_s_files_as_root(folder: Path) -> None:
    """`nobody` gets a range in a mount namespace of its own, so that the machine's /etc/subuid stays as it is."""
    (folder / "subuid").write_text("nobody:200000:65536\n")
    home = folder / "home"
    home.mkdir(mode=0o700)
    os.chown(home, NOBODY, NOBODY)
    subordinate = f"mount --bind {folder}/subuid /etc/subuid && mount --bind {folder}/subuid /etc/subgid"
    script = f'touch /etc/subuid /etc/subgid; {subordinate} && exec "$@"'
    command = ["unshare", "--mount", "--propagation", "private", "sh", "-c", script, "sh"]
    ran = subprocess.run(
        [*command, sys.executable, "-c", BECOME, str(home)], capture_output=True, text=True, cwd=REPOSITORY
    )
    assert ran.returncode == 0, ran.stderr
    layout = Layout(home / "embedded")
    manifest = layout.json(layout.children(layout.tags("debian")["latest"])[0])
    with tarfile.open(layout.path(manifest["layers"][0]["digest"])) as tar:
        assert tar.getmember("usr/bin/bash").uid == 0
        assert max(entry.uid for entry in tar) < 65535
