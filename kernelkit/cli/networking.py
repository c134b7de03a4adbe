"""`--network`, `--publish`, `--expose`: how a container is reached."""

from __future__ import annotations

from kernelkit.cli.values import csv_fields, is_address

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from kernelkit.cli.flags import Options

PROTOCOLS = ("tcp", "udp", "sctp")


def parse_network(text: str) -> dict[str, Any]:
    """What `--network` says of one network: its name, or `name=…,alias=…,ip=…,ip6=…,mac-address=…`."""
    network: dict[str, Any] = {"target": "", "aliases": [], "options": {}, "link_local": []}
    if "=" not in text:
        network["target"] = text
        return network
    for field in csv_fields(text):
        key, equals, value = field.partition("=")
        key, value = key.strip().lower(), value.strip()
        if not equals:
            raise ValueError(f"invalid field {field}")
        if key == "name":
            network["target"] = value
        elif key == "alias":
            network["aliases"].append(value)
        elif key in ("ip", "ip6", "mac-address"):
            network[key] = value
        elif key == "driver-opt":
            name, _, option = value.partition("=")
            network["options"][name.lower()] = option
        elif key == "link-local-ip":
            network["link_local"].append(value)
        elif key == "gw-priority":
            network["priority"] = int(value) if value.lstrip("-").isdigit() else _bad_priority(value)
        else:
            raise ValueError(f"invalid field key {key}")
    if not network["target"]:
        raise ValueError("network name/id is not specified")
    return network


def _bad_priority(value: str) -> int:
    raise ValueError(f"invalid gw-priority ({value}): invalid syntax")


def is_user_defined(name: str) -> bool:
    """Whether this is the name of a network that somebody created, and not a mode."""
    return name not in ("default", "bridge", "host", "none", "nat") and not name.startswith("container:")


def empty_endpoint() -> dict[str, Any]:
    """An endpoint that asks for nothing, with all the keys that the API has."""
    return {
        "IPAMConfig": None,
        "Links": None,
        "Aliases": None,
        "MacAddress": "",
        "DriverOpts": None,
        "GwPriority": 0,
        "NetworkID": "",
        "EndpointID": "",
        "Gateway": "",
        "IPAddress": "",
        "IPPrefixLen": 0,
        "IPv6Gateway": "",
        "GlobalIPv6Address": "",
        "GlobalIPv6PrefixLen": 0,
        "DNSNames": None,
    }


def endpoints(options: Options) -> tuple[dict[str, Any], str]:
    """(network → endpoint, the network mode): what `--network` and the options that go with it ask for."""
    wanted = [*options["network"], *options["net"]] or [parse_network("default")]
    first = wanted[0]
    _lend(first, options)
    mode = first["target"]
    if len({is_user_defined(one["target"]) for one in wanted}) > 1:
        raise ValueError("conflicting options: cannot attach both user-defined and non-user-defined network-modes")
    found: dict[str, Any] = {}
    for one in wanted:
        if one["target"] in found:
            raise ValueError(f'network "{one["target"]}" is specified multiple times')
        found[one["target"]] = _endpoint(one)
    named = "network" in options.given or "net" in options.given
    if named and len(wanted) == 1 and found[mode] == empty_endpoint():
        found = {}  # nothing to say of it: the engine connects it by the mode
    return found, mode


def _lend(network: dict[str, Any], options: Options) -> None:
    """Give the first network what `--ip`, `--network-alias` and the others say of it."""
    aliases = options.many("network-alias") + options.many("net-alias")
    for here, said, what in (
        (network["aliases"], aliases, "--network-alias and per-network alias"),
        (network.get("ip"), options.text("ip"), "--ip and per-network IPv4 address"),
        (network.get("ip6"), options.text("ip6"), "--ip6 and per-network IPv6 address"),
        (network.get("mac-address"), options.text("mac-address"), "--mac-address and per-network MAC address"),
        (
            network["link_local"],
            options.many("link-local-ip"),
            "--link-local-ip and per-network link-local IP addresses",
        ),
    ):
        if here and said:
            raise ValueError(f"conflicting options: cannot specify both {what}")
    user_defined = is_user_defined(network["target"])
    if aliases and not user_defined:
        raise ValueError("network-scoped aliases are only supported for user-defined networks")
    network["aliases"] = network["aliases"] or aliases
    network["ip"] = network.get("ip") or options.text("ip")
    network["ip6"] = network.get("ip6") or options.text("ip6")
    network["link_local"] = network["link_local"] or options.many("link-local-ip")
    network["mac-address"] = network.get("mac-address") or _mac(options.text("mac-address"))
    network["links"] = options.many("link") if user_defined else []


def _mac(text: str) -> str:
    parts = text.replace("-", ":").split(":")
    good = len(parts) in (6, 8, 20) and all(len(p) == 2 and not set(p.lower()) - set("0123456789abcdef") for p in parts)
    if text and not good:
        raise ValueError(f"{text} is not a valid mac address")
    return text


def _endpoint(network: dict[str, Any]) -> dict[str, Any]:
    endpoint = empty_endpoint()
    addresses: dict[str, Any] = {}
    if network.get("ip"):
        addresses["IPv4Address"] = network["ip"]
    if network.get("ip6"):
        addresses["IPv6Address"] = network["ip6"]
    if network["link_local"]:
        addresses["LinkLocalIPs"] = network["link_local"]
    endpoint["IPAMConfig"] = addresses or None
    endpoint["Aliases"] = network["aliases"] or None
    endpoint["Links"] = network.get("links") or None
    endpoint["DriverOpts"] = network["options"] or None
    endpoint["MacAddress"] = network.get("mac-address") or ""
    endpoint["GwPriority"] = network.get("priority", 0)
    return endpoint


def split_ports(texts: list[str]) -> dict[str, list[dict[str, str]]]:
    """Port of the container → where it is published, from `-p [ip:][host:]container[/protocol]` with ranges."""
    published: dict[str, list[dict[str, str]]] = {}
    for text in texts:
        for port, binding in _bindings(_short(text) if "=" in text else text):
            published.setdefault(port, []).append(binding)
    return published


def _short(text: str) -> str:
    """`published=8080,target=80,protocol=udp` in the short form."""
    said = {key.strip().lower(): value.strip() for key, _, value in (f.partition("=") for f in csv_fields(text))}
    unknown = [key for key in said if key not in ("published", "target", "protocol", "mode", "host_ip")]
    if unknown or not said.get("target"):
        raise ValueError(f"invalid publish option: {text}")
    return f"{said.get('published', '')}:{said['target']}/{said.get('protocol', 'tcp')}"


def _bindings(text: str) -> list[tuple[str, dict[str, str]]]:
    ports, _, protocol = text.partition("/")
    protocol = protocol.lower() or "tcp"
    address, host, container = _three(ports)
    if not container:
        raise ValueError(f"no port specified: {text}<empty>")
    inner = _range(container, "containerPort")
    outer = _range(host, "hostPort") if host else []
    if protocol not in PROTOCOLS:
        raise ValueError(f"invalid proto: {protocol}")
    if address and not is_address(address):
        raise ValueError(f"invalid IP address: {address}")
    if outer and len(outer) != len(inner):
        # A range of host ports for one container port: the engine takes the first that is free.
        if len(inner) != 1:
            raise ValueError(f"invalid ranges specified for container and host Ports: {container} and {host}")
        return [(f"{inner[0]}/{protocol}", {"HostIp": address, "HostPort": f"{outer[0]}-{outer[-1]}"})]
    return [
        (f"{port}/{protocol}", {"HostIp": address, "HostPort": str(outer[i]) if outer else ""})
        for i, port in enumerate(inner)
    ]


def _three(text: str) -> tuple[str, str, str]:
    before, _, container = text.rpartition(":")
    address, colon, host = before.rpartition(":")
    if not colon and before.startswith("["):
        address, host = before, ""
    if address.startswith("[") and address.endswith("]"):
        address = address[1:-1]
    return address, host, container


def _range(text: str, what: str) -> list[int]:
    first, dash, last = text.partition("-")
    try:
        start, end = _port(first), _port(last if dash else first)
    except ValueError:
        raise ValueError(f"invalid {what}: {text}") from None
    if end < start:
        raise ValueError(f"invalid {what}: {text}")
    return list(range(start, end + 1))


def _port(text: str) -> int:
    if not text.isdigit():
        raise ValueError(f'strconv.ParseUint: parsing "{text}": invalid syntax')
    if int(text) > 0xFFFF:
        raise ValueError(f'strconv.ParseUint: parsing "{text}": value out of range')
    return int(text)


def exposed(texts: list[str]) -> list[str]:
    """The ports of `--expose 80`, `90-92/udp`."""
    ports: list[str] = []
    for text in texts:
        numbers, _, protocol = text.partition("/")
        first, dash, last = numbers.partition("-")
        try:
            start, end = _port(first), _port(last.partition("-")[0] if dash else first)
        except ValueError as error:
            raise ValueError(f"invalid range format for --expose: {text}, error: {error}") from None
        ports += [f"{port}/{protocol or 'tcp'}" for port in range(start, end + 1)]
    return ports
