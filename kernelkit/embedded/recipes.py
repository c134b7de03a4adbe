"""How each embedded image is made, and whether it has been.

    busybox   one layer: the program of busybox-static under all its names
    bash      busybox's layer, and on it the program of bash-static
    debian    a minimal Debian of this machine's release

Everything is below `home/embedded`, an OCI image layout that the registry serves.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from kernelkit.embedded import debian, tree
from kernelkit.embedded.layout import Descriptor, Layer, Layout, Making
from kernelkit.embedded.packages import Wanted, find
from kernelkit.errors import InvalidRequest, KernelkitError, Unavailable

BUSYBOX = Wanted("busybox-static", ("bin/busybox", "usr/bin/busybox"))
BASH = Wanted("bash-static", ("bin/bash-static", "usr/bin/bash-static"))

_PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

Say = Callable[[str], None]


def directory(home: Path) -> Path:
    """Where the images of this home are, and what the registry is to serve."""
    return home / "embedded"


def ready(home: Path, name: str) -> bool:
    """Whether the image has been made and can be pulled."""
    return Layout(directory(home)).is_complete(name)


def prepare(home: Path, names: Sequence[str] = ("busybox", "bash"), *, say: Say) -> None:
    """Make what has not been made yet; wait for it where another process is at it.

    Killed at any instant, it leaves nothing half-made in use, and the next call begins again.  Raises InvalidRequest
    for a name there is no recipe for, Unavailable when a package or tool is not to be had.
    """
    for name in names:
        if name not in _RECIPES:
            raise InvalidRequest(f"there is no embedded image '{name}'", hint=f"there are {', '.join(NAMES)}")
    wanted = dict.fromkeys(part for name in names for part in (*_NEEDS.get(name, ()), name))
    for name in wanted:
        try:
            if not ready(home, name):
                _make(home, name, say)
        except OSError as error:
            why = error.strerror or str(error)
            raise KernelkitError(f"cannot make the image '{name}' in '{directory(home)}': {why}") from error


def _make(home: Path, name: str, say: Say) -> None:
    layout = Layout(directory(home))
    with layout.making(name) as making:
        if layout.is_complete(name):  # made by another process, while this one waited
            return
        say(f"making the image '{name}'")
        _RECIPES[name](making, say)
        say(f"the image '{name}' is ready")


def _busybox(making: Making, say: Say) -> None:
    program = find(BUSYBOX, making.scratch, say=say)
    version = _version(rb"BusyBox v(\d+)\.(\d+)\.(\d+)", program.content)
    layer = making.add_layer([tree.busybox(program.content, _applets(program.content, making.scratch), program.mtime)])
    created = _when(program.mtime)
    history = [
        {"created": created, "created_by": f"ADD busybox-static {version[-1]} /", "comment": "from Debian's package"},
        _command(created, "sh"),
    ]
    config = {"created": created, "config": {"Env": [_PATH], "Cmd": ["sh"]}, "history": history}
    making.publish(("latest", *version), config, [layer])


def _bash(making: Making, say: Say) -> None:
    config, layers = _image(making.layout, making.layout.tags("busybox")["latest"])
    program = find(BASH, making.scratch, say=say)
    version = _version(rb"Bash version (\d+)\.(\d+)\.(\d+)", program.content)
    layers.append(making.add_layer([tree.one_program("bin/bash", program.content, program.mtime)]))
    # An image is never older than the one it stands on.
    created = max(_when(program.mtime), config["created"])
    history = [
        *config["history"],
        {"created": created, "created_by": "COPY bash-static /bin/bash", "comment": "from Debian's package"},
        {"created": created, "created_by": f"ENV _BASH_VERSION={version[-1]}", "empty_layer": True},
        _command(created, "bash"),
    ]
    settings = {"Env": [_PATH, f"_BASH_VERSION={version[-1]}"], "Cmd": ["bash"]}
    making.publish(("latest", *version), {"created": created, "config": settings, "history": history}, layers)


def _debian(making: Making, say: Say) -> None:
    which = debian.release(_os_release())
    system = debian.make(which, making.scratch, lock=making.lock, say=say)
    layer = making.add_layer(system.pieces())
    created = _when(system.newest)
    history = [
        {"created": created, "created_by": f"ADD debian {which.codename} minbase /", "comment": "from its packages"},
        _command(created, "bash"),
    ]
    config = {"created": created, "config": {"Env": [_PATH], "Cmd": ["bash"]}, "history": history}
    making.publish(("latest", which.codename, which.number), config, [layer])


_RECIPES: dict[str, Callable[[Making, Say], None]] = {"busybox": _busybox, "bash": _bash, "debian": _debian}
_NEEDS = {"bash": ("busybox",)}
NAMES = tuple(_RECIPES)


def _image(layout: Layout, index: Descriptor) -> tuple[dict[str, Any], list[Layer]]:
    """An image's config and layers, for one that is built on it."""
    manifest = layout.json(layout.children(index)[0])
    config = layout.json(Descriptor.from_json(manifest["config"]))
    blobs = [Descriptor.from_json(each) for each in manifest["layers"]]
    return config, [Layer(*pair) for pair in zip(blobs, config["rootfs"]["diff_ids"], strict=True)]


def _applets(program: bytes, scratch: Path) -> list[str]:
    """The names under which a busybox does something, as it says itself."""
    path = scratch / "busybox"
    path.write_bytes(program)
    path.chmod(0o755)
    try:
        answer = subprocess.run([path, "--list"], capture_output=True, text=True, check=True, timeout=10)
    except (OSError, subprocess.SubprocessError) as error:
        raise Unavailable(f"cannot make the image 'busybox': its program does not run here: {error}") from error
    return answer.stdout.split()


def _version(pattern: bytes, program: bytes) -> tuple[str, ...]:
    """The tags for a version, coarse to fine (`5`, `5.2`, `5.2.15`), as the program itself has it in its text."""
    found = re.search(pattern, program)
    parts = [part.decode() for part in found.groups()] if found else ["0"]
    return tuple(".".join(parts[: i + 1]) for i in range(len(parts)))


def _when(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _command(created: str, command: str) -> dict[str, Any]:
    return {"created": created, "created_by": f'CMD ["{command}"]', "empty_layer": True}


def _os_release() -> str:
    try:
        return Path("/etc/os-release").read_text()
    except OSError:
        return ""
