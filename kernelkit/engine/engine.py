"""The engine: what it holds, and where. The verbs are functions in files of their own that take it first."""

from __future__ import annotations

import logging
import posixpath
import queue
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kernelkit.engine.events import Events
from kernelkit.engine.records import Records
from kernelkit.engine.state import Book
from kernelkit.host.channel import Attach

if TYPE_CHECKING:
    from kernelkit.container.cgroup import Layout
    from kernelkit.engine.exec import Execution
    from kernelkit.engine.model import Container
    from kernelkit.engine.resolver import Resolver
    from kernelkit.host.link import Link
    from kernelkit.host.practice import Facts
    from kernelkit.host.uplink import Uplink
    from kernelkit.image.store import Store

log = logging.getLogger(__name__)
PATIENCE = 30.0  # seconds for a shim to start an exec


class Engine:
    """One home's engine: images in `store`, records in `state`, what has happened in `events`.

    Making one opens the book and touches nothing else; `join` gives it the host it can start containers on.
    """

    link: Link
    layout: Layout
    bounding: frozenset[str]
    host: Facts
    uplink: Uplink
    resolver: Resolver

    def __init__(self, home: Path, store: Store) -> None:
        self.home = home
        self._containers = home / "containers"
        self.store = store
        self.origin = ""  # the embedded registry's URL
        home.mkdir(parents=True, exist_ok=True)
        self.state = Book(home / "state.db")
        self.events = Events(self.state.events(), self.state.note_event)
        self.records = Records(home / "pulls")
        self.trash = home / "trash"
        self.trash_has_grown = threading.Event()
        self.attached: dict[str, list[tuple[int, Attach]]] = {}  # container -> clients who wait for its start
        self.building: dict[str, int] = {}  # container -> pid of what is performing its start, while somebody steps
        self.volume_users: dict[str, list[str]] = {}  # volume -> containers that have it mounted, or are about to
        self.volumes_change = threading.Lock()
        self.linked: set[str] | None = None  # whom `--link` leads to; None before anybody has asked
        self.executions: dict[str, Execution] = {}
        self.pauses: dict[str, float] = {}  # container -> seconds before its latest restart
        self.started_at: dict[str, float] = {}  # container -> seconds since the epoch
        self.next_port: dict[str, int] = {}  # protocol -> where to look for one that a container may have
        self._answers: dict[str, tuple[str, queue.SimpleQueue[Any]]] = {}

    def join(self, link: Link, layout: Layout, bounding: frozenset[str], host: Facts, uplink: Uplink) -> None:
        """Work on this host: `bounding` are the capabilities it can give."""
        self.link, self.layout, self.bounding = link, layout.knowing(host.cgroups), bounding
        self.host, self.uplink = host, uplink

    def folder(self, container_id: str) -> Path:
        """Where a container's own files are."""
        return self._containers / container_id

    def cgroup_path(self, container: Container) -> str:
        """A container's cgroup, counted from the engine's own: below the parent that it asked for, if it did."""
        asked = container.host_config.get("CgroupParent")
        if not asked:
            return f"{self.host.cgroups}/{container.id}"
        # No `..` leads out of our own cgroup.
        return posixpath.normpath(f"{self.cgroup_root}/{posixpath.normpath(f'/{asked}')}/{container.id}").lstrip("/")

    @property
    def cgroup_root(self) -> str:
        """What `--cgroup-parent` counts from: the practice host's top; on the real machine what goes when we go."""
        return "" if self.host.mode == "practice" else self.host.cgroups

    def ask(self, container: str, message: object, descriptors: tuple[int, ...], key: str) -> Any:
        """Send a container's shim a message and wait for the answer that bears this key; None when there is none."""
        waiting: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._answers[key] = (container, waiting)
        try:
            if not self.link.send(container, message, *descriptors):
                return None
            return waiting.get(timeout=PATIENCE)
        except queue.Empty:
            return None
        finally:
            self._answers.pop(key, None)

    def answer(self, key: str, message: object) -> None:
        """Give an answer to whoever waits for it."""
        waiting = self._answers.get(key)
        if waiting:
            waiting[1].put(message)

    def answer_all(self, container: str) -> None:
        """There will be no more answers from this container's shim."""
        for asked, waiting in list(self._answers.values()):
            if asked == container:
                waiting.put(None)

    def complain(self, text: str) -> None:
        """Say in the log what went wrong where no client is there to be told."""
        log.warning(text)

    def close(self) -> None:
        """Let those go who watch, and close the book."""
        self.events.close()
        self.state.close()
