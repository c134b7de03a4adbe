"""The record against strace(1): what the kernel was really asked, by whom, in which order."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import struct
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Kernelkit
from tests.e2e.test_script import ask, in_host
from tests.patience import wait_until

CALLS = (
    "mount,umount2,unshare,setns,clone,clone3,fork,vfork,pivot_root,move_mount,mount_setattr,sethostname,setdomainname,"
    "capset,seccomp,prctl,mknod,mknodat,sendto,sendmsg,write,execve"
)
# Messages that ask netlink to change something; those that only ask are no operations.
CHANGES = re.compile(r"\b(RTM_(?:NEW|DEL|SET)\w+|NFT_MSG_(?:NEW|DEL)\w+)")
STRING = re.compile(r'"((?:\\x[0-9a-f]{2})*)"')
MESSAGES = {
    16: "RTM_NEWLINK", 17: "RTM_DELLINK", 19: "RTM_SETLINK", 20: "RTM_NEWADDR", 21: "RTM_DELADDR", 24: "RTM_NEWROUTE",
    25: "RTM_DELROUTE", 28: "RTM_NEWNEIGH", 10 << 8 | 12: "NFT_MSG_NEWSETELEM", 10 << 8 | 14: "NFT_MSG_DELSETELEM",
    10 << 8: "NFT_MSG_NEWTABLE", 10 << 8 | 3: "NFT_MSG_NEWCHAIN", 10 << 8 | 6: "NFT_MSG_NEWRULE",
}  # fmt: skip

pytestmark = pytest.mark.skipif(not shutil.which("strace"), reason="needs strace")


@pytest.fixture
def kk(shared_kk: Kernelkit) -> Iterator[Kernelkit]:
    yield shared_kk
    shared_kk.empty()


def engine_of(kk: Kernelkit) -> int:
    """The engine's pid on the machine where the test's commands run."""
    if kk.machine:
        return int(kk.run(["pgrep", "-f", "kernelkit.server.daemon"]).stdout.split()[0])
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or b"kernelkit.server.daemon" not in _read(entry / "cmdline"):
            continue
        if f"KERNELKIT_HOME={kk.home}".encode() in _read(entry / "environ").split(b"\0"):
            return int(entry.name)
    raise AssertionError("the engine does not run")


def await_next(kk: Kernelkit, running: int = 0) -> None:
    """Wait until the shim for the next start is there with its child, and all sleep.

    Beside these two there are then init, the engine, and the shims of so many running containers.
    """
    init = (kk.home / "run" / "init.pid").read_text()
    ps = ["nsenter", "-t", init, "-a", "--", "ps", "-eL", "-o", "stat=,args="]

    def is_calm() -> bool:
        lines = kk.run(ps).stdout.splitlines()
        ours = [line for line in lines if " -m kernelkit.server" in line or "<defunct>" in line]
        shims = [line for line in ours if "kernelkit.server.daemon" not in line]
        return len(shims) == 3 + running and all(line.startswith("S") for line in ours)

    wait_until(is_calm)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


def traced(kk: Kernelkit, output: Path, *command: str) -> tuple[list[tuple[int, str]], list[tuple[int, str]]]:
    """(process, call) of all that init, the engine and their children asked for before and during a docker command.

    Before it another container is run, so that the shim that is then prepared for the next one is seen as well.
    The command leaves one container running.
    """
    await_next(kk)
    init = (kk.home / "run" / "init.pid").read_text()
    attach = [
        "strace",
        "-f",
        "-qq",
        "-xx",
        "-s",
        "8192",
        "-e",
        f"trace={CALLS}",
        "-e",
        "signal=none",
        "-o",
        str(output),
    ]
    engine = str(engine_of(kk))
    strace = kk.start([*attach, "-p", init, "-p", engine])

    def is_attached() -> bool:
        assert strace.poll() is None, strace.stderr and strace.stderr.read()
        return (
            "TracerPid:\t0\n"
            not in kk.run(["sh", "-c", f"cat /proc/{init}/task/*/status /proc/{engine}/task/*/status"], False).stdout
        )

    try:
        wait_until(is_attached)
        kk.docker("run", "--rm", "busybox", "true")
        await_next(kk)
        _await_silence(output)
        before = len(output.read_text())
        kk.docker(*command)
        await_next(kk, running=1)
        _await_silence(output)
    finally:
        strace.send_signal(signal.SIGINT)
        strace.communicate()
    text = output.read_text()
    return list(_calls(text[:before])), list(_calls(text[before:]))


def _await_silence(output: Path) -> None:
    """Wait until nothing more is asked of the kernel for a second."""
    size = -1
    while size != (size := output.stat().st_size):
        time.sleep(1)


def _calls(text: str) -> Iterator[tuple[int, str]]:
    """What was asked and not refused, in a few words, until each process becomes another program."""
    gone: set[int] = set()
    begun: dict[tuple[int, str], str] = {}
    for line in text.splitlines():
        pid, _, rest = line.strip().partition(" ")
        process, rest = int(pid), rest.strip()
        if resumed := re.match(r"<\.\.\. (\w+) resumed>(.*)", rest):
            rest = begun.pop((process, resumed[1]), "") + resumed[2]
        elif rest.endswith("<unfinished ...>"):
            begun[process, rest.partition("(")[0]] = rest.removesuffix("<unfinished ...>")
            continue
        if process in gone:
            continue
        if rest.startswith("execve(") and "= 0" in rest:
            gone.add(process)
            continue
        if re.search(r"= -1 E\w+ \(", rest):
            continue
        for word in _words(rest):
            yield process, word


def _words(call: str) -> list[str]:
    name, _, arguments = call.partition("(")
    if name in ("sendto", "sendmsg", "write"):
        # Of sockets of other network namespaces strace does not know what they speak: it shows the bytes.
        raw = [word for text in STRING.findall(arguments) for word in _netlink(_bytes(text))]
        return raw or CHANGES.findall(arguments)
    arguments = STRING.sub(lambda found: f'"{_bytes(found[1]).decode(errors="replace")}"', arguments)
    if name in ("clone", "clone3", "fork", "vfork"):
        if "CLONE_THREAD" in arguments:
            return []
        return ["clone " + " ".join(sorted(re.findall(r"CLONE_NEW\w+", arguments)))]
    if name == "mount":
        return [_mount(arguments)]
    if name in ("unshare", "setns"):
        return [f"{name} {' '.join(re.findall(r'CLONE_NEW[A-Z]+', arguments))}"]
    if name == "prctl":
        return [f"prctl {arguments.partition(',')[0].rstrip(')')}"]
    if name in ("sethostname", "setdomainname"):
        return [f"{name} {arguments.partition(chr(34))[2].partition(chr(34))[0]}"]
    return [{"mknodat": "mknod"}.get(name, name)] if name not in ("execve",) else []


def _bytes(text: str) -> bytes:
    return bytes.fromhex(text.replace("\\x", ""))


def _netlink(content: bytes) -> Iterator[str]:
    """The names of the messages in one send that ask for a change: netlink(7)."""
    while len(content) >= 16:
        length, kind, flags = struct.unpack_from("=IHH", content)
        if not 16 <= length <= len(content) or not flags & 1:
            return  # something else was written, or only asked
        # Netfilter's "begin" and "end" of a batch have the numbers of route's "new link" and "delete link".
        if kind in MESSAGES and not (length == 20 and kind in (16, 17)):
            yield MESSAGES[kind]
        content = content[(max(length, 16) + 3) & ~3 :]


def _mount(arguments: str) -> str:
    flags = set(re.findall(r"MS_\w+", arguments))
    if "MS_REMOUNT" in flags:
        return "mount remount"
    if flags & {"MS_PRIVATE", "MS_SLAVE", "MS_SHARED"}:
        return "mount propagation"
    if "MS_BIND" in flags:
        return "mount bind"
    return f"mount {arguments.split(', ')[2].strip(chr(34))}"


def expected(steps: Sequence[dict[str, Any]], mounted: set[str], root: str) -> Iterator[tuple[str, str]]:
    """(actor, call) of what the steps say."""
    kinds = {
        "mount": "CLONE_NEWNS", "uts": "CLONE_NEWUTS", "ipc": "CLONE_NEWIPC", "net": "CLONE_NEWNET",
        "pid": "CLONE_NEWPID", "cgroup": "CLONE_NEWCGROUP",
    }  # fmt: skip
    for step in steps:
        name, fields = step["operation"], step["fields"]
        words = {
            "Fork": lambda f: ["clone "],
            "Clone": lambda f: ["clone " + " ".join(sorted(kinds[kind] for kind in f["kinds"]))],
            "Unshare": lambda f: ["unshare " + " ".join(kinds[kind] for kind in f["kinds"])],
            "JoinNamespace": lambda f: [f"setns {kinds[f['kind']]}"],
            "EnterNamespaces": lambda f: [
                f"setns {kinds[kind]}" for kind in sorted(f["kinds"], key=lambda k: k == "mount")
            ],
            "SetHostname": lambda f: [f"sethostname {f['name']}"],
            "SetPropagation": lambda f: ["mount propagation"],
            "Mount": lambda f: [f"mount {f['fstype']}"],
            "Bind": lambda f: ["mount bind"],
            "Remount": lambda f: ["mount remount"],
            "ProtectTree": lambda f: ["mount_setattr"],
            "MaskPath": lambda f: ["mount mask"] if f["path"].removeprefix(root) in mounted else [],
            "ProtectPath": lambda f: ["mount bind", "mount remount"] if f["path"].removeprefix(root) in mounted else [],
            "MakeDevice": lambda f: ["mknod"],
            "PivotRoot": lambda f: ["pivot_root"],
            "Unmount": lambda f: ["umount2"],
            "LoadSeccomp": lambda f: ["seccomp"],
            "SetCapabilities": lambda f: ["capset"],
            "DropBounding": lambda f: ["prctl PR_CAPBSET_DROP"] * len(f["capabilities"]),
            "KeepCapabilities": lambda f: ["prctl PR_SET_KEEPCAPS"],
            "SetNoNewPrivileges": lambda f: ["prctl PR_SET_NO_NEW_PRIVS"],
            "AddVeth": lambda f: ["RTM_NEWLINK"],
            "SetMaster": lambda f: ["RTM_NEWLINK"] * (2 if f["hairpin"] else 1),
            "SetLinkUp": lambda f: ["RTM_NEWLINK"],
            "ReplaceFdb": lambda f: ["RTM_NEWNEIGH"],
            "SetAddress": lambda f: ["RTM_NEWLINK"],
            "AddAddress": lambda f: ["RTM_NEWADDR"],
            "AddRoute": lambda f: ["RTM_NEWROUTE"],
            "AddSetElement": lambda f: ["NFT_MSG_NEWSETELEM"],
            "DeleteSetElement": lambda f: ["NFT_MSG_DELSETELEM"],
            "AddMapElement": lambda f: ["NFT_MSG_NEWSETELEM"],
            "DeleteMapElement": lambda f: ["NFT_MSG_DELSETELEM"],
        }
        for word in words.get(name, lambda f: [])(fields):
            yield step["actor"], word


@pytest.mark.parametrize(
    "options",
    [
        ["-p", "8196:80", "-v", "/usr/share:/host:ro", "--read-only"],
        ["-u", "nobody", "--security-opt", "no-new-privileges", "--network", "none", "-h", "quiet"],
    ],
    ids=["published", "quiet"],
)
def test_the_record_is_what_strace_sees_and_nothing_else(kk: Kernelkit, tmp_path: Path, options: list[str]) -> None:
    earlier, seen = traced(
        kk, tmp_path / "strace", "run", "-d", "--name", "traced", *options, "busybox", "sleep", "1000"
    )
    pid = kk.docker("inspect", "-f", "{{.State.Pid}}", "traced").stdout.strip()
    identity = kk.docker("inspect", "-f", "{{.Id}}", "traced").stdout.strip()
    mounted = {line.split()[4] for line in in_host(kk, "cat", f"/proc/{pid}/mountinfo").splitlines()}
    steps = [step for step in json.loads(ask(kk, "/kernelkit/trace/traced")) if step["stage"] != "pull"]
    said = list(expected(steps, mounted, f"{kk.home}/containers/{identity}/merged"))

    init = int((kk.home / "run" / "init.pid").read_text())
    by_pid: dict[int, list[str]] = {}
    for process, word in seen:
        by_pid.setdefault(process, []).append(word)
    # The shim was prepared before the container was asked for; during its start the next one is.
    shim = [pid for pid, word in earlier if word.startswith("clone CLONE_NEW")][-1]
    child = next(pid for pid, words in by_pid.items() if "pivot_root" in words)
    threads = set(map(int, os.listdir(f"/proc/{engine_of(kk)}/task")))
    assert by_pid.pop(init) == ["clone "]
    actors = {
        "init": [word for pid, word in earlier if pid == init][-1:],
        "shim": [word for pid, word in earlier if pid == shim],
        "container": by_pid.pop(child),
        "engine": [word for pid, words in by_pid.items() if pid in threads for word in words],
    }
    for actor, words in actors.items():
        wanted = [word for who, word in said if who == actor]
        # What hides a path is an empty tmpfs or /dev/null, as the path is a directory or a file.
        masks = [i for i, word in enumerate(wanted) if word == "mount mask"]
        found = ["mount mask" if i in masks and w in ("mount tmpfs", "mount bind") else w for i, w in enumerate(words)]
        assert found == wanted, actor
