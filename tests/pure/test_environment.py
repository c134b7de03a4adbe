"""One environment, described in three places: pyproject.toml, environment.yml (conda) and Dockerfile.dev."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
RUNTIME = PROJECT["project"]["dependencies"]
EXTRAS = PROJECT["project"]["optional-dependencies"]
DEBIAN = PROJECT["tool"]["kernelkit"]["debian"]
CONDA = yaml.safe_load((ROOT / "environment.yml").read_text())
DOCKERFILE = (ROOT / "Dockerfile.dev").read_text()


def name_of(requirement: str) -> str:
    return re.split(r"[<>=!~\[ ]", requirement)[0].lower().replace("_", "-")


def test_conda_installs_what_pip_installs() -> None:
    by_pip = next(entry["pip"] for entry in CONDA["dependencies"] if isinstance(entry, dict))
    assert sorted(by_pip) == sorted([*RUNTIME, *EXTRAS["lessons"], *EXTRAS["test"]])


def test_conda_asks_for_the_same_python() -> None:
    assert f"python{PROJECT['project']['requires-python']}" in CONDA["dependencies"]


def test_the_container_installs_the_same_debian_packages() -> None:
    installed = re.search(r"apt-get install -y --no-install-recommends((?:\s*\\?\s+[a-z0-9.+-]+)+)", DOCKERFILE)
    assert installed
    packages = set(installed[1].replace("\\", " ").split())
    tools = {"ca-certificates", "git", "make", "python3", "python3-venv"}
    programs = {entry.split(":")[0] for entry in DEBIAN["unpack"]}
    assert packages == {*DEBIAN["run"], *DEBIAN["test"], *programs, *tools}


def test_the_container_installs_python_packages_from_pyproject() -> None:
    assert re.search(r"^RUN rm -rf \.venv && make install$", DOCKERFILE, re.M)


def test_a_debian_package_is_listed_once() -> None:
    for packages in DEBIAN.values():
        assert len(packages) == len(set(packages))
    assert not set(DEBIAN["run"]) & set(DEBIAN["test"])


def test_the_packages_the_course_is_made_for_are_there() -> None:
    names = {name_of(requirement) for requirement in [*RUNTIME, *EXTRAS["lessons"]]}
    assert {"jupyter", "ipywidgets", "pyroute2", "requests", "graphviz"} <= names


@pytest.mark.parametrize(
    ("folder", "declared"),
    [
        ("kernelkit", RUNTIME),
        ("lessons", [*RUNTIME, *EXTRAS["lessons"]]),
        ("tests", [*RUNTIME, *EXTRAS["lessons"], *EXTRAS["test"]]),
    ],
)
def test_every_import_is_declared(folder: str, declared: list[str]) -> None:
    ours = {"kernelkit", "lessons", "tests"}
    brought_by = packages_distributions()
    missing = set()
    for path in (ROOT / folder).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            modules = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            modules += [node.module] if isinstance(node, ast.ImportFrom) and node.module and not node.level else []
            for module in {m.split(".")[0] for m in modules} - ours - sys.stdlib_module_names:
                distributions = {name_of(d) for d in brought_by.get(module, [module])}
                if not distributions & {name_of(requirement) for requirement in declared}:
                    missing.add(f"{module} in {path.relative_to(ROOT)}")
    assert not missing
