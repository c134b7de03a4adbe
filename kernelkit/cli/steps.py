"""`run --show`, `--step` and `--without`: a start that is watched, stopped before each operation, or incomplete.

The start is a conversation of JSON lines over one connection (POST /kernelkit/containers/ID/start):

    engine  {"plan": [step, …]}  {"about": seq}  {"step": step}  {"left_out": step}  {"started": pid} or {"error": …}
    we      {"do": "next" | "continue" | "skip" | "abort"}
"""

from __future__ import annotations

import os
import termios

from kernelkit.cli import jsontext
from kernelkit.cli.connect import run_host
from kernelkit.cli.http import ApiError
from kernelkit.cli.output import Failure, put
from kernelkit.cli.record import Colours, Printer
from kernelkit.cli.terminal import read_line
from kernelkit.cli.wire import ConnectionLost

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

    from kernelkit.cli.http import Client
    from kernelkit.cli.wire import Response, Wire

    Step = dict[str, Any]

STDERR = 2
QUESTION = "  Enter: do it   s: a shell there   c: do the rest   k: skip it   q: give up "
# A line's end that follows a key at once was typed with it.
SAME_BREATH = 0.05
ANSWERS = {"": "next", "n": "next", "c": "continue", "k": "skip", "q": "abort"}
# Enters those namespaces of process $1 that are not the host's, as far as the container has them already.
ENTER = """
flags=
for pair in mnt:-m uts:-u ipc:-i net:-n pid:-p cgroup:-C; do
    kind=${pair%%:*}
    [ "$(readlink /proc/$1/ns/$kind)" = "$(readlink /proc/1/ns/$kind)" ] || flags="$flags ${pair#*:}"
done
[ -z "$flags" ] && exec "${SHELL:-/bin/sh}"
exec nsenter -t "$1" $flags -- sh +m
"""


def start(
    client: Client, container: str, *, show: bool, step: bool, without: list[str], interactive: bool = False
) -> None:
    """Start a container while everybody watches. Raises ApiError with what the engine says when it does not start.

    What is watched goes to standard error; `interactive` says that standard input belongs to the container.
    """
    asked = Asking(interactive=interactive) if step else None
    query = {"show": show or step, "step": step, "without": without}
    wire = client.send("POST", f"/kernelkit/containers/{container}/start", query, upgrade=True).stream()
    try:
        converse(wire, Watcher(show=show or step), asked)
    except KeyboardInterrupt:
        say_to(wire, "abort")
        _until_it_ends(wire)
        raise
    finally:
        wire.close()
        if asked:
            asked.close()


def show_pull(client: Client, pull: Callable[[], None]) -> None:
    """Have an image pulled, and print what is done for it, while it is done."""
    from threading import Thread  # a pull is rare, and this command starts often

    following = client.request("GET", "/kernelkit/trace", {"follow": True})
    telling = Thread(target=_tell_pull, args=(following,), daemon=True)
    telling.start()
    try:
        pull()
    finally:
        following.end()
        telling.join()
        following.close()
        put(STDERR, b"\n")


def _tell_pull(following: Response) -> None:
    printer = Printer(STDERR)
    try:
        for step in following.messages():
            if step["stage"] == "pull":
                printer.show(step)
    except (ConnectionLost, OSError):
        pass  # whoever pulls will be told


def arrived(following: Response) -> Iterator[Step]:
    """The steps that have been until now; then it is closed."""
    following.end()
    yield from following.messages()
    following.close()


def converse(wire: Wire, watcher: Watcher, asked: Asking | None) -> int:
    """Follow a start to its end; the pid of the container. Raises ApiError with the engine's words."""
    while True:
        message = jsontext.decode(wire.line())
        if "plan" in message:
            watcher.plan = {one["seq"]: one for one in message["plan"]}
        elif "about" in message:
            planned = watcher.about_to(message)
            say_to(wire, asked.answer(planned, int(message.get("pid") or 0)) if asked else "next")
        elif "step" in message:
            watcher.done(message["step"])
        elif "left_out" in message:
            watcher.left_out(message["left_out"])
        elif "started" in message:
            return int(message["started"] or 0)
        elif "error" in message:
            error = message["error"]
            raise ApiError(int(error.get("status") or 500), str(error.get("message") or error))


def _until_it_ends(wire: Wire) -> None:
    """Wait for the engine's last word: by then it has taken back what was done so far."""
    try:
        while not {"started", "error"} & set(jsontext.decode(wire.line())):
            pass
    except (ConnectionLost, OSError, ValueError):
        pass


def say_to(wire: Wire, what: str) -> None:
    """Tell the engine how to go on; it may have gone meanwhile, which the next line it does not say will show."""
    try:
        wire.send((jsontext.encode({"do": what}) + "\n").encode())
    except OSError:
        pass


class Watcher:
    """Prints what happens: every step when shown, those that are left out in any case."""

    def __init__(self, *, show: bool, fd: int = STDERR) -> None:
        self.plan: dict[int, Step] = {}
        self._show = show
        self._fd = fd
        self._printer = Printer(fd)
        self._colours = Colours(fd)
        self._announced = 0

    def about_to(self, message: dict[str, Any]) -> Step:
        """Print the operation that is about to happen."""
        planned = self.plan.get(message["about"]) or message.get("operation") or {}
        self._printer.about_to(planned)
        self._announced = int(message["about"])
        return planned

    def done(self, step: Step) -> None:
        """Print an operation that has ended; of one that was announced, only how it ended."""
        if not self._show:
            return
        if step["seq"] != self._announced:
            self._printer.show(step)
            return
        error = step.get("error")
        took = f"done in {(step.get('seconds') or 0) * 1000:.2f} ms"
        text = self._colours.red(error) if error else self._colours.dim(took)
        put(self._fd, f"    {text}\n".encode())

    def left_out(self, step: Step) -> None:
        """Print an operation that was left out."""
        self._printer.left_out(step)


def refuse_without_terminal(*, interactive: bool) -> None:
    """Raise Failure when there would be nobody to ask: found out before anything is made."""
    Asking(interactive=interactive).close()


class Asking:
    """Asks the user how to go on, on the terminal; on standard input line by line where that is no terminal.

    Raises Failure when standard input belongs to the container and there is no terminal besides.
    """

    def __init__(self, *, interactive: bool, enter: Callable[[int], object] | None = None) -> None:
        self._enter = enter or shell_there
        self._own = -1
        if os.isatty(0) or not interactive:
            self._fd = 0
            return
        try:
            self._fd = self._own = os.open("/dev/tty", os.O_RDWR | os.O_CLOEXEC)
        except OSError:
            raise Failure("--step needs a terminal: standard input belongs to the container", 125) from None

    def close(self) -> None:
        """Close the terminal, if it was opened here."""
        if self._own >= 0:
            os.close(self._own)

    def answer(self, step: Step, pid: int) -> str:
        """What the user wants done before this operation; shells are opened meanwhile, as many as wanted."""
        while True:
            put(STDERR, QUESTION.encode())
            key = self._key()
            put(STDERR, b"\r\x1b[K" if os.isatty(STDERR) else b"\n")
            if key == "s":
                put(STDERR, f"  a shell {_where(step, pid)}; `exit` comes back here\n".encode())
                self._enter(pid if step.get("where") == "container" else 0)
            elif key in ANSWERS:
                return ANSWERS[key]

    def _key(self) -> str:
        """One key of a terminal, or the first letter of a line; the end of input means all the rest."""
        if not os.isatty(self._fd):
            line = read_line(self._fd)
            return line.decode("utf-8", "replace").strip()[:1] if line else "c"
        import select  # only whoever steps waits for keys

        before = termios.tcgetattr(self._fd)
        mode = termios.tcgetattr(self._fd)
        mode[3] &= ~(termios.ICANON | termios.ECHO)  # ctrl-C stays a signal
        termios.tcsetattr(self._fd, termios.TCSANOW, mode)
        try:
            key = os.read(self._fd, 1).decode("latin-1")
            if key not in ("\n", "\r") and select.select([self._fd], [], [], SAME_BREATH)[0]:
                os.read(self._fd, 1)
        finally:
            termios.tcsetattr(self._fd, termios.TCSANOW, before)
        return {"\n": "", "\r": "", "\x04": "c", "": "c"}.get(key, key)


def _where(step: Step, pid: int) -> str:
    if step.get("where") == "container" and pid:
        return "in the container, as far as it exists"
    return "in the host"


def shell_there(pid: int) -> int:
    """A shell in the host, or in the namespaces that this process of the host has of its own; its exit code."""
    if pid:
        return run_host("shell", "/bin/sh", "-c", ENTER, "sh", str(pid))
    return run_host("shell")
