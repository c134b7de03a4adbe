"""Finds a static program of Debian's: installed here, in a package that apt has kept, or in one it downloads.

Works for any user, and leaves the machine as it was: what apt has to fetch goes into the scratch folder.
"""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from kernelkit.errors import Unavailable

_PT_INTERP = 3  # elf(5): the segment that names the dynamic linker, which a static program does not have

# apt.conf(5). A machine without a way out should hear so within seconds, and apt's own user need not read our folder.
_APT = (
    "apt-get",
    "-q",
    "-o=APT::Sandbox::User=root",
    "-o=Acquire::Retries=1",
    "-o=Acquire::http::Timeout=5",
    "-o=Acquire::https::Timeout=5",
)
_PATIENCE = 120  # seconds for one run of apt-get, on the slowest line we would wait for


@dataclass(frozen=True)
class Program:
    """A statically linked program: its bytes, and when its package was built, in seconds since the epoch."""

    content: bytes
    mtime: int


@dataclass(frozen=True)
class Wanted:
    """A program, the package it comes in, and the places where either may be found without a network."""

    package: str
    paths: tuple[str, ...]
    root: Path = Path("/")

    @property
    def kept(self) -> Path:
        """The folder where apt keeps the packages that were installed."""
        return self.root / "var/cache/apt/archives"


def find(wanted: Wanted, scratch: Path, *, say: Callable[[str], None]) -> Program:
    """The program, from the nearest place that has it; raises Unavailable saying what is missing."""
    installed = _static(wanted.root / path for path in wanted.paths)
    if installed:
        return installed
    complaints: list[str] = []
    if not shutil.which("dpkg-deb"):
        raise _missing(wanted, "'dpkg-deb' is not installed")
    for number, package in enumerate(_packages(wanted, scratch, say, complaints)):
        unpacked = scratch / f"{wanted.package}-{number}"
        answer = _run(["dpkg-deb", "--extract", str(package), str(unpacked)], scratch)
        program = _static(unpacked / path for path in wanted.paths)
        if program:
            return program
        complaints.append(answer or f"'{package.name}' holds no static program")
    raise _missing(wanted, complaints[-1] if complaints else "'apt-get' is not installed")


def _packages(wanted: Wanted, scratch: Path, say: Callable[[str], None], complaints: list[str]) -> Iterator[Path]:
    """Package files to look into, the cheapest first."""
    yield from sorted(wanted.kept.glob(f"{wanted.package}_*.deb"), key=lambda p: p.stat().st_mtime, reverse=True)
    if not shutil.which("apt-get"):
        return
    say(f"downloading the package '{wanted.package}'")
    private = ("-o=Dir::State::Lists=" + str(scratch / "lists"), "-o=Dir::Cache=" + str(scratch / "cache"))
    # The machine's own lists first; if it has none, or they name packages that are gone, lists of our own.
    for options, needs_lists in ((), False), (private, True):
        complaint = ""
        if needs_lists:
            (scratch / "lists/partial").mkdir(parents=True, exist_ok=True)
            (scratch / "cache/archives/partial").mkdir(parents=True, exist_ok=True)
            complaint = _run([*_APT, *options, "--error-on=any", "update"], scratch)
        complaint = complaint or _run([*_APT, *options, "download", wanted.package], scratch)
        if not complaint:
            yield from scratch.glob(f"{wanted.package}_*.deb")
        complaints.append(complaint)


def _static(candidates: Iterable[Path]) -> Program | None:
    """The first of these files that is a static program."""
    for path in candidates:
        try:
            content = path.read_bytes()
        except OSError:
            continue
        if is_static(content):
            return Program(content, int(path.stat().st_mtime))
    return None


def is_static(content: bytes) -> bool:
    """Whether these bytes are a program for Linux that needs no dynamic linker: elf(5)."""
    if content[:4] != b"\x7fELF" or len(content) < 64:
        return False
    wide, order = content[4] == 2, "<" if content[5] == 1 else ">"
    (table,) = struct.unpack_from(order + ("Q" if wide else "I"), content, 32 if wide else 28)
    size, count = struct.unpack_from(order + "HH", content, 54 if wide else 42)
    try:
        types = [struct.unpack_from(order + "I", content, table + i * size)[0] for i in range(count)]
    except struct.error:  # cut off
        return False
    return bool(types) and _PT_INTERP not in types


def _run(command: Sequence[str], cwd: Path) -> str:
    """Run a tool; what it had to complain about, empty when it succeeded."""
    environment = {**os.environ, "LC_ALL": "C", "DEBIAN_FRONTEND": "noninteractive"}
    try:
        done = subprocess.run(
            command, cwd=cwd, env=environment, stdin=subprocess.DEVNULL, capture_output=True, timeout=_PATIENCE
        )
    except subprocess.TimeoutExpired:
        return f"'{command[0]}' did not end within {_PATIENCE} seconds"
    if done.returncode == 0:
        return ""
    return last_complaint(done.stderr.decode(errors="replace")) or f"'{command[0]}' failed"


def last_complaint(output: str) -> str:
    """The line of a tool's output that says why it gave up."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    errors = [line.removeprefix("E: ") for line in lines if line.startswith("E: ")]
    return (errors or lines or [""])[0]


def _missing(wanted: Wanted, why: str) -> Unavailable:
    places = " or ".join(f"'{wanted.root / path}'" for path in wanted.paths)
    return Unavailable(
        f"no static program at {places}, and the package '{wanted.package}' cannot be had: {why}",
        hint=f"apt-get install {wanted.package}",
    )
