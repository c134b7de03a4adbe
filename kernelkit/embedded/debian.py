"""A minimal Debian as one layer: made by mmdebstrap or debootstrap, then cleared of all that is not its packages.

Two builds of the same packages give the same bytes: what a build adds to them (logs, caches, the day in shadow(5), this
machine's name and resolver) is left out or evened out, and nothing is dated later than its newest packaged file.
"""

from __future__ import annotations

import io
import os
import re
import shutil
import signal
import subprocess
import tarfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from kernelkit.embedded.packages import last_complaint
from kernelkit.errors import Unavailable

# What to make on a machine that is not Debian itself.
_BOOKWORM = ("bookworm", "12")

_HOOKS = Path("/usr/share/mmdebstrap/hooks/merged-usr")

# Left behind by the build, different every time, of no use to a container, or made by the engine for each container.
_DROP = re.compile(
    r"(dev|proc|sys|tmp)/.+|etc/(hostname|resolv\.conf|machine-id|\.pwd\.lock|(passwd|group|shadow|gshadow)-)"
    r"|var/log/(.+\.log|apt/.+)|var/cache/(ldconfig/aux-cache|apt/.+\.bin|apt/archives/.+\.deb|debconf/.+-old)"
    r"|var/lib/(apt/lists/.+_.+|dpkg/.+-old|dpkg/lock.*)|etc/apt/apt\.conf\.d/99mmdebstrap"
    r"|var/(lib/apt/lists|cache/apt/archives)/partial"
)
_LAST_CHANGE = re.compile(rb"^([^:\n]*:[^:\n]*):\d+:", re.MULTILINE)

# invoke-rc.d(8): 101 forbids a package's scripts to start its service. Nothing in a container could run it.
_POLICY = b"#!/bin/sh\nexit 101\n"


@dataclass(frozen=True)
class Release:
    """A release of Debian by its two names: `bookworm`, `12`."""

    codename: str
    number: str


@dataclass(frozen=True)
class System:
    """A layer's tar on the disk, and its latest date in seconds since the epoch."""

    tar: Path
    newest: int

    def pieces(self) -> Iterator[bytes]:
        """The tar, a megabyte at a time."""
        with self.tar.open("rb") as file:
            while piece := file.read(1 << 20):
                yield piece


def release(os_release: str) -> Release:
    """Which Debian to make: this machine's own, from the text of its os-release(5), else bookworm."""
    values = dict(line.split("=", 1) for line in os_release.splitlines() if "=" in line)
    values = {key: value.strip().strip("\"'") for key, value in values.items()}
    if values.get("ID") == "debian" and values.get("VERSION_CODENAME") and values.get("VERSION_ID"):
        return Release(values["VERSION_CODENAME"], values["VERSION_ID"])
    return Release(*_BOOKWORM)


def make(which: Release, scratch: Path, *, lock: int, say: Callable[[str], None]) -> System:
    """Make the system, in about 20 seconds and 250 MB of scratch; raises Unavailable saying what is missing.

    The tool inherits `lock`, so that nobody uses the scratch folder before it, too, has ended.
    """
    began = int(time.time())
    raw = scratch / "raw.tar"
    if shutil.which("mmdebstrap"):
        say(f"making a minimal Debian '{which.codename}' with mmdebstrap")
        _run(_mmdebstrap(which), scratch, lock, raw)
    elif shutil.which("debootstrap") and os.geteuid() == 0:
        say(f"making a minimal Debian '{which.codename}' with debootstrap")
        root = scratch / "root"
        _run(["debootstrap", "--variant=minbase", which.codename, str(root)], scratch, lock)
        _run(["tar", "--create", "--numeric-owner", f"--directory={root}", "."], scratch, lock, raw)
        shutil.rmtree(root)
    else:
        raise Unavailable(
            "cannot make the image 'debian': 'mmdebstrap' is not installed", hint="apt-get install mmdebstrap"
        )
    say("tidying the new system")
    newest = newest_before(raw, began)
    tidy(raw, scratch / "layer.tar", newest)
    raw.unlink()
    return System(scratch / "layer.tar", newest)


def newest_before(tar: Path, moment: int) -> int:
    """The latest date in a tar that is before a moment: what the packages brought, not what was made since."""
    with tarfile.open(tar) as archive:
        return max((int(entry.mtime) for entry in archive if entry.mtime < moment), default=0)


def tidy(source: Path, target: Path, newest: int) -> None:
    """Copy a tar, sorted, without what the build has left behind, and with nothing dated after `newest`."""
    with tarfile.open(source) as old, tarfile.open(target, "w", format=tarfile.PAX_FORMAT) as new:
        entries = {entry.name.removeprefix("./"): entry for entry in old}
        # A hard link names the first of its files in the tar, which stays before it.
        for name, entry in sorted(entries.items(), key=lambda item: (item[1].islnk(), item[0])):
            if _DROP.fullmatch(name) or name in ("", "."):
                continue
            entry.name, entry.linkname = name, entry.linkname.removeprefix("./") if entry.islnk() else entry.linkname
            entry.mtime = min(int(entry.mtime), newest)
            entry.uname = entry.gname = ""
            # Only what the packages say about a file; a time finer than a second does not outlive its build.
            entry.pax_headers = {k: v for k, v in entry.pax_headers.items() if k.startswith("SCHILY.xattr.")}
            body = old.extractfile(entry) if entry.isreg() else None
            if body and name == "etc/shadow":
                text = _LAST_CHANGE.sub(rb"\1::", body.read())
                entry.size, body = len(text), io.BytesIO(text)
            new.addfile(entry, body)
        policy = tarfile.TarInfo("usr/sbin/policy-rc.d")
        policy.mode, policy.mtime, policy.size = 0o755, newest, len(_POLICY)
        new.addfile(policy, io.BytesIO(_POLICY))


def _mmdebstrap(which: Release) -> list[str]:
    command = ["mmdebstrap", "--variant=minbase", "--format=tar", "--skip=output/dev"]
    if _HOOKS.is_dir():
        # /bin as a link to /usr/bin from the start; else mmdebstrap installs perl to convert it.
        command += [f"--hook-dir={_HOOKS}", "--include=usr-is-merged"]
    return [*command, *_proxies(), which.codename, "-"]


def _proxies() -> list[str]:
    """The way this machine's apt gets out, for the new system's apt, which does not read its settings."""
    settings = subprocess.run(["apt-config", "dump"], capture_output=True, text=True).stdout
    return [
        f"--aptopt={line}"
        for line in settings.splitlines()
        if re.match(r"Acquire::(https?::Proxy\S*|Check-Valid-Until|Check-Date|Retries) ", line)
    ]


def _run(command: list[str], scratch: Path, lock: int, output: Path | None = None) -> None:
    """Run a tool to its end; what it prints goes to `output`."""
    environment = {**os.environ, "LC_ALL": "C"}
    if os.geteuid() == 0:
        # Without root the new system's root is one of our subordinate users, whom our folders may not let through.
        environment["TMPDIR"] = str(scratch)
    with (output or Path(os.devnull)).open("wb") as file, (scratch / "said").open("w+b") as said:
        # In a session of its own, for mmdebstrap hangs up its whole process group when something goes wrong.
        tool = subprocess.Popen(
            [*_guard(), *command], env=environment, stdin=subprocess.DEVNULL, stdout=file, stderr=said,
            pass_fds=(lock,), start_new_session=True,
        )  # fmt: skip
        try:
            tool.wait()
        except BaseException:
            os.killpg(tool.pid, signal.SIGTERM)
            tool.wait()
            raise
        said.seek(0)
        if tool.returncode:
            why = last_complaint(said.read().decode(errors="replace")) or f"exit status {tool.returncode}"
            hint = "it needs a Debian mirror that can be reached"
            if "chroot mode" in why:
                hint = "apt-get install uidmap, and give your user a range in /etc/subuid and /etc/subgid"
            raise Unavailable(f"cannot make the image 'debian': {command[0]}: {why}", hint=hint)


def _guard() -> list[str]:
    """What to put before a tool so that its processes and mounts go with this process, even when it is killed.

    As root the tools mount /proc and more on the machine itself: namespaces of their own keep that from it.  Without
    root mmdebstrap makes such namespaces by itself; orphaned, it ends in its own time, holding the lock until then.
    """
    if os.geteuid() or not shutil.which("setpriv") or not shutil.which("unshare"):
        return []
    own = ["unshare", "--mount", "--propagation", "private", "--pid", "--fork", "--kill-child", "--mount-proc"]
    if subprocess.run([*own, "true"], capture_output=True).returncode:
        return []
    return ["setpriv", "--pdeathsig", "KILL", *own]
