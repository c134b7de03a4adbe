"""What the user prefers, as said in the `config.json` of Docker's client: forms of lists, keys that detach."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kernelkit.cli.flags import Options


def preferred(name: str) -> str:
    """A preference such as `psFormat`; empty when there is none."""
    folder = os.environ.get("DOCKER_CONFIG") or os.path.join(os.path.expanduser("~"), ".docker")
    if not os.path.exists(os.path.join(folder, "config.json")):
        return ""
    from kernelkit.cli.credentials import read_config  # few have such a file

    return str(read_config().get(name) or "")


def form_of(options: Options, name: str) -> str:
    """The form of a list: `--format`, or what is preferred unless only IDs are wanted."""
    if "format" in options.given or options.on("quiet"):
        return options.text("format")
    return preferred(name)


def detach_keys(options: Options) -> str:
    """The keys that detach: `--detach-keys`, or what is preferred; empty for the usual ones."""
    return options.text("detach-keys") or preferred("detachKeys")
