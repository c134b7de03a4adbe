"""What `docker wait` waits for, and how it is seen that it has come."""

from __future__ import annotations

from typing import Any

from kernelkit.engine.model import Container
from kernelkit.errors import InvalidRequest

CONDITIONS = ("not-running", "next-exit", "removed")

Json = dict[str, Any]


class Wait:
    """Waits for one container; it counts from its making, so an end before anybody looks is not missed."""

    def __init__(self, container: Container, condition: str = "") -> None:
        if condition and condition not in CONDITIONS:
            raise InvalidRequest(f'invalid condition: "{condition}"')
        self.container = container
        self._condition = condition or "not-running"
        self._finished_before = container.state.finished_at

    def answer(self) -> Json | None:
        """Docker's `ContainerWaitResponse` when it has come, None before."""
        container, state = self.container, self.container.state
        over = {
            # Also of a life that a restart policy lets another one follow.
            "not-running": not state.running or state.finished_at != self._finished_before,
            "next-exit": state.finished_at != self._finished_before,
            "removed": container.removed,
        }
        if not over[self._condition] and not container.removed:
            return None
        return {"StatusCode": state.exit_code}
