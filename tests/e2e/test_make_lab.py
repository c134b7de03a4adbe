"""`make lab`: the first of the two commands, from its URL to its end."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import Kernelkit
from tests.machine import names_below
from tests.patience import PATIENCE, wait_until

ROOT = Path(__file__).parents[2]
URL = re.compile(r"http://127\.0\.0\.1:\d+/doc/tree/01_what_docker_run_did\.ipynb\?token=\w+")


@pytest.fixture
def lab(kk: Kernelkit, tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """`make lab` in a session of its own, as of a terminal; nothing is read from or written to the user's Jupyter."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    env = {name: value for name, value in {**os.environ, **kk.env}.items() if not name.startswith("MAKE")}
    own = ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR")
    env |= {name: str(tmp_path / name.lower()) for name in own}
    command = ["make", "--no-print-directory", "lab", "LAB_FLAGS=--no-browser", f"PORT={port}"]
    process = subprocess.Popen(
        command, cwd=ROOT, env=env, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True
    )
    yield process
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    for pid in making_debian(kk.home):
        os.killpg(pid, signal.SIGKILL)


def making_debian(home: Path) -> list[int]:
    """The leader of the group that makes Debian's image beside the lesson, a minute's work."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if f"prepare\0debian\0--home\0{home}\0".encode() in (entry / "cmdline").read_bytes():
                found.append(int(entry.name))
    return found


def said(process: subprocess.Popen[str]) -> str:
    """The URL that is printed."""
    assert process.stdout
    lines = []
    for line in process.stdout:
        lines.append(line)
        if found := URL.search(line):
            return found[0]
    raise AssertionError("".join(lines))


def status(url: str) -> int:
    """What is answered there; 0 where nobody is."""
    try:
        with urllib.request.urlopen(url, timeout=PATIENCE) as answer:
            code: int = answer.status
            return code
    except urllib.error.HTTPError as error:
        return error.code
    except urllib.error.URLError:
        return 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_opens_on_lesson_1_and_ends_with_its_host(
    kk: Kernelkit, lab: subprocess.Popen[str], number: signal.Signals
) -> None:
    url = said(lab)
    wait_until(lambda: status(url) == 200)  # JupyterLab says where it is a moment before it listens
    contents = url.partition("/doc/")[0] + "/api/contents/01_what_docker_run_did.ipynb"
    assert status(contents) == 403
    assert status(f"{contents}?{url.partition('?')[2]}") == 200
    assert kk("status").stdout.startswith("host    up")
    if number == signal.SIGTERM:
        lab.terminate()  # as `docker stop` does: make alone hears it
    else:
        os.killpg(lab.pid, number)  # as Ctrl-C does: all hear it
    lab.communicate(timeout=PATIENCE)
    assert kk("status", check=False).stdout.startswith("host    down")
    assert status(url) == 0
    wait_until(lambda: not [name for name in names_below(kk.home / "run") if name.endswith(".sock")])
