"""Looks at what this machine offers: each feature of the kernel is tried in namespaces that are thrown away at once."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from kernelkit.errors import Unavailable
from kernelkit.host import claims
from kernelkit.kernel import nft_show
from kernelkit.kernel.capability import NAMES, bounding
from kernelkit.kernel.files import MakeDirectory
from kernelkit.kernel.hierarchies import read_layout
from kernelkit.kernel.ip import AddBridge, AddVeth
from kernelkit.kernel.mount import Mount, SetPropagation
from kernelkit.kernel.nft import RunNft
from kernelkit.kernel.unshare import Unshare
from kernelkit.trace import Operation, Trace, explain

ATTEMPT = "make a practice host"
LIMITS = {
    "memory": "-m",
    "pids": "--pids-limit",
    "cpu": "--cpus, --cpu-shares",
    "cpuset": "--cpuset-cpus",
    "devices": "the list of devices a container may use",
    "freezer": "pause",
}
# Programs: what they are for, the Debian package that brings them.
TOOLS = (
    ("ip", "looking at links in the lessons", "iproute2"),
    ("nft", "looking at rules in the lessons", "nftables"),
    ("dot", "graphs drawn by graphviz; without it by a simpler hand", "graphviz"),
    ("mmdebstrap", "the embedded image debian", "mmdebstrap"),
    ("docker", "driving the engine with the stock client", "docker.io"),
)
MAPPERS = (("newuidmap", "uidmap"), ("newgidmap", "uidmap"))


@dataclass(frozen=True)
class Finding:
    """One thing that was looked for: what breaks without it, and how to get it."""

    name: str
    present: bool
    breaks: str
    remedy: str
    needed: bool = False
    detail: str = ""

    def line(self) -> str:
        """As `kernelkit doctor` prints it."""
        detail = f" ({self.detail})" if self.detail else ""
        if self.present:
            return f"✓ {self.name}{detail}"
        return f"{'✗' if self.needed else '–'} {self.name}{detail}: without it, no {self.breaks}; {self.remedy}"


def require() -> None:
    """Raise Unavailable with what is missing, if anything is without which no host could boot."""
    if os.geteuid() != 0:
        raise Unavailable(f"{ATTEMPT}: it takes root on this machine", "sudo, a virtual machine, or Dockerfile.dev")
    if "CAP_SYS_ADMIN" not in bounding():
        raise Unavailable(f"{ATTEMPT}: root lacks CAP_SYS_ADMIN here", "start this container with --privileged")
    for finding in _features():
        if not finding.present:
            raise Unavailable(f"{ATTEMPT}: this kernel has no {finding.name} ({finding.detail})", finding.remedy)


def examine() -> list[Finding]:
    """Everything, in the order in which it matters."""
    return [
        _python(),
        _root(),
        *_features(),
        *_firewalls(),
        *_cgroups(),
        *_capabilities(),
        *_ids(),
        *_tools(),
        *_left(),
    ]


def _python() -> Finding:
    version = ".".join(map(str, sys.version_info[:3]))
    return Finding("Python 3.11", sys.version_info >= (3, 11), "kernelkit", "install python3.11", True, version)


def _root() -> Finding:
    return Finding("root", os.geteuid() == 0, "practice host", "use sudo or a virtual machine", needed=True)


def _features() -> list[Finding]:
    if os.geteuid() != 0:
        return []
    modules = "a kernel with CONFIG_{0}, or `modprobe {1}`"
    spaces = {"mount": "MNT", "uts": "UTS", "ipc": "IPC", "pid": "PID", "net": "NET", "cgroup": "CGROUP"}
    found = [
        _try(f"{kind} namespace", "container", f"a kernel with CONFIG_{word}_NS", [Unshare((kind,))])
        for kind, word in spaces.items()
    ]
    with tempfile.TemporaryDirectory() as folder:
        sheets = [MakeDirectory(f"{folder}/t/{name}") for name in ("lower", "upper", "work", "merged")]
        options = tuple(f"{name}dir={folder}/t/{name}" for name in ("lower", "upper", "work"))
        private: list[Operation] = [Unshare(("mount",)), SetPropagation("/", "rprivate"), MakeDirectory(f"{folder}/t")]
        private.append(Mount("tmpfs", "tmpfs", f"{folder}/t"))
        overlay: list[Operation] = [*private, *sheets, Mount("overlay", "overlay", f"{folder}/t/merged", options)]
        found.append(_try("overlayfs", "read-write layer", modules.format("OVERLAY_FS", "overlay"), overlay))
    own: list[Operation] = [Unshare(("net",))]
    found += [
        _try("veth", "cable", modules.format("VETH", "veth"), [*own, AddVeth("kka", "kkb")]),
        _try("bridge", "bridge", modules.format("BRIDGE", "bridge"), [*own, AddBridge("kkc")]),
        _try("nftables", "NAT", modules.format("NF_TABLES", "nf_tables"), [*own, RunNft("add table ip kernelkit")]),
    ]
    return found


def _try(name: str, breaks: str, remedy: str, plan: Sequence[Operation]) -> Finding:
    """Perform a plan in a child that ends at once, and its namespaces with it."""
    why = _in_child(lambda: _perform(plan))
    return Finding(name, not why, breaks, remedy, needed=True, detail=why)


def _perform(plan: Sequence[Operation]) -> None:
    trace = Trace()
    for operation in plan:
        trace.perform("doctor", operation)


def _in_child(work: Callable[[], None]) -> str:
    """Do the work in a fork; empty when it went well, else why not."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            work()
        except BaseException as error:
            os.write(write, explain(error).encode())
        finally:
            os._exit(0)
    os.close(write)
    with open(read, "rb") as pipe:
        why = pipe.read().decode()
    os.waitpid(pid, 0)
    return why


def _firewalls() -> list[Finding]:
    """Docker and ufw have the machine drop what it is asked to pass on; then nothing of ours gets out either."""
    dropping = nft_show.dropping("forward")
    detail = f"dropped by {', '.join(dropping)}" if dropping else ""
    remedy = "iptables -I FORWARD -i kk+ -j ACCEPT; iptables -I FORWARD -o kk+ -j ACCEPT"
    return [Finding("packets passed on by this machine", not dropping, "way out for containers", remedy, detail=detail)]


def _cgroups() -> list[Finding]:
    layout = read_layout()
    found = [Finding("cgroups", bool(layout.hierarchies), "limits", "mount /sys/fs/cgroup", detail=layout.mode)]
    for controller, what in LIMITS.items():
        remedy = f"boot with cgroup_enable={controller}, or have it delegated to this cgroup"
        found.append(Finding(f"cgroup controller {controller}", layout.of(controller) is not None, what, remedy))
    found.append(Finding("swap accounting", layout.swap, "--memory-swap", "boot with swapaccount=1"))
    return found


def _capabilities() -> list[Finding]:
    missing = [name for name in NAMES if name not in bounding()]
    detail = f"missing: {', '.join(missing)}" if missing else ""
    remedy = "start this machine or container with them"
    return [Finding("all capabilities", not missing, "--cap-add or --privileged with them", remedy, detail=detail)]


def _ids() -> list[Finding]:
    found = []
    for program, package in MAPPERS:
        what = "practice host for users who are not root"
        found.append(Finding(program, shutil.which(program) is not None, what, f"apt install {package}"))
    for file in ("/etc/subuid", "/etc/subgid"):
        what = "more than one user inside a practice host of theirs"
        found.append(Finding(f"ranges in {file}", os.path.exists(file), what, "usermod --add-subuids"))
    return found


def _left() -> list[Finding]:
    """What killed hosts have left on the machine; the next one that goes up or down takes it back."""
    left = claims.left()
    homes = f"left by a killed one: {', '.join(sorted(claim.home for claim in left))}" if left else ""
    return [Finding("nothing left by practice hosts", not left, "tidy machine", "kernelkit down", detail=homes)]


def _tools() -> list[Finding]:
    path = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
    return [
        Finding(name, shutil.which(name, path=path) is not None, what, f"apt install {package}")
        for name, what, package in TOOLS
    ]
