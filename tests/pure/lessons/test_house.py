"""The lessons are a client: public names only, no netlink library, no process forked in Python."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
SOURCES = sorted((ROOT / "lessons").rglob("*.py"))
every_file = pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))


@every_file
def test_lessons_use_public_names_only(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("kernelkit"):
            names = [*(node.module or "").split("."), *(alias.name for alias in node.names)]
            assert not [name for name in names if name.startswith("_")]


@every_file
def test_lessons_fork_nothing(path: Path) -> None:
    """A notebook's process has threads; what Python does after a fork there may hang."""
    called = {ast.unparse(node.func) for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)}
    assert not called & {"os.fork", "os.forkpty", "pty.fork", "multiprocessing.Process"}


def test_a_lesson_brings_no_netlink_library_and_no_engine() -> None:
    code = "import sys, lessons.l01_what_docker_run_did; print(*sys.modules)"
    ran = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    loaded = set(ran.stdout.split())
    assert not {"pyroute2", "kernelkit.engine", "kernelkit.server", "kernelkit.host"} & loaded


@pytest.mark.parametrize("path", sorted((ROOT / "lessons").rglob("*.js")), ids=lambda path: path.name)
def test_front_ends_fetch_nothing_from_the_web(path: Path) -> None:
    text = path.read_text()
    assert not [word for word in ("http://", "https://", "import(", "fetch(") if word in text]
