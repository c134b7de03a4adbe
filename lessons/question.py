"""A question to answer before looking, and what is so."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Question:
    """What is asked, what one may think, which of these is so (counted from 0), and why."""

    ask: str
    options: tuple[str, ...]
    answer: int
    why: str

    def asked(self) -> Mapping[str, Any]:
        """The question alone, for a page that must not give the answer away."""
        return {"ask": self.ask, "options": list(self.options)}

    def answered(self) -> Mapping[str, Any]:
        """The question with its answer."""
        return {**self.asked(), "answer": self.answer, "why": self.why}
