"""`volume create`, `ls` and `rm`."""

from __future__ import annotations

from kernelkit.cli import human
from kernelkit.cli.connect import connect
from kernelkit.cli.containers import labels
from kernelkit.cli.flags import BOOL, BYTES, FILTER, LIST, MAP, STRING, Command, Flag
from kernelkit.cli.http import ApiError
from kernelkit.cli.jsontext import encode
from kernelkit.cli.output import Failure, say
from kernelkit.cli.preferences import form_of
from kernelkit.cli.table import FORMAT_HELP, Column, print_list
from kernelkit.cli.values import check_label, filters, mapping

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from kernelkit.cli.flags import Options

TABLE = "{{.Driver}}\t{{.Name}}"
UNKNOWN = "N/A"
# Options of cluster volumes, which Docker has only in a swarm.
CLUSTER = (
    "availability group limit-bytes required-bytes scope secret sharing type topology-preferred topology-required"
).split()


def ls(options: Options) -> int:
    """Print the volumes, by name."""
    if options.on("cluster"):
        raise Failure("'--cluster' is not there: cluster volumes belong to Docker's swarm")
    conditions = filters(options.many("filter"))
    query = {"filters": encode(conditions, sort=True) if conditions else None}
    volumes = sorted(connect().get("/volumes", query)["Volumes"] or [], key=lambda one: human.natural(one["Name"]))
    form = form_of(options, "volumesFormat")
    if options.on("quiet") and form in ("", "table"):
        form = "{{.Name}}"
    print_list(volumes, columns_of(), form, TABLE, "formatter.volumeContext")
    return 0


def columns_of() -> dict[str, Column]:
    """The columns of a volume."""

    def usage(volume: dict[str, Any], key: str) -> Any:
        value = (volume.get("UsageData") or {}).get(key, -1)
        return UNKNOWN if value == -1 else value

    return {
        "Name": Column("VOLUME NAME", lambda v: v["Name"]),
        "Driver": Column("DRIVER", lambda v: v["Driver"]),
        "Scope": Column("SCOPE", lambda v: v["Scope"]),
        "Mountpoint": Column("MOUNTPOINT", lambda v: v["Mountpoint"]),
        "Labels": Column("LABELS", lambda v: labels(v.get("Labels"))),
        "Label": Column("\0", lambda v, key: (v.get("Labels") or {}).get(key, "")),
        "Links": Column("LINKS", lambda v: str(usage(v, "RefCount"))),
        "Size": Column("SIZE", lambda v: UNKNOWN if usage(v, "Size") == UNKNOWN else human.size(usage(v, "Size"), 4)),
        "Availability": Column("AVAILABILITY", lambda _: UNKNOWN),
        "Group": Column("GROUP", lambda _: UNKNOWN),
        "Status": Column("STATUS", lambda _: UNKNOWN),
    }


def create(options: Options) -> int:
    """Create a volume and print its name."""
    for name in CLUSTER:
        if name in options.given:
            raise Failure(f"'--{name}' is not there: cluster volumes belong to Docker's swarm")
    body: dict[str, Any] = {"Driver": options.text("driver")}
    if options.arguments:
        body["Name"] = options.arguments[0]
    if options.many("opt"):
        body["DriverOpts"] = mapping(options.many("opt"))
    if options.many("label"):
        body["Labels"] = mapping(options.many("label"))
    say(connect().post("/volumes/create", None, body)["Name"])
    return 0


def rm(options: Options) -> int:
    """Remove volumes and print their names."""
    client, problems = connect(), []
    for name in options.arguments:
        try:
            client.delete(f"/volumes/{name}", {"force": options.on("force")})
            say(name)
        except ApiError as error:
            problems.append(error.message)
    if problems:
        raise Failure("\n".join(problems))
    return 0


LS = Command(
    ls,
    "[OPTIONS]",
    "List volumes",
    (
        Flag("cluster", BOOL, "Display only cluster volumes"),
        Flag("filter", FILTER, 'Show only those that meet a condition ("dangling=true")', "f"),
        Flag("format", STRING, FORMAT_HELP),
        Flag("quiet", BOOL, "Show only volume names", "q"),
    ),
)
CREATE = Command(
    create,
    "[OPTIONS] [VOLUME]",
    "Create a volume",
    (
        Flag("availability", STRING, "Availability of a cluster volume", default="active", hidden=True),
        Flag("driver", STRING, "Driver of the volume", "d", "local"),
        Flag("group", STRING, "Group of a cluster volume", hidden=True),
        Flag("label", LIST, "Set metadata for a volume", check=check_label),
        Flag("limit-bytes", BYTES, "Smallest size of a cluster volume", hidden=True),
        Flag("opt", MAP, "Option of the volume's driver", "o"),
        Flag("required-bytes", BYTES, "Largest size of a cluster volume", hidden=True),
        Flag("scope", STRING, "Scope of a cluster volume", default="single", hidden=True),
        Flag("secret", MAP, "Secret of a cluster volume", hidden=True),
        Flag("sharing", STRING, "Sharing of a cluster volume", default="none", hidden=True),
        Flag("topology-preferred", LIST, "Topology that a cluster volume would be in", hidden=True),
        Flag("topology-required", LIST, "Topology that a cluster volume must be in", hidden=True),
        Flag("type", STRING, "Type of a cluster volume", default="block", hidden=True),
    ),
    most=1,
)
RM = Command(
    rm,
    "[OPTIONS] VOLUME [VOLUME...]",
    "Remove one or more volumes. You cannot remove a volume that is in use by a container.",
    (Flag("force", BOOL, "Force the removal of one or more volumes", "f"),),
    least=1,
    most=None,
)
