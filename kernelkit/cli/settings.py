"""From the options of `run` and `create` to the create body of the API: Config, HostConfig and NetworkingConfig."""

from __future__ import annotations

import os

from kernelkit.cli import jsontext, networking
from kernelkit.cli.devices import device_rate, device_weight, gpu_request, split_devices
from kernelkit.cli.mounts import split_tmpfs, split_volumes
from kernelkit.cli.output import Failure
from kernelkit.cli.values import mapping, split_extra_host

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
    networks, mode = networking.endpoints(options)
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
    devices, requests = split_devices(options.many("device"))
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
        "DeviceRequests": requests + [gpu_request(text) for text in options.many("gpus")] or None,
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
