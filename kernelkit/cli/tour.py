"""`tour`: the eight steps of a run, for real, one after the other, each looked for in the kernel once it is done."""

from __future__ import annotations

import os

from kernelkit.cli import jsontext, progress, terminal
from kernelkit.cli.connect import connect, run_host, socket_path
from kernelkit.cli.credentials import registry_auth
from kernelkit.cli.flags import Command
from kernelkit.cli.http import ApiError, Client
from kernelkit.cli.output import Failure, say
from kernelkit.cli.record import Colours
from kernelkit.cli.sights import Eyes, look
from kernelkit.cli.steps import arrived, say_to
from kernelkit.cli.tour_stops import STOPS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from kernelkit.cli.flags import Options

    Step = dict[str, Any]

IMAGE = "bash"
OF_A_KIND = 2  # shell lines shown of each kind of operation in a stage
MOST_ROWS = 4  # of one of them on the screen
HEXADECIMAL, DIGEST, SHORT = frozenset("0123456789abcdef"), 64, 12
QUEUES = " numtxqueues 1 numrxqueues 1"  # a cable's, which matter to nobody but its speed
NEXT = (
    ("kernelkit run -it bash", "the same, in one go"),
    ("kernelkit run --rm --show bash true", "every operation, as it happens"),
    ("kernelkit run --rm -it --step bash", "stops before each; s: a shell there"),
    ("kernelkit run -it --without ip bash", "what was the address for?"),
    ("kernelkit shell", "the practice host: ip, nft, ps"),
)


def tour(options: Options) -> int:
    """Run bash in eight steps and look for each in the kernel; 0 when all were seen."""
    was_up = _is_up()
    client = connect()
    guide = Guide(client)
    try:
        guide.pull()
        guide.run()
        return guide.farewell()
    finally:
        guide.clean_up()
        if not was_up:
            run_host("down")


def _is_up() -> bool:
    try:
        Client(socket_path()).ping()
    except (OSError, Failure):
        return False
    return True


class Guide:
    """Walks through the steps: says what will happen, has it happen, looks, says what is there."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._eyes = Eyes(client)
        self._eyes.image = IMAGE
        self._colours = Colours(1)
        self._width = (terminal.size(1)[1] or 80) - 1
        self._waits = os.isatty(0) and os.isatty(1)
        self._asked = False
        self._stage = ""
        self._seen: dict[str, bool] = {}

    def pull(self) -> None:
        """The first step, which comes before there is a container."""
        self._announce("pull", [{"operation": "", "shell": f"kernelkit pull {IMAGE}"}])
        following = self._client.request("GET", "/kernelkit/trace", {"follow": True})
        query = {"fromImage": f"docker.io/library/{IMAGE}", "tag": "latest"}
        messages = self._client.request("POST", "/images/create", query, headers=registry_auth("docker.io")).messages()
        progress.show(messages)
        steps = [step for step in arrived(following) if step["stage"] == "pull"]
        self._show(steps)
        if not steps:
            say(self._colours.dim(f"  It was here already; kernelkit rmi {IMAGE} undoes that."))
        self._check()

    def run(self) -> None:
        """The other seven: a container that waits for input, with a published port, started one step at a time."""
        body = {
            "Image": IMAGE,
            "Cmd": ["bash"],
            "Tty": True,
            "OpenStdin": True,
            "ExposedPorts": {"80/tcp": {}},
            "HostConfig": {"PortBindings": {"80/tcp": [{"HostIp": "", "HostPort": ""}]}},
        }
        self._eyes.container = self._client.post("/containers/create", None, body)["Id"]
        path = f"/kernelkit/containers/{self._eyes.container}/start"
        wire = self._client.send("POST", path, {"show": True, "step": True}, upgrade=True).stream()
        plan: dict[int, Step] = {}
        try:
            while True:
                message = jsontext.decode(wire.line())
                if "plan" in message:
                    plan = {step["seq"]: step for step in message["plan"]}
                    self._eyes.plan = list(plan.values())
                elif "about" in message:
                    self._before(plan[message["about"]], int(message.get("pid") or 0))
                    say_to(wire, "next")
                elif "started" in message:
                    self._eyes.pid = int(message["started"])
                    self._check()
                    return
                elif "error" in message:
                    raise ApiError(500, str(message["error"].get("message")))
        except BaseException:
            say_to(wire, "abort")
            raise
        finally:
            wire.close()

    def _before(self, step: Step, pid: int) -> None:
        if step["actor"] == "container" and pid:
            self._eyes.pid = pid
        if step["stage"] != self._stage and step["stage"] in STOPS:
            self._check()
            self._announce(step["stage"], [one for one in self._eyes.plan if one["stage"] == step["stage"]])

    def _announce(self, stage: str, steps: list[Step]) -> None:
        """Say what will happen, and wait until the visitor is ready."""
        self._stage = stage
        stop = STOPS[stage]
        say(self._colours.bold(f"{list(STOPS).index(stage) + 1}. {stop.title}"))
        self._paragraph(stop.about)
        self._show(steps)
        say()
        self._paragraph(f"Guess: {stop.guess}")
        if self._waits:
            how = "Enter " if self._asked else "Enter does it, ctrl-C leaves "
            self._asked = True
            os.write(1, self._colours.dim(how).encode())
            if not os.read(0, 4096):
                self._waits = False

    def _paragraph(self, text: str, mark: str = "") -> None:
        """Print a text folded to the terminal's width, with something before its first line."""
        rows = fold(text, self._width - (2 if mark else 0))
        for number, row in enumerate(rows):
            say(f"{mark if not number else ' '} {row}" if mark else row)

    def _show(self, steps: list[Step]) -> None:
        """Print what matters most among these operations, as shell lines, and how many others there are."""
        main = STOPS[self._stage].main
        shown: dict[str, int] = {}
        lines = []
        for step in steps:
            name = step["operation"]
            shown[name] = count = shown.get(name, 0) + 1
            if not name or (name in main and count <= OF_A_KIND):
                lines.append(brief(str(step["shell"]), self._eyes.home, self._eyes.container))
        if not lines:
            return
        say()
        for line in lines:
            first, *more = fold(line, self._width - 4)
            say(f"  {self._colours.dim('$')} {first}")
            for row in more[: MOST_ROWS - 1]:
                say(f"      {row}")
            if len(more) >= MOST_ROWS:
                say(self._colours.dim("      …"))
        if hidden := len(steps) - len(lines):
            say(self._colours.dim(f"  … and {hidden} more"))

    def _check(self) -> None:
        """Look for what the stage that has just ended should have done, and say what is there."""
        stage, self._stage = self._stage, ""
        if not stage:
            return
        seen, text = look(STOPS[stage].sight, self._eyes)
        self._seen[stage] = seen
        say()
        self._paragraph(text, self._colours.green("✓") if seen else self._colours.red("✗"))
        self._paragraph(STOPS[stage].answer, " ")
        say()

    def farewell(self) -> int:
        """Say how much was seen; the exit code."""
        count = sum(self._seen.values())
        say("And now by yourself:\n")
        for command, about in NEXT:
            say(f"  {self._colours.dim('$')} {command:38} {self._colours.dim(about)}")
        say(f"\n{count} of {len(STOPS)} steps were seen in the kernel.")
        for stage, stop in STOPS.items():
            if not self._seen.get(stage):
                say(f"not seen: {stop.title}")
        return 0 if count == len(STOPS) else 1

    def clean_up(self) -> None:
        """Remove the container; the image stays, as after any pull."""
        if self._eyes.container:
            try:
                self._client.delete(f"/containers/{self._eyes.container}", {"force": True, "v": True})
            except (ApiError, OSError):
                pass


def brief(shell: str, home: str, container: str) -> str:
    """A shell line for reading: folders by name, digests by their first digits, only the first of several lines."""
    first, more, _ = shell.partition("\n")
    for name, folder in (("$C", f"{home}/containers/{container}"), ("$H", home)):
        first = first.replace(folder, name)
    first = first.replace(QUEUES, "").partition(" -H ")[0]
    at = 0
    while at + DIGEST <= len(first):
        if HEXADECIMAL.issuperset(first[at : at + DIGEST]):
            first = f"{first[: at + SHORT]}…{first[at + DIGEST :]}"
            at += SHORT
        at += 1
    return first + (" …" if more else "")


def fold(text: str, width: int) -> list[str]:
    """The text in rows of at most so many characters, broken between words, or after a comma of a long one."""
    rows = [""]
    for word in text.replace(",", ",\0").replace(" ", " \0").split("\0"):
        if rows[-1] and len(rows[-1]) + len(word.rstrip()) > width:
            rows.append("")
        rows[-1] += word
    return [row.rstrip() for row in rows]


TOUR = Command(tour, "", "See the eight steps of a run happen, and each of them in the kernel")
