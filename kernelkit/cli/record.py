"""`trace`: the record of what the engine asked of the kernel, to be read, to be typed, or while it happens."""

from __future__ import annotations

import os

from kernelkit.cli import terminal
from kernelkit.cli.connect import connect
from kernelkit.cli.flags import BOOL, Command, Flag
from kernelkit.cli.jsontext import encode
from kernelkit.cli.output import Failure, put, say, write

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from kernelkit.cli.flags import Options

    Step = dict[str, Any]

# What each stage of a run is, as one says it; other stages keep their own name.
ABOUT = {
    "pull": "the image is pulled from the registry",
    "create": "a new container is created",
    "filesystem": "a new file system is made for it",
    "rw-layer": "a layer that can be written is mounted on top",
    "interface": "a network interface is allocated",
    "ip": "an IP address is set",
    "nat": "NAT is set",
    "exec": "the program is executed",
}
# A container of an internal network needs no step of its own here, and a reader looks for one.
WITHOUT_NAT = "  nothing to do: no port is published, and its networks let nothing out"
TAKING_BACK = ("Remove", "Delete")  # how operations are called that belong to an end
LONGEST_WORD = 600  # characters; only a filter in base64 is longer, and nobody reads that
ID_LENGTH, HEXADECIMAL = 64, frozenset("0123456789abcdef")


def trace(options: Options) -> int:
    """Print the record of a container, the newest one, or whatever happens from now on."""
    last, follow, names = options.on("last"), options.on("follow"), options.arguments
    if len(names) + last + follow != 1:
        raise Failure("name one container, or give --last or --follow")
    if options.on("json") and options.on("sh"):
        raise Failure("conflicting options: cannot specify both --json and --sh")
    if follow and options.on("sh"):
        raise Failure("conflicting options: cannot specify both --follow and --sh: a script has an end")
    client = connect()
    if follow:
        answer = client.request("GET", "/kernelkit/trace", {"follow": True})
        return _print(answer.messages(), as_json=options.on("json"))
    if options.on("sh"):
        query = {"last": True, "script": True} if last else None
        path = "/kernelkit/trace" if last else f"/kernelkit/trace/{names[0]}/script"
        write(client.request("GET", path, query).read().decode())
        return 0
    steps = client.get("/kernelkit/trace", {"last": True}) if last else client.get(f"/kernelkit/trace/{names[0]}")
    return _print(steps, as_json=options.on("json"))


def _print(steps: Iterable[Step], *, as_json: bool) -> int:
    printer = Printer()
    for step in steps:
        if as_json:
            say(encode(step))
        else:
            printer.show(step)
    return 0


class Printer:
    """Prints steps for people: a heading for each stage, a line for each operation, its place, time and error.

    In a terminal the place and the time stand at the right edge, elsewhere behind two blanks.
    """

    def __init__(self, fd: int = 1) -> None:
        self._fd = fd
        self._stage: tuple[Any, ...] | None = None
        self._folder = ""  # the container's, which the lines call $C
        self._colours = Colours(fd)

    def heading(self, step: Step) -> None:
        """Print the heading of the step's stage, unless it was the last one printed."""
        stage = (step.get("container"), step["stage"])
        if stage == self._stage:
            return
        backwards = str(step.get("operation", "")).startswith(TAKING_BACK)
        about = "what was made for it is taken back" if backwards else ABOUT.get(step["stage"], "")
        gap = "" if self._stage is None else "\n"
        if step["stage"] == "exec" and self._stage == (step.get("container"), "ip"):
            self._say(f"{gap}{self._colours.bold('nat')}  {ABOUT['nat']}\n{self._colours.dim(WITHOUT_NAT)}")
        self._stage = stage
        self._say(gap + self._colours.bold(step["stage"]) + (f"  {about}" if about else ""))

    def show(self, step: Step) -> None:
        """Print a step that has ended, or was left out."""
        self.heading(step)
        self._line(step, self._colours.dim(notes(step)), len(notes(step)))
        if step.get("error"):
            self._say("    " + self._colours.red(step["error"]))

    def left_out(self, step: Step) -> None:
        """Print a step that was left out on purpose."""
        self.heading(step)
        self._line(step, self._colours.yellow("left out"), len("left out"))

    def about_to(self, step: Step) -> None:
        """Print a step before it is done."""
        self.heading(step)
        self._say("  " + self.command(step) + self._colours.dim(f"   ({step['where']}, by the {step['actor']})"))

    def _line(self, step: Step, note: str, length: int) -> None:
        text = "  " + self.command(step)
        _, columns = terminal.size(self._fd)
        last = text.rpartition("\n")[2]
        room = columns - len(last) - length if columns else 2
        if room < 2:
            self._say(f"{text}\n{' ' * max(columns - length, 4)}{note}")
        else:
            self._say(f"{text}{' ' * room}{note}")

    def command(self, step: Step) -> str:
        """The step in shell, with `$C` for the container's folder, whose long name would hide everything else."""
        text = shell_line(step)
        folder = container_folder(text)
        if folder and folder != self._folder:
            self._folder = folder
            self._say(self._colours.dim(f"  C={folder}"))
        return readable(text.replace(folder, "$C") if folder else text)

    def _say(self, text: str) -> None:
        put(self._fd, (text + "\n").encode("utf-8", "replace"))


def shell_line(step: Step) -> str:
    """What a person would type, its further lines indented as far as the first."""
    return str(step["shell"]).replace("\n", "\n  ")


def readable(text: str) -> str:
    """The text with its longest words cut in the middle."""
    return " ".join(word if len(word) <= LONGEST_WORD else f"{word[:24]}…{word[-8:]}" for word in text.split(" "))


def container_folder(text: str) -> str:
    """The first path in the text that ends in `/containers/` and an ID; empty when there is none."""
    at = text.find("/containers/")
    while at >= 0:
        end = at + len("/containers/") + ID_LENGTH
        name = text[at + len("/containers/") : end]
        start = max(text.rfind(character, 0, at) for character in " =:'\"\n>") + 1
        if len(name) == ID_LENGTH and not set(name) - HEXADECIMAL and not text.startswith("/sys/", start):
            return text[start:end]
        at = text.find("/containers/", at + 1)
    return ""


def notes(step: Step) -> str:
    """Where and how long: `container 0.12 ms`; `not reached` for a step that was planned only."""
    if step.get("started") is None:
        return "not reached"
    seconds = step.get("seconds")
    took = "running" if seconds is None else f"{seconds * 1000:.2f} ms"
    return f"{step['where']} {took}"


class Colours:
    """The few colours that a terminal gets and a file does not."""

    def __init__(self, fd: int) -> None:
        self._on = os.isatty(fd) and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"

    def _in(self, code: str, text: str) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if self._on else text

    def bold(self, text: str) -> str:
        """A heading."""
        return self._in("1", text)

    def dim(self, text: str) -> str:
        """Something beside the point."""
        return self._in("2", text)

    def red(self, text: str) -> str:
        """What went wrong."""
        return self._in("31", text)

    def green(self, text: str) -> str:
        """What was found as hoped."""
        return self._in("32", text)

    def yellow(self, text: str) -> str:
        """What to look out for."""
        return self._in("33", text)


TRACE = Command(
    trace,
    "[OPTIONS] [CONTAINER]",
    "Show what was asked of the kernel for a container",
    (
        Flag("follow", BOOL, "Show operations as they happen, whoever asked for them", "f"),
        Flag("json", BOOL, "Print an object a line"),
        Flag("last", BOOL, "Show the newest record"),
        Flag("sh", BOOL, "Print a shell script that does the same"),
    ),
    most=1,
)
