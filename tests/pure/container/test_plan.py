"""The plan of a start: which stages there are, and what must come before what."""

from __future__ import annotations

from typing import Any

from kernelkit.container import plan
from kernelkit.container.overlay import Stack
from kernelkit.container.spec import Facts, User, config
from kernelkit.kernel.capability import NAMES
from kernelkit.kernel.cgroup import JoinCgroup
from kernelkit.kernel.files import ChangeDirectory, WriteFile
from kernelkit.kernel.hierarchies import Layout
from kernelkit.kernel.hostname import SetHostname
from kernelkit.kernel.mount import MakeMountPoint, MaskPath, PivotRoot, ProtectPath, SetPropagation, ShareMount
from kernelkit.kernel.mount_volume import MountVolume
from kernelkit.kernel.process import Clone, Exec, ForbidTracing, Fork, OpenTerminal, StayAsInit
from kernelkit.kernel.seccomp import LoadSeccomp
from kernelkit.kernel.setpriv import SetCapabilities, SetUser
from kernelkit.kernel.unshare import JoinNamespace
from kernelkit.trace import Operation

FILTER = b"\x06\x00\x00\x00\x00\x00\xff\x7f"


def operations(
    settings: dict[str, Any] | None = None, host: dict[str, Any] | None = None, **more: Any
) -> list[Operation]:
    """All operations of a start on a machine without cgroups, in order."""
    beyond = {key: more.pop(key) for key in ("init", "beside") if key in more}
    given: dict[str, Any] = {
        "id": "c0ffee", "hostname": "me", "root": "/c/merged", "user": User(), "capabilities": ("CAP_CHOWN",),
        "cgroup_path": "containers/c0ffee", **more,
    }  # fmt: skip
    host = {"Privileged": True, "MaskedPaths": ["/proc/keys"], "ReadonlyPaths": ["/proc/sys"], **(host or {})}
    spec = config({"Cmd": ["true"], **(settings or {})}, host, Facts(**given))
    spec["linux"] |= {"maskedPaths": ["/proc/keys"], "readonlyPaths": ["/proc/sys"]}
    inputs = plan.Inputs(spec, Stack(("/layers/a",), "/c"), Layout(()), frozenset(NAMES), FILTER, **beyond)
    stages = plan.start(inputs)
    assert [s.name for s in stages] == sorted((s.name for s in stages), key=plan_order)
    return [operation for stage in stages for operation in stage.operations]


def plan_order(name: str) -> int:
    return ("create", "filesystem", "rw-layer", "interface", "ip", "nat", "exec").index(name)


def place(found: list[Operation], kind: type) -> int:
    return next(i for i, operation in enumerate(found) if isinstance(operation, kind))


def test_a_start_ends_with_the_program() -> None:
    found = operations()

    assert isinstance(found[-1], Exec)
    assert found[-1].arguments == ("true",)
    assert [type(op) for op in found if isinstance(op, Fork | Clone)] == [Fork, Clone]


def test_things_are_done_while_there_is_the_right_to_do_them() -> None:
    found = operations()
    order = [SetHostname, SetPropagation, WriteFile, MaskPath, ProtectPath, PivotRoot, LoadSeccomp, SetUser]

    assert [place(found, kind) for kind in order] == sorted(place(found, kind) for kind in order)
    assert place(found, SetUser) < place(found, SetCapabilities) < place(found, Exec)


def test_alone_in_its_pid_namespace_a_process_need_not_hide() -> None:
    assert not [op for op in operations() if isinstance(op, ForbidTracing)]


def test_among_others_it_hides_before_it_has_their_rights() -> None:
    for more in ({"joined": {"pid": 7}}, {"shared": frozenset(("pid",))}, {"init": True}):
        found = operations(**more)
        assert place(found, ForbidTracing) < place(found, SetCapabilities)


def test_an_init_stays_when_all_rights_are_given_up() -> None:
    found = operations(init=True)

    assert found[-2] == StayAsInit(("true",))
    assert place(found, SetCapabilities) < place(found, StayAsInit)


def test_a_pid_namespace_is_joined_around_the_clone_which_makes_no_new_one() -> None:
    found = operations(joined={"pid": 7})
    at = place(found, Clone)

    assert "pid" not in found[at].kinds  # type: ignore[attr-defined]
    assert found[at - 1] == JoinNamespace("pid", "/proc/7/ns/pid")
    assert found[at + 1] == JoinNamespace("pid", "/proc/self/ns/pid")
    assert not [op for op in found if isinstance(op, JoinCgroup)]


def test_a_read_only_container_has_its_working_directory_made_before() -> None:
    found = operations({"WorkingDir": "/new"}, {"ReadonlyRootfs": True})
    made = MakeMountPoint("/new", directory=True, root="/c/merged")

    assert found.index(made) < place(found, PivotRoot) < place(found, ChangeDirectory)
    assert made not in operations({"WorkingDir": "/new"})


def test_a_container_s_mounts_are_its_own_whoever_passes_some_on() -> None:
    mounts = [{"destination": "/x", "type": "bind", "source": "/proc/7/root/y", "options": ["rbind", "rshared"]}]
    found = operations(mounts=mounts)

    assert SetPropagation("/", "rprivate") in found
    assert found.index(SetPropagation("/", "rprivate")) < found.index(
        ShareMount(7, "/y", "/x", "/c/merged", recursive=True)
    )


def test_what_is_done_beside_a_container_is_done_before_it_is_made() -> None:
    volume = MountVolume("tmpfs", "tmpfs", "/volumes/a/_data")
    found = operations(beside=(volume,))

    assert found.index(volume) < place(found, Clone)


def test_a_terminal_is_opened_inside_with_its_size() -> None:
    found = operations({"Tty": True})

    assert place(found, PivotRoot) < place(found, OpenTerminal) < place(found, LoadSeccomp)


def test_without_a_network_of_its_own_nothing_is_done_about_it() -> None:
    stages = {type(op).__name__ for op in operations(shared=frozenset(("network",)))}

    assert not stages & {"AddVeth", "AddAddress", "AddMapElement"}
