"""`tour`: the eight steps of a run, for real, one after the other, each looked for in the kernel once it is done."""

from __future__ import annotations

import os

from kernelkit.cli import jsontext, progress
from kernelkit.cli.connect import connect, run_host, socket_path
from kernelkit.cli.credentials import registry_auth
from kernelkit.cli.flags import Command
from kernelkit.cli.http import ApiError, Client
from kernelkit.cli.output import Failure, say
from kernelkit.cli.record import Colours, Printer
from kernelkit.cli.sights import (
    Eyes,
    addressed,
    cabled,
    created,
    executed,
    furnished,
    layered,
    look,
    pulled,
    translated,
)
from kernelkit.cli.steps import arrived, say_to

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from kernelkit.cli.flags import Options
    from kernelkit.cli.sights import Sight

    Step = dict[str, Any]

IMAGE = "bash"
OF_A_KIND = 2  # shell lines shown of each kind of operation in a stage; `kernelkit trace` has them all

# Stage → what it is called, what it is, and what shows it in the kernel.
STEPS: dict[str, tuple[str, str, Sight]] = {
    "pull": (
        "The image is pulled from the registry",
        "An image is a list of layers, each an archive of files. The registry hands them out over HTTP, named by\n"
        "the digest of what is in them; each is checked against its name and unpacked into a folder of its own.",
        pulled,
    ),
    "create": (
        "A new container is created",
        "A container is a process that sees less. clone(2) makes it in new namespaces: other mounts, another name\n"
        "of the machine, other processes, another network. Cgroups say how much it may use.",
        created,
    ),
    "filesystem": (
        "A new file system is made for it",
        "Its mounts no longer spread to the host, and three folders are made: upper for what it will write,\n"
        "work for the kernel, merged for the view of everything together.",
        furnished,
    ),
    "rw-layer": (
        "A read-write layer is mounted on top",
        "overlay stacks the image's layers, read-only, under the upper folder, which takes every change. Then\n"
        "come /proc, /dev and /sys, and what a container must not see is covered.",
        layered,
    ),
    "interface": (
        "A network interface is allocated",
        "A veth pair is a cable with two plugs: one goes into the bridge of the host, the other into the\n"
        "network namespace of the container, where it is called eth0.",
        cabled,
    ),
    "ip": (
        "An IP address is set",
        "eth0 gets a free address of the bridge's subnet, is switched on, and the bridge becomes the gateway.",
        addressed,
    ),
    "nat": (
        "NAT is set",
        "Nobody outside knows the container's address. It becomes an element of a set: a rule rewrites the source\n"
        "of what those in it send out. An element of a map leads a published port of the host to port 80 inside.",
        translated,
    ),
    "exec": (
        "bash is executed",
        "The process makes merged its root, gives up its rights, has its system calls filtered, and becomes bash.",
        executed,
    ),
}


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
        self._printer = Printer()
        self._waits = os.isatty(0) and os.isatty(1)
        self._stage = ""
        self._seen: dict[str, bool] = {}

    def pull(self) -> None:
        """The first step, which comes before there is a container."""
        self._announce("pull", [])
        following = self._client.request("GET", "/kernelkit/trace", {"follow": True})
        query = {"fromImage": f"docker.io/library/{IMAGE}", "tag": "latest"}
        messages = self._client.request("POST", "/images/create", query, headers=registry_auth("docker.io")).messages()
        progress.show(messages)
        self._show(list(arrived(following)))
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
        if step["stage"] != self._stage:
            self._check()
            self._announce(step["stage"], [one for one in self._eyes.plan if one["stage"] == step["stage"]])

    def _announce(self, stage: str, steps: list[Step]) -> None:
        """Say what will happen, and wait until the visitor is ready."""
        self._stage = stage
        title, about, _ = STEPS.get(stage, (stage, "", pulled))
        number = list(STEPS).index(stage) + 1 if stage in STEPS else 0
        say(self._colours.bold(f"{number}. {title}"))
        say(about)
        self._show(steps)
        if self._waits:
            os.write(1, self._colours.dim("Enter ").encode())
            if not os.read(0, 4096):
                self._waits = False

    def _show(self, steps: list[Step]) -> None:
        if not steps:
            return
        say()
        shown: dict[str, int] = {}
        for step in steps:
            shown[step["operation"]] = count = shown.get(step["operation"], 0) + 1
            if count <= OF_A_KIND:
                first, more, _ = self._printer.command(step).partition("\n")
                say(f"  {self._colours.dim('$')} {first}{' …' if more else ''}")
        if hidden := sum(max(count - OF_A_KIND, 0) for count in shown.values()):
            say(self._colours.dim(f"  … and {hidden} more like these"))

    def _check(self) -> None:
        """Look for what the stage that has just ended should have done, and say what is there."""
        stage, self._stage = self._stage, ""
        if stage not in STEPS:
            return
        seen, text = look(STEPS[stage][2], self._eyes)
        self._seen[stage] = seen
        mark = self._colours.green("✓") if seen else self._colours.red("✗")
        say(f"\n{mark} {text}\n")

    def farewell(self) -> int:
        """Say how much was seen; the exit code."""
        count = sum(self._seen.values())
        say(f"{count} of {len(STEPS)} steps were seen in the kernel.")
        for stage in STEPS:
            if not self._seen.get(stage):
                say(f"not seen: {STEPS[stage][0]}")
        return 0 if count == len(STEPS) else 1

    def clean_up(self) -> None:
        """Remove the container; the image stays, as after any pull."""
        if self._eyes.container:
            try:
                self._client.delete(f"/containers/{self._eyes.container}", {"force": True, "v": True})
            except (ApiError, OSError):
                pass


TOUR = Command(tour, "", "See the eight steps of a run happen, and each of them in the kernel")
