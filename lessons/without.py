"""The same run twice, once with something left out: what it was for shows in the difference."""

from __future__ import annotations

import http.client
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from lessons.client import Engine, Json, StartFailed
from lessons.look import look
from lessons.say import folders_of, shorten
from lessons.state import State
from lessons.walk import Run, remove


@dataclass(frozen=True)
class Seen:
    """A container that was started, or why it was not: what probes look at."""

    engine: Engine
    container: str
    state: State
    ports: dict[int, int]  # inside -> on the real machine
    patience: float = 2  # seconds to wait for an answer that may not come
    problem: str = ""


@dataclass(frozen=True)
class Probe:
    """One thing to look at; `ask` answers in a few words."""

    question: str
    ask: Callable[[Seen], str]


@dataclass(frozen=True)
class Choice:
    """Something that can be left out: a stage or an operation, by its name in the record; and what it was for."""

    name: str
    title: str
    was_for: str


@dataclass(frozen=True)
class Compared:
    """What every probe answered, with everything done and with one thing left out; `problem` if that did not start."""

    choice: Choice
    rows: tuple[tuple[str, str, str], ...]  # question, with, without
    left_out: tuple[str, ...] = ()  # in shell
    problem: str = ""


def compare(engine: Engine, run: Run, probes: Sequence[Probe], choice: Choice) -> Compared:
    """Run twice, look at both, remove both."""
    engine.have(run.image)
    # With everything done there is an answer, however busy the machine is; without, there may be none to wait for.
    whole, _ = _try(engine, run, (), probes, patience=15)
    answers, found = _try(engine, run, (choice.name,), probes, patience=2)
    rows = zip((p.question for p in probes), whole, answers, strict=True)
    return Compared(choice, tuple(rows), found[0], found[1])


def _try(
    engine: Engine, run: Run, left_out: Sequence[str], probes: Sequence[Probe], patience: float
) -> tuple[list[str], tuple[tuple[str, ...], str]]:
    """What the probes answered; what was left out, and why the start failed if it did."""
    remove(engine, run.name)
    try:
        container = engine.post("/containers/create", {"Image": run.image, **run.settings}, name=run.name)["Id"]
        folders = folders_of(str(engine.get("/info")["DockerRootDir"]), container)
        try:
            with engine.stepping(container, left_out, step=False) as stepper:
                missing = _shell(stepper.left_out, folders)
        except StartFailed as error:
            return ["no container" for _ in probes], (_shell(error.left_out, folders), shorten(str(error), folders))
        known = engine.get(f"/containers/{container}/json")
        ports = _ports(known["NetworkSettings"]["Ports"])
        seen = Seen(engine, container, look(engine, run.image, container), ports, patience)
        return [probe.ask(seen) for probe in probes], (missing, "")
    finally:
        remove(engine, run.name)


def _shell(steps: Sequence[Json], folders: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(shorten(step["shell"], folders) for step in steps)


def _ports(bindings: dict[str, list[dict[str, str]] | None]) -> dict[int, int]:
    """Docker's `Ports`: {"80/tcp": [{"HostPort": "8080"}]}."""
    return {int(port.partition("/")[0]): int(given[0]["HostPort"]) for port, given in bindings.items() if given}


def called(engine: Engine, address: str, patience: float = 2) -> str:
    """What a web server says when the host calls it: its first line; empty if none answers in so many seconds.

    It is called again and again, for it may just be starting.
    """
    call = f"(exec 3<>/dev/tcp/{shlex.quote(address)}/80 && printf 'GET / HTTP/1.0\\r\\n\\r\\n' >&3 && head -1 <&3)"
    ran = engine.shell("timeout", str(patience), "bash", "-c", f"until {call} 2>/dev/null; do sleep 0.05; done")
    return ran.stdout.strip()


def answers_inside(engine: Engine, container: str, address: str, patience: float = 3) -> bool:
    """Whether a machine answers when it is called from inside a container: that nobody listens is an answer, too."""
    ran = engine.shell("timeout", str(patience), "bash", "-c", "exec 3<>/dev/tcp/$0/9", address, container=container)
    return ran.code == 0 or "refused" in ran.stderr


def answers_at(port: int, patience: float = 1.5) -> bool:
    """Whether a web server answers at that port of the real machine's loopback."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=patience)
    try:
        connection.request("GET", "/")
        connection.getresponse().read()
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
    return True
