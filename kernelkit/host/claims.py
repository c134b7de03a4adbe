"""What homes have on the real machine, noted before it is made: so that nothing stays, however a host ends.

    /run/kernelkit/MARK-NETWORK    a claim: the home, its cable, rules and cgroups, what the switch for forwarding was

A claim is locked by the host's keeper and, as they are forked from it, by its init and shims: flock(2).  One that
nobody has locked is what is left of a host that was killed, and anybody may take it back.  No name and no number of a
process is trusted: names can be alike, numbers come again.

The folder itself is the lock under which claims come and go.

With them goes the machine's switch for passing packets on: on while any home needs it, then as it was before, or as the
machine's own settings want it by then.  Who merely turns on what is on already leaves no trace that we could find.
"""

from __future__ import annotations

import contextlib
import fcntl
import glob
import json
import os
import re
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from kernelkit.container import nat
from kernelkit.container.cgroup import LEAF
from kernelkit.kernel import ip_show, nft_show
from kernelkit.kernel.cgroup import RemoveCgroup, RemoveEmptyCgroup
from kernelkit.kernel.cgroup_procs import KillCgroup, ThawAll
from kernelkit.kernel.files import WriteFile
from kernelkit.kernel.ip import DeleteLink
from kernelkit.kernel.mount import Unmount
from kernelkit.kernel.mount_volume import mounted_below
from kernelkit.trace import Operation, Trace

CLAIMS = Path("/run/kernelkit")
SWITCH = Path("/proc/sys/net/ipv4/ip_forward")
SETTINGS = (
    "/etc/sysctl.conf",
    "/etc/sysctl.d/*.conf",
    "/run/sysctl.d/*.conf",
    "/usr/lib/sysctl.d/*.conf",
)  # sysctl.d(5)
INITIAL_PIDS = str(0xEFFFFFFC)  # linux/proc_ns.h: the number of the namespace in which all processes are
SO_NETNS_COOKIE = 71  # asm-generic/socket.h; a number that no other network namespace ever gets, since Linux 5.14


@dataclass(frozen=True)
class Machine:
    """Where a claim's names mean something: the same network, processes and cgroups, since the same start."""

    boot: str
    network: str
    pids: str
    cgroups: str

    @classmethod
    def here(cls) -> Machine:
        """The machine as this process sees it."""
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        with socket.socket(socket.AF_UNIX) as any_socket:
            try:
                network = str(int.from_bytes(any_socket.getsockopt(socket.SOL_SOCKET, SO_NETNS_COOKIE, 8), "little"))
            except OSError:
                network = str(os.stat("/proc/self/ns/net").st_ino)
        return cls(boot, network, *(str(os.stat(f"/proc/self/ns/{kind}").st_ino) for kind in ("pid", "cgroup")))


@dataclass(frozen=True)
class Claim:
    """What one host has, or may have, on the real machine.

    `link` is the outer end of its cable, empty where the machine itself is the host; `cgroups` are directories;
    `forwarding` is what the switch was before anybody of ours needed it.
    """

    mark: str
    home: str
    table: str
    link: str
    cgroups: tuple[str, ...]
    forwarding: str = ""
    keeper: int = field(default_factory=os.getpid)  # and `since`: for people, nothing relies on them
    since: float = field(default_factory=time.time)
    machine: Machine = field(default_factory=Machine.here)

    @property
    def path(self) -> Path:
        """Where it is noted."""
        return CLAIMS / f"{self.mark}-{self.machine.network}"

    def removal(self) -> list[Operation]:
        """The plan that takes all of it back, when the host's first process is gone."""
        # Who is frozen does not even die.
        plan: list[Operation] = [ThawAll(place) for place in self.cgroups if os.path.exists(f"{place}/freezer.state")]
        if not self.link:  # then no kernel has ended who was in there, nor taken its mounts and links
            plan += [KillCgroup(directory) for directory in self.cgroups[:1]]
            plan += [Unmount(volume, lazy=True) for volume in mounted_below(f"{self.home}/volumes")]
            bridges = nft_show.elements(self.table, "bridges")
            # The kernel takes a container's cable with its namespace, but in its own time, and not while somebody
            # looks into that.
            plan += [DeleteLink(link.name) for link in ip_show.links() if link.master in bridges]
            plan += [DeleteLink(bridge) for bridge in bridges]
        plan += nat.remove_table(self.table)
        plan += [DeleteLink(self.link)] if self.link else []
        plan += [RemoveCgroup(directory) for directory in self.cgroups]
        # Who had to make room in version 2 stays where that is; the root of the machine has no such file.
        homes = {os.path.dirname(directory) for directory in self.cgroups}
        leaves = [f"{home}/{LEAF}" for home in sorted(homes) if os.path.exists(f"{home}/cgroup.type")]
        return plan + [RemoveEmptyCgroup(leaf) for leaf in leaves]


@dataclass(frozen=True)
class Held:
    """A claim that is locked by this descriptor, in this process and those it forks."""

    claim: Claim
    file: int

    def release(self, trace: Trace) -> None:
        """To be called when all is taken back: the last one sets the switch back, as that is then needed no more."""
        with _alone():
            _give_back(self, trace)
        os.close(self.file)


def hold(claim: Claim, trace: Trace) -> Held | None:
    """Note a claim, lock it, and have the machine pass packets on; None while an earlier host of this home has it.

    Raises OSError when the claim cannot be noted, or the switch not be turned; then there is none.
    """
    with _alone():
        earlier = _open(claim.path)
        if earlier is None and claim.path.exists():
            return None
        before = [other.forwarding for other in _noted() if other.machine.network == claim.machine.network]
        claim = replace(claim, forwarding=before[0] if before else SWITCH.read_text().strip())
        held = _note(claim)
        if earlier is not None:
            os.close(earlier)
        try:
            _turn(trace, "boot", "1")
        except BaseException:
            if earlier is None:
                claim.path.unlink()
            os.close(held.file)
            raise
        return held


def left() -> list[Claim]:
    """The claims of this machine whose hosts were killed; none for who may not look."""
    try:
        found = list(_dead())
    except OSError:
        return []
    for held in found:
        os.close(held.file)
    return [held.claim for held in found]


def sweep(take_back: Callable[[Claim], bool], trace: Trace) -> list[Claim]:
    """Have `take_back` remove what killed hosts have left, and forget what it says is gone; those claims."""
    swept = []
    with _alone():
        for orphan in CLAIMS.glob("*.new"):  # who wrote it was killed before anything was made
            orphan.unlink()
        here = Machine.here()
        for claim in list(_noted()):
            if claim.machine.boot != here.boot or _is_no_more(claim, here):  # nothing of it has survived
                claim.path.unlink()
        for held in list(_dead()):
            try:
                if take_back(held.claim):
                    _give_back(held, trace)
                    swept.append(held.claim)
            finally:
                os.close(held.file)
    return swept


def _is_no_more(claim: Claim, here: Machine) -> bool:
    """Whether it was another machine's, of which no process is left; who does not see all processes cannot tell."""
    if claim.machine.network == here.network or here.pids != INITIAL_PIDS:
        return False
    file = _open(claim.path)
    if file is None:
        return False
    os.close(file)
    spaces = set()
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it has just ended
            spaces.add(str((process / "ns/pid").stat().st_ino))
    return claim.machine.pids not in spaces


def _give_back(held: Held, trace: Trace) -> None:
    """Forget a claim; the switch goes first, for without a claim nobody would know how it was."""
    claim = held.claim
    network = claim.machine.network
    others = [each for each in _noted() if each.machine.network == network and each.path != claim.path]
    if not others and claim.forwarding == "0" and not _wanted():
        _turn(trace, "down", "0")
    with contextlib.suppress(FileNotFoundError):
        if os.path.samestat(os.stat(claim.path), os.fstat(held.file)):
            claim.path.unlink()


def _turn(trace: Trace, stage: str, value: str) -> None:
    """Have the switch at this value; one that is there already is not touched."""
    if SWITCH.read_text().strip() != value:
        trace.perform(stage, WriteFile(os.fspath(SWITCH), value), actor="keeper")


def _wanted() -> bool:
    """Whether the machine's settings turn the switch on: somebody may have made them while it was on by us."""
    lines = (line for pattern in SETTINGS for name in glob.glob(pattern) for line in _lines(name))
    return any(re.fullmatch(r"-?net[./]ipv4[./]ip_forward\s*=\s*1", line.strip()) for line in lines)


def _lines(name: str) -> list[str]:
    try:
        return Path(name).read_text(errors="replace").splitlines()
    except OSError:
        return []


def _note(claim: Claim) -> Held:
    """Write a claim; it appears whole and locked."""
    new = claim.path.with_suffix(".new")
    file = os.open(new, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(file, fcntl.LOCK_EX)
        os.write(file, json.dumps(asdict(claim)).encode())
        os.rename(new, claim.path)
    except BaseException:
        os.close(file)
        raise
    return Held(claim, file)


def _dead() -> Iterator[Held]:
    """Claims of this machine that nobody holds; held by us from now on."""
    here = Machine.here()
    for claim in _noted():
        file = _open(claim.path) if claim.machine == here else None
        if file is not None:
            yield Held(claim, file)


def _noted() -> Iterator[Claim]:
    """All claims, held or not, of whatever machine."""
    for path in sorted(CLAIMS.glob("*-*[0-9]")):
        with contextlib.suppress(OSError, ValueError, TypeError, KeyError):  # what is no claim of ours is left alone
            found = json.loads(path.read_text())
            machine = Machine(**found.pop("machine"))
            yield Claim(**{**found, "cgroups": tuple(found["cgroups"])}, machine=machine)


def _open(path: Path) -> int | None:
    """A descriptor that has the claim there locked; None when it is not there, or somebody else has it."""
    try:
        file = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(file)
        return None
    return file


@contextlib.contextmanager
def _alone() -> Iterator[None]:
    """Be the only one among the claims; the folder is gone when there is none.

    Who waits for a folder that is removed meanwhile has locked what nobody else will find, and tries again.
    """
    while True:
        with contextlib.suppress(FileExistsError):
            os.mkdir(CLAIMS, 0o700)
        with contextlib.suppress(FileNotFoundError):
            folder = os.open(CLAIMS, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            fcntl.flock(folder, fcntl.LOCK_EX)
            if _is_there(folder):
                break
            os.close(folder)
    try:
        yield
    finally:
        with contextlib.suppress(OSError):  # it is not empty
            os.rmdir(CLAIMS)
        os.close(folder)


def _is_there(folder: int) -> bool:
    try:
        return os.path.samestat(os.stat(CLAIMS), os.fstat(folder))
    except FileNotFoundError:
        return False
