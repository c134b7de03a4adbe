"""Notebooks are generated, small, without outputs, and have the bones of every lesson."""

from __future__ import annotations

import ast
import inspect
from pathlib import Path

import nbformat
import pytest

from kernelkit import trace
from lessons.l01_what_docker_run_did.exercise import solution, stub
from lessons.l01_what_docker_run_did.stages import STAGES
from lessons.notebooks import NOTEBOOKS, generate, sources, target

SOURCES = sources()
every_lesson = pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.parent.name)
BONES = ("Why", "Look", "Predict", "Do", "See it in the kernel", "Exercise", "How to check", "Manual pages", "Summary")


@every_lesson
def test_a_notebook_is_what_its_source_makes_of_it(source: Path) -> None:
    """If this fails: `python -m lessons.notebooks`."""
    assert target(source).read_text() == generate(source)


def test_there_is_no_notebook_without_a_source() -> None:
    assert sorted(NOTEBOOKS.glob("*.ipynb")) == [target(source) for source in SOURCES]


@every_lesson
def test_a_notebook_is_valid_small_and_holds_no_outputs(source: Path) -> None:
    notebook = nbformat.reads(target(source).read_text(), as_version=4)
    nbformat.validate(notebook)
    assert not any(cell.get("outputs") or cell.get("execution_count") for cell in notebook.cells)
    assert "widgets" not in notebook.metadata
    assert target(source).stat().st_size < 40_000


@every_lesson
def test_a_lesson_has_all_its_bones_in_order(source: Path) -> None:
    cells = nbformat.reads(target(source).read_text(), as_version=4).cells
    prose = "\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
    places = [prose.find(f"**{bone}") if bone == "Why" else prose.find(f"# {bone}") for bone in BONES]
    assert -1 not in places
    assert places == sorted(places)


@every_lesson
def test_cells_define_nothing_but_the_answer_to_the_exercise(source: Path) -> None:
    cells = nbformat.reads(target(source).read_text(), as_version=4).cells
    code = "\n".join(cell.source for cell in cells if cell.cell_type == "code")
    defined = [node.name for node in ast.walk(ast.parse(code)) if isinstance(node, ast.FunctionDef | ast.ClassDef)]
    assert defined == ["give_address"]


def test_the_stub_in_the_notebook_is_the_one_that_is_tested() -> None:
    assert inspect.getsource(stub.give_address).strip() in SOURCES[0].read_text()


def test_stub_and_solution_take_the_same() -> None:
    assert list(inspect.signature(stub.give_address).parameters) == list(
        inspect.signature(solution.give_address).parameters
    )


def test_the_eight_steps_are_the_stages_of_the_record() -> None:
    assert tuple(stage.name for stage in STAGES) == trace.STAGES
