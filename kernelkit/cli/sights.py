"""What the kernel shows after each of the eight steps of a run: asked with ordinary tools, in the host."""

from __future__ import annotations

from kernelkit.cli import jsontext
from kernelkit.cli.http import ApiError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from kernelkit.cli.http import Client

    Step = dict[str, Any]
    Sight = Callable[["Eyes"], str]

LET_OUT = "masqueraded"  # the set of addresses that go out under the host's
NAMESPACES = ("mnt", "uts", "ipc", "net", "pid")


class Unseen(Exception):
    """The kernel does not show what the step should have done; what was looked for, and what was there."""


class Eyes:
    """Looks at the kernel: a client of the engine, the container that is being made, and its first process.

    `pid` is that process as the practice host numbers it, 0 while there is none; `plan` what was to be done.
    """

    def __init__(self, client: Client) -> None:
        facts = client.get("/kernelkit/host")
        self.client = client
        self.home = str(facts["home"])
        self.table = str(facts["table"])
        self.container = ""
        self.image = ""
        self.pid = 0
        self.plan: list[Step] = []

    def tool(self, *words: str) -> str:
        """What a tool of the host prints; empty when it fails."""
        answer = self.client.post("/kernelkit/shell", None, {"args": list(words)})
        return "" if answer["code"] else str(answer["stdout"])

    def inside(self, *words: str) -> str:
        """What a tool of the host prints in the network of the container."""
        return self.tool("nsenter", "-t", str(self.pid), "-n", *words)

    def field(self, operation: str, name: str) -> str:
        """A field of the first planned operation of this name; empty when there is none."""
        for step in self.plan:
            if step["operation"] == operation:
                return str(step["fields"].get(name, ""))
        return ""

    @property
    def folder(self) -> str:
        """The container's folder."""
        return f"{self.home}/containers/{self.container}"


def pulled(eyes: Eyes) -> str:
    """Every layer of the image lies unpacked on the disk."""
    layers = eyes.client.get(f"/images/{eyes.image}/json")["RootFS"]["Layers"]
    folders = [f"{eyes.home}/layers/{layer.partition(':')[2]}" for layer in layers]
    missing = [folder for folder in folders if not eyes.tool("ls", "-A", folder)]
    if missing or not folders:
        raise Unseen(f"no layer is unpacked at {', '.join(missing) or eyes.home + '/layers'}")
    sizes = [eyes.tool("du", "-sh", folder).split("\t")[0] for folder in folders]
    return f"{len(folders)} layers, unpacked as folders of {' and '.join(sizes)} in {eyes.home}/layers"


def created(eyes: Eyes) -> str:
    """A process in namespaces of its own, in cgroups of its own, on a machine of another name."""
    ours = {kind: eyes.tool("readlink", f"/proc/1/ns/{kind}") for kind in NAMESPACES}
    theirs = {kind: eyes.tool("readlink", f"/proc/{eyes.pid}/ns/{kind}") for kind in NAMESPACES}
    shared = [kind for kind in NAMESPACES if not theirs[kind] or ours[kind] == theirs[kind]]
    if shared:
        raise Unseen(f"process {eyes.pid} still shares the namespaces {', '.join(shared)} with the host")
    groups = eyes.tool("cat", f"/proc/{eyes.pid}/cgroup")
    if eyes.container not in groups:
        raise Unseen(f"process {eyes.pid} is in no cgroup of its own")
    name = eyes.tool("nsenter", "-t", str(eyes.pid), "-u", "hostname").strip()
    if name != eyes.container[:12]:
        raise Unseen(f"the machine is called '{name}' there, not '{eyes.container[:12]}'")
    return f"process {eyes.pid}: its own {' '.join(NAMESPACES)} namespaces and cgroups, on a machine called {name}"


def furnished(eyes: Eyes) -> str:
    """Folders for what will be written, and mounts that nobody else sees."""
    folders = [f"{eyes.folder}/{name}" for name in ("upper", "work", "merged")]
    missing = [folder for folder in folders if not eyes.tool("ls", "-d", folder)]
    if missing:
        raise Unseen(f"not there: {', '.join(missing)}")
    mounts = eyes.tool("cat", f"/proc/{eyes.pid}/mountinfo")
    if not mounts or any(" shared:" in line for line in mounts.splitlines()):
        raise Unseen(f"mounts of process {eyes.pid} still spread to others (proc(5), mountinfo: shared)")
    return f"upper, work and merged are in {eyes.folder[: len(eyes.home) + 24]}…; no mount of it spreads"


def layered(eyes: Eyes) -> str:
    """An overlay of the image's layers with a sheet on top, mounted for the container alone."""
    line = _overlay(eyes, eyes.pid)
    if not line:
        raise Unseen("no overlay is mounted in the container's mount namespace")
    if _overlay(eyes, 1):
        raise Unseen("the overlay is mounted in the host as well")
    options = dict(option.partition("=")[::2] for option in line.split()[-1].split(","))
    below = [folder for key in options if key.startswith("lowerdir") for folder in options[key].split(":")]
    count = sum(folder.startswith(f"{eyes.home}/layers/") for folder in below)
    places = " and one of empty places to mount on" if len(below) > count else ""
    return f"overlay at …/merged: the image's {count} layers{places} below, upperdir on top; the host has no such mount"


def _overlay(eyes: Eyes, pid: int) -> str:
    mounts = eyes.tool("cat", f"/proc/{pid}/mountinfo").splitlines()
    return next((line for line in mounts if " - overlay " in line and eyes.container in line), "")


def cabled(eyes: Eyes) -> str:
    """A cable with one end in the bridge and the other, eth0, in the container."""
    cable = eyes.field("AddVeth", "name")
    bridge = eyes.field("SetMaster", "bridge")
    outer = _json(eyes.tool("ip", "-json", "link", "show", "dev", cable)) if cable else []
    if not outer or outer[0].get("master") != bridge:
        raise Unseen(f"the host has no cable '{cable}' in a bridge '{bridge}'")
    if not eyes.inside("ip", "link", "show", "dev", "eth0"):
        raise Unseen("the container has no eth0")
    return f"{cable} is in the bridge {bridge}; its other end is eth0 in the container"


def addressed(eyes: Eyes) -> str:
    """An address at eth0, which is up, and a way to everywhere else."""
    links = _json(eyes.inside("ip", "-json", "-4", "address", "show", "dev", "eth0"))
    wanted = eyes.field("AddAddress", "address")
    found = [f"{one['local']}/{one['prefixlen']}" for link in links for one in link.get("addr_info", [])]
    if not found or (wanted and wanted not in found):
        raise Unseen(f"eth0 has {', '.join(found) or 'no address'}, not {wanted}")
    routes = _json(eyes.inside("ip", "-json", "route", "show", "default"))
    if not routes:
        raise Unseen("the container has no default route")
    return f"eth0 has {found[0]}; everything else goes through {routes[0]['gateway']}"


def translated(eyes: Eyes) -> str:
    """A rule that leads the published port inside, and one that hides the container's address outside."""
    address = eyes.field("AddAddress", "address").partition("/")[0]
    table = eyes.tool("nft", "list", "table", "ip", eyes.table)
    line = next((line.strip() for line in table.splitlines() if address and f"{address} . 80" in line), "")
    if not line:
        raise Unseen(f"no map of the table {eyes.table} leads to {address} port 80 (nft list table ip {eyes.table})")
    if f"saddr @{LET_OUT}" not in table or "masquerade" not in table:
        raise Unseen(f"nothing in the table {eyes.table} masquerades what those in the set {LET_OUT} send out")
    let_out = eyes.tool("nft", "list", "set", "ip", eyes.table, LET_OUT).partition("elements")[2]
    if address not in let_out.replace(",", " ").split():
        raise Unseen(f"{address} is not in the set {LET_OUT} (nft list set ip {eyes.table} {LET_OUT})")
    element = next((part for part in line.replace("elements = {", "").split(",") if address in part), line)
    return f"nft: {element.strip(' }')}; {address} is in the set {LET_OUT}: it goes out under the host's address"


def executed(eyes: Eyes) -> str:
    """The program itself, in the container's root, with few rights and a filter."""
    program = eyes.tool("cat", f"/proc/{eyes.pid}/comm").strip()
    if program != "bash":
        raise Unseen(f"process {eyes.pid} runs '{program}', not bash")
    root = eyes.tool("cat", f"/proc/{eyes.pid}/mountinfo").splitlines()
    if not any(line.split()[4] == "/" and " - overlay " in line for line in root):
        raise Unseen("its root is not the overlay")
    status = dict(line.partition(":")[::2] for line in eyes.tool("cat", f"/proc/{eyes.pid}/status").splitlines())
    if status.get("Seccomp", "").strip() != "2":
        raise Unseen("no filter of system calls is in force")
    count = bin(int(status.get("CapEff", "0").strip() or "0", 16)).count("1")
    inner = status.get("NSpid", "").split()[-1:]
    return f"process {eyes.pid} is bash, process {''.join(inner)} inside; {count} capabilities, system calls filtered"


def _json(text: str) -> list[Any]:
    try:
        return [one for one in jsontext.decode(text or "[]") if one]
    except ValueError:
        return []


def look(sight: Sight, eyes: Eyes) -> tuple[bool, str]:
    """(seen, what was seen or what was missing)."""
    try:
        return True, sight(eyes)
    except Unseen as unseen:
        return False, str(unseen)
    except (ApiError, KeyError, IndexError, ValueError) as error:
        return False, f"could not look: {error}"
