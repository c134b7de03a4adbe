"""The house: who may import whom, who may talk to the kernel, and what an operation looks like."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = sorted((ROOT / "kernelkit").rglob("*.py"))
IDS = [str(path.relative_to(ROOT)) for path in SOURCES]
every_file = pytest.mark.parametrize("path", SOURCES, ids=IDS)


def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(), str(path))


def imports(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module


def test_imports_only_point_down() -> None:
    """The contracts are in pyproject.toml, under tool.importlinter."""
    lint = Path(sys.executable).with_name("lint-imports")
    ran = subprocess.run([lint, "--no-cache"], cwd=ROOT, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stdout


@every_file
def test_only_the_machine_room_talks_to_the_kernel(path: Path) -> None:
    if ROOT / "kernelkit/kernel" in path.parents:
        return
    found = {name for name in imports(parsed(path)) if name.split(".")[0] in ("ctypes", "pyroute2")}
    assert not found


@every_file
def test_only_the_trace_performs_operations(path: Path) -> None:
    """An operation's `perform` takes no argument; `Trace.perform` and `Ledger.perform` do."""
    if path == ROOT / "kernelkit/trace.py":
        return
    calls = [
        node.lineno
        for node in ast.walk(parsed(path))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "perform"
        if not node.args and not node.keywords
    ]
    assert not calls, f"lines {calls}"


@every_file
def test_a_class_that_performs_is_a_frozen_dataclass_that_says_itself_in_shell(path: Path) -> None:
    for node in ast.walk(parsed(path)):
        if not isinstance(node, ast.ClassDef) or any(ast.unparse(base) == "Protocol" for base in node.bases):
            continue
        methods = {m.name: m for m in node.body if isinstance(m, ast.FunctionDef)}
        if "perform" not in methods or len(methods["perform"].args.args) > 1:
            continue
        decorators = [ast.unparse(d) for d in node.decorator_list]
        assert "dataclass(frozen=True)" in decorators, f"{node.name} is not frozen"
        assert "shell" in methods or node.bases, f"{node.name} does not say itself in shell"


@every_file
def test_an_operation_is_made_of_plain_values(path: Path) -> None:
    """They cross a pipe, are compared and printed; what only helps to perform one is an InitVar."""
    plain = {"str", "int", "bool", "bytes", "float", "tuple"}
    for node in ast.walk(parsed(path)):
        if not isinstance(node, ast.ClassDef) or "dataclass(frozen=True)" not in map(ast.unparse, node.decorator_list):
            continue
        if not any(isinstance(member, ast.FunctionDef) and member.name == "perform" for member in node.body):
            continue
        for field in node.body:
            if isinstance(field, ast.AnnAssign):
                kind = ast.unparse(field.annotation)
                words = set(re.findall(r"[A-Za-z]+", kind))
                assert words <= plain or kind.startswith(("InitVar[", "ClassVar[")), f"{node.name}: {kind}"


@pytest.mark.parametrize(
    "path", [p for p in SOURCES if ROOT / "kernelkit/container" in p.parents], ids=lambda p: p.stem
)
def test_planners_touch_nothing(path: Path) -> None:
    """A recipe without a kitchen: plain values in, a list of operations out."""
    tree = parsed(path)
    kitchen = {
        "ctypes",
        "fcntl",
        "glob",
        "requests",
        "shutil",
        "socket",
        "sqlite3",
        "subprocess",
        "tempfile",
        "threading",
    }
    assert not kitchen & {name.split(".")[0] for name in imports(tree)}
    reading = {"open", "read_text", "read_bytes", "write_text", "write_bytes", "exists", "is_dir", "iterdir", "stat"}
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            assert name not in reading, f"line {node.lineno} calls {name}"


@every_file
def test_imports_stand_at_the_top(path: Path) -> None:
    """All but the command line's, which loads a verb's code only when that verb is typed."""
    if ROOT / "kernelkit/cli" in path.parents:
        return
    inside = [
        node.lineno
        for function in ast.walk(parsed(path))
        if isinstance(function, ast.FunctionDef)
        for node in ast.walk(function)
        if isinstance(node, ast.Import | ast.ImportFrom)
    ]
    assert not inside, f"lines {inside}"


@every_file
def test_nothing_is_left_for_later(path: Path) -> None:
    text = path.read_text()
    assert not [word for word in ("TODO", "FIXME", "XXX", "NotImplementedError") if word in text]


def test_the_command_line_loads_nothing_heavy() -> None:
    """What costs a start its milliseconds: 40 are allowed for `kernelkit ps`, and Python itself takes 15 of them."""
    # Those of `cp` are about archives; the launcher is not part of the command, it writes it.
    others = ("__init__", "launcher", "copy", "pack", "unpack")
    verbs = [f"kernelkit.cli.{p.stem}" for p in (ROOT / "kernelkit/cli").glob("*.py") if p.stem not in others]
    code = f"import sys; sys.path.insert(0, sys.argv[1]); import {', '.join(verbs)}; print(*sys.modules)"
    ran = subprocess.run([sys.executable, "-IS", "-c", code, ROOT], capture_output=True, text=True, check=True)
    heavy = set(
        "argparse asyncio collections ctypes dataclasses email enum functools h11 http inspect json logging pathlib "
        "multiprocessing pyroute2 re requests shutil socket sqlite3 ssl subprocess tempfile typing urllib".split()
    )
    assert not heavy & set(ran.stdout.split())


# Tests of several files at once: against Docker, against other tools.
OF_MANY = (
    "cli/test_archives_of_files cli/test_flags_of_docker cli/test_same_as_docker cli/test_words image/test_oci"
).split()


@pytest.mark.parametrize("kind", ["pure", "kernel"])
def test_tests_mirror_the_tree(kind: str) -> None:
    for path in (ROOT / "tests" / kind).glob("*/test_*.py"):
        package = path.parent.name
        if package == "lessons" or f"{package}/{path.stem}" in OF_MANY:
            continue
        tested = ROOT / "kernelkit" / package / path.stem.removeprefix("test_")
        assert tested.is_dir() or tested.with_suffix(".py").exists(), f"{path}: there is no {tested}.py"


def test_the_top_level_holds_what_a_reader_expects_and_no_more() -> None:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("not a git checkout")
    expected = set(
        "kernelkit lessons notebooks tests environment.yml Dockerfile.dev pyproject.toml README.md LICENSE "
        "CHANGELOG.md CONTRIBUTING.md Makefile .ci .gitignore .pre-commit-config.yaml".split()
    )
    assert {line.split("/")[0] for line in listed.stdout.splitlines()} == expected
    assert os.access(ROOT / ".ci/run", os.X_OK)
