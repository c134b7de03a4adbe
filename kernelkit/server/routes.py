"""The Docker Engine API as a table, in the order of its own documentation."""

from __future__ import annotations

from kernelkit.server import system
from kernelkit.server.router import Route

ROUTES: tuple[Route, ...] = (
    ("GET", "/_ping", system.ping),
    ("HEAD", "/_ping", system.ping),
    ("GET", "/version", system.version),
    ("GET", "/info", system.about),
    ("GET", "/events", system.events),
    ("GET", "/plugins", system.no_plugins),
    ("GET", "/plugins/{name...}/json", system.no_plugin),
    *(
        (method, f"/{what}{rest}", system.no_swarm)
        for what in ("swarm", "nodes", "services", "tasks", "secrets", "configs")
        for method in ("GET", "POST", "DELETE")
        for rest in ("", "/{rest...}")
    ),
)
