"""A container's file tree, to be read and written from outside, whether it runs or not.

    running    what its first process sees: /proc/PID/root, volumes and temporary file systems included
    stopped    its sheets laid on each other, and its volumes mounted, in a mount namespace that is only there for this

Paths are always taken as the container would take them: no link in it leads out of it.
"""

from __future__ import annotations

import contextlib
import os
import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from kernelkit.container.overlay import Stack
from kernelkit.container.visit import Held, visit
from kernelkit.engine import initlayer, volume_mounts
from kernelkit.engine.engine import Engine
from kernelkit.engine.model import Container
from kernelkit.errors import Conflict
from kernelkit.kernel.paths import RESOLVE_IN_ROOT, RESOLVE_NO_MAGICLINKS, openat2
from kernelkit.trace import Trace

KERNELS = ("proc", "sysfs", "cgroup", "cgroup2", "devpts", "mqueue", "devtmpfs", "securityfs", "debugfs", "tracefs")
EVERYBODY = ["0", "0", "4294967295"]  # user_namespaces(7): what the first user namespace's uid_map says
_RESOLVE = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS


@dataclass(frozen=True)
class Place:
    """A container's root directory: an open descriptor, and its name where it has been mounted.

    `kernels` are the devices of what is the kernel's and not the container's: /proc, /sys, /dev.
    """

    root: int
    name: str
    kernels: frozenset[int] = frozenset()

    def open(self, path: str, flags: int = os.O_PATH) -> int:
        """Open a path as the container would; the caller closes it. Raises OSError."""
        while True:
            try:
                return openat2(self.root, path.lstrip("/") or ".", flags, 0, _RESOLVE)
            except BlockingIOError:  # a rename somewhere on the machine made the kernel unsure
                continue

    def real(self, descriptor: int) -> str:
        """The path inside the container of something that was opened there."""
        base = os.readlink(f"/proc/self/fd/{self.root}").rstrip("/")
        return os.readlink(f"/proc/self/fd/{descriptor}").removeprefix(base) or "/"


@contextmanager
def entered(engine: Engine, container: Container) -> Iterator[Place]:
    """A container's files; one that does not run is kept from being started meanwhile. Conflict when it is going."""
    with container.lock:
        if container.removed or container.state.status in ("removing", "dead"):
            raise Conflict(f"container {container.id} is being removed")
        if container.state.pid:
            place = _of_running(container)
        else:
            trace = Trace(engine.records.tell)
            with volume_mounts.mounted(engine, container, trace), _of_stopped(engine, container) as stopped:
                yield stopped
            return
    try:
        yield place
    finally:
        os.close(place.root)


def _of_running(container: Container) -> Place:
    name = f"/proc/{container.state.pid}/root"
    try:
        kernels = _kernels(Path(f"/proc/{container.state.pid}/mountinfo").read_text())
        return Place(os.open(name, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC), name, kernels)
    except OSError:
        raise Conflict(f"container {container.id} has just ended") from None


def _kernels(mountinfo: str) -> frozenset[int]:
    """The devices of file systems that hold no files of the container's: proc(5), /proc/PID/mountinfo."""
    found = set()
    for fields in map(str.split, mountinfo.splitlines()):
        if fields[fields.index("-") + 1] in KERNELS or fields[4] == "/dev":
            major, _, minor = fields[2].partition(":")
            found.add(os.makedev(int(major), int(minor)))
    return frozenset(found)


@contextmanager
def _of_stopped(engine: Engine, container: Container) -> Iterator[Place]:
    trace = Trace(engine.records.tell)
    opened: list[int] = []
    failed: list[BaseException] = []
    sheets = _sheets(engine, container)
    plan = visit(sheets, _held(container))

    def look() -> None:
        """In a thread of its own, which alone leaves the mount namespace of all others: unshare(2)."""
        try:
            for operation in plan:
                trace.perform("visit", operation)
            opened.append(os.open(sheets.merged, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC))
            # The namespace, and with it what is mounted there, lives for as long as somebody holds it.
            opened.append(os.open("/proc/thread-self/ns/mnt", os.O_RDONLY | os.O_CLOEXEC))
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=look, name="visit")
    thread.start()
    thread.join()
    try:
        engine.records.add(container.id, trace.steps, engine.folder(container.id))
        if failed:
            raise failed[0]
        yield Place(opened[0], sheets.merged)
    finally:
        for fd in opened:
            os.close(fd)


def _sheets(engine: Engine, container: Container) -> Stack:
    image = engine.store.find(container.image_id)
    # In a user namespace overlayfs may keep its notes only in attributes of the user's: overlayfs.rst, userxattr.
    userxattr = Path("/proc/self/uid_map").read_text().split() != EVERYBODY
    return Stack(initlayer.sheets(engine, image), os.fspath(engine.folder(container.id)), userxattr)


def _held(container: Container) -> list[Held]:
    """Its volumes and bind mounts, as far as they are there, the outer ones first."""
    found = []
    for mount in sorted(container.mounts, key=lambda mount: str(mount["Destination"])):
        source = mount.get("Source") or ""
        with contextlib.suppress(OSError):
            is_directory = stat.S_ISDIR(Path(source).stat().st_mode)
            found.append(Held(source, mount["Destination"], is_directory, mount.get("RW", True)))
    return found
