"""`--network`, `--publish`, `--expose`: how a container is reached."""

from __future__ import annotations

from kernelkit.cli.values import csv_fields, is_address

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

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
