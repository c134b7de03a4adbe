"""`container ls` (`ps`): the containers, and what a list says of each."""

from __future__ import annotations

from kernelkit.cli import human
from kernelkit.cli.connect import connect
from kernelkit.cli.flags import BOOL, FILTER, INT, STRING, Command, Flag
from kernelkit.cli.jsontext import encode
from kernelkit.cli.names import familiar
from kernelkit.cli.output import say
from kernelkit.cli.preferences import form_of
from kernelkit.cli.table import FORMAT_HELP, Column, print_list, render_list
from kernelkit.cli.values import filters

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from kernelkit.cli.flags import Options

NOTHING = {"Id": "", "Names": [], "Image": "", "Command": "", "Created": 0, "State": "", "Status": ""}
BAD_TEMPLATE = ("failed to parse template", "failed to execute template")
TABLE = "{{.ID}}\t{{.Image}}\t{{.Command}}\t{{.RunningFor}}\t{{.Status}}\t{{.Ports}}\t{{.Names}}"


def ls(options: Options) -> int:
    """Print the containers."""
    last = options.number("last") if "last" in options.given else -1
    if options.on("latest"):
        last = 1
    conditions = filters(options.many("filter"))
    form = form_of(options, "psFormat")
    size = options.on("size") or ".Size" in form or "json ." in form
    columns = columns_of(whole=options.on("no-trunc"))
    if form:
        # A template that does not fit is found out before the engine is asked.
        render_list([NOTHING], columns, form, TABLE, "formatter.ContainerContext", failed=BAD_TEMPLATE)
    query: dict[str, Any] = {
        "all": options.on("all"),
        "limit": last if last > 0 else None,
        "size": size,
        "filters": encode(conditions, sort=True) if conditions else None,
    }
    items = connect().get("/containers/json", query)
    if options.on("quiet") and form in ("", "table"):
        for item in items:
            say(item["Id"] if options.on("no-trunc") else item["Id"][:12])
        return 0
    table = TABLE + ("\t{{.Size}}" if options.on("size") else "")
    print_list(items, columns, form, table, "formatter.ContainerContext", failed=BAD_TEMPLATE)
    return 0


def columns_of(*, whole: bool) -> dict[str, Column]:
    """The columns of a container; `whole` leaves IDs, commands and names uncut."""
    return {
        "ID": Column("CONTAINER ID", lambda c: c["Id"] if whole else c["Id"][:12]),
        "Names": Column("NAMES", lambda c: _names(c, whole=whole)),
        "Image": Column("IMAGE", lambda c: _image(c, whole=whole)),
        "Command": Column("COMMAND", lambda c: _command(c["Command"], whole=whole)),
        "CreatedAt": Column("CREATED AT", lambda c: human.stamp(c["Created"])),
        "RunningFor": Column("CREATED", lambda c: human.ago(c["Created"])),
        "Ports": Column("PORTS", lambda c: ports(c.get("Ports") or [])),
        "State": Column("STATE", lambda c: c["State"]),
        "Status": Column("STATUS", lambda c: c["Status"]),
        "Size": Column("SIZE", size_of),
        "Labels": Column("LABELS", lambda c: labels(c.get("Labels"))),
        "Label": Column("\0", lambda c, key: (c.get("Labels") or {}).get(key, "")),
        "LocalVolumes": Column("LOCAL VOLUMES", lambda c: str(_local_volumes(c))),
        "Mounts": Column("MOUNTS", lambda c: _mounts(c, whole=whole)),
        "Networks": Column("NETWORKS", lambda c: ",".join(_networks(c))),
        "Platform": Column("PLATFORM", lambda c: _platform(c)),
    }


def labels(found: dict[str, str] | None) -> str:
    """Labels in one cell: `a=b,c=d`."""
    return ",".join(f"{key}={value}" for key, value in sorted((found or {}).items()))


def size_of(item: dict[str, Any]) -> str:
    """What the container wrote, and with its image: `15B (virtual 1.98MB)`."""
    written, whole = item.get("SizeRw") or 0, item.get("SizeRootFs") or 0
    text = human.size(written)
    return f"{text} (virtual {human.size(whole)})" if whole else text


def _names(item: dict[str, Any], *, whole: bool) -> str:
    names = [name.removeprefix("/") for name in item["Names"]]
    if not whole:
        names = [name for name in names if "/" not in name]  # the others are links of other containers
    return ",".join(names)


def _image(item: dict[str, Any], *, whole: bool) -> str:
    image = str(item["Image"])
    if not image:
        return "<no image>"
    if whole:
        return image
    if image.startswith("sha256:") or image == item.get("ImageID"):
        return human.short_id(image)
    name, at, _ = image.partition("@")
    return familiar(name) if at else image


def _command(command: str, *, whole: bool) -> str:
    return encode(command if whole else human.ellipsis(command, 20))


def _local_volumes(item: dict[str, Any]) -> int:
    return sum(1 for mount in item.get("Mounts") or [] if mount.get("Driver") == "local")


def _mounts(item: dict[str, Any], *, whole: bool) -> str:
    names = [mount.get("Name") or mount.get("Source") or "" for mount in item.get("Mounts") or []]
    return ",".join(name if whole else human.ellipsis(name, 15) for name in names)


def _networks(item: dict[str, Any]) -> list[str]:
    return list((item.get("NetworkSettings") or {}).get("Networks") or {})


def _platform(item: dict[str, Any]) -> Any:
    descriptor = item.get("ImageManifestDescriptor") or {}
    return descriptor.get("platform")


def ports(found: list[dict[str, Any]]) -> str:
    """Ports in one cell, neighbours as a range: `90/udp, 0.0.0.0:80-81->80-81/tcp, 0.0.0.0:8080->443/tcp`."""
    moved: list[str] = []  # those that have another number outside, which come last
    ranges: list[str] = []
    groups: dict[str, list[int]] = {}
    in_order = sorted(found, key=lambda p: (p["PrivatePort"], p.get("IP", ""), p.get("PublicPort", 0), p["Type"]))
    for port in in_order:
        inner, outer, kind = port["PrivatePort"], port.get("PublicPort", 0), port["Type"]
        key = kind
        if port.get("IP"):
            if outer != inner:
                moved.append(f"{_host(port['IP'])}:{outer}->{inner}/{kind}")
                continue
            key = f"{port['IP']} {kind}"
        group = groups.get(key)
        if group is None:
            groups[key] = [inner, inner]
        elif inner == group[1] + 1:
            group[1] = inner
        else:
            ranges.append(_group(key, *group))
            groups[key] = [inner, inner]
    ranges += [_group(key, *group) for key, group in groups.items()]
    return ", ".join(ranges + moved)


def _group(key: str, first: int, last: int) -> str:
    address, _, kind = key.rpartition(" ")
    numbers = str(first) if first == last else f"{first}-{last}"
    return f"{_host(address)}:{numbers}->{numbers}/{kind}" if address else f"{numbers}/{kind}"


def _host(address: str) -> str:
    return f"[{address}]" if ":" in address else address


LS = Command(
    ls,
    "[OPTIONS]",
    "List containers",
    (
        Flag("all", BOOL, "Show all containers (by default only those that run)", "a"),
        Flag("filter", FILTER, "Show only those that meet a condition", "f"),
        Flag("format", STRING, FORMAT_HELP),
        Flag("last", INT, "Show the n last created, whatever their state", "n", -1),
        Flag("latest", BOOL, "Show the last created, whatever its state", "l"),
        Flag("no-trunc", BOOL, "Do not shorten anything"),
        Flag("quiet", BOOL, "Show only IDs", "q"),
        Flag("size", BOOL, "Show how much each has written", "s"),
    ),
)
