"""`run` and `create`: make a container from words, and for `run` start it and stay with it.

The order of the requests matters: attached before it starts, so that no output is missed; waited for before it starts,
so that no end is missed.
"""

from __future__ import annotations

import os

from kernelkit.cli import streams, terminal
from kernelkit.cli.connect import connect
from kernelkit.cli.flags import BOOL, LIST, STRING, Command, Flag
from kernelkit.cli.http import ApiError
from kernelkit.cli.names import check, with_tag
from kernelkit.cli.output import PROGRAM, Failure, complain, say
from kernelkit.cli.preferences import detach_keys
from kernelkit.cli.settings import create_body, local_servers, refuse
from kernelkit.cli.settings_flags import SETTINGS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from kernelkit.cli.flags import Options
    from kernelkit.cli.http import Client
    from kernelkit.cli.wire import Response, Wire

NOT_FOR_PLATFORM = "does not match the specified platform"
CANNOT_RUN, NOT_FOUND, CANNOT_INVOKE = 125, 127, 126


def run(options: Options) -> int:
    """Create a container, start it, carry its streams, and leave with its exit code."""
    attached = [stream.lower() for stream in options.many("attach")]
    detached = options.on("detach")
    if attached and detached:
        raise Failure("conflicting options: cannot specify both --attach and --detach")
    stdin = not detached and (("stdin" in attached) if attached else options.on("interactive"))
    if options.on("tty") and stdin and not os.isatty(0):
        raise Failure("the input device is not a TTY")
    sequence = detach_keys(options)
    keys = terminal.parse_keys(sequence) if sequence and not detached else b""
    if options.on("step"):
        from kernelkit.cli.steps import refuse_without_terminal  # the lessons' way of starting

        refuse_without_terminal(interactive=options.on("interactive") and not detached)
    client = connect()
    try:
        container = create(client, options)
        if detached:
            _start(client, container, options)
            say(container)
            return 0
        return _stay(client, container, options, attached, stdin=stdin, keys=keys)
    except ApiError as error:
        raise failed(error.message) from None


def create_only(options: Options) -> int:
    """Create a container and print its ID."""
    say(create(connect(), options, verb="create"))
    return 0


def failed(message: str) -> Failure:
    """The failure of `run`: 127 for a command that is not there, 126 for one that cannot be run, else 125."""
    code = CANNOT_RUN
    if "executable file not found" in message or "no such file or directory" in message:
        code = NOT_FOUND
    elif "permission denied" in message or "is a directory" in message:
        code = CANNOT_INVOKE
    return _helpful(message, code)


def _helpful(message: str, code: int = CANNOT_RUN, verb: str = "run") -> Failure:
    return Failure(f"{PROGRAM}: {message}\n\nRun '{PROGRAM} {verb} --help' for more information", code)


def create(client: Client, options: Options, verb: str = "run") -> str:
    """Create the container, pulling its image if need be; its ID. Warnings go to standard error.

    Words that contradict each other end either verb with 125; what only the image's name or the engine shows
    to be wrong ends `create` with 1.
    """
    refuse(options, client.version[1])
    image, *command = options.arguments
    pull = options.text("pull")
    try:
        if pull not in ("always", "missing", "never", ""):
            raise ValueError(f'invalid pull option: \'{pull}\': must be one of "always", "missing" or "never"')
        rows, columns = terminal.size(1) if options.on("tty") else (0, 0)
        body = create_body(options, image, command, [rows, columns])
    except ValueError as error:
        raise _helpful(str(error), verb=verb) from None
    try:
        check(image.removeprefix("sha256:") if _is_id(image) else image)
    except ValueError as error:
        raise (_helpful(str(error)) if verb == "run" else Failure(str(error))) from None
    cidfile = _reserve(options.text("cidfile"), verb)
    try:
        shown = verb == "run" and (options.on("show") or options.on("step"))
        answer = _create(client, options, body, image, pull, shown=shown)
    except BaseException as error:
        if cidfile:
            os.unlink(cidfile)
        if verb == "run" and isinstance(error, Failure):
            raise failed(str(error)) from None  # of the pull: no container could be run
        raise
    for warning in answer.get("Warnings") or []:
        complain(f"WARNING: {warning}")
    for address in local_servers(options):
        complain(f"WARNING: Localhost DNS ({address}) may fail in containers.")
    if cidfile:
        with open(cidfile, "w", encoding="ascii") as file:
            file.write(answer["Id"])
    return str(answer["Id"])


def _is_id(image: str) -> bool:
    """Whether an image is named by its ID, which is no name that `check` knows."""
    return image.startswith("sha256:") and not set(image[7:]) - set("0123456789abcdef")


def _create(client: Client, options: Options, body: dict[str, Any], image: str, pull: str, *, shown: bool) -> Any:
    platform = options.text("platform")
    query = {"name": options.text("name"), "platform": platform}
    if pull == "always":
        _pull(client, image, options, shown=shown)
    try:
        return client.post("/containers/create", query, body)
    except ApiError as error:
        if error.status != 404 or pull in ("never", "always"):
            raise
        if not error.said.startswith("No such image") and NOT_FOR_PLATFORM not in error.said:
            raise
    if not options.on("quiet"):
        complain(f"Unable to find image '{with_tag(image)}' locally")
    _pull(client, image, options, shown=shown)
    return client.post("/containers/create", query, body)


def _pull(client: Client, image: str, options: Options, *, shown: bool) -> None:
    from kernelkit.cli.transfer import pull  # most runs find their image here

    def bring() -> None:
        # A line that is rewritten in place would be lost among the lines of the operations.
        pull(client, with_tag(image), options.text("platform"), fd=2, quiet=options.on("quiet"), bars=not shown)

    if not shown:
        bring()
        return
    from kernelkit.cli.steps import show_pull  # the lessons' way

    show_pull(client, bring)


def _reserve(path: str, verb: str) -> str:
    """Take the file for the ID before anything is made, so that two runs never share it."""
    if not path:
        return ""
    try:
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644))
    except FileExistsError:
        message = f"container ID file found, make sure the other container isn't running or delete {path}"
    except OSError as error:
        message = f"failed to create the container ID file: open {path}: {(error.strerror or '').lower()}"
    else:
        return path
    raise failed(message) if verb == "run" else Failure(message)


def _stay(client: Client, container: str, options: Options, attached: list[str], *, stdin: bool, keys: bytes) -> int:
    tty = options.on("tty")
    query = {
        "stream": True,
        "stdin": stdin,
        "stdout": not attached or "stdout" in attached,
        "stderr": not attached or "stderr" in attached,
        "detachKeys": detach_keys(options),
    }
    path = f"/containers/{container}"
    attaching = client.send("POST", f"{path}/attach", query, upgrade=True)
    waiting = client.send("POST", f"{path}/wait", {"condition": "removed" if options.on("rm") else "next-exit"})
    wire = attaching.stream()
    ended = waiting.response()  # its head comes once the engine waits
    watched = _watched(options)
    if watched:
        # Before the terminal is raw and signals go to the container: both are ours until it has started.
        _begin(client, container, options, wire, ended)
    if options.on("sig-proxy"):
        streams.forward_signals(lambda name: client.post(f"{path}/kill", {"signal": name}))
    with terminal.Raw(wanted=tty and stdin):
        if not watched:
            _begin(client, container, options, wire, ended)
        if tty and os.isatty(1):
            streams.follow_size(lambda rows, columns: client.post(f"{path}/resize", {"h": rows, "w": columns}))
        if streams.carry(wire, tty=tty, stdin=stdin, keys=keys):
            return 0
    return exit_code(ended.json())


def _begin(client: Client, container: str, options: Options, wire: Wire, ended: Response) -> None:
    try:
        _start(client, container, options)
    except BaseException as error:
        wire.close()
        if options.on("rm") and isinstance(error, ApiError):
            ended.read()  # removed: nothing is left behind when the command has ended
        raise


def _watched(options: Options) -> bool:
    return options.on("show") or options.on("step") or bool(options.many("without"))


def _start(client: Client, container: str, options: Options) -> None:
    if not _watched(options):
        client.post(f"/containers/{container}/start")
        return
    from kernelkit.cli.steps import start  # the lessons' way of starting; the usual one needs none of it

    start(
        client,
        container,
        show=options.on("show"),
        step=options.on("step"),
        without=options.many("without"),
        interactive=options.on("interactive") and not options.on("detach"),
    )


def exit_code(answer: dict[str, Any]) -> int:
    """The exit code that the wait has brought; 125 when the engine could not wait."""
    if problem := (answer.get("Error") or {}).get("Message"):
        complain(f"Error waiting for container: {problem}")
        return CANNOT_RUN
    return int(answer.get("StatusCode", 0))


OWN = (
    Flag("show", BOOL, "Print each kernel operation as its shell line, while it happens"),
    Flag("step", BOOL, "Stop before each kernel operation: Enter goes on, s opens a shell there, c continues"),
    Flag("without", LIST, "Leave out a stage (nat) or an operation (SetHostname), to see what it is for"),
)
STAYING = (
    Flag("detach", BOOL, "Run the container in the background and print its ID", "d"),
    Flag("detach-keys", STRING, "Keys that detach from the container"),
    Flag("sig-proxy", BOOL, "Hand the signals this command gets to the container", default=True),
)
RUN = Command(
    run,
    "[OPTIONS] IMAGE [COMMAND] [ARG...]",
    "Create and run a new container from an image",
    (*SETTINGS, *STAYING, *OWN),
    least=1,
    most=None,
    interspersed=False,
)
CREATE = Command(
    create_only,
    "[OPTIONS] IMAGE [COMMAND] [ARG...]",
    "Create a new container",
    SETTINGS,
    least=1,
    most=None,
    interspersed=False,
)
