"""What the engine keeps: containers, networks, volumes.

A container's settings are Docker's own JSON (`Config`, `HostConfig`, `EndpointSettings`, `MountPoint`), as dicts with
Docker's key names, so that nothing is translated between the client that asks and the answer to `inspect`.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any

from kernelkit.engine.bell import Bell

NEVER = "0001-01-01T00:00:00Z"  # Go's zero time, which Docker gives for "has not happened"

Json = dict[str, Any]


def timestamp(nanoseconds: int) -> str:
    """RFC 3339 with nanoseconds in UTC, as Docker writes times; `nanoseconds` since the epoch."""
    seconds, rest = divmod(nanoseconds, 1_000_000_000)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(seconds))}.{rest:09d}Z"


def now() -> str:
    """This moment, as Docker writes times."""
    return timestamp(time.time_ns())


def new_id() -> str:
    """64 hexadecimal digits that nobody else has."""
    return secrets.token_hex(32)


@dataclass
class State:
    """Where a container is in its life.

    `status` is one of created, running, paused, restarting, removing, exited, dead. `pid` is that of its first process,
    in the practice host's pid namespace, 0 while it has none. `health` is Docker's `Health` object, or None.
    """

    status: str = "created"
    pid: int = 0
    exit_code: int = 0
    error: str = ""
    started_at: str = NEVER
    finished_at: str = NEVER
    oom_killed: bool = False
    restart_count: int = 0
    health: Json | None = None
    stopped_by_hand: bool = False  # a restart policy leaves alone what somebody has stopped
    resolv_conf: str = ""  # the digest of the /etc/resolv.conf that it was given: another one is its own

    @property
    def running(self) -> bool:
        """Whether its first process exists; a paused or restarting container counts, as with Docker."""
        return self.status in ("running", "paused", "restarting")

    @property
    def paused(self) -> bool:
        """Whether it is frozen."""
        return self.status == "paused"

    def as_json(self) -> Json:
        """For the book."""
        return dict(vars(self))


@dataclass(eq=False)
class Container:
    """A container, alive or not.

    `lock` is held by the one verb that is changing it. Every change that is written in the book wakes those who wait:
    threads on the condition `changed`, and those who wait for other things as well on the `bells` they hung up.
    """

    id: str
    name: str
    created: str
    image: str  # as it was asked for
    image_id: str
    config: Json
    host_config: Json
    networks: dict[str, Json] = field(default_factory=dict)  # network name -> EndpointSettings
    mounts: list[Json] = field(default_factory=list)
    state: State = field(default_factory=State)
    ports: dict[str, list[Json] | None] = field(default_factory=dict)  # of NetworkSettings, while it runs
    lock: threading.RLock = field(default_factory=threading.RLock, repr=False)
    changed: threading.Condition = field(default_factory=threading.Condition, repr=False)
    removed: bool = False
    goes_on: bool = False  # it is being restarted: its end is none
    bells: list[Bell] = field(default_factory=list, repr=False)

    @property
    def short_id(self) -> str:
        """The first twelve digits of the id, as people use it."""
        return self.id[:12]

    @property
    def order(self) -> list[str]:
        """Its networks, as Docker orders them: by `gw-priority`, the highest first, then by name."""
        return sorted(self.networks, key=lambda name: (-(self.networks[name].get("GwPriority") or 0), name))

    def notify(self) -> None:
        """Wake all who wait for a change of state."""
        with self.changed:
            self.changed.notify_all()
            for bell in self.bells:
                bell.ring()

    @contextmanager
    def bell(self) -> Iterator[Bell]:
        """A bell that rings at every change, until the end of the block."""
        bell = Bell()
        with self.changed:
            self.bells.append(bell)
        try:
            yield bell
        finally:
            with self.changed:
                self.bells.remove(bell)
            bell.close()


@dataclass(eq=False)
class Network:
    """A network: a bridge in the practice host, or one of the two that need none (`host`, `none`)."""

    id: str
    name: str
    created: str
    driver: str
    subnet: str = ""  # "172.17.0.0/16", empty for host and none
    gateway: str = ""  # "172.17.0.1"
    ip_range: str = ""
    bridge: str = ""  # the bridge's name in the practice host
    internal: bool = False
    attachable: bool = False
    enable_ipv6: bool = False
    subnet6: str = ""
    gateway6: str = ""
    labels: dict[str, str] = field(default_factory=dict)
    options: dict[str, str] = field(default_factory=dict)
    reserved: dict[str, str] = field(default_factory=dict)  # AuxiliaryAddresses: never given to a container

    @property
    def predefined(self) -> bool:
        """Whether it is one of the three that every engine has and nobody may remove."""
        return self.name in ("bridge", "host", "none")

    def as_json(self) -> Json:
        """For the book."""
        return asdict(self)


@dataclass(eq=False)
class Volume:
    """A named folder that outlives containers: `volumes/<name>/_data` below the home."""

    name: str
    created: str
    labels: dict[str, str] = field(default_factory=dict)
    options: dict[str, str] = field(default_factory=dict)
    anonymous: bool = False
    driver: str = "local"

    def as_json(self) -> Json:
        """For the book."""
        return asdict(self)
