"""An exercise, and the answer it gives: what was seen, what was hoped for, one next thought."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from lessons.client import LessonError
from lessons.show import Shown, ours, prose


@dataclass(frozen=True)
class Claim:
    """One thing that should be so: what it is about, what was hoped for, what the kernel was seen to hold."""

    about: str
    hoped: str
    saw: str
    holds: bool
    hint: str = ""


@dataclass(frozen=True)
class Verdict:
    """How an answer did: its claims in order, and what it said in shell; or why it could not be tried at all."""

    claims: tuple[Claim, ...] = ()
    shell: tuple[str, ...] = ()
    problem: str = ""

    @property
    def passed(self) -> bool:
        """Whether everything is as hoped."""
        return bool(self.claims) and all(claim.holds for claim in self.claims)

    @property
    def hint(self) -> str:
        """One next thought: about the first thing that is not as hoped."""
        return next((claim.hint for claim in self.claims if not claim.holds), "")


class Checked(Shown):
    """A verdict to look at."""

    def __init__(self, verdict: Verdict, praise: str) -> None:
        self.verdict = verdict
        self.passed = verdict.passed
        super().__init__(_html(verdict, praise), _text(verdict, praise))


class Exercise:
    """Something to write, and a check of it against a real kernel.

    `check` is called with the student's answer and returns a Verdict; whatever it raises is said in one line.
    """

    def __init__(self, title: str, task: str, check: Callable[[Any], Verdict], praise: str) -> None:
        self.title = title
        self.task = task
        self.praise = praise
        self._check = check

    def show(self) -> Shown:
        """What is to be done."""
        paragraphs = [part.strip() for part in self.task.strip().split("\n\n")]
        html = f"<h3>{escape(self.title)}</h3>" + "".join(f"<p>{prose(part)}</p>" for part in paragraphs)
        return Shown(f'<div class="exercise">{html}</div>', f"{self.title}\n\n{self.task.strip()}")

    def check(self, answer: Any) -> Checked:
        """Try an answer out."""
        try:
            verdict = self._check(answer)
        except (LessonError, OSError) as error:
            verdict = Verdict(problem=str(error))
        except Exception as error:
            verdict = Verdict(problem=ours(error))
        return Checked(verdict, self.praise)


def call(answer: Callable[..., Any], **given: Any) -> Any:
    """Call a student's function; a mistake in it becomes a LessonError that names the line."""
    if not callable(answer):
        raise LessonError("give `check` your function itself, by its name and without brackets behind it")
    try:
        return answer(**given)
    except Exception as error:
        lines = [
            f.lineno for f in traceback.extract_tb(error.__traceback__) if f.name == getattr(answer, "__name__", "")
        ]
        where = f" in line {lines[-1]} of its cell" if lines else ""
        raise LessonError(f"your function raised {type(error).__name__}{where}: {error}") from None


def as_plan(returned: Any) -> list[Any]:
    """What a student's function returned, if it is a list of operations; else a LessonError that says what it is."""
    if returned is None or returned is ...:
        raise LessonError("your function returned nothing: write `return` before the list")
    if not isinstance(returned, list | tuple):
        what = f"`{type(returned).__name__}`"
        if hasattr(returned, "shell"):
            what = f"one operation, {what}"
        raise LessonError(f"your function returned {what}: write a list, as in `return [SetLinkUp(link)]`")
    for number, item in enumerate(returned, 1):
        if isinstance(item, type):
            name = item.__name__
            raise LessonError(f"number {number} of your list is `{name}` without brackets: say in them what it needs")
        if not hasattr(item, "shell"):
            said = f"the text '{item}'" if isinstance(item, str) else f"`{item!r}`"
            raise LessonError(f"number {number} of your list is {said}: write an operation, as in `SetLinkUp(link)`")
    return list(returned)


def _text(verdict: Verdict, praise: str) -> str:
    if verdict.problem:
        return verdict.problem
    lines = [f"  {line}" for line in verdict.shell]
    for claim in verdict.claims:
        lines.append(f"{'yes' if claim.holds else 'no '}  {claim.about}: saw {claim.saw}; hoped for {claim.hoped}")
    return "\n".join([*lines, praise if verdict.passed else f"hint: {verdict.hint}" if verdict.hint else "not yet"])


def _html(verdict: Verdict, praise: str) -> str:
    if verdict.problem:
        return f'<div class="exercise"><h3>Not yet</h3><p class="problem">{prose(verdict.problem)}</p></div>'
    rows = "".join(_row(claim) for claim in verdict.claims)
    done = f'<div class="terminal"><pre>{escape(chr(10).join(verdict.shell))}</pre></div>' if verdict.shell else ""
    last = f'<p class="praise">{prose(praise)}</p>' if verdict.passed else ""
    if verdict.hint and not verdict.passed:
        last = f'<p class="watch"><b>Hint.</b> {prose(verdict.hint)}</p>'
    head = "<tr><th></th><th></th><th>seen in the kernel</th><th>hoped for</th></tr>"
    title = "It works" if verdict.passed else "Not yet"
    said = f"<p>Your plan, in shell:</p>{done}" if done else ""
    return f'<div class="exercise"><h3>{title}</h3>{said}<table class="claims">{head}{rows}</table>{last}</div>'


def _row(claim: Claim) -> str:
    mark, word = ("✓", "holds") if claim.holds else ("✗", "fails")
    cells: Sequence[str] = (claim.about, claim.saw, claim.hoped)
    return f'<tr class="{word}"><td>{mark}</td>{"".join(f"<td>{prose(cell)}</td>" for cell in cells)}</tr>'
