"""Style and types are tests: `pytest` is the whole gate."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def said_by(*arguments: str) -> str:
    """What a checker found; empty when it is content."""
    ran = subprocess.run([sys.executable, "-m", *arguments], cwd=ROOT, capture_output=True, text=True)
    return ran.stdout + ran.stderr if ran.returncode else ""


def test_the_code_keeps_the_rules_of_style() -> None:
    assert said_by("ruff", "check", "--no-cache", "kernelkit", "lessons", "tests") == ""


def test_the_code_is_formatted() -> None:
    assert said_by("ruff", "format", "--no-cache", "--check", "kernelkit", "lessons", "tests") == ""


def test_types_hold_strictly(tmp_path: Path) -> None:
    assert said_by("mypy", "--cache-dir", str(tmp_path)) == ""
