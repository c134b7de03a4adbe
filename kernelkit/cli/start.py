"""`start` and `attach`: containers that exist already, with or without their streams."""

from __future__ import annotations

import os

from kernelkit.cli import streams, terminal
from kernelkit.cli.connect import connect
from kernelkit.cli.flags import BOOL, STRING, Command, Flag
from kernelkit.cli.http import ApiError
from kernelkit.cli.output import Failure, complain, say
from kernelkit.cli.preferences import detach_keys
from kernelkit.cli.run import exit_code

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from kernelkit.cli.flags import Options
    from kernelkit.cli.http import Client
    from kernelkit.cli.wire import Wire


def start(options: Options) -> int:
    """Start containers and print their names, or start one and stay with it."""
    names = options.arguments
    if options.text("checkpoint") or options.text("checkpoint-dir"):
        raise Failure("'--checkpoint' is not there: kernelkit makes no checkpoints")
    if not (options.on("attach") or options.on("interactive")):
        return _start_all(connect(), names)
    if len(names) > 1:
        raise Failure("you cannot start and attach multiple containers at once")
    client = connect()
    container = client.get(f"/containers/{names[0]}/json")
    path, tty = f"/containers/{container['Id']}", bool(container["Config"]["Tty"])
    stdin = options.on("interactive") and bool(container["Config"].get("OpenStdin"))
    if tty and stdin and not os.isatty(0):
        raise Failure("the input device is not a TTY")
    wire = _attach(client, path, options, stdin=stdin)
    removed = bool(container["HostConfig"].get("AutoRemove"))
    ended = client.request("POST", f"{path}/wait", {"condition": "removed" if removed else "next-exit"})
    if options["sig-proxy"]:
        streams.forward_signals(lambda name: client.post(f"{path}/kill", {"signal": name}))
    with terminal.Raw(wanted=tty and stdin):
        client.post(f"{path}/start")
        if _carry(client, wire, path, options, tty=tty, stdin=stdin):
            return 0
    return exit_code(ended.json())


def _start_all(client: Client, names: list[str]) -> int:
    failed: list[str] = []
    for name in names:
        try:
            client.post(f"/containers/{name}/start")
            say(name)
        except ApiError as error:
            complain(error.message)
            failed.append(name)
    if failed:
        raise Failure(f"Error: failed to start containers: {', '.join(failed)}")
    return 0


def attach(options: Options) -> int:
    """Attach to a running container and leave with its exit code."""
    name = options.arguments[0]
    client = connect()
    ended = client.send("POST", f"/containers/{name}/wait")
    container = client.get(f"/containers/{name}/json")
    _refuse_unless_running(container)
    path, tty = f"/containers/{container['Id']}", bool(container["Config"]["Tty"])
    stdin = not options.on("no-stdin") and bool(container["Config"].get("OpenStdin"))
    if tty and stdin and not os.isatty(0):
        raise Failure("the input device is not a TTY")
    wire = _attach(client, path, options, stdin=stdin)
    # It may have stopped while we attached, and then nobody would ever close the stream.
    _refuse_unless_running(client.get(f"/containers/{name}/json"))
    if options.on("sig-proxy") and not tty:
        streams.forward_signals(lambda signal: client.post(f"{path}/kill", {"signal": signal}))
    with terminal.Raw(wanted=tty and stdin):
        if tty:
            _nudge(client, path)
        if _carry(client, wire, path, options, tty=tty, stdin=stdin):
            raise Failure("read escape sequence")
    return exit_code(ended.response().json())


def _refuse_unless_running(container: dict[str, Any]) -> None:
    state = container["State"]
    if not state["Running"]:
        raise Failure("You cannot attach to a stopped container, start it first")
    if state.get("Paused"):
        raise Failure("You cannot attach to a paused container, unpause it first")
    if state.get("Restarting"):
        raise Failure("You cannot attach to a restarting container, wait until it is running")


def _attach(client: Client, path: str, options: Options, *, stdin: bool) -> Wire:
    query = {
        "stream": True,
        "stdin": stdin,
        "stdout": True,
        "stderr": True,
        "detachKeys": detach_keys(options),
    }
    return client.send("POST", f"{path}/attach", query, upgrade=True).stream()


def _nudge(client: Client, path: str) -> None:
    """Give the container's terminal another size for a moment: a shell that sits there draws its prompt again."""
    rows, columns = terminal.size(1)
    if rows and columns:
        try:
            client.post(f"{path}/resize", {"h": rows + 1, "w": columns + 1})
        except ApiError:
            pass  # it has just ended


def _carry(client: Client, wire: Wire, path: str, options: Options, *, tty: bool, stdin: bool) -> bool:
    if tty and os.isatty(1):
        streams.follow_size(lambda rows, columns: client.post(f"{path}/resize", {"h": rows, "w": columns}))
    sequence = detach_keys(options)
    keys = terminal.parse_keys(sequence) if sequence else b""
    return streams.carry(wire, tty=tty, stdin=stdin, keys=keys)


START = Command(
    start,
    "[OPTIONS] CONTAINER [CONTAINER...]",
    "Start one or more stopped containers",
    (
        Flag("attach", BOOL, "Attach STDOUT and STDERR and hand on signals", "a"),
        Flag("checkpoint", STRING, "Restore from this checkpoint"),
        Flag("checkpoint-dir", STRING, "Folder of the checkpoints"),
        Flag("detach-keys", STRING, "Keys that detach from the container"),
        Flag("interactive", BOOL, "Attach STDIN as well", "i"),
        Flag("sig-proxy", BOOL, "Hand the signals this command gets to the container", default=True, hidden=True),
    ),
    least=1,
    most=None,
)
ATTACH = Command(
    attach,
    "[OPTIONS] CONTAINER",
    "Attach local standard input, output, and error streams to a running container",
    (
        Flag("detach-keys", STRING, "Keys that detach from the container"),
        Flag("no-stdin", BOOL, "Do not attach STDIN"),
        Flag("sig-proxy", BOOL, "Hand the signals this command gets to the process", default=True),
    ),
    least=1,
    most=1,
)
