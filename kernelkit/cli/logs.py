"""`logs`: what a container wrote, its standard output to ours and its standard error to ours."""

from __future__ import annotations

from kernelkit.cli import streams
from kernelkit.cli.connect import connect
from kernelkit.cli.flags import BOOL, STRING, Command, Flag
from kernelkit.cli.moments import api_time
from kernelkit.cli.output import Failure

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kernelkit.cli.flags import Options


def logs(options: Options) -> int:
    """Print the log of a container, to its end or for as long as it goes on."""
    client = connect()
    container = client.get(f"/containers/{options.arguments[0]}/json")
    query = {
        "stdout": True,
        "stderr": True,
        "since": _moment(options, "since"),
        "until": _moment(options, "until"),
        "timestamps": options.on("timestamps"),
        "follow": options.on("follow"),
        "details": options.on("details"),
        "tail": options.text("tail"),
    }
    answer = client.request("GET", f"/containers/{container['Id']}/logs", query)
    streams.show(answer.pieces(), framed=not container["Config"]["Tty"])
    return 0


def _moment(options: Options, name: str) -> str:
    try:
        return api_time(options.text(name))
    except ValueError as error:
        raise Failure(f'invalid value for "{name}": {error}') from None


LOGS = Command(
    logs,
    "[OPTIONS] CONTAINER",
    "Fetch the logs of a container",
    (
        Flag("details", BOOL, "Show extra details provided to logs"),
        Flag("follow", BOOL, "Follow log output", "f"),
        Flag("since", STRING, 'Show logs since a moment ("2013-01-02T13:23:37Z") or for a time ("42m" for 42 minutes)'),
        Flag("tail", STRING, "Number of lines to show from the end of the logs", "n", "all"),
        Flag("timestamps", BOOL, "Show timestamps", "t"),
        Flag("until", STRING, 'Show logs before a moment ("2013-01-02T13:23:37Z") or a time ago ("42m")'),
    ),
    least=1,
    most=1,
)
