"""What a container's process may do: Docker's capabilities, and the order in which rights are given up."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from kernelkit.errors import InvalidRequest
from kernelkit.kernel.capability import NAMES, NUMBERS
from kernelkit.kernel.keyctl import JoinSessionKeyring
from kernelkit.kernel.prlimit import SetOomScoreAdjustment, SetRlimit
from kernelkit.kernel.seccomp import LoadSeccomp
from kernelkit.kernel.setpriv import (
    DropBounding,
    KeepCapabilities,
    RaiseAmbient,
    SetCapabilities,
    SetGroup,
    SetGroups,
    SetNoNewPrivileges,
    SetUser,
)
from kernelkit.trace import Operation

# Docker documentation, "Runtime privilege and Linux capabilities": those a container has without being asked.
DEFAULT = tuple(
    f"CAP_{name}"
    for name in (
        "CHOWN DAC_OVERRIDE FSETID FOWNER MKNOD NET_RAW SETGID SETUID SETFCAP SETPCAP NET_BIND_SERVICE SYS_CHROOT KILL "
        "AUDIT_WRITE"
    ).split()
)
ALL = "ALL"


def capabilities(
    cap_add: Iterable[str], cap_drop: Iterable[str], privileged: bool, bounding: frozenset[str]
) -> tuple[str, ...]:
    """The capabilities that `--cap-add`, `--cap-drop` and `--privileged` leave a container, of those the machine has.

    Names are as Docker takes them: any case, with or without `CAP_`, or `ALL`. InvalidRequest, in Docker's words, for a
    name that is none, and for one asked for by name that this machine cannot give.
    """
    added = _normalized("CapAdd", cap_add, bounding)
    dropped = _normalized("CapDrop", cap_drop, frozenset(NAMES))
    if privileged:
        return tuple(name for name in NAMES if name in bounding)
    if ALL in added:
        return tuple(name for name in NAMES if name in bounding and name not in dropped)
    kept = () if ALL in dropped else tuple(c for c in DEFAULT if c in bounding and c not in dropped)
    return tuple(dict.fromkeys((*kept, *added)))


def missing(bounding: frozenset[str]) -> tuple[str, ...]:
    """What a privileged container would lack on this machine."""
    return tuple(name for name in NAMES if name not in bounding)


def privileges(process: Mapping[str, Any], seccomp: bytes | None, bounding: frozenset[str]) -> list[Operation]:
    """Give up, in order, what the OCI `process` (config.md, Process) does not have; the program itself comes next.

    `seccomp` is the compiled filter; `bounding` what this process could have until now.
    """
    user, held = process["user"], process.get("capabilities") or {}
    quiet = bool(process.get("noNewPrivileges"))
    sets = {name: tuple(held.get(name) or ()) for name in ("effective", "permitted", "inheritable", "ambient")}
    dropped = tuple(c for c in NAMES if c in bounding and c not in (held.get("bounding") or ()))

    plan: list[Operation] = [SetRlimit(r["type"], r["soft"], r["hard"]) for r in process.get("rlimits") or ()]
    if process.get("oomScoreAdj"):
        plan.append(SetOomScoreAdjustment(process["oomScoreAdj"]))
    plan.append(JoinSessionKeyring())  # before the filter, which refuses keyctl
    if quiet:
        plan.append(SetNoNewPrivileges())
    elif seccomp:
        # Without no_new_privs a filter takes CAP_SYS_ADMIN, so it must be loaded while we still have that.
        plan.append(LoadSeccomp(seccomp))
    if dropped:
        plan.append(DropBounding(dropped))
    if user["uid"] and (sets["permitted"] or sets["ambient"]):
        plan.append(KeepCapabilities())
    plan.append(SetGroups(tuple(user.get("additionalGids") or ())))
    plan += [SetGroup(user["gid"]), SetUser(user["uid"])]
    plan.append(SetCapabilities(sets["effective"], sets["permitted"], sets["inheritable"]))
    if sets["ambient"]:
        plan.append(RaiseAmbient(sets["ambient"]))
    if quiet and seccomp:
        # With no_new_privs it can come last, and then need not allow what the lines above do.
        plan.append(LoadSeccomp(seccomp))
    return plan


def _normalized(field: str, names: Iterable[str], available: frozenset[str]) -> list[str]:
    found = []
    for given in names:
        name = given.upper()
        if name != ALL:
            name = name if name.startswith("CAP_") else f"CAP_{name}"
            if name not in NUMBERS:
                raise InvalidRequest(f'invalid {field}: unknown capability: "{name}"')
            if name not in available:
                why = "capability not supported by your kernel or not available in the current environment"
                raise InvalidRequest(f'invalid {field}: {why}: "{name}"')
        found.append(name)
    return found
