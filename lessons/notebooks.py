"""Generates the notebooks from the lessons' sources: `python -m lessons.notebooks`.

The same source gives the same bytes, so that a test can compare and a diff shows what was written.
"""

from __future__ import annotations

from pathlib import Path

import jupytext
import nbformat

LESSONS = Path(__file__).parent
NOTEBOOKS = LESSONS.parent / "notebooks"


def sources() -> list[Path]:
    """All lessons, in order."""
    return sorted(LESSONS.glob("l[0-9][0-9]_*/lesson.py"))


def target(source: Path) -> Path:
    """`lessons/l01_what_docker_run_did/lesson.py` → `notebooks/01_what_docker_run_did.ipynb`."""
    return NOTEBOOKS / f"{source.parent.name.removeprefix('l')}.ipynb"


def generate(source: Path) -> str:
    """The notebook's text: no outputs, no counts, cells numbered in place of random names."""
    notebook = jupytext.reads(source.read_text(), fmt="py:percent")
    for number, cell in enumerate(notebook.cells, 1):
        cell.id = f"{source.parent.name[:3]}-{number:02d}"
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    notebook.metadata = {
        "kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    return str(nbformat.writes(notebook)) + "\n"


def main() -> None:
    """Write every notebook, and say which."""
    for source in sources():
        target(source).write_text(generate(source))
        print(target(source).relative_to(NOTEBOOKS.parent))


if __name__ == "__main__":
    main()
