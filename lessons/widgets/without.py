"""Leave something out of a run, and see what it was for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import anywidget
import traitlets

from lessons.client import LessonError
from lessons.show import ours
from lessons.without import Choice, Compared

HERE = Path(__file__).parent


class Without(anywidget.AnyWidget):
    """Offers `choices`; the front end sends {"without": name}, and `result` is how the two runs compare."""

    _esm = HERE / "without.js"
    _css = HERE / "style.css"

    command = traitlets.Unicode().tag(sync=True)
    choices: traitlets.List[Any] = traitlets.List().tag(sync=True)
    result = traitlets.Dict().tag(sync=True)
    busy = traitlets.Unicode("").tag(sync=True)
    problem = traitlets.Unicode("").tag(sync=True)

    def __init__(self, command: str, choices: Sequence[Choice], compare: Callable[[Choice], Compared]) -> None:
        self._choices = {choice.name: choice for choice in choices}
        self._compare = compare
        super().__init__(command=command, choices=[asdict(choice) for choice in choices])
        self.on_msg(lambda _, message, __: self.leave_out(str(message.get("without"))))

    def leave_out(self, name: str) -> None:
        """Run with everything and without this, and show both; a problem is shown, never raised."""
        self.problem, self.busy = "", name
        try:
            self.result = as_result(self._compare(self._choices[name]))
        except (LessonError, OSError) as error:
            self.problem = str(error)
        except Exception as error:
            self.problem = ours(error)
        finally:
            self.busy = ""


def as_result(compared: Compared) -> dict[str, Any]:
    """The comparison as plain values, for the front end."""
    return {
        "name": compared.choice.name,
        "title": compared.choice.title,
        "was_for": compared.choice.was_for,
        "rows": [list(row) for row in compared.rows],
        "left_out": list(compared.left_out),
        "problem": compared.problem,
    }
