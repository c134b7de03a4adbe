"""Talks to the engine: HTTP/1.1 over its unix socket, as any Docker client does.

    engine = connect()
    engine.get("/containers/json")
    engine.shell("ip", "address")                        an ordinary tool, on the practice host
    with engine.stepping(container) as stepper: …        a start that waits before each operation

It needs no privilege: whoever may open the socket may learn.
"""

from __future__ import annotations

import http.client
import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from kernelkit.home import Home

PATIENCE = 60.0  # seconds for one answer; a pull says something far more often
KNOCK = 1.5  # seconds in which the engine does something small, unless it waits for somebody

GONE = "the engine went away in the middle of a start: run this cell again"

Json = dict[str, Any]


class LessonError(Exception):
    """Something a student should know, in one line that says what would help."""


class EngineError(LessonError):
    """The engine said no: its HTTP status and its words."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class EngineSlow(LessonError):
    """The engine is there and has not answered in the time that was given."""


class StartLost(LessonError):
    """Nobody is at the other end of a start any more."""


class StartFailed(LessonError):
    """The kernel refused an operation of a start; `left_out` are the steps that were left out on request.

    Docker puts a sentence before what was refused, and a word behind it; a student is told what was refused.
    """

    def __init__(self, message: str, left_out: Sequence[Json]) -> None:
        super().__init__(message.rpartition("OCI runtime create failed: ")[2].partition(": unknown")[0])
        self.left_out = tuple(left_out)


@dataclass(frozen=True)
class Ran:
    """A tool that was run: what it left with, and what it wrote."""

    code: int
    stdout: str
    stderr: str


class _Connection(http.client.HTTPConnection):
    """A connection to a unix socket in place of a port."""

    def __init__(self, path: Path, patience: float) -> None:
        super().__init__("kernelkit", timeout=patience)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


def connect() -> Engine:
    """The engine of this home; boots its practice host when nobody answers, as `kernelkit` itself does."""
    engine = Engine(Path(os.environ.get("KERNELKIT_SOCKET") or Home.default().socket))
    if not engine.answers():
        _boot()
        if not engine.answers():
            raise LessonError(
                f"no engine answers at '{engine.path}': run `kernelkit up` in a terminal, then this cell again"
            )
    return engine


def _boot() -> None:
    """`kernelkit up`; it knows what is missing and says so."""
    beside = Path(sys.executable).with_name("kernelkit")
    command = str(beside) if beside.exists() else shutil.which("kernelkit")
    if not command:
        raise LessonError("the command `kernelkit` is not here: run `make lab` where you cloned the course")
    booted = subprocess.run([command, "up"], capture_output=True, text=True, stdin=subprocess.DEVNULL)
    if booted.returncode:
        said = (booted.stderr or booted.stdout).strip().splitlines()
        why = said[-1] if said else "it did not say why"
        raise LessonError(f"the practice host does not boot: {why}: try `kernelkit doctor` in a terminal")


class Engine:
    """The engine behind one socket. Every call is a connection of its own, so calls may come from several threads."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def answers(self) -> bool:
        """Whether somebody is there."""
        try:
            self.get("/_ping")
        except (LessonError, OSError):
            return False
        return True

    def get(self, path: str, **query: Any) -> Any:
        """What is at a path: JSON as values, text as text. EngineError when the engine says no."""
        return self._ask("GET", path, query, None)

    def post(self, path: str, body: Any = None, **query: Any) -> Any:
        """Ask for something to be done."""
        return self._ask("POST", path, query, body if body is not None else {})

    def delete(self, path: str, **query: Any) -> None:
        """Have something removed; one that is not there is removed already."""
        try:
            self._ask("DELETE", path, query, None)
        except EngineError as error:
            if error.status != 404:
                raise

    def pull(self, image: str) -> Iterator[Json]:
        """Bring an image here; its progress, in Docker's messages. LessonError with the registry's answer."""
        name, _, tag = image.partition(":")
        connection, answer = self._request("POST", "/images/create", {"fromImage": name, "tag": tag or "latest"}, None)
        try:
            for line in answer:
                if line.strip():
                    message = json.loads(line)
                    if "error" in message:
                        raise LessonError(f"cannot pull '{image}': {message['error']}")
                    yield message
        finally:
            connection.close()

    def is_starting(self, container: str) -> bool:
        """Whether a container is in the middle of a start: the engine lets nobody else touch it until that is over.

        Asked by an update of nothing, which waits for its turn and then changes nothing.
        """
        try:
            if self.get(f"/containers/{container}/json")["State"]["Status"] != "created":
                return False
            self._ask("POST", f"/containers/{container}/update", {}, {}, patience=KNOCK)
        except EngineSlow:
            return True
        except EngineError:
            pass  # it is not there, or has gone meanwhile
        return False

    def has(self, image: str) -> bool:
        """Whether an image is here."""
        name = image if ":" in image else f"{image}:latest"
        return any(name in (each.get("RepoTags") or ()) for each in self.get("/images/json"))

    def have(self, image: str) -> None:
        """Pull an image unless it is here."""
        for _ in () if self.has(image) else self.pull(image):
            pass

    def shell(self, *words: str, container: str = "", input: str = "") -> Ran:
        """Run an ordinary tool on the practice host, or in a container's namespaces with the host's tools."""
        answer = self.post("/kernelkit/shell", {"args": list(words), "container": container, "input": input})
        return Ran(answer["code"], answer["stdout"], answer["stderr"])

    def perform(self, operations: Sequence[Json], stage: str = "exercise", container: str = "") -> list[Json]:
        """Perform operations, given as {"operation": name, "fields": {…}}; their steps, how each one ended."""
        body = {"stage": stage, "operations": list(operations), "container": container}
        return list(self.post("/kernelkit/perform", body)["steps"])

    def trace(self, container: str) -> list[Json]:
        """The record of a container, an object a step."""
        return list(self.get(f"/kernelkit/trace/{container}"))

    def stepping(self, container: str, without: Sequence[str] = (), *, step: bool = True) -> Stepper:
        """Start a container under your eyes."""
        query = [("show", "1"), *([("step", "1")] if step else []), *(("without", name) for name in without)]
        path = f"/kernelkit/containers/{container}/start?{urlencode(query)}"
        wire = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        wire.settimeout(PATIENCE)
        wire.connect(str(self.path))
        fields = ("Host: kernelkit", "Connection: Upgrade", "Upgrade: tcp", "Content-Length: 0")
        wire.sendall("\r\n".join((f"POST {path} HTTP/1.1", *fields, "", "")).encode())
        return Stepper(wire)

    def _ask(self, method: str, path: str, query: Mapping[str, Any], body: Any, patience: float = PATIENCE) -> Any:
        connection, answer = self._request(method, path, query, body, patience)
        try:
            content = answer.read()
        finally:
            connection.close()
        if "json" in (answer.headers.get("Content-Type") or ""):
            return json.loads(content) if content.strip() else None
        return content.decode("utf-8", "replace")

    def _request(
        self, method: str, path: str, query: Mapping[str, Any], body: Any, patience: float = PATIENCE
    ) -> tuple[_Connection, http.client.HTTPResponse]:
        connection = _Connection(self.path, patience)
        target = f"{path}?{urlencode(query, doseq=True)}" if query else path
        headers = {"Content-Type": "application/json"} if body is not None else {}
        try:
            connection.request(method, target, json.dumps(body) if body is not None else None, headers)
            answer = connection.getresponse()
        except TimeoutError:
            connection.close()
            slow = f"the engine has not answered for {patience:.0f} s: try again, or look at `kernelkit ps`"
            raise EngineSlow(slow) from None
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            why = getattr(error, "strerror", "") or str(error)
            raise LessonError(f"no engine answers at '{self.path}' ({why}): run `kernelkit up` in a terminal") from None
        if answer.status >= 400:
            said = answer.read()
            connection.close()
            raise EngineError(answer.status, _message(said))
        return connection, answer


class Stepper:
    """The client's end of a start that waits before each operation.

    `plan` is everything that will be attempted; `about` the number of the operation it waits before, 0 when none.
    """

    def __init__(self, wire: socket.socket) -> None:
        self._wire = wire
        self._lines = wire.makefile("rb")
        self.about = 0
        self.pid = 0
        self.ended = False
        self.plan: list[Json] = []
        self.steps: dict[int, Json] = {}
        self.left_out: list[Json] = []
        self._read_head()
        self._hear_until_waiting(first=True)

    def __enter__(self) -> Stepper:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def next(self) -> None:
        """Let the operation it waits before be performed, and wait before the next one."""
        self._say("next")

    def go_on(self) -> None:
        """Perform the rest without waiting."""
        self._say("continue")

    def close(self) -> None:
        """Leave; a start that is not through yet is given up."""
        if not self.ended:
            try:
                self._wire.sendall(b'{"do": "abort"}\n')
            except OSError:
                pass
        self._lines.close()
        self._wire.close()

    def _say(self, what: str) -> None:
        if self.ended:
            return
        try:
            self._wire.sendall(json.dumps({"do": what}).encode() + b"\n")
        except OSError:
            self.ended = True
            raise StartLost(GONE) from None
        self.about = 0
        self._hear_until_waiting()

    def _hear_until_waiting(self, *, first: bool = False) -> None:
        """Take what the engine says until it waits for an answer, or has ended."""
        while True:
            try:
                line = self._lines.readline()
            except OSError:
                line = b""
            if not line:
                self.ended = True
                raise StartLost(GONE)
            message = json.loads(line)
            if "plan" in message:
                self.plan = message["plan"]
            elif "step" in message:
                self.steps[message["step"]["seq"]] = message["step"]
            elif "left_out" in message:
                self.left_out.append(message["left_out"])
            elif "about" in message:
                self.about = message["about"]
                return
            elif "started" in message:
                self.pid, self.ended = message["started"], True
                return
            elif "error" in message:
                self.ended = True
                raise StartFailed(message["error"]["message"], self.left_out)

    def _read_head(self) -> None:
        status = self._lines.readline().split(None, 2)
        length = 0
        while (field := self._lines.readline().strip()) != b"":
            name, _, value = field.partition(b":")
            length = int(value) if name.lower() == b"content-length" else length
        if len(status) < 2 or status[1] not in (b"101", b"200"):
            said = self._lines.read(length)
            self.ended = True
            raise EngineError(int(status[1]) if len(status) > 1 else 500, _message(said))


def _message(content: bytes) -> str:
    try:
        return str(json.loads(content)["message"])
    except (ValueError, KeyError, TypeError):
        return content.decode("utf-8", "replace").strip() or "the engine did not say why"
