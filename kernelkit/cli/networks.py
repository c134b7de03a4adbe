"""`network create`, `ls`, `rm`, `connect` and `disconnect`."""

from __future__ import annotations

from kernelkit.cli import human
from kernelkit.cli.connect import connect
from kernelkit.cli.containers import labels
from kernelkit.cli.flags import BOOL, FILTER, INT, LIST, MAP, STRING, STRINGS, Command, Flag
from kernelkit.cli.http import ApiError
from kernelkit.cli.jsontext import encode
from kernelkit.cli.networking import empty_endpoint
from kernelkit.cli.output import Failure, complain, say
from kernelkit.cli.preferences import form_of
from kernelkit.cli.table import FORMAT_HELP, Column, print_list
from kernelkit.cli.values import check_label, filters, is_address, mapping

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from kernelkit.cli.flags import Options

TABLE = "{{.ID}}\t{{.Name}}\t{{.Driver}}\t{{.Scope}}"


def ls(options: Options) -> int:
    """Print the networks, by name."""
    conditions = filters(options.many("filter"))
    query = {"filters": encode(conditions, sort=True) if conditions else None}
    networks = sorted(connect().get("/networks", query), key=lambda one: one["Name"])
    form = form_of(options, "networksFormat")
    if options.on("quiet") and form in ("", "table"):
        form = "{{.ID}}"
    print_list(networks, columns_of(whole=options.on("no-trunc")), form, TABLE, "network.networkContext")
    return 0


def columns_of(*, whole: bool) -> dict[str, Column]:
    """The columns of a network; `whole` leaves IDs uncut."""
    return {
        "ID": Column("NETWORK ID", lambda n: n["Id"] if whole else human.short_id(n["Id"])),
        "Name": Column("NAME", lambda n: n["Name"]),
        "Driver": Column("DRIVER", lambda n: n["Driver"]),
        "Scope": Column("SCOPE", lambda n: n["Scope"]),
        "IPv4": Column("IPV4", lambda n: "true" if n.get("EnableIPv4") else "false"),
        "IPv6": Column("IPV6", lambda n: "true" if n.get("EnableIPv6") else "false"),
        "Internal": Column("INTERNAL", lambda n: "true" if n.get("Internal") else "false"),
        "Labels": Column("LABELS", lambda n: labels(n.get("Labels"))),
        "Label": Column("\0", lambda n, key: (n.get("Labels") or {}).get(key, "")),
        "CreatedAt": Column("CREATED AT", lambda n: human.spaced(n["Created"])),
    }


def create(options: Options) -> int:
    """Create a network and print its ID."""
    if options.on("ingress"):
        raise Failure("'--ingress' is not there: it belongs to Docker's swarm")
    subnets = address_plan(options)
    body: dict[str, Any] = {
        "Name": options.arguments[0],
        "Driver": options.text("driver"),
        "Scope": options.text("scope"),
        "IPAM": {
            "Driver": options.text("ipam-driver"),
            "Options": mapping(options.many("ipam-opt")),
            "Config": subnets,
        },
        "Internal": options.on("internal"),
        "Attachable": options.on("attachable"),
        "Ingress": False,
        "ConfigOnly": options.on("config-only"),
        "ConfigFrom": {"Network": options.text("config-from")} if options.text("config-from") else None,
        "Options": mapping(options.many("opt")),
        "Labels": mapping(options.many("label")),
    }
    for flag, key in (("ipv4", "EnableIPv4"), ("ipv6", "EnableIPv6")):
        if flag in options.given:
            body[key] = options.on(flag)
    client = connect()
    if not client.at_least(44):
        body["CheckDuplicate"] = True  # newer engines always do
    answer = client.post("/networks/create", None, body)
    if answer.get("Warning"):
        complain(f"WARNING: {answer['Warning']}")
    say(answer["Id"])
    return 0


def address_plan(options: Options) -> list[dict[str, Any]]:
    """The subnets with the gateway, range and reserved addresses that lie in each. Raises Failure in Docker's words."""
    from ipaddress import ip_address, ip_network  # it takes long to import, and no other command needs it

    subnets, ranges, gateways = (options.many(name) for name in ("subnet", "ip-range", "gateway"))
    reserved = mapping(options.many("aux-address"))
    if len(subnets) < len(ranges) or len(subnets) < len(gateways):
        raise Failure("every ip-range or gateway must have a corresponding subnet")
    plan: dict[str, dict[str, Any]] = {}
    parsed = {}
    for subnet in subnets:
        try:
            parsed[subnet] = ip_network(subnet, strict=False)
        except ValueError:
            plan[subnet] = {"Subnet": subnet, "AuxiliaryAddresses": {}}  # the engine says what is wrong with it
            continue
        for other, network in parsed.items():
            if other != subnet and network.version == parsed[subnet].version and network.overlaps(parsed[subnet]):
                raise Failure("multiple overlapping subnet configuration is not supported")
        plan[subnet] = {"Subnet": subnet, "AuxiliaryAddresses": {}}

    def inside(text: str) -> str:
        address = text.partition("/")[0]
        if not is_address(address):
            raise Failure(f"invalid IP address: {text}")
        return next((one for one, network in parsed.items() if ip_address(address) in network), "")

    for texts, key, what in ((ranges, "IPRange", "ip-range"), (gateways, "Gateway", "gateway")):
        for text in texts:
            subnet = inside(text)
            if not subnet:
                raise Failure(f"no matching subnet for {'range' if what == 'ip-range' else what} {text}")
            if plan[subnet].get(key):
                where = (
                    f"({text}, {plan[subnet][key]}) {'on' if key == 'IPRange' else 'for'} the same subnet ({subnet})"
                )
                raise Failure(f"cannot configure multiple {what}s {where}")
            plan[subnet][key] = text
    for name, text in reserved.items():
        subnet = inside(text)
        if not subnet:
            raise Failure(f"no matching subnet for aux-address {text}")
        plan[subnet]["AuxiliaryAddresses"][name] = text
    for one in plan.values():
        if not one["AuxiliaryAddresses"]:
            del one["AuxiliaryAddresses"]
    return list(plan.values())


def rm(options: Options) -> int:
    """Remove networks and print their names."""
    client, problems = connect(), []
    for name in options.arguments:
        try:
            client.delete(f"/networks/{name}")
            say(name)
        except ApiError as error:
            if options.on("force") and error.status == 404:
                continue
            problems.append(error.message)
    if problems:
        for problem in problems:
            complain(problem)
        raise Failure("exit status 1")
    return 0


def join(options: Options) -> int:
    """Put a container into a network."""
    network, container = options.arguments
    addresses: dict[str, Any] = {}
    if options.text("ip"):
        addresses["IPv4Address"] = options.text("ip")
    if options.text("ip6"):
        addresses["IPv6Address"] = options.text("ip6")
    if options.many("link-local-ip"):
        addresses["LinkLocalIPs"] = options.many("link-local-ip")
    body = {
        "Container": container,
        "EndpointConfig": {
            **empty_endpoint(),
            "IPAMConfig": addresses,
            "Links": options.many("link") or None,
            "Aliases": options.many("alias") or None,
            "DriverOpts": mapping(options.many("driver-opt")),
            "GwPriority": options.number("gw-priority"),
        },
    }
    connect().post(f"/networks/{network}/connect", None, body)
    return 0


def leave(options: Options) -> int:
    """Take a container out of a network."""
    network, container = options.arguments
    body = {"Container": container, "Force": options.on("force")}
    connect().post(f"/networks/{network}/disconnect", None, body)
    return 0


LS = Command(
    ls,
    "[OPTIONS]",
    "List networks",
    (
        Flag("filter", FILTER, 'Show only those that meet a condition ("driver=bridge")', "f"),
        Flag("format", STRING, FORMAT_HELP),
        Flag("no-trunc", BOOL, "Do not shorten anything"),
        Flag("quiet", BOOL, "Show only network IDs", "q"),
    ),
)
CREATE = Command(
    create,
    "[OPTIONS] NETWORK",
    "Create a network",
    (
        Flag("attachable", BOOL, "Enable manual container attachment"),
        Flag("aux-address", MAP, "Addresses that are taken (name=address)"),
        Flag("config-from", STRING, "The network from which to copy the configuration"),
        Flag("config-only", BOOL, "Create a configuration only network"),
        Flag("driver", STRING, "Driver of the network", "d", "bridge"),
        Flag("gateway", STRINGS, "Gateway of a subnet"),
        Flag("ingress", BOOL, "Create swarm routing-mesh network"),
        Flag("internal", BOOL, "Restrict external access to the network"),
        Flag("ip-range", STRINGS, "Take addresses of containers from this range"),
        Flag("ipam-driver", STRING, "Driver that gives addresses", default="default"),
        Flag("ipam-opt", MAP, "Option of that driver"),
        Flag("ipv4", BOOL, "Give IPv4 addresses", default=True),
        Flag("ipv6", BOOL, "Give IPv6 addresses"),
        Flag("label", LIST, "Set metadata on a network", check=check_label),
        Flag("opt", MAP, "Option of the network's driver", "o"),
        Flag("scope", STRING, "Control the network's scope"),
        Flag("subnet", STRINGS, "Subnet in CIDR form (172.28.0.0/16)"),
    ),
    least=1,
    most=1,
)
RM = Command(
    rm,
    "NETWORK [NETWORK...]",
    "Remove one or more networks",
    (Flag("force", BOOL, "Do not error if the network does not exist", "f"),),
    least=1,
    most=None,
)
CONNECT = Command(
    join,
    "[OPTIONS] NETWORK CONTAINER",
    "Connect a container to a network",
    (
        Flag("alias", STRINGS, "Another name for the container in this network"),
        Flag("driver-opt", STRINGS, "Option of the network's driver"),
        Flag("gw-priority", INT, "The network with the highest priority provides the default gateway"),
        Flag("ip", STRING, 'IPv4 address (e.g., "172.30.100.104")'),
        Flag("ip6", STRING, 'IPv6 address (e.g., "2001:db8::33")'),
        Flag("link", LIST, "Add link to another container"),
        Flag("link-local-ip", STRINGS, "Add a link-local address for the container"),
    ),
    least=2,
    most=2,
)
DISCONNECT = Command(
    leave,
    "[OPTIONS] NETWORK CONTAINER",
    "Disconnect a container from a network",
    (Flag("force", BOOL, "Force the container to disconnect from a network", "f"),),
    least=2,
    most=2,
)
