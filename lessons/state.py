"""What the kernel holds that a lesson shows, as plain values.

Each value says only what was seen; lessons/look.py sees, and lessons/graphs/ draws.
"""

from __future__ import annotations

from dataclasses import dataclass, field

# namespaces(7), in the order in which the lessons name them.
KINDS = ("mnt", "uts", "ipc", "net", "pid", "cgroup", "user")


@dataclass(frozen=True)
class Layer:
    """One read-only sheet of an image: the digest of its content, what made it, how many bytes its files are."""

    identity: str
    made_by: str
    size: int


@dataclass(frozen=True)
class Mount:
    """One line of /proc/PID/mountinfo, proc_pid_mountinfo(5)."""

    target: str
    fstype: str
    source: str
    options: tuple[str, ...]

    def option(self, name: str) -> str:
        """The value of `name=value` among its options; empty when there is none."""
        return next((o.partition("=")[2] for o in self.options if o.startswith(f"{name}=")), "")


@dataclass(frozen=True)
class Link:
    """A network interface as `ip address` shows it; `peer` is the index of a cable's other end, 0 for none."""

    name: str
    index: int
    is_up: bool = False
    kind: str = ""  # veth, bridge, empty for others
    master: str = ""
    peer: int = 0
    addresses: tuple[str, ...] = ()  # "172.17.0.2/16", version 4 only


@dataclass(frozen=True)
class Route:
    """A line of `ip route`."""

    destination: str
    gateway: str = ""
    link: str = ""


@dataclass(frozen=True)
class Published:
    """A published port, as the firewall's map has it."""

    protocol: str
    port: int
    address: str
    inside: int


@dataclass(frozen=True)
class Host:
    """The practice host: what every container finds there."""

    hostname: str = ""
    links: tuple[Link, ...] = ()
    namespaces: dict[str, int] = field(default_factory=dict)  # kind -> inode number
    masquerades: tuple[str, ...] = ()  # whose packets leave under the host's own address
    published: tuple[Published, ...] = ()
    uplink: str = ""  # the name of the link that leads to the real machine
    bridge: str = ""  # the name of the bridge that containers are plugged into


@dataclass(frozen=True)
class Inside:
    """What one container's first process has: `pid` is its number on the practice host."""

    pid: int
    command: str = ""
    hostname: str = ""
    namespaces: dict[str, int] = field(default_factory=dict)
    links: tuple[Link, ...] = ()
    routes: tuple[Route, ...] = ()
    root: Mount | None = None  # the overlay, once it is mounted
    is_entered: bool = False  # whether the overlay has become its root directory
    mounts: int = 0
    written: tuple[str, ...] = ()  # files in the read-write layer


@dataclass(frozen=True)
class State:
    """Everything at one moment.  `status` is Docker's word, empty while there is no container."""

    host: Host
    image: str = ""
    layers: tuple[Layer, ...] = ()  # bottom first, as in the image
    status: str = ""
    folder: bool = False  # whether upper, work and merged exist
    inside: Inside | None = None
