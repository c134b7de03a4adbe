"""`exec`: a command in a container that runs."""

from __future__ import annotations

import os

from kernelkit.cli import streams, terminal
from kernelkit.cli.connect import connect
from kernelkit.cli.flags import BOOL, LIST, STRING, Command, Flag
from kernelkit.cli.output import Failure
from kernelkit.cli.preferences import detach_keys
from kernelkit.cli.settings import environment
from kernelkit.cli.values import check_variable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kernelkit.cli.flags import Options


def execute(options: Options) -> int:
    """Run the command in the container and leave with its exit code."""
    container, *command = options.arguments
    detach, tty = options.on("detach"), options.on("tty")
    stdin = options.on("interactive") and not detach
    if tty and stdin and not os.isatty(0):
        raise Failure("the input device is not a TTY")
    sequence = detach_keys(options)
    keys = terminal.parse_keys(sequence) if sequence else b""
    try:
        variables = environment(options)
    except ValueError as error:
        raise Failure(str(error)) from None
    client = connect()
    client.request("GET", f"/containers/{container}/json").read()  # its errors come before those of the command
    rows, columns = terminal.size(1) if tty and not detach else (0, 0)
    console = [rows, columns] if rows else None
    body = {
        "User": options.text("user"),
        "Privileged": options.on("privileged"),
        "Tty": tty,
        "AttachStdin": stdin,
        "AttachStderr": not detach,
        "AttachStdout": not detach,
        "Detach": detach,
        "DetachKeys": sequence,
        "Env": variables or None,
        "WorkingDir": options.text("workdir"),
        "Cmd": command,
    }
    size = {"ConsoleSize": console} if console else {}
    instance = client.post(f"/containers/{container}/exec", None, {**body, **size})["Id"]
    if detach:
        client.post(f"/exec/{instance}/start", None, {"Detach": True, "Tty": tty, **size})
        return 0
    wire = client.send("POST", f"/exec/{instance}/start", None, {"Detach": False, "Tty": tty, **size}, upgrade=True)
    stream = wire.stream()
    with terminal.Raw(wanted=tty and stdin):
        if tty and os.isatty(1):
            streams.follow_size(lambda h, w: client.post(f"/exec/{instance}/resize", {"h": h, "w": w}))
        if streams.carry(stream, tty=tty, stdin=stdin, keys=keys):
            raise Failure("read escape sequence")
    return int(client.get(f"/exec/{instance}/json").get("ExitCode") or 0)


EXEC = Command(
    execute,
    "[OPTIONS] CONTAINER COMMAND [ARG...]",
    "Execute a command in a running container",
    (
        Flag("detach", BOOL, "Run the command in the background", "d"),
        Flag("detach-keys", STRING, "Keys that detach from the command"),
        Flag("env", LIST, "Set an environment variable", "e", check=check_variable),
        Flag("env-file", LIST, "Read environment variables from a file, one a line"),
        Flag("interactive", BOOL, "Keep STDIN open even if not attached", "i"),
        Flag("privileged", BOOL, "Give extended privileges to the command"),
        Flag("tty", BOOL, "Allocate a pseudo-terminal", "t"),
        Flag("user", STRING, 'User name or UID ("<name|uid>[:<group|gid>]")', "u"),
        Flag("workdir", STRING, "Working directory inside the container", "w"),
    ),
    least=2,
    most=None,
    interspersed=False,
)
