"""All there is to know of a container: `docker inspect`, in Docker's own words and order."""

from __future__ import annotations

import contextlib
import os
from typing import Any

from kernelkit.engine import initlayer, links, mountpoints
from kernelkit.engine.containers import sizes
from kernelkit.engine.engine import Engine
from kernelkit.engine.model import Container, State
from kernelkit.errors import NotFound

Json = dict[str, Any]


def inspect(engine: Engine, container: Container, *, size: bool = False) -> Json:
    """Docker's `ContainerInspectResponse`; with `size` also the bytes it has written and those with its image's."""
    c, folder = container, os.fspath(engine.folder(container.id))
    words = [*(c.config.get("Entrypoint") or []), *(c.config.get("Cmd") or [])]
    # Where the driver `local` keeps it is nobody's business, says Docker.
    logged = (c.host_config.get("LogConfig") or {}).get("Type") not in ("none", "local")
    running = [e.id for e in list(engine.executions.values()) if e.container is c and e.exit_code is None]
    found: Json = {
        "Id": c.id,
        "Created": c.created,
        "Path": words[0] if words else "",
        "Args": words[1:],
        "State": state(c.state),
        "Image": c.image_id,
        "ResolvConfPath": f"{folder}/resolv.conf",
        "HostnamePath": f"{folder}/hostname",
        "HostsPath": f"{folder}/hosts",
        "LogPath": f"{folder}/log" if logged else "",
        "Name": f"/{c.name}",
        "RestartCount": c.state.restart_count,
        "Driver": "overlay2",
        "Platform": "linux",
        "MountLabel": "",
        "ProcessLabel": "",
        "AppArmorProfile": "",
        "ExecIDs": running or None,
        "HostConfig": {**c.host_config, "Links": links.shown(engine, c)} if c.host_config["Links"] else c.host_config,
        "GraphDriver": {"Data": _layers(engine, c, folder), "Name": "overlay2"},
        "Mounts": mountpoints.shown(c.mounts),
        "Config": c.config,
        "NetworkSettings": network(c),
    }
    if size:
        found["SizeRw"], found["SizeRootFs"] = sizes(engine, c)
    return found


def state(state: State) -> Json:
    """Docker's `ContainerState`."""
    found: Json = {
        "Status": state.status,
        "Running": state.running,
        "Paused": state.paused,
        "Restarting": state.status == "restarting",
        "OOMKilled": state.oom_killed,
        "Dead": state.status == "dead",
        "Pid": state.pid,
        "ExitCode": state.exit_code,
        "Error": state.error,
        "StartedAt": state.started_at,
        "FinishedAt": state.finished_at,
    }
    if state.health:
        found["Health"] = state.health
    return found


def network(container: Container) -> Json:
    """Docker's `NetworkSettings`; its older fields tell of the default bridge."""
    bridge = container.networks.get("bridge") or {}
    pid = container.state.pid
    return {
        "Bridge": "",
        "SandboxID": container.id if pid else "",
        "SandboxKey": f"/proc/{pid}/ns/net" if pid else "",
        "Ports": container.ports,
        "HairpinMode": False,
        "LinkLocalIPv6Address": "",
        "LinkLocalIPv6PrefixLen": 0,
        "SecondaryIPAddresses": None,
        "SecondaryIPv6Addresses": None,
        "EndpointID": bridge.get("EndpointID", ""),
        "Gateway": bridge.get("Gateway", ""),
        "GlobalIPv6Address": bridge.get("GlobalIPv6Address", ""),
        "GlobalIPv6PrefixLen": bridge.get("GlobalIPv6PrefixLen", 0),
        "IPAddress": bridge.get("IPAddress", ""),
        "IPPrefixLen": bridge.get("IPPrefixLen", 0),
        "IPv6Gateway": bridge.get("IPv6Gateway", ""),
        "MacAddress": bridge.get("MacAddress", ""),
        "Networks": container.networks,
    }


def _layers(engine: Engine, container: Container, folder: str) -> dict[str, str]:
    """Where the sheets of its file system are, the topmost read-only one first."""
    lower = ""
    with contextlib.suppress(NotFound):
        lower = ":".join(reversed(initlayer.sheets(engine, engine.store.find(container.image_id))))
    return {
        "ID": container.id,
        "LowerDir": lower,
        "MergedDir": f"{folder}/merged",
        "UpperDir": f"{folder}/upper",
        "WorkDir": f"{folder}/work",
    }
