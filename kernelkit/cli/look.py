"""`top` and `port`: what runs in a container, and where its ports are to be found."""

from __future__ import annotations

from kernelkit.cli import human
from kernelkit.cli.connect import connect
from kernelkit.cli.flags import Command
from kernelkit.cli.output import Failure, say, write
from kernelkit.cli.table import aligned

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from kernelkit.cli.flags import Options

WIDEST_CELL = 20  # the narrowest column of `top`, as Docker has it


def top(options: Options) -> int:
    """Print the processes of a container, as ps(1) with the options given prints them."""
    container, *ps_options = options.arguments
    processes = connect().get(f"/containers/{container}/top", {"ps_args": " ".join(ps_options)})
    rows = [processes["Titles"], *(processes["Processes"] or [])]
    write(aligned(("\t".join(row) for row in rows), narrowest=WIDEST_CELL))
    return 0


def port(options: Options) -> int:
    """Print where the ports of a container are published, or where one of them is."""
    container, *wanted = options.arguments
    published: dict[str, Any] = connect().get(f"/containers/{container}/json")["NetworkSettings"].get("Ports") or {}
    if not wanted:
        lines = [f"{inner} -> {at}" for inner, outer in published.items() for at in _places(outer)]
        for line in sorted(lines, key=human.natural):
            say(line)
        return 0
    number, slash, protocol = wanted[0].partition("/")
    if not number.isdigit():
        raise Failure(f'Error: invalid port ({number}): strconv.ParseUint: parsing "{number}": invalid syntax')
    places = _places(published.get(f"{number}/{protocol if slash else 'tcp'}"))
    if not places:
        raise Failure(f"Error: No public port '{wanted[0]}' published for {container}")
    for place in sorted(places, key=human.natural):
        say(place)
    return 0


def _places(bindings: list[dict[str, str]] | None) -> list[str]:
    return [
        f"[{one['HostIp']}]:{one['HostPort']}" if ":" in one["HostIp"] else f"{one['HostIp']}:{one['HostPort']}"
        for one in bindings or []
    ]


TOP = Command(
    top,
    "CONTAINER [ps OPTIONS]",
    "Display the running processes of a container",
    least=1,
    most=None,
    interspersed=False,
)
PORT = Command(
    port,
    "CONTAINER [PRIVATE_PORT[/PROTO]]",
    "List port mappings or a specific mapping for the container",
    least=1,
    most=2,
)
