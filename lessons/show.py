"""What a cell shows: text for a terminal, HTML for a notebook; and problems in one line, never as a traceback."""

from __future__ import annotations

import functools
from collections.abc import Callable
from html import escape
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from lessons.client import LessonError, Ran

P = ParamSpec("P")
R = TypeVar("R")


class Shown:
    """Something to look at: `html` inside of the course's style, `text` where there is no HTML."""

    def __init__(self, html: str, text: str) -> None:
        self.html = html
        self.text = text

    def __repr__(self) -> str:
        return self.text

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        return {"text/html": f'<style>{_style()}</style><div class="kk">{self.html}</div>', "text/plain": self.text}


@functools.cache
def _style() -> str:
    return (Path(__file__).parent / "widgets" / "style.css").read_text()


def problem(message: str) -> Shown:
    """Something went wrong, in one line that says what would help."""
    return Shown(f'<p class="problem" role="alert">{prose(message)}</p>', message)


def prose(text: str) -> str:
    """Text as HTML, with `words like this` as code."""
    parts = escape(text).split("`")
    return "".join(f"<code>{part}</code>" if i % 2 else part for i, part in enumerate(parts))


def ours(error: Exception) -> str:
    """A mistake of the course itself, in one line."""
    return f"this is a mistake of ours, not yours: {type(error).__name__}: {error}"


def terminal(prompt: str, command: str, ran: Ran) -> Shown:
    """A command and what it wrote, as in a terminal."""
    written = (ran.stdout + ran.stderr).rstrip("\n")
    head = f'<span class="prompt">{escape(prompt)}</span> <b>{escape(command)}</b>'
    return Shown(f'<div class="terminal"><pre>{head}\n{escape(written)}</pre></div>', f"{prompt} {command}\n{written}")


def friendly(verb: Callable[P, R]) -> Callable[P, R | Shown]:
    """A verb that shows its problem in place of raising it; one that nobody thought of, too."""

    @functools.wraps(verb)
    def shown(*arguments: P.args, **options: P.kwargs) -> R | Shown:
        try:
            return verb(*arguments, **options)
        except (LessonError, OSError) as error:
            return problem(str(error))
        except Exception as error:
            return problem(ours(error))

    return shown
