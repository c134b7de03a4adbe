"""Documents that cannot lie: what they name exists, and what is public is described."""

from __future__ import annotations

import ast
import doctest
import importlib
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from kernelkit.cli.main import GROUPS, OWN, PLAIN

ROOT = Path(__file__).parents[2]
DOCUMENTS = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")]
SOURCES = sorted([*(ROOT / "kernelkit").rglob("*.py"), *(ROOT / "lessons").rglob("*.py")])
# Two names of every operation, which the protocol in kernelkit/trace.py describes once for all.
OF_OPERATIONS = {"perform", "shell", "channel", "perform_together"}
every_document = pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)


def code_in(document: Path) -> str:
    """The document's code blocks and code words, a line each."""
    text = document.read_text()
    blocks = re.findall(r"^```\w*\n(.*?)^```", text, re.M | re.S)
    words = re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```", "", text, flags=re.M | re.S))
    return "\n".join([*blocks, *words])


@every_document
def test_links_lead_somewhere(document: Path) -> None:
    links = re.findall(r"\]\(([^)#\s]+)", document.read_text()) + re.findall(r'src="([^"]+)"', document.read_text())
    missing = [link for link in links if "://" not in link and not (ROOT / link).exists()]
    assert not missing


@every_document
def test_files_that_are_named_exist(document: Path) -> None:
    """Code words that look like a path of ours: `kernelkit/trace.py`, `tests/pure/`."""
    named = re.findall(r"(?<![\w./-])(?:kernelkit|lessons|notebooks|tests|\.ci)/[\w./-]*", code_in(document))
    missing = [name for name in named if not (ROOT / name).exists()]
    assert not missing


@every_document
def test_make_commands_that_are_named_exist(document: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M))
    named = set(re.findall(r"(?:^|[\s`])make ([a-z-]+)", code_in(document)))
    assert named <= targets


@every_document
def test_kernelkit_commands_that_are_named_exist(document: Path) -> None:
    named = set(re.findall(r"(?:^|[$`(]\s?)kernelkit ([a-z]+)", code_in(document), re.M))
    assert named <= set(PLAIN) | set(GROUPS) | set(OWN)


def undocumented(tree: ast.Module, path: Path) -> Iterator[str]:
    if tree.body and not ast.get_docstring(tree):
        yield "module"
    for node in tree.body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and not node.name.startswith("_"):
            if not ast.get_docstring(node):
                yield node.name
            members = node.body if isinstance(node, ast.ClassDef) else []
            for member in members:
                if isinstance(member, ast.FunctionDef) and not member.name.startswith("_"):
                    overridden = any(ast.unparse(d).endswith((".setter", "override")) for d in member.decorator_list)
                    if not ast.get_docstring(member) and member.name not in OF_OPERATIONS and not overridden:
                        yield f"{node.name}.{member.name}"


@pytest.mark.parametrize(
    "path", [path for path in SOURCES if "    >>> " in path.read_text()], ids=lambda path: str(path.relative_to(ROOT))
)
def test_what_an_example_shows_is_what_it_does(path: Path) -> None:
    module = importlib.import_module(".".join(path.relative_to(ROOT).with_suffix("").parts))
    ran = doctest.testmod(module)
    assert ran.attempted
    assert not ran.failed


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_public_name_has_a_docstring(path: Path) -> None:
    assert list(undocumented(ast.parse(path.read_text()), path)) == []
