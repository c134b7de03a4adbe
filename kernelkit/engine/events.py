"""What has happened, for those who ask afterwards and for those who watch: `docker events`.

The last ones are kept in memory and in the book. Every watcher has a queue of its own: a slow one delays nobody.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

from kernelkit.engine.bell import Bell
from kernelkit.engine.model import Container

KEPT = 1024
BEHIND = 65536  # events waiting for one watcher; one that does not read for so long is let go

Json = dict[str, Any]


class Watcher:
    """Somebody's queue of events, and the bell that rings when there are some; close it to stop getting them."""

    def __init__(self, events: Events) -> None:
        self._events = events
        self._queue: deque[Json] = deque()
        self.bell = Bell()
        self.closed = False

    def put(self, event: Json) -> None:
        """Queue an event."""
        if len(self._queue) >= BEHIND:
            self.closed = True
        else:
            self._queue.append(event)
        self.bell.ring()

    def end(self) -> None:
        """There will be no more."""
        self.closed = True
        self.bell.ring()

    def take(self) -> list[Json]:
        """All that have been queued since the last time."""
        self.bell.hush()
        return [self._queue.popleft() for _ in range(len(self._queue))]

    def close(self) -> None:
        """Get no more events."""
        self._events.forget(self)
        self.bell.close()


class Events:
    """The engine's events, the last `KEPT` of them remembered."""

    def __init__(self, earlier: Iterable[Json] = (), note: Callable[[Json], None] | None = None) -> None:
        self._kept: deque[Json] = deque(earlier, KEPT)
        self._watchers: list[Watcher] = []
        self._lock = threading.Lock()
        self._note = note

    @property
    def watchers(self) -> int:
        """How many watch."""
        return len(self._watchers)

    def publish(self, kind: str, action: str, actor: str, attributes: dict[str, str], **extra: str) -> Json:
        """Tell that `action` happened to the `kind` (container, image, network, volume, daemon) with the id `actor`."""
        nanoseconds = time.time_ns()
        event: Json = {
            **extra,
            "Type": kind,
            "Action": action,
            "Actor": {"ID": actor, "Attributes": attributes},
            "scope": "local",
            "time": nanoseconds // 1_000_000_000,
            "timeNano": nanoseconds,
        }
        with self._lock:
            self._kept.append(event)
            for watcher in self._watchers:
                watcher.put(event)
        if self._note:
            self._note(event)
        return event

    def container(self, container: Container, action: str, **attributes: str) -> Json:
        """Tell that `action` happened to a container; its labels, image and name go with it, as Docker's do."""
        labels = container.config.get("Labels") or {}
        about = {**labels, **attributes, "image": container.image, "name": container.name}
        old = {"status": action, "id": container.id, "from": container.image}  # the fields of API 1.21 and before
        return self.publish("container", action, container.id, about, **old)

    def since(self, nanoseconds: int) -> list[Json]:
        """Those remembered that happened at that time or later."""
        with self._lock:
            return [event for event in self._kept if event["timeNano"] >= nanoseconds]

    def watch(self, since: int | None = None) -> tuple[list[Json], Watcher]:
        """Those since then, and a queue that gets all later ones: none is missed, none comes twice."""
        watcher = Watcher(self)
        with self._lock:
            earlier = [] if since is None else [event for event in self._kept if event["timeNano"] >= since]
            self._watchers.append(watcher)
        return earlier, watcher

    def forget(self, watcher: Watcher) -> None:
        """Give that watcher no more events."""
        with self._lock:
            if watcher in self._watchers:
                self._watchers.remove(watcher)

    def close(self) -> None:
        """Let all watchers go: the engine ends."""
        with self._lock:
            for watcher in self._watchers:
                watcher.end()


def matches(event: Json, filters: dict[str, list[str]]) -> bool:
    """Whether an event passes `docker events --filter`: all keys must match, any value of a key does."""
    return all(_matches_one(event, key, values) for key, values in filters.items() if values)


def _matches_one(event: Json, key: str, values: list[str]) -> bool:
    attributes = event["Actor"]["Attributes"]
    kind, actor = event["Type"], event["Actor"]["ID"]
    if key == "type":
        return kind in values
    if key == "event":
        # "health_status: healthy" and "exec_start: sh" are found by their first word as well.
        return event["Action"] in values or event["Action"].partition(":")[0] in values
    if key == "label":
        return all(_has_label(attributes, wanted) for wanted in values)
    if key == "image":
        names = [actor, attributes.get("image", ""), attributes.get("name", "") if kind == "image" else ""]
        return any(name in values or name.partition(":")[0] in values for name in names if name)
    if key == "scope":
        return event["scope"] in values
    if key == "daemon":
        return kind == "daemon" and (actor in values or attributes.get("name") in values)
    if key in ("container", "network", "volume"):
        if kind != key and not (key == "container" and "container" in attributes):
            return False
        names = [actor, attributes.get("name", ""), attributes.get("container", "")]
        return any(name == value or (name and name.startswith(value)) for name in names for value in values)
    return False


def _has_label(attributes: dict[str, str], wanted: str) -> bool:
    name, equals, value = wanted.partition("=")
    return name in attributes and (not equals or attributes[name] == value)
