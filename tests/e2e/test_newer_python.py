"""The oldest Python that is promised runs all tests; a newer one, if the machine has it, the pure ones."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
INSTALLING = 600  # seconds for pip: a mirror may be slow


def newer_python() -> str | None:
    """The newest Python of this machine that is newer than this one, on PATH or kept by pyenv."""
    for minor in range(20, sys.version_info.minor, -1):
        name = f"python3.{minor}"
        for program in (shutil.which(name), *sorted(map(str, Path.home().glob(f".pyenv/versions/*/bin/{name}")))):
            # pyenv's own commands on PATH stand for versions that may not be chosen here
            if (
                program
                and subprocess.run([program, "-c", "import venv, ensurepip"], capture_output=True).returncode == 0
            ):
                return program
    return None


def environment(python: str) -> Path:
    """Its environment below .venv, with what pyproject.toml asks for; made once."""
    folder = ROOT / ".venv" / Path(python).name
    if not (folder / "ready").exists():
        project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
        extras = project["optional-dependencies"]
        subprocess.run([python, "-m", "venv", "--clear", folder], check=True)
        pip = [folder / "bin/python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        wanted = [*project["dependencies"], *extras["lessons"], *extras["test"]]
        if why := refusal([*pip, *wanted]):
            shutil.rmtree(folder)
            pytest.skip(f"cannot install for {folder.name}: {why}")
        launcher = [folder / "bin/python", "-m", "kernelkit.cli.launcher", folder / "bin/kernelkit"]
        subprocess.run(launcher, cwd=ROOT, check=True)
        (folder / "ready").touch()
    return folder


def refusal(pip: list[str | Path]) -> str:
    """Why pip cannot do it, and not at a second attempt either; empty when it has done it."""
    why = ""
    for _ in range(2):
        try:
            ran = subprocess.run(pip, capture_output=True, text=True, timeout=INSTALLING)
        except subprocess.TimeoutExpired:
            return f"the packages take more than {INSTALLING} seconds to come"
        if ran.returncode == 0:
            return ""
        why = ran.stderr[-200:]
    return why


@pytest.mark.timeout(2 * INSTALLING + 900)
def test_the_pure_tests_pass_on_a_newer_python() -> None:
    python = newer_python()
    if python is None:
        pytest.skip("no newer Python on this machine")
    pytest_there = [
        environment(python) / "bin/python",
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "-p",
        "no:xdist",
    ]
    ran = subprocess.run(
        [*pytest_there, "tests/pure", "--ignore-glob=*/pure/test_*.py", "--ignore-glob=*/test_same_as_docker.py"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran.stdout[-3000:]
