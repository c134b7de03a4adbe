"""A question to answer before looking."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import anywidget
import traitlets

from lessons.question import Question

HERE = Path(__file__).parent


class Predict(anywidget.AnyWidget):
    """Asks, and says how things are once an option is chosen; `chosen` holds that of each question, -1 for none."""

    _esm = HERE / "predict.js"
    _css = HERE / "style.css"

    questions: traitlets.List[Any] = traitlets.List().tag(sync=True)
    chosen: traitlets.List[Any] = traitlets.List().tag(sync=True)

    def __init__(self, questions: Sequence[Question]) -> None:
        super().__init__(questions=[asdict(q) for q in questions], chosen=[-1] * len(questions))
