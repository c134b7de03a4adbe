"""The engine: what it holds, and where. The verbs are functions in files of their own that take it first."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from kernelkit.engine.events import Events
from kernelkit.engine.state import Book

if TYPE_CHECKING:
    from kernelkit.image.store import Store


class Engine:
    """One home's engine: images in `store`, records in `state`, what has happened in `events`.

    Making one opens the book and touches nothing else.
    """

    def __init__(self, home: Path, store: Store) -> None:
        self.home = home
        self.store = store
        home.mkdir(parents=True, exist_ok=True)
        self.state = Book(home / "state.db")
        self.events = Events(self.state.events(), self.state.note_event)

    def folder(self, container_id: str) -> Path:
        """Where a container's own files are."""
        return self.home / "containers" / container_id

    def close(self) -> None:
        """Let those go who watch, and close the book."""
        self.events.close()
        self.state.close()
