"""The walk as a student sees it: Next, Back, Run all, and the page for where they are."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import anywidget
import traitlets

from lessons.client import Json, LessonError
from lessons.pages import page
from lessons.show import ours
from lessons.walk import Walk

HERE = Path(__file__).parent


class WalkView(anywidget.AnyWidget):
    """Shows a walk, and drives it; `begin` makes the next one when a student starts over.

    The front end sends {"do": "next" | "back" | "all" | "go" | "again", "to": number} and shows `page`; while something
    is being done `busy` is true and `pulling` tells how far each layer is; `problem` is what went wrong, in one line.
    `heard` counts what it has sent, which shows it that somebody is here; `guesses` are a student's predictions, step
    by step.
    """

    _esm = HERE / "walk.js"
    _css = HERE / "style.css"

    page = traitlets.Dict().tag(sync=True)
    busy = traitlets.Bool(False).tag(sync=True)
    pulling: traitlets.List[Any] = traitlets.List().tag(sync=True)
    problem = traitlets.Unicode("").tag(sync=True)
    heard = traitlets.Int(0).tag(sync=True)
    guesses: traitlets.List[Any] = traitlets.List().tag(sync=True)

    def __init__(self, walk: Walk, begin: Callable[[], Walk] | None = None) -> None:
        self.walk = walk
        self.shown = 0
        self._begin = begin or (lambda: Walk(self.walk.engine, self.walk.run, self.walk.stages))
        super().__init__(page=page(walk, 0), guesses=[-1] * len(walk.stages))
        self.on_msg(lambda _, message, __: self.act(message))

    def act(self, message: dict[str, Any]) -> None:
        """Do what was clicked; a problem is shown, never raised: nobody would see it."""
        self.problem = ""
        self.heard += 1
        try:
            self._act(str(message.get("do")), message.get("to"))
        except (LessonError, OSError) as error:
            self.problem = str(error)
        except Exception as error:
            self.problem = ours(error)
        finally:
            self.busy = False
            self.pulling = []
            self.page = page(self.walk, self.shown)

    def finish(self) -> None:
        """Perform what has not been clicked yet, without turning the page: Next then shows what was recorded."""
        try:
            self.walk.finish()
        finally:
            self.page = page(self.walk, self.shown)

    def _act(self, what: str, to: Any) -> None:
        if what == "back":
            self.shown = max(0, self.shown - 1)
        elif what == "go" and isinstance(to, int):
            self.shown = min(max(0, to), self.walk.done)
        elif what == "next":
            self._advance()
        elif what == "all":
            while self.shown < len(self.walk.stages):
                self._advance()
        elif what == "again":
            self.busy = True
            self.walk.leave()
            self.walk = self._begin()
            self.shown, self.guesses = 0, [-1] * len(self.walk.stages)

    def _advance(self) -> None:
        if self.shown == self.walk.done and not self.walk.is_over:
            self.busy = True
            self.walk.next(self._progress)
        self.shown = min(self.shown + 1, self.walk.done)

    def _progress(self, message: Json) -> None:
        """Keep the newest message of each layer."""
        if "id" not in message or message.get("status", "").startswith("Pulling from"):
            return
        detail = message.get("progressDetail") or {}
        row = {"id": message["id"], "status": message["status"], **detail}
        rows = {existing["id"]: existing for existing in self.pulling}
        self.pulling = list({**rows, row["id"]: row}.values())
