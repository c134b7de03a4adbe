"""From the options of `run` and `create` to the create body of the API: Config, HostConfig and NetworkingConfig."""

from __future__ import annotations

import os

from kernelkit.cli import jsontext, networking
from kernelkit.cli.mounts import split_tmpfs, split_volumes
from kernelkit.cli.output import Failure
from kernelkit.cli.values import csv_fields, device_rate, device_weight, mapping, split_extra_host

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from kernelkit.cli.flags import Options

WINDOWS = ("cpu-count", "cpu-percent", "io-maxbandwidth", "io-maxiops")
SINCE = {"annotation": 43, "health-start-interval": 44}


def create_body(options: Options, image: str, command: list[str], console: list[int]) -> dict[str, Any]:
    """The body of `POST /containers/create`. Raises ValueError, in Docker's words, for options that cannot be."""
    if options.on("rm") and options.text("restart") not in ("", "no"):
        raise ValueError("conflicting options: cannot specify both --restart and --rm")
    attached = [stream.lower() for stream in options.many("attach")]
    detached = "detach" in options.given and options.on("detach")
    if not attached and not detached:
        attached = ["stdout", "stderr", *(["stdin"] if options.on("interactive") else [])]
    ports = networking.split_ports(options.many("publish"))
    binds, volumes = split_volumes(options.many("volume"))
    body: dict[str, Any] = {
        "Hostname": options.text("hostname"),
        "Domainname": options.text("domainname"),
        "User": options.text("user"),
        "AttachStdin": "stdin" in attached,
        "AttachStdout": "stdout" in attached,
        "AttachStderr": "stderr" in attached,
        "Tty": options.on("tty"),
        "OpenStdin": options.on("interactive"),
        "StdinOnce": options.on("interactive") and "stdin" in attached,
        "Env": environment(options) or None,
        "Cmd": command or None,
        "Image": image,
        "Volumes": volumes,
        "WorkingDir": options.text("workdir"),
        "Entrypoint": [options.text("entrypoint")] if "entrypoint" in options.given else None,
        "OnBuild": None,
        "Labels": labels(options),
    }
    if open_ports := {**dict.fromkeys(ports), **dict.fromkeys(networking.exposed(options.many("expose")))}:
        body["ExposedPorts"] = {port: {} for port in sorted(open_ports)}
    if health := health_check(options):
        body["Healthcheck"] = health
    if "stop-signal" in options.given:
        body["StopSignal"] = options.text("stop-signal")
    if "stop-timeout" in options.given:
        body["StopTimeout"] = options.number("stop-timeout")
    body["HostConfig"] = host_config(options, ports, binds, console)
    networks, mode = endpoints(options)
    body["HostConfig"]["NetworkMode"] = mode
    body["NetworkingConfig"] = {"EndpointsConfig": networks}
    return body


def host_config(
    options: Options, ports: dict[str, list[dict[str, str]]], binds: list[str], console: list[int]
) -> dict[str, Any]:
    """What the container asks of the host."""
    config: dict[str, Any] = {
        "Binds": binds or None,
        "ContainerIDFile": options.text("cidfile"),
        "LogConfig": {"Type": options.text("log-driver"), "Config": log_options(options)},
        "NetworkMode": "default",
        "PortBindings": ports,
        "RestartPolicy": restart_policy(options.text("restart")),
        "AutoRemove": options.on("rm"),
        "VolumeDriver": options.text("volume-driver"),
        "VolumesFrom": options.many("volumes-from") or None,
        "ConsoleSize": console,
        "CapAdd": capabilities(options.many("cap-add")),
        "CapDrop": capabilities(options.many("cap-drop")),
        "CgroupnsMode": _mode(options, "cgroupns", "CGROUP", ("host", "private")),
        "Dns": options.many("dns"),
        "DnsOptions": options.many("dns-option") + options.many("dns-opt"),
        "DnsSearch": options.many("dns-search"),
        "ExtraHosts": [":".join(split_extra_host(text)) for text in options.many("add-host")] or None,
        "GroupAdd": options.many("group-add") or None,
        "IpcMode": options.text("ipc"),
        "Cgroup": "",
        "Links": options.many("link") or None,
        "OomScoreAdj": options.number("oom-score-adj"),
        "PidMode": _mode(options, "pid", "PID", ("host", "container:")),
        "Privileged": options.on("privileged"),
        "PublishAllPorts": options.on("publish-all"),
        "ReadonlyRootfs": options.on("read-only"),
        "UTSMode": _mode(options, "uts", "UTS", ("host",)),
        "UsernsMode": _mode(options, "userns", "USER", ("host",)),
        "ShmSize": options.number("shm-size"),
        "Isolation": options.text("isolation"),
        **limits(options),
        "Mounts": options.many("mount"),
        "MaskedPaths": None,
        "ReadonlyPaths": None,
    }
    config.update(security(options))
    if "init" in options.given:
        config["Init"] = options.on("init")
    for key, value in (
        ("Tmpfs", split_tmpfs(options.many("tmpfs"))),
        ("Sysctls", mapping(options.many("sysctl"))),
        ("StorageOpt", _storage(options.many("storage-opt"))),
        ("Annotations", mapping(options.many("annotation"))),
        ("Runtime", options.text("runtime")),
    ):
        if value:
            config[key] = value
    if not config["Mounts"]:
        del config["Mounts"]
    if options.on("use-api-socket"):
        socket = os.environ.get("KERNELKIT_SOCKET", "/var/run/docker.sock")
        mount = {"Type": "bind", "Source": socket, "Target": "/var/run/docker.sock", "BindOptions": {}}
        config.setdefault("Mounts", []).append(mount)
    return config


def limits(options: Options) -> dict[str, Any]:
    """What the container may use."""
    swappiness = options["memory-swappiness"]
    if swappiness != -1 and not 0 <= swappiness <= 100:
        raise ValueError(f"invalid value: {swappiness}. Valid memory swappiness range is 0-100")
    devices, requests = _devices(options.many("device"))
    return {
        "CpuShares": options.number("cpu-shares"),
        "Memory": options.number("memory"),
        "NanoCpus": options.number("cpus"),
        "CgroupParent": options.text("cgroup-parent"),
        "BlkioWeight": options.number("blkio-weight"),
        "BlkioWeightDevice": [device_weight(text) for text in options.many("blkio-weight-device")],
        "BlkioDeviceReadBps": [device_rate(text, in_bytes=True) for text in options.many("device-read-bps")],
        "BlkioDeviceWriteBps": [device_rate(text, in_bytes=True) for text in options.many("device-write-bps")],
        "BlkioDeviceReadIOps": [device_rate(text, in_bytes=False) for text in options.many("device-read-iops")],
        "BlkioDeviceWriteIOps": [device_rate(text, in_bytes=False) for text in options.many("device-write-iops")],
        "CpuPeriod": options.number("cpu-period"),
        "CpuQuota": options.number("cpu-quota"),
        "CpuRealtimePeriod": options.number("cpu-rt-period"),
        "CpuRealtimeRuntime": options.number("cpu-rt-runtime"),
        "CpusetCpus": options.text("cpuset-cpus"),
        "CpusetMems": options.text("cpuset-mems"),
        "Devices": devices,
        "DeviceCgroupRules": options.many("device-cgroup-rule") or None,
        "DeviceRequests": requests + [_gpus(text) for text in options.many("gpus")] or None,
        "MemoryReservation": options.number("memory-reservation"),
        "MemorySwap": options.number("memory-swap"),
        "MemorySwappiness": swappiness,
        "OomKillDisable": options.on("oom-kill-disable"),
        "PidsLimit": options.number("pids-limit"),
        "Ulimits": sorted({limit["Name"]: limit for limit in options["ulimit"]}.values(), key=lambda one: one["Name"]),
        "CpuCount": 0,
        "CpuPercent": 0,
        "IOMaximumIOps": 0,
        "IOMaximumBandwidth": 0,
    }


def refuse(options: Options, minor: int) -> None:
    """Refuse by name what neither Linux nor the engine's version (1.`minor`) knows. Raises Failure."""
    lines = [
        f'"--{name}" is only supported on a Docker daemon running on windows, but the Docker daemon is running on linux'
        for name in WINDOWS
        if name in options.given
    ]
    if "kernel-memory" in options.given:
        lines.append('"--kernel-memory" is not supported: no kernel since Linux 5.4 has this limit; use --memory')
    lines += [
        f'"--{name}" requires API version 1.{since}, but the Docker daemon API version is 1.{minor}'
        for name, since in SINCE.items()
        if name in options.given and minor < since
    ]
    if not options.on("disable-content-trust"):
        lines.append("'--disable-content-trust=false' is not there: kernelkit knows no signatures, only digests")
    if lines:
        raise Failure("\n".join(lines))


def local_servers(options: Options) -> list[str]:
    """The DNS servers that are this machine to us, and the container to the container."""
    return [address for address in options.many("dns") if address.startswith("127.") or address == "::1"]


def environment(options: Options) -> list[str]:
    """The variables of `--env-file` and `-e`; a name alone takes its value from here, if it has one."""
    variables = []
    for path in options.many("env-file"):
        for line in _lines(path):
            name, equals, _ = line.partition("=")
            if not name or " " in name or "\t" in name:
                raise ValueError(
                    f"invalid env file ({path}): variable '{name}' contains whitespaces"
                    if name
                    else f"invalid env file ({path}): no variable name on line '{line}'"
                )
            if equals:
                variables.append(line)
            elif name in os.environ:
                variables.append(f"{name}={os.environ[name]}")
    for text in options.many("env"):
        if "=" not in text and text in os.environ:
            text = f"{text}={os.environ[text]}"
        variables.append(text)
    return variables


def labels(options: Options) -> dict[str, str]:
    """The labels of `--label-file` and `-l`."""
    from_files = [line for path in options.many("label-file") for line in _lines(path) if "=" in line]
    return mapping(from_files + options.many("label"))


def _lines(path: str) -> list[str]:
    try:
        with open(path, encoding="utf-8") as file:
            content = file.read()
    except OSError as error:
        raise ValueError(f"open {path}: {(error.strerror or '').lower()}") from None
    lines = [line.lstrip() for line in content.removeprefix("\ufeff").splitlines()]
    return [line for line in lines if line and not line.startswith("#")]


def health_check(options: Options) -> dict[str, Any] | None:
    """The health check that the options ask for; None to leave it to the image."""
    given = [name for name in options.given if name.startswith("health-")]
    check: dict[str, Any] = {}
    if options.on("no-healthcheck"):
        if any(options[name] for name in given):
            raise ValueError("--no-healthcheck conflicts with --health-* options")
        return {"Test": ["NONE"]}
    for key, name in (
        ("Interval", "health-interval"),
        ("Timeout", "health-timeout"),
        ("Retries", "health-retries"),
        ("StartPeriod", "health-start-period"),
        ("StartInterval", "health-start-interval"),
    ):
        if options.number(name) < 0:
            raise ValueError(f"--{name} cannot be negative")
        if options.number(name):
            check[key] = options.number(name)
    if options.text("health-cmd"):
        check["Test"] = ["CMD-SHELL", options.text("health-cmd")]
    return check or None


def restart_policy(text: str) -> dict[str, Any]:
    """`on-failure:3` as the API has it."""
    name, colon, count = text.partition(":")
    if colon and not name:
        raise ValueError("invalid restart policy format: no policy provided before colon")
    if colon and not count.lstrip("-").isdigit():
        raise ValueError("invalid restart policy format: maximum retry count must be an integer")
    return {"Name": name, "MaximumRetryCount": int(count) if colon else 0}


def log_options(options: Options) -> dict[str, str]:
    """The options of the log driver."""
    if options.text("log-driver") == "none" and options.many("log-opt"):
        raise ValueError("invalid logging opts for driver none")
    return mapping(options.many("log-opt"))


def capabilities(names: list[str]) -> list[str] | None:
    """The names in the kernel's spelling, sorted, each once."""
    found = {name.strip().upper() for name in names}
    return sorted(name if name == "ALL" or name.startswith("CAP_") else f"CAP_{name}" for name in found) or None


def security(options: Options) -> dict[str, Any]:
    """The security options, with the contents of profiles in the place of their file names."""
    kept: list[str] = []
    paths: dict[str, Any] = {}
    for text in options.many("security-opt"):
        separator = "=" if "=" in text else ":"
        key, found, value = text.partition(separator)
        if not found and text != "no-new-privileges":
            raise ValueError(f'Invalid --security-opt: "{text}"')
        if key == "systempaths" and value == "unconfined":
            paths = {"MaskedPaths": [], "ReadonlyPaths": []}
            continue
        if key == "seccomp" and value not in ("unconfined", "builtin"):
            text = f"seccomp={_profile(value)}"
        kept.append(text)
    return {"SecurityOpt": kept if options.many("security-opt") else None, **paths}


def _profile(path: str) -> str:
    try:
        with open(path, encoding="utf-8") as file:
            return jsontext.encode(jsontext.decode(file.read()))
    except OSError as error:
        why = f"open {path}: {(error.strerror or '').lower()}"
        raise ValueError(f"opening seccomp profile ({path}) failed: {why}") from None
    except ValueError as error:
        raise ValueError(f"compacting json for seccomp profile ({path}) failed: {error}") from None


def _mode(options: Options, name: str, words: str, known: tuple[str, ...]) -> str:
    """A namespace mode: empty, one of the known words, or one that starts with a known word ending in a colon."""
    text = options.text(name)
    for word in known:
        if text == word or (word.endswith(":") and text.startswith(word) and len(text) > len(word)):
            return text
    if text:
        raise ValueError(f"--{name}: invalid {words} mode")
    return ""


def _storage(texts: list[str]) -> dict[str, str]:
    if any("=" not in text for text in texts):
        raise ValueError("invalid storage option")
    return mapping(texts)


def _devices(texts: list[str]) -> tuple[list[dict[str, str]], list[dict[str, Any]]]:
    devices: list[dict[str, str]] = []
    named: list[str] = []
    for text in texts:
        if "=" in text and "/" in text.partition("=")[0] and not text.startswith("/"):
            named.append(text)  # a device that the Container Device Interface names: vendor/class=name
            continue
        parts = text.split(":")
        source, target, mode = parts[0], parts[0], "rwm"
        if len(parts) == 2 and _is_device_mode(parts[1]):
            mode = parts[1]
        elif len(parts) >= 2:
            target = parts[1]
        if len(parts) == 3:
            mode = parts[2]
            if not _is_device_mode(mode):
                raise ValueError(f"bad mode specified: {mode}")
        if len(parts) > 3:
            raise ValueError(f"invalid device specification: {text}")
        for path in (source, target):
            if not path.startswith("/"):
                raise ValueError(f"{path} is not an absolute path")
        devices.append({"PathOnHost": source, "PathInContainer": target, "CgroupPermissions": mode})
    if not named:
        return devices, []
    request = {"Driver": "cdi", "Count": 0, "DeviceIDs": named, "Capabilities": None, "Options": None}
    return devices, [request]


def _is_device_mode(text: str) -> bool:
    return bool(text) and not set(text) - set("rwm") and len(set(text)) == len(text)


def _gpus(text: str) -> dict[str, Any]:
    request: dict[str, Any] = {"Driver": "", "Count": 0, "DeviceIDs": None, "Capabilities": [], "Options": {}}
    kinds: list[str] = []
    for field in csv_fields(text):
        key, equals, value = field.partition("=")
        if not equals:
            key, value = "count", field
        if key == "count":
            request["Count"] = -1 if value == "all" else int(value)
        elif key == "device":
            request["DeviceIDs"] = value.split(",")
        elif key == "driver":
            request["Driver"] = value
        elif key == "capabilities":
            kinds = value.split(",")
        elif key == "options":
            request["Options"] = mapping(value.split(","))
        else:
            raise ValueError(f"unexpected key '{key}' in '{field}'")
    request["Capabilities"] = [kinds if "gpu" in kinds else [*kinds, "gpu"]]
    return request


def endpoints(options: Options) -> tuple[dict[str, Any], str]:
    """(network → endpoint, the network mode): what `--network` and the options that go with it ask for."""
    wanted = [*options["network"], *options["net"]] or [networking.parse_network("default")]
    first = wanted[0]
    _lend(first, options)
    mode = first["target"]
    if len({networking.is_user_defined(one["target"]) for one in wanted}) > 1:
        raise ValueError("conflicting options: cannot attach both user-defined and non-user-defined network-modes")
    found: dict[str, Any] = {}
    for one in wanted:
        if one["target"] in found:
            raise ValueError(f'network "{one["target"]}" is specified multiple times')
        found[one["target"]] = _endpoint(one)
    named = "network" in options.given or "net" in options.given
    if named and len(wanted) == 1 and found[mode] == networking.empty_endpoint():
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
    user_defined = networking.is_user_defined(network["target"])
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
    endpoint = networking.empty_endpoint()
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
