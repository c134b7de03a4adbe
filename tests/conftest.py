"""What every test may ask for: a home of its own, kernelkit's commands in it, a throw-away machine, a registry."""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pexpect
import pytest
from hypothesis import HealthCheck, settings

from tests.machine import Machine, short_folder
from tests.patience import PATIENCE, wait_until
from tests.registry import Registry

ROOT = Path(__file__).parents[1]

# What runs in the background has ctrl-C ignored (sh(1), asynchronous lists), and so would have all that tests start.
signal.signal(signal.SIGINT, signal.default_int_handler)

# What is set for another docker or kernelkit, or for somebody's own terminal, has no say in the tests.
for name in set(os.environ) - {"KERNELKIT_SPECS"}:
    if name.startswith(("DOCKER_", "KERNELKIT_")) or name in ("COLUMNS", "LINES", "NO_COLOR"):
        del os.environ[name]

# The same examples every time, and no clock: a busy machine is no mistake of the code's.
settings.register_profile(
    "the same", derandomize=True, deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("the same")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Folders say what the machine must offer: all but tests/pure need root. Some flags only newer clients have."""
    for item in items:
        needs = max((mark.args[0] for mark in item.iter_markers("client")), default=0)
        if needs > client_version():
            item.add_marker(pytest.mark.skip(reason=f"docker's client is version {client_version()}, not {needs}"))
    if os.geteuid() == 0:
        return
    pure = Path(__file__).parent / "pure"
    for item in items:
        if pure not in item.path.parents:
            item.add_marker(pytest.mark.skip(reason="needs root"))


@cache
def client_version() -> int:
    """The major version of Docker's client; 0 where there is none."""
    with contextlib.suppress(OSError):
        said = subprocess.run(["docker", "--version"], capture_output=True, text=True).stdout
        found = re.search(r"version (\d+)\.", said)
        return int(found[1]) if found else 0
    return 0


class Kernelkit:
    """A kernelkit with a home of its own, driven by its command line: `kk("run", "--rm", "busybox", "true")`.

    With a `machine`, everything happens on that machine.
    """

    def __init__(self, home: Path, machine: Machine | None = None) -> None:
        self.home = home
        self.machine = machine
        self.socket = home / "run" / "docker.sock"
        self.env = {
            "KERNELKIT_HOME": str(home),
            "DOCKER_HOST": f"unix://{self.socket}",
            "DOCKER_CONFIG": str(home / "docker"),  # the stock client's notes, which would go into the user's own
        }

    def __call__(
        self, *arguments: str, check: bool = True, timeout: float = 120, input: str | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run one kernelkit command and wait for it; fails the test with what it said if its exit code is not 0."""
        return self.run([str(Path(sys.executable).with_name("kernelkit")), *arguments], check, timeout, input)

    def docker(
        self, *arguments: str, check: bool = True, timeout: float = 120, input: str | None = None
    ) -> subprocess.CompletedProcess[str]:
        """The same with the stock docker client."""
        return self.run(["docker", *arguments], check, timeout, input)

    def run(
        self, command: list[str], check: bool = True, timeout: float = 120, input: str | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run any command with this home in its environment."""
        process = self.start(command, stdin=subprocess.PIPE if input is not None else subprocess.DEVNULL)
        try:
            out, err = process.communicate(input, timeout)
        except BaseException:
            process.kill()
            process.wait()
            raise
        if check:
            assert process.returncode == 0, f"{shlex.join(command)} left with {process.returncode}: {err or out}"
        return subprocess.CompletedProcess(command, process.returncode, out, err)

    def start(self, command: list[str], **options: Any) -> subprocess.Popen[str]:
        """Start any command with this home in its environment."""
        options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
        if self.machine:
            return self.machine.start(*command, env=self.env, **options)
        return subprocess.Popen(command, env={**os.environ, **self.env}, text=True, **options)

    def terminal(
        self, command: list[str], size: tuple[int, int] = (33, 77), env: Mapping[str, str] | None = None
    ) -> pexpect.spawn[str]:
        """Start any command in a terminal of its own, as a person has one; `size` is (rows, columns)."""
        env = {**os.environ, "TERM": "xterm", **self.env, **(env or {})}
        if self.machine:
            command = ["nsenter", f"--target={self.machine.init}", "--all", f"--wdns={ROOT}", "--", *command]
        return pexpect.spawn(command[0], command[1:], env=env, encoding="utf-8", timeout=PATIENCE, dimensions=size)

    def empty(self) -> None:
        """Remove all containers, with their volumes that have no names; some may be going away by themselves."""

        def is_empty() -> bool:
            names = self("ps", "-aq").stdout.split()
            if names:
                self("rm", "-f", "-v", *names, check=False)
            return not names

        wait_until(is_empty)

    def remove(self) -> None:
        """Take the practice host down and the home away, unless something is still mounted in it."""
        try:
            self("down", check=False)
        finally:
            mounted = [
                line for line in Path("/proc/self/mountinfo").read_text().splitlines() if f" {self.home}/" in line
            ]
            assert not mounted, f"`kernelkit down` left mounts behind: {mounted}"
            shutil.rmtree(self.home, ignore_errors=True)


@pytest.fixture
def home() -> Iterator[Path]:
    """An empty folder with a name short enough for sockets."""
    folder = short_folder()
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A file with `HOSTS = ("practice", "real")` runs both ways: on a practice host, and on the machine itself."""
    # A file's own `kk` that stands on the shared one is not another kernelkit.
    kinds = (("shared_kk", "module"),) if "shared_kk" in metafunc.fixturenames else (("kk", "function"),)
    for name, scope in kinds:
        if name in metafunc.fixturenames:
            hosts = getattr(metafunc.module, "HOSTS", ("practice",))
            metafunc.parametrize(name, hosts, indirect=True, scope=scope)


@pytest.fixture
def kk(request: pytest.FixtureRequest) -> Iterator[Kernelkit]:
    """A kernelkit with a home of its own; nothing is booted or pulled before the test asks for it."""
    with made(request.param) as kernelkit:
        yield kernelkit


@pytest.fixture(scope="module")
def shared_kk(request: pytest.FixtureRequest) -> Iterator[Kernelkit]:
    """A kernelkit for all tests of one file, with busybox in it; a test removes the containers it makes."""
    with made(request.param) as kernelkit:
        kernelkit("pull", "busybox")
        yield kernelkit


@contextlib.contextmanager
def made(host: str) -> Iterator[Kernelkit]:
    """A kernelkit with a home of its own; the machine it is to use itself, as host `real`, is a throw-away one."""
    machine = Machine() if host == "real" else None
    kernelkit = Kernelkit(short_folder(), machine)
    kernelkit.env["KERNELKIT_HOST"] = host
    try:
        yield kernelkit
    finally:
        kernelkit.remove()
        if machine:
            machine.down()


@pytest.fixture
def machine() -> Iterator[Machine]:
    """A throw-away machine, to ask for its `state()` before and after."""
    throwaway = Machine()
    yield throwaway
    throwaway.down()


@pytest.fixture
def kk_alone(machine: Machine) -> Iterator[Kernelkit]:
    """A kernelkit on a throw-away machine, where whatever it leaves behind shows."""
    kernelkit = Kernelkit(short_folder(), machine)
    yield kernelkit
    kernelkit.remove()


@pytest.fixture(scope="session")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    """A real registry on loopback, empty at first, the same for all tests of a worker."""
    real = Registry(tmp_path_factory.mktemp("registry"))
    yield real
    real.stop()
