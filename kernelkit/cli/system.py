"""`version` and `info`: what this command, the engine and its machine are."""

from __future__ import annotations

import os
import sys

from kernelkit import __version__
from kernelkit.cli import human, jsontext
from kernelkit.cli.connect import connect
from kernelkit.cli.flags import STRING, Command, Flag
from kernelkit.cli.http import NEWEST, OLDEST
from kernelkit.cli.output import Failure, complain, say, write
from kernelkit.cli.table import aligned, unescape
from kernelkit.cli.template import Template, TemplateError
from kernelkit.cli.typed import typed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from kernelkit.cli.flags import Options
    from kernelkit.cli.http import Client

FORMAT = "Format output using a custom template:\n'json': print JSON\n'TEMPLATE': print with the given Go template"
BAD_TEMPLATE = 64  # sysexits.h, EX_USAGE
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm"}  # Go's words for them


def client_version() -> str:
    """The version of this command."""
    return __version__


def version(options: Options) -> int:
    """Print the versions of both sides."""
    client = connect()
    ours, theirs = _ours(client), client.get("/version")
    theirs.setdefault("Components", [])
    if options.text("format"):
        both = {"Client": ours, "Server": _without_doubles(theirs)}
        # The field is spelled in two ways: in JSON, and as Go's struct has it.
        named = [{**one, "APIVersion": one["ApiVersion"]} for one in (ours, theirs)]
        return _formatted(options.text("format"), both, {"Client": named[0], "Server": typed(named[1])})
    agreed = ours["ApiVersion"]
    down = f" (downgraded from {ours['DefaultAPIVersion']})" if agreed != ours["DefaultAPIVersion"] else ""
    lines = [
        "Client:",
        f" Version:\t{ours['Version']}",
        f" API version:\t{agreed}{down}",
        f" Python version:\t{ours['PythonVersion']}",
        f" OS/Arch:\t{ours['Os']}/{ours['Arch']}",
        f" Context:\t{ours['Context']}",
    ]
    name = (theirs.get("Platform") or {}).get("Name", "")
    lines += ["", f"Server:{' ' + name if name else ''}"]
    for component in theirs["Components"]:
        lines += [f" {component['Name']}:", *_component(component)]
    # Each of Docker's two halves is a table of its own, with one blank between its columns.
    half = lines.index("")
    text = "\n".join([_columns(lines[:half]), "", _columns(lines[half + 1 :])])
    say(text)
    return 0


def _columns(lines: list[str]) -> str:
    return aligned(lines, narrowest=20, padding=1).rstrip("\n")


def _ours(client: Client) -> dict[str, Any]:
    machine = os.uname()
    return {
        "Version": __version__,
        "ApiVersion": "{}.{}".format(*client.version),
        "DefaultAPIVersion": "{}.{}".format(*NEWEST),
        "MinAPIVersion": "{}.{}".format(*OLDEST),
        "PythonVersion": ".".join(str(part) for part in sys.version_info[:3]),
        "Os": "linux",
        "Arch": ARCHITECTURES.get(machine.machine, machine.machine),
        "Context": "default",
    }


def _component(component: dict[str, Any]) -> list[str]:
    details = component.get("Details") or {}
    if component["Name"] != "Engine":
        return [f"  Version:\t{component['Version']}", *(f"  {key}:\t{details[key]}" for key in sorted(details))]
    oldest = details.get("MinAPIVersion", "")
    lines = [
        f"  Version:\t{component['Version']}",
        f"  API version:\t{details.get('ApiVersion', '')} (minimum version {oldest})",
    ]
    for label, key in (("Go version", "GoVersion"), ("Git commit", "GitCommit"), ("Built", "BuildTime")):
        if details.get(key) not in ("", "none", None):
            lines.append(f"  {label}:\t{details[key]}")
    lines.append(f"  OS/Arch:\t{details.get('Os', '')}/{details.get('Arch', '')}")
    lines.append(f"  Experimental:\t{details.get('Experimental', 'false')}")
    return lines


def _without_doubles(theirs: dict[str, Any]) -> dict[str, Any]:
    """The answer without what is empty, as Docker's client prints it in JSON."""
    return {key: value for key, value in theirs.items() if value not in ("", None)}


def info(options: Options) -> int:
    """Print what the engine counts, offers and stands on."""
    client = connect()
    found = client.get("/info")
    if options.text("format"):
        ours = {
            "Debug": False,
            "Version": __version__,
            "DefaultAPIVersion": "{}.{}".format(*NEWEST),
            "Os": "linux",
            "Arch": ARCHITECTURES.get(os.uname().machine, os.uname().machine),
            "Context": "default",
            "Plugins": [],
            "Warnings": None,
        }
        whole = {**found, "ClientInfo": ours}
        return _formatted(options.text("format"), whole, typed(whole))
    write(
        "\n".join(
            ["Client:", f" Version:    {__version__}", " Context:    default", " Debug Mode: false", "", "Server:\n"]
        )
    )
    for line in server_lines(found):
        say(line)
    say()
    for warning in found.get("Warnings") or []:
        complain(warning)
    return 0


def server_lines(found: dict[str, Any]) -> list[str]:
    """The engine's part of `info`, line by line."""
    lines = [
        f" Containers: {found['Containers']}",
        f"  Running: {found['ContainersRunning']}",
        f"  Paused: {found['ContainersPaused']}",
        f"  Stopped: {found['ContainersStopped']}",
        f" Images: {found['Images']}",
    ]
    lines += _some(found, ("ServerVersion", "Server Version"), ("Driver", "Storage Driver"))
    lines += [f"  {name}: {value}" for name, value in found.get("DriverStatus") or []]
    lines += [f" {name}: {value}" for name, value in found.get("SystemStatus") or []]
    lines += _some(found, ("LoggingDriver", "Logging Driver"), ("CgroupDriver", "Cgroup Driver"))
    lines += _some(found, ("CgroupVersion", "Cgroup Version"))
    lines.append(" Plugins:")
    plugins = found.get("Plugins") or {}
    for kind in ("Volume", "Network", "Authorization", "Log"):
        if plugins.get(kind) or kind in ("Volume", "Network", "Log"):
            lines.append(f"  {kind}: {' '.join(sorted(plugins.get(kind) or []))}")
    lines.append(f" Swarm: {(found.get('Swarm') or {}).get('LocalNodeState', 'inactive')}")
    lines.append(f" Runtimes: {' '.join(sorted(found.get('Runtimes') or {}))}")
    lines.append(f" Default Runtime: {found.get('DefaultRuntime', '')}")
    lines.append(f" Init Binary: {found.get('InitBinary', '')}")
    for label, key in (("containerd", "ContainerdCommit"), ("runc", "RuncCommit"), ("init", "InitCommit")):
        commit = found.get(key) or {}
        lines.append(f" {label} version: {commit.get('ID', '')}")
    lines += _security(found.get("SecurityOptions") or [])
    lines += _some(found, ("KernelVersion", "Kernel Version"), ("OperatingSystem", "Operating System"))
    lines += _some(found, ("OSType", "OSType"), ("Architecture", "Architecture"))
    lines += [f" CPUs: {found['NCPU']}", f" Total Memory: {human.binary_size(found['MemTotal'])}"]
    lines += _some(found, ("Name", "Name"), ("ID", "ID"))
    lines.append(f" Docker Root Dir: {found['DockerRootDir']}")
    lines.append(f" Debug Mode: {_truth(found.get('Debug'))}")
    lines += _some(found, ("HttpProxy", "HTTP Proxy"), ("HttpsProxy", "HTTPS Proxy"), ("NoProxy", "No Proxy"))
    if found.get("Labels"):
        lines += [" Labels:", *(f"  {label}" for label in found["Labels"])]
    lines.append(f" Experimental: {_truth(found.get('ExperimentalBuild'))}")
    registries = found.get("RegistryConfig") or {}
    insecure = [name for name, one in (registries.get("IndexConfigs") or {}).items() if not one.get("Secure")]
    insecure = sorted(insecure) + list(registries.get("InsecureRegistryCIDRs") or [])
    if insecure:
        lines += [" Insecure Registries:", *(f"  {name}" for name in insecure)]
    if registries.get("Mirrors"):
        lines += [" Registry Mirrors:", *(f"  {name}" for name in registries["Mirrors"])]
    lines.append(f" Live Restore Enabled: {_truth(found.get('LiveRestoreEnabled'))}")
    return lines


def _some(found: dict[str, Any], *pairs: tuple[str, str]) -> list[str]:
    return [f" {label}: {found[key]}" for key, label in pairs if found.get(key)]


def _truth(value: object) -> str:
    return "true" if value else "false"


def _security(options: list[str]) -> list[str]:
    """`name=seccomp,profile=builtin` as a name, and what belongs to it below."""
    lines = [" Security Options:"] if options else []
    for option in options:
        pairs = [part.partition("=") for part in option.split(",")]
        lines += [f"  {value}" for key, _, value in pairs if key == "name"]
        lines += [f"   {key.capitalize()}: {value}" for key, _, value in pairs if key != "name"]
    return lines


def _formatted(form: str, plain: Any, value: Any) -> int:
    if form == "json":
        say(jsontext.encode_for_web(plain))
        return 0
    try:
        template = Template(unescape(form))
    except TemplateError as error:
        raise Failure(f"template parsing error: {error}", BAD_TEMPLATE) from None
    try:
        say(template.render(value))
    except TemplateError as error:
        raise Failure(str(error)) from None
    return 0


VERSION = Command(
    version,
    "[OPTIONS]",
    "Show the versions of this command and of the engine",
    (Flag("format", STRING, FORMAT, "f"),),
)
INFO = Command(info, "[OPTIONS]", "Display system-wide information", (Flag("format", STRING, FORMAT, "f"),))
