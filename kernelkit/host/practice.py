"""What the practice host is made of: namespaces and cgroups of its own, a /proc and a /sys that show nothing else.

    prepare    outside, by the keeper: its cgroups
    fork       its first process is cloned, in new namespaces
    connect    outside: its cable to the real machine
    furnish    inside, by its first process: mounts, name, addresses

With mode `real` there is no such host: the same engine works on the machine itself.
"""

from __future__ import annotations

import errno
import json
import os
import socket
import time
from dataclasses import asdict, dataclass

from kernelkit.container import cgroup
from kernelkit.errors import InvalidRequest, Unavailable
from kernelkit.home import Home
from kernelkit.host import claims
from kernelkit.host.claims import Claim, Held
from kernelkit.host.uplink import Cable, choose
from kernelkit.kernel.cgroup import InheritCpuset, JoinCgroup, MakeCgroup
from kernelkit.kernel.cgroup_procs import KillCgroup, ThawAll
from kernelkit.kernel.files import MakeDirectory, WriteFile
from kernelkit.kernel.hierarchies import Hierarchy, Layout, read_layout
from kernelkit.kernel.hostname import SetHostname
from kernelkit.kernel.ip import SetLinkUp
from kernelkit.kernel.mount import Mount, SetPropagation
from kernelkit.kernel.process import BecomeSubreaper, Clone
from kernelkit.kernel.unshare import MapIds, Unshare
from kernelkit.trace import Operation, Trace, save

MODES = ("practice", "real")
NAME = "practice"  # the host's own name
CONTAINERS = "containers"  # the cgroup, seen from inside, below which containers' are
INSIDE = "machine"  # the cgroup, seen from outside, that is the root of the host's own view
PATIENCE = 10.0  # seconds for an earlier host to be taken back
GONE = (errno.ENOENT, errno.ENODEV)  # what the kernel has thrown away before we could
NAMESPACES = ("mount", "uts", "ipc", "net", "pid")
# A child of the host must not see a link of its own to the real machine's network; the engine alone goes there.
SWITCHES = {
    "/proc/sys/net/ipv4/ip_forward": "1",
    "/proc/sys/net/ipv4/conf/all/route_localnet": "1",
}


Rows = tuple[tuple[int, int, int], ...]


@dataclass(frozen=True)
class IdMap:
    """Whose ids the host's users and groups are, for a host in a user namespace: rows (inside, outside, how many)."""

    users: Rows
    groups: Rows


@dataclass(frozen=True)
class Facts:
    """What the engine has to know of its host; kept in `run/host.json` while it is up."""

    mode: str
    cgroups: str  # where containers' cgroups go, counted from the engine's own
    bridge: str  # the default network's bridge
    table: str  # the nft table of the bridge's host
    cable: Cable | None = None

    def save(self, home: Home) -> None:
        """Write them where the engine looks."""
        (home.run / "host.json").write_text(json.dumps(asdict(self)))

    @classmethod
    def load(cls, home: Home) -> Facts:
        """Read them; Unavailable when no host is up."""
        try:
            found = json.loads((home.run / "host.json").read_text())
        except (OSError, ValueError):
            raise Unavailable("the practice host is not up", "kernelkit up") from None
        cable = found.pop("cable")
        return cls(**found, cable=Cable(**cable) if cable else None)


def mode_of(word: str) -> str:
    """`practice` or `real`; InvalidRequest for anything else."""
    if word not in MODES:
        raise InvalidRequest(f"there is no host '{word}'", f"KERNELKIT_HOST is one of {', '.join(MODES)}")
    return word


class Practice:
    """A host on its way from nothing to furnished; its steps are kept in `run/boot.jsonl`.

    With `ids` it gets a user namespace of its own.
    """

    def __init__(self, home: Home, mode: str, ids: IdMap | None = None) -> None:
        self.home = home
        self.mode = mode
        self._ids = ids
        self._trace = Trace()
        self._layout = read_layout()
        self._base = f"kernelkit-{home.mark}"
        self._held: Held | None = None
        self._go: tuple[socket.socket, socket.socket] | None = None
        own = mode == "practice"
        self.facts = Facts(
            mode,
            CONTAINERS if own else self._base,
            "kk0" if own else f"kk{home.mark}",
            "kernelkit" if own else f"kernelkit-{home.mark}",
            choose(home.mark) if own else None,
        )

    def prepare(self) -> None:
        """Make what must be there before the first process: our claim, then its cgroups.

        Unavailable when an earlier host of this home, which was deleted while that was up, does not go.
        """
        self._held = self._claim()
        self._perform(cgroup.prepare(self._layout, self._base))
        if self.mode == "practice":
            self._perform(_inside_cgroups(self._layout, self._base))
            self._go = socket.socketpair()

    def _claim(self) -> Held:
        """Note what we are going to make on the real machine, once no other host has a claim on it."""
        cable = self.facts.cable
        places = tuple(hierarchy.directory(self._base) for hierarchy in _hierarchies(self._layout))
        table, link = (cable.table, cable.link) if cable else (self.facts.table, "")
        claim = Claim(self.home.mark, os.fspath(self.home.path), table, link, places)
        until = time.monotonic() + PATIENCE
        while not (held := claims.hold(claim, self._trace)):
            if time.monotonic() > until:
                raise Unavailable(f"an earlier host of {self.home.path} is still there", f"see {claim.path}")
            # Its home was deleted while it was up, so nobody can find it. With its first process it ends, and its
            # keeper takes it back.
            self._perform(
                [KillCgroup(f"{place}/{INSIDE}") for place in places[:1] if os.path.isdir(f"{place}/{INSIDE}")]
            )
            time.sleep(0.02)
            sweep(self._trace)
        return held

    def fork(self) -> int:
        """Make the first process; 0 in it, its pid on the real machine in the keeper."""
        if self.mode == "real":
            return os.fork()
        unified = next((h for h in _hierarchies(self._layout) if h.version == 2), None)
        place = unified.directory(f"{self._base}/{INSIDE}") if unified else ""
        kinds = ("user", *NAMESPACES) if self._ids else NAMESPACES
        pid, _ = self._trace.perform("boot", Clone(kinds, place), actor="keeper")
        return int(pid)

    def connect(self, pid: int) -> None:
        """From outside: lay the cable to the first process's network namespace, and let it go on."""
        self.facts.save(self.home)
        if self._ids:
            self._perform([MapIds(pid, self._ids.users, self._ids.groups)])
        if self.facts.cable:
            self._perform(self.facts.cable.outside(pid))
        save(self._trace.steps, self.home.run / "boot-outside.jsonl")
        if self._go:
            self._go[0].send(b"g")

    def furnish(self) -> None:
        """In the first process: make this a machine of its own."""
        if self.mode == "real":
            self._perform([BecomeSubreaper()])  # shims and what containers leave behind come to us, as to a process 1
        else:
            assert self._go
            self._go[0].close()  # or we would wait for ever for a keeper who has been killed
            if not self._go[1].recv(1):
                raise Unavailable("the practice host was not connected")
            self._perform(_view(self._layout, self._base))
            self._perform(cgroup.prepare(read_layout(), CONTAINERS))
            self._perform(_start(self.facts.cable))
        save(self._trace.steps, self.home.run / "boot.jsonl")

    def thaw(self) -> None:
        """From outside, while it ends: the frozen do not even die, and its first process waits for them."""
        freezer = self._layout.of("freezer")
        if freezer and freezer.version == 1:
            self._trace.perform("down", ThawAll(freezer.directory(self._base)), actor="keeper")

    def take_back(self) -> None:
        """From outside, when the first process is gone: what the kernel does not throw away by itself.

        Everything is attempted; the first refusal is raised at the end, and what was refused stays claimed.
        """
        if not self._held:
            return
        refused = _take_back(self._held.claim, self._trace)
        if refused:
            raise refused[0]
        self._held.release(self._trace)

    def _perform(self, plan: list[Operation]) -> None:
        actor = "keeper" if os.getpid() != 1 else "init"
        for operation in plan:
            self._trace.perform("boot", operation, actor=actor)


def sweep(trace: Trace) -> list[Claim]:
    """Take back what killed hosts have left, of whatever home; their claims. What is refused stays claimed."""
    return claims.sweep(lambda claim: not _take_back(claim, trace), trace)


def _take_back(claim: Claim, trace: Trace) -> list[OSError]:
    """Attempt all of it; what was refused."""
    refused: list[OSError] = []
    for operation in claim.removal():
        try:
            trace.perform("down", operation, actor="keeper")
        except OSError as error:
            if error.errno not in GONE:
                refused.append(error)
    return refused


def _hierarchies(layout: Layout) -> list[Hierarchy]:
    """Those in which containers' cgroups are made."""
    wanted = (layout.of(controller) for controller in (*cgroup.TRACKED, *cgroup.LIMITING))
    return list(dict.fromkeys(hierarchy for hierarchy in wanted if hierarchy))


def _inside_cgroups(layout: Layout, base: str) -> list[Operation]:
    plan: list[Operation] = []
    for hierarchy in _hierarchies(layout):
        place = hierarchy.directory(f"{base}/{INSIDE}")
        plan.append(MakeCgroup(place))
        if hierarchy.version == 1 and "cpuset" in hierarchy.controllers:
            plan.append(InheritCpuset(place))
    return plan


def _view(layout: Layout, base: str) -> list[Operation]:
    """The host's own view of processes, devices and cgroups."""
    plan: list[Operation] = [SetPropagation("/", "rprivate")]
    plan += [JoinCgroup(h.directory(f"{base}/{INSIDE}")) for h in _hierarchies(layout) if h.version == 1]
    # Only now: the cgroups a process is in become the roots that it sees, cgroup_namespaces(7).
    plan.append(Unshare(("cgroup",)))
    plan.append(Mount("proc", "proc", "/proc", ("nosuid", "noexec", "nodev")))
    plan.append(Mount("sysfs", "sysfs", "/sys", ("nosuid", "noexec", "nodev")))
    found = _hierarchies(layout)
    if [h.version for h in found] == [2] and found[0].mount_point == "/sys/fs/cgroup":
        return [*plan, Mount("cgroup2", "cgroup", "/sys/fs/cgroup", ("nosuid", "noexec", "nodev"))]
    plan.append(Mount("tmpfs", "tmpfs", "/sys/fs/cgroup", ("nosuid", "noexec", "nodev", "mode=755")))
    for hierarchy in found:
        place = f"/sys/fs/cgroup/{hierarchy.name}"
        kind, data = ("cgroup", (",".join(hierarchy.controllers),)) if hierarchy.version == 1 else ("cgroup2", ())
        plan.append(MakeDirectory(place))
        plan.append(Mount(kind, "cgroup", place, ("nosuid", "noexec", "nodev", *data)))
    return plan


def _start(cable: Cable | None) -> list[Operation]:
    """What a machine does when it starts: its name, its loopback, its way out."""
    plan: list[Operation] = [SetHostname(NAME), SetLinkUp("lo")]
    plan += [WriteFile(path, value) for path, value in SWITCHES.items()]
    return plan + (cable.inside() if cable else [])
