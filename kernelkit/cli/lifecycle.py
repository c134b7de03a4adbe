"""`kill rename restart rm stop pause unpause wait`: what is done to containers, one request each."""

from __future__ import annotations

from kernelkit.cli.connect import connect
from kernelkit.cli.each import answers, for_each
from kernelkit.cli.flags import BOOL, INT, STRING, Command, Flag
from kernelkit.cli.http import ApiError
from kernelkit.cli.output import Failure, complain, say

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from kernelkit.cli.flags import Options


def _post(options: Options, verb: str, query: dict[str, Any] | None = None) -> int:
    client = connect()
    names = options.arguments
    return for_each(
        names, lambda name: client.send("POST", f"/containers/{name}/{verb}", query), lambda name, _: say(name)
    )


def kill(options: Options) -> int:
    """Send the containers' processes a signal."""
    return _post(options, "kill", {"signal": options.text("signal")})


def stop(options: Options) -> int:
    """Ask the containers to end, and kill those that do not in time."""
    return _post(options, "stop", _patience(options))


def restart(options: Options) -> int:
    """Stop the containers and start them again."""
    return _post(options, "restart", _patience(options))


def _patience(options: Options) -> dict[str, Any]:
    if "time" in options.given:
        say("Flag --time has been deprecated, use --timeout instead")
        if "timeout" in options.given:
            raise Failure("conflicting options: cannot specify both --timeout and --time")
    given = [name for name in ("timeout", "time") if name in options.given]
    return {"signal": options.text("signal"), "t": str(options.number(given[0])) if given else None}


def pause(options: Options) -> int:
    """Freeze the containers' processes."""
    return _post(options, "pause")


def unpause(options: Options) -> int:
    """Let the containers' processes go on."""
    return _post(options, "unpause")


def wait(options: Options) -> int:
    """Wait until the containers stop, and print their exit codes."""
    client = connect()
    return for_each(
        options.arguments,
        lambda name: client.send("POST", f"/containers/{name}/wait"),
        lambda _, answer: say(str(answer["StatusCode"])),
    )


def rename(options: Options) -> int:
    """Give a container another name."""
    old, new = options.arguments
    if not old.strip() or not new.strip():
        raise Failure("Error: Neither old nor new names may be empty")
    try:
        connect().post(f"/containers/{old.strip()}/rename", {"name": new.strip()})
    except ApiError as error:
        raise Failure(f"{error.message}\nError: failed to rename container named {old.strip()}") from None
    return 0


def rm(options: Options) -> int:
    """Remove containers; one that is not there is no failure when forced."""
    client = connect()
    query = {"v": options.on("volumes"), "link": options.on("link"), "force": options.on("force")}
    problems: list[str] = []
    # Docker trims slashes: `rm /web` is `rm web`.
    names = {name.strip("/"): name for name in options.arguments}
    for trimmed, answer in answers(list(names), lambda name: client.send("DELETE", f"/containers/{name}", query)):
        if not trimmed:
            problems.append("container name cannot be empty")
        elif not isinstance(answer, Failure):
            answer.read()
            say(names[trimmed])
        elif options.on("force") and isinstance(answer, ApiError) and answer.status == 404:
            complain(answer.message)
        else:
            problems.append(answer.message)
    if problems:
        raise Failure("\n".join(problems))
    return 0


PATIENCE = (
    Flag("signal", STRING, "Signal to send to the container", "s"),
    Flag("time", INT, "Seconds to wait before killing the container", hidden=True),
    Flag("timeout", INT, "Seconds to wait before killing the container", "t"),
)
KILL = Command(
    kill,
    "[OPTIONS] CONTAINER [CONTAINER...]",
    "Kill one or more running containers",
    (Flag("signal", STRING, "Signal to send to the container", "s"),),
    least=1,
    most=None,
)
STOP = Command(
    stop,
    "[OPTIONS] CONTAINER [CONTAINER...]",
    "Stop one or more running containers",
    PATIENCE,
    least=1,
    most=None,
)
RESTART = Command(
    restart,
    "[OPTIONS] CONTAINER [CONTAINER...]",
    "Restart one or more containers",
    PATIENCE,
    least=1,
    most=None,
)
PAUSE = Command(
    pause, "CONTAINER [CONTAINER...]", "Pause all processes within one or more containers", least=1, most=None
)
UNPAUSE = Command(
    unpause, "CONTAINER [CONTAINER...]", "Unpause all processes within one or more containers", least=1, most=None
)
WAIT = Command(
    wait,
    "CONTAINER [CONTAINER...]",
    "Block until one or more containers stop, then print their exit codes",
    least=1,
    most=None,
)
RENAME = Command(rename, "CONTAINER NEW_NAME", "Rename a container", least=2, most=2)
RM = Command(
    rm,
    "[OPTIONS] CONTAINER [CONTAINER...]",
    "Remove one or more containers",
    (
        Flag("force", BOOL, "Force the removal of a running container (uses SIGKILL)", "f"),
        Flag("link", BOOL, "Remove the specified link", "l"),
        Flag("volumes", BOOL, "Remove anonymous volumes associated with the container", "v"),
    ),
    least=1,
    most=None,
)
