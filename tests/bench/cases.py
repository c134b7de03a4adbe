"""What is measured, beside whom, and how near or far the ratio may be."""

from __future__ import annotations

import contextlib
import itertools
import json
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TypeVar

from tests.bench.arena import Arena
from tests.bench.measure import OURS, Case
from tests.bench.peers import REGISTRY, Docker, Kernelkit, Peer, Podman, Runtime, Shelf, SkopeoUmoci

FOREVER = ("sleep", "1000000")
MANY = 50
P = TypeVar("P", bound=Peer)


@dataclass
class Contenders:
    """Everyone who takes part, each started when a case first needs it; `absent` says who cannot, and why."""

    shelf: Shelf
    absent: dict[str, str] = field(default_factory=dict)
    _started: dict[str, Peer] = field(default_factory=dict)

    def get(self, name: str, make: Callable[[Shelf, Arena], P], *programs: str) -> P | None:
        """The contender of that name, or None if it is absent."""
        if name not in self._started and name not in self.absent:
            missing = [program for program in programs if not shutil.which(program)]
            if missing:
                self.absent[name] = f"no {missing[0]} on this machine"
            else:
                arena = Arena()
                try:
                    self._started[name] = make(self.shelf, arena)
                except (OSError, AssertionError) as error:
                    self.absent[name] = str(error)
                    arena.close()
        return self._started.get(name)  # type: ignore[return-value]

    def ours(self) -> Kernelkit | None:
        """kernelkit."""
        return self.get(OURS, Kernelkit)

    def docker(self) -> Docker | None:
        """dockerd."""
        return self.get("docker", Docker, "docker", "dockerd", "docker-registry")

    def close(self) -> None:
        """End them all."""
        for peer in self._started.values():
            with contextlib.suppress(OSError, AssertionError):
                peer.close()


def start_of_the_client(who: Contenders) -> Iterator[Case]:
    """`kernelkit ps`, answered by a running engine."""
    contenders: dict[str, Callable[[], float]] = {"40 ms": lambda: 0.040}
    if ours := who.ours():
        contenders[OURS] = lambda: ours.time("ps")
    yield Case("kernelkit ps", contenders, {"40 ms": 1.0})


def run_by_api(who: Contenders) -> Iterator[Case]:
    """Ours with a network and a published port; the runtimes without."""
    contenders: dict[str, Callable[[], float]] = {}
    if ours := who.ours():
        contenders[OURS] = ours.create_start_wait
    for name in ("crun", "runc"):
        runtime = who.get(name, lambda shelf, arena, name=name: Runtime(shelf, arena, name), name, "umoci")  # type: ignore[misc]
        if runtime:
            contenders[name] = runtime.run_true
    yield Case("true, network and port: received to exited", contenders, {"crun": 1.0, "runc": 0.35}, rounds=20)


def run_by_cli(who: Contenders) -> Iterator[Case]:
    """The same words to three command lines."""
    peers = {OURS: who.ours(), "docker": who.docker(), "podman": who.get("podman", Podman, "podman", "runc")}
    contenders = {name: _timer(peer, "run", "--rm", "busybox", "true") for name, peer in peers.items() if peer}
    yield Case("run --rm busybox true", contenders, {"docker": 0.15, "podman": 0.2})


def pull_debian(who: Contenders) -> Iterator[Case]:
    """Download and unpack debian from the registry on loopback, everything in memory."""
    contenders: dict[str, Callable[[], float]] = {}
    for name, peer in ((OURS, who.ours()), ("docker", who.docker())):
        if peer:
            contenders[name] = _puller(peer)
    if two := who.get("skopeo+umoci", SkopeoUmoci, "skopeo", "umoci"):
        contenders["skopeo+umoci"] = two.pull_debian
    yield Case("pull debian", contenders, {"docker": 0.5, "skopeo+umoci": 0.5})


def by_the_same_client(who: Contenders) -> Iterator[Case]:
    """The stock client against both engines."""
    ours, docker = who.ours(), who.docker()
    peers = {name: peer for name, peer in ((OURS, ours and ours.by_docker()), ("docker", docker)) if peer}

    def case(name: str, target: float, timer: Callable[[Peer], Callable[[], float]], rounds: int = 10) -> Case:
        return Case(name, {n: timer(p) for n, p in peers.items()}, {"docker": target}, rounds)

    yield case("docker run --rm busybox true", 0.2, lambda p: _timer(p, "run", "--rm", "busybox", "true"))
    for peer in peers.values():
        with _reported_by_the_cases():
            peer.do("run", "-d", "--name", "files", "busybox", *FOREVER)
            peer.do("create", "--name", "again", "busybox", *FOREVER)
            peer.do("cp", f"{who.shelf.folder}/files", "files:/files")
    yield case("docker exec true", 0.5, lambda p: _timer(p, "exec", "files", "true"))
    yield case("docker start + kill", 0.25, lambda p: lambda: p.time("start", "again") + p.time("kill", "again"))
    yield case("docker commit, 5,000 files of 50 MB", 0.3, _committer)
    yield case("docker diff, 5,000 files of 50 MB", 0.3, lambda p: _timer(p, "diff", "files"))
    for peer in peers.values():
        with _reported_by_the_cases():
            peer.do("rm", "-f", "files", "again")
    yield case(f"docker run -d, {MANY} one after another", 0.25, lambda p: _starter(p, 1))
    yield case(f"docker run -d, {MANY}, 8 at a time", 0.3, lambda p: _starter(p, 8))


def memory(who: Contenders) -> Iterator[Case]:
    """Memory (PSS) of an engine and all that serves it, the containers' own processes apart."""
    used: dict[str, tuple[float, float]] = {}
    failed: dict[str, str] = {}
    for name, peer in ((OURS, who.ours()), ("docker", who.docker())):
        if not peer:
            continue
        try:
            empty = peer.arena.memory(without=FOREVER)
            for _ in range(MANY):
                peer.do("run", "-d", "busybox", *FOREVER)
            time.sleep(1)
            used[name] = (empty, peer.arena.memory(without=FOREVER))
            _remove_all(peer)
        except (OSError, AssertionError) as error:
            failed[name] = str(error)

    def full(name: str) -> Callable[[], float]:
        return lambda: _told(used, failed, name)[1]

    def each() -> float:
        empty, filled = _told(used, failed, OURS)
        return (filled - empty) / MANY

    yield Case(
        f"memory of all, {MANY} idle containers", {n: full(n) for n in (OURS, "docker")}, {"docker": 0.6}, 1, "MiB"
    )
    yield Case("memory of one shim", {OURS: each, "3 MiB": lambda: 3.0}, {"3 MiB": 1.0}, 1, "MiB")


def throughput(who: Contenders) -> Iterator[Case]:
    """One TCP stream: from a container to its host over the bridge, and from the host through a published port."""
    bridge: dict[str, Callable[[], float]] = {}
    port: dict[str, Callable[[], float]] = {}
    for name, peer in ((OURS, who.ours()), ("docker", who.docker())):
        if not peer:
            continue
        with _reported_by_the_cases():
            peer.get("iperf")
            if isinstance(peer, Kernelkit):
                peer.arena.start(*peer.command("shell", "iperf3", "--server"))
            else:
                peer.arena.start("iperf3", "--server")
            peer.do("run", "-d", "--name", "server", "-p", "5301:5201", "iperf", "iperf3", "--server")
        bridge[name] = _stream(peer, peer.command("run", "--rm", "iperf", *_iperf("172.17.0.1", 5201)))
        port[name] = _stream(peer, _iperf("127.0.0.1", 5301))
        if name == "docker":  # by its rules instead of its proxy, which serves only loopback
            port["docker, DNAT"] = _stream(peer, _iperf("172.17.0.1", 5301))
    more = {"unit": "Gbit/s", "more_is_better": True}
    yield Case("container to host over the bridge", bridge, {"docker": 0.95}, **more)  # type: ignore[arg-type]
    targets = {"docker": 0.95, "docker, DNAT": 0.95}
    yield Case("host to container, published port", port, targets, **more)  # type: ignore[arg-type]


GROUPS = {
    "start": start_of_the_client,
    "api": run_by_api,
    "run": run_by_cli,
    "pull": pull_debian,
    "verbs": by_the_same_client,
    "memory": memory,
    "throughput": throughput,
}


def _timer(peer: Peer, *words: str) -> Callable[[], float]:
    return lambda: peer.time(*words)


def _puller(peer: Peer) -> Callable[[], float]:
    def pull() -> float:
        peer.arena.run(*peer.command("rmi", "-f", f"{REGISTRY}/debian"), check=False)
        return peer.time("pull", "-q", f"{REGISTRY}/debian")

    return pull


def _committer(peer: Peer) -> Callable[[], float]:
    numbers = itertools.count()

    def commit() -> float:
        image = f"committed:{next(numbers)}"
        seconds = peer.time("commit", "files", image)
        peer.do("rmi", image)
        return seconds

    return commit


def _starter(peer: Peer, at_once: int) -> Callable[[], float]:
    def start() -> float:
        command = peer.command("run", "-d", "busybox", *FOREVER)
        seconds = peer.arena.time(*[command] * MANY, at_once=at_once)
        _remove_all(peer)
        return seconds

    return start


def _remove_all(peer: Peer) -> None:
    containers = peer.do("ps", "-aq").split()
    peer.arena.time(*(peer.command("rm", "-f", container) for container in containers), at_once=8)


def _iperf(host: str, port: int) -> list[str]:
    return ["iperf3", "--client", host, "--port", str(port), "--time", "1", "--json"]


def _stream(peer: Peer, command: list[str]) -> Callable[[], float]:
    def gigabits() -> float:
        said = json.loads(peer.arena.run(*command, check=False))
        if "end" not in said or "sum_received" not in said["end"]:
            raise OSError(said.get("error", "iperf3 says nothing"))
        return float(said["end"]["sum_received"]["bits_per_second"]) / 1e9

    return gigabits


def _told(used: dict[str, tuple[float, float]], failed: dict[str, str], name: str) -> tuple[float, float]:
    if name not in used:
        raise OSError(failed.get(name, "absent"))
    return used[name]


@contextlib.contextmanager
def _reported_by_the_cases() -> Iterator[None]:
    """A preparation that fails makes the cases that need it fail, and these say so."""
    with contextlib.suppress(OSError, AssertionError, subprocess.SubprocessError):
        yield
