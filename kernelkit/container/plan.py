"""What Docker actually does at `run`: one container's start, from its specification to the last operation.

    create      the engine sets limits, init forks a shim, the shim clones the container's first process
    filesystem  a place for the new file tree, and mounts that nobody else sees
    rw-layer    the layers stacked, a writable sheet on top; what belongs into the tree mounted into it
    interface   a cable from the bridge to the container
    ip          its address and routes
    nat         its address let out, the published ports led in
    exec        the new root entered, rights given up, the program executed

From the clone on, one process performs everything, in this order.  It stands in the container's namespaces from its
first instant and reaches the host's network through sockets that were opened before.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kernelkit.container import cgroup, nat, network, rootfs, security
from kernelkit.container.cgroup import Layout
from kernelkit.container.nat import Publication
from kernelkit.container.network import Endpoint
from kernelkit.container.overlay import Stack, allocate, stack
from kernelkit.kernel.files import ChangeDirectory, WriteFile
from kernelkit.kernel.hostname import SetDomainname, SetHostname
from kernelkit.kernel.mount import MakeMountPoint
from kernelkit.kernel.process import (
    Clone,
    ConnectStdio,
    Exec,
    ForbidTracing,
    Fork,
    OpenTerminal,
    StartSession,
    StayAsInit,
)
from kernelkit.kernel.unshare import JoinNamespace, Unshare
from kernelkit.trace import Operation, Stage

SYNC, STDIN, STDOUT, STDERR = 3, 4, 5, 6  # the descriptors a shim promises its child

# OCI's names for namespaces -> unshare(1)'s.
KINDS = {"mount": "mount", "network": "net", "uts": "uts", "pid": "pid", "ipc": "ipc", "user": "user"}


@dataclass(frozen=True)
class Inputs:
    """What a start needs to know beside the specification."""

    spec: Mapping[str, Any]
    stack: Stack
    layout: Layout
    bounding: frozenset[str]  # capabilities this machine can give
    seccomp: bytes | None = None  # the compiled filter
    etc: Mapping[str, str] | None = None  # path -> content of hosts, hostname, resolv.conf
    files: frozenset[str] = frozenset()  # destinations of bind mounts whose source is a file
    beside: tuple[Operation, ...] = ()  # for volumes that are file systems, and others who are linked to it
    endpoints: tuple[Endpoint, ...] = ()
    publications: tuple[Publication, ...] = ()
    stdin: bool = False
    window: tuple[int, int] = (0, 0)  # rows, columns of the terminal
    parents: tuple[str, ...] = ()  # cgroups above the container's, which may have to be made, the outermost first
    init: bool = False  # whether process 1 stays what it is and the program becomes its child: `--init`


def start(inputs: Inputs) -> list[Stage]:
    """The whole start, in order."""
    spec, linux, root = inputs.spec, inputs.spec["linux"], inputs.stack.merged
    process = spec["process"]
    new = {n["type"] for n in linux["namespaces"] if "path" not in n}
    joined = {n["type"]: n["path"] for n in linux["namespaces"] if "path" in n}
    return [
        Stage("create", "engine", "host", (*_files(inputs), *inputs.beside, *_limits(inputs))),
        Stage("create", "init", "host", (Fork("shim"),)),
        Stage("create", "shim", "host", _clone(linux, inputs.layout, new, joined)),
        Stage("create", "container", "container", (*_identity(spec, inputs, new, joined),)),
        Stage("filesystem", "container", "container", (*rootfs.isolate(), *allocate(inputs.stack))),
        Stage("rw-layer", "container", "container", (*stack(inputs.stack), *_tree(inputs, root))),
        *_network(inputs),
        Stage("exec", "container", "container", tuple(_enter(inputs, root, process))),
    ]


def usual_clone(layout: Layout) -> Operation | None:
    """The clone of an ordinary container, which can be performed before anybody asks for one; None where it cannot.

    On a machine with cgroup version 2 alone every container's first process is born in that container's own cgroup.
    """
    born_elsewhere = bool(cgroup.birthplace(layout, "", {}))
    return None if born_elsewhere else Clone(tuple(kind for kind in KINDS.values() if kind != "user"))


def stop(
    layout: Layout, cgroup_path: str, publications: Sequence[Publication], addresses: Sequence[str], table: str
) -> list[Stage]:
    """What is left to undo when the last process has gone: the kernel has thrown away its mounts, links and routes.

    `addresses` are those that the `table` of rules lets out.
    """
    return [
        Stage("nat", "engine", "host", (*nat.unpublish(publications), *nat.keep_in(addresses, table))),
        Stage("create", "engine", "host", tuple(cgroup.teardown(layout, cgroup_path))),
    ]


def _files(inputs: Inputs) -> list[Operation]:
    return [WriteFile(path, content) for path, content in (inputs.etc or {}).items()]


def _limits(inputs: Inputs) -> list[Operation]:
    linux = inputs.spec["linux"]
    return cgroup.limits(linux["resources"], inputs.layout, linux["cgroupsPath"], inputs.parents)


def _join(linux: Mapping[str, Any], layout: Layout) -> list[Operation]:
    return cgroup.join(layout, linux["cgroupsPath"], linux["resources"])


def _clone(linux: Mapping[str, Any], layout: Layout, new: set[str], joined: Mapping[str, str]) -> tuple[Operation, ...]:
    place = cgroup.birthplace(layout, linux["cgroupsPath"], linux["resources"])
    kinds = tuple(ours for theirs, ours in KINDS.items() if theirs in new)
    if "pid" not in joined:
        return (Clone(kinds, place),)
    # setns(2) on a pid namespace is about the children made next: go in, make the child, come back.
    return (JoinNamespace("pid", joined["pid"]), Clone(kinds, place), JoinNamespace("pid", "/proc/self/ns/pid"))


def _identity(spec: Mapping[str, Any], inputs: Inputs, new: set[str], joined: Mapping[str, str]) -> list[Operation]:
    plan: list[Operation] = [*_join(spec["linux"], inputs.layout)]
    if "cgroup" in new:
        # Only now: the root of the new namespace is the cgroup that the process is in, cgroup_namespaces(7).
        plan.append(Unshare(("cgroup",)))
    plan += [JoinNamespace(KINDS.get(kind, kind), path) for kind, path in joined.items() if kind != "pid"]
    plan.append(StartSession())
    if "uts" in new:
        plan.append(SetHostname(spec["hostname"]))
        if spec.get("domainname"):
            plan.append(SetDomainname(spec["domainname"]))
    return plan


def _tree(inputs: Inputs, root: str) -> list[Operation]:
    linux = inputs.spec["linux"]
    return [
        *rootfs.mounts(
            inputs.spec["mounts"],
            root,
            files=inputs.files,
            hierarchies=cgroup.mounted(inputs.layout, linux["resources"]),
            devices=linux["devices"],
        ),
        *_sysctl(linux, root),  # before /proc/sys turns read-only
        *rootfs.conceal(linux["maskedPaths"], linux["readonlyPaths"], root),
        *_workplace(inputs.spec, root),  # before all of it may
    ]


def _network(inputs: Inputs) -> list[Stage]:
    if not any(n["type"] == "network" and "path" not in n for n in inputs.spec["linux"]["namespaces"]):
        return []
    interfaces = [op for endpoint in inputs.endpoints for op in network.interface(endpoint)]
    let_out = [op for e in inputs.endpoints if e.table for op in nat.let_out([e.address.partition("/")[0]], e.table)]
    return [
        Stage("interface", "container", "host", tuple(interfaces)),
        Stage("ip", "container", "container", tuple(network.addresses(inputs.endpoints))),
        Stage("nat", "container", "host", (*let_out, *nat.publish(inputs.publications))),
    ]


def _workplace(spec: Mapping[str, Any], root: str) -> list[Operation]:
    """The working directory of a container whose files cannot be changed once it is in there."""
    wanted = spec["root"].get("readonly") and spec["process"]["cwd"] != "/"
    return [MakeMountPoint(spec["process"]["cwd"], directory=True, root=root)] if wanted else []


def _sysctl(linux: Mapping[str, Any], root: str) -> list[Operation]:
    return [
        WriteFile(f"{root}/proc/sys/{name.replace('.', '/')}", value) for name, value in linux.get("sysctl", {}).items()
    ]


def _enter(inputs: Inputs, root: str, process: Mapping[str, Any]) -> list[Operation]:
    plan = rootfs.enter(root, readonly=bool(inputs.spec["root"].get("readonly")))
    if process["terminal"]:
        plan.append(OpenTerminal("/dev/pts", "/dev/console", SYNC, *inputs.window))
    else:
        plan.append(ConnectStdio(STDIN if inputs.stdin else -1, STDOUT, STDERR))
    plan.append(ChangeDirectory(process["cwd"], make=True))
    if inputs.init or not any(n == {"type": "pid"} for n in inputs.spec["linux"]["namespaces"]):
        plan.append(ForbidTracing())  # others are there to see us with the container's rights and not yet its program
    plan += security.privileges(process, inputs.seccomp, inputs.bounding)
    if inputs.init:
        plan.append(StayAsInit(tuple(process["args"])))
    plan.append(Exec(tuple(process["args"]), tuple(process["env"])))
    return plan


def host_sockets(inputs: Inputs) -> bool:
    """Whether the plan speaks to the host's network namespace from inside the container's."""
    return bool(inputs.endpoints or inputs.publications)
