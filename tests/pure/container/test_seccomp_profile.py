"""Docker's profile, and profiles in its format, resolved for one container."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from kernelkit.container.seccomp_profile import compiled, profile, resolve
from kernelkit.container.security import DEFAULT
from kernelkit.container.syscalls import NUMBERS
from kernelkit.errors import InvalidRequest
from kernelkit.kernel.capability import NAMES
from tests.bpf import ALLOW, ENOSYS, EPERM, X86_64, decode, run

GOLDEN = json.loads((Path(__file__).parent / "docker-seccomp-default.json").read_text())
NONE: frozenset[str] = frozenset()


def answer(name: str, *arguments: int, capabilities: frozenset[str] = frozenset(DEFAULT)) -> int:
    code = decode(compiled(profile(capabilities, "x86_64")))
    return run(code, X86_64, NUMBERS["SCMP_ARCH_X86_64"][name], arguments)[0]


def test_with_the_default_capabilities_it_is_what_docker_hands_its_runtime() -> None:
    assert profile(frozenset(DEFAULT), "x86_64") == GOLDEN


@pytest.mark.parametrize(
    ("capability", "calls"),
    [
        ("CAP_SYS_ADMIN", "mount umount2 unshare setns bpf"),
        ("CAP_SYS_PTRACE", "process_vm_readv kcmp"),
        ("CAP_SYS_TIME", "settimeofday clock_settime"),
        ("CAP_SYS_MODULE", "init_module finit_module"),
        ("CAP_SYS_BOOT", "reboot"),
        ("CAP_SYSLOG", "syslog"),
        ("CAP_SYS_CHROOT", "chroot"),
        ("CAP_SYS_NICE", "mbind"),
        ("CAP_DAC_READ_SEARCH", "open_by_handle_at"),
    ],
)
def test_a_capability_opens_the_calls_that_make_sense_only_with_it(capability: str, calls: str) -> None:
    for call in calls.split():
        assert answer(call, capabilities=NONE) == EPERM
        assert answer(call, capabilities=frozenset([capability])) == ALLOW


def test_processes_may_be_made_but_no_namespaces() -> None:
    assert answer("clone", 0x11) == ALLOW
    assert answer("clone", 0x10000000) == EPERM
    assert answer("clone3") == ENOSYS
    admin = frozenset([*DEFAULT, "CAP_SYS_ADMIN"])
    assert answer("clone", 0x10000000, capabilities=admin) == ALLOW
    assert answer("clone3", capabilities=admin) == ALLOW


def test_what_no_capability_opens_stays_closed() -> None:
    for call in "pivot_root kexec_load swapon keyctl userfaultfd".split():
        assert answer(call, capabilities=frozenset(NAMES)) == EPERM


def test_another_machine_has_its_own_architectures() -> None:
    resolved = profile(frozenset(DEFAULT), "aarch64")
    assert resolved["architectures"] == ["SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"]
    assert not any("arch_prctl" in entry["names"] for entry in resolved["syscalls"])
    assert compiled(resolved)


def given(**group: Any) -> dict[str, Any]:
    return {"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [{"action": "SCMP_ACT_ALLOW", **group}]}


def groups(profile: dict[str, Any], *, capabilities: frozenset[str] = NONE, release: str = "6.1.0-9-amd64") -> Any:
    return resolve(profile, capabilities, "x86_64", release)["syscalls"]


def test_a_profile_of_ones_own_may_name_one_call_or_many() -> None:
    assert groups(given(name="read"))[0]["names"] == ["read"]
    assert groups(given(names=["read", "write"]))[0]["names"] == ["read", "write"]


def test_its_conditions_on_capability_machine_and_kernel_are_heeded() -> None:
    admin = frozenset(["CAP_SYS_ADMIN"])
    cases = [
        ({"includes": {"caps": ["CAP_SYS_ADMIN"]}}, admin, True),
        ({"includes": {"caps": ["CAP_SYS_ADMIN"]}}, NONE, False),
        ({"includes": {"caps": ["CAP_SYS_ADMIN", "CAP_CHOWN"]}}, admin, False),
        ({"excludes": {"caps": ["CAP_SYS_ADMIN"]}}, admin, False),
        ({"excludes": {"caps": ["CAP_SYS_ADMIN"]}}, NONE, True),
        ({"includes": {"arches": ["amd64"]}}, NONE, True),
        ({"includes": {"arches": ["s390x"]}}, NONE, False),
        ({"excludes": {"arches": ["amd64"]}}, NONE, False),
        ({"includes": {"minKernel": "4.8"}}, NONE, True),
        ({"includes": {"minKernel": "6.10"}}, NONE, False),
        ({"excludes": {"minKernel": "4.8"}}, NONE, False),
    ]
    for conditions, capabilities, there in cases:
        assert bool(groups(given(name="read", **conditions), capabilities=capabilities)) is there, conditions


def test_architectures_come_from_the_map_or_the_list_and_always_hold_the_machines_own() -> None:
    sub = {"archMap": [{"architecture": "SCMP_ARCH_X86_64", "subArchitectures": ["SCMP_ARCH_X86"]}]}
    cases = [
        (sub, ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"]),
        ({"architectures": ["SCMP_ARCH_X86"]}, ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"]),
        ({}, ["SCMP_ARCH_X86_64"]),
    ]
    for words, expected in cases:
        assert resolve(given(name="read") | words, NONE, "x86_64")["architectures"] == expected


def test_errors_and_arguments_are_kept() -> None:
    args = [{"index": 0, "value": 1, "valueTwo": 0, "op": "SCMP_CMP_EQ"}]
    resolved = resolve(given(name="read", args=args, errnoRet=5) | {"defaultErrnoRet": 38}, NONE, "x86_64")
    assert resolved["defaultErrnoRet"] == 38
    assert resolved["syscalls"] == [{"names": ["read"], "action": "SCMP_ACT_ALLOW", "args": args, "errnoRet": 5}]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (given(name="read", names=["read"]), "'name' and 'names' were specified"),
        ({"architectures": ["SCMP_ARCH_X86"], "archMap": [{}]}, "'architectures' and 'archMap' were specified"),
        ([], "Decoding seccomp profile failed"),
        ({"syscalls": "read"}, "Decoding seccomp profile failed"),
        ({"syscalls": ["read"]}, "Decoding seccomp profile failed"),
        (given(name="read", args=[{"index": 0}]), "Decoding seccomp profile failed"),
        (given(name="read", args=[{"index": 0, "value": "1", "op": "SCMP_CMP_EQ"}]), "Decoding seccomp profile failed"),
        (given(name="read", includes={"minKernel": "new"}), 'invalid kernel version in seccomp profile: "new"'),
    ],
)
def test_a_profile_that_cannot_be_understood_is_refused(wrong: Any, message: str) -> None:
    with pytest.raises(InvalidRequest, match=message):
        compiled(resolve(wrong, NONE, "x86_64", "6.1.0"))
