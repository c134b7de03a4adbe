"""What a container's mount points are in the kernel's terms: volumes, folders and images as OCI mounts.

mount point   Docker's words, as `inspect` shows them, and a `Spec` of what they do not say: see `mountpoints`
OCI mount     destination, type, source, options; with `subpath` what lies there below the source, and with `file`
              whether that is a file where the source alone does not tell
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kernelkit.engine import copyup, peek
from kernelkit.engine.engine import Engine
from kernelkit.engine.model import Container
from kernelkit.errors import InvalidRequest, KernelkitError
from kernelkit.kernel.mount_setattr import can_protect_trees
from kernelkit.kernel.paths import RESOLVE_BENEATH, RESOLVE_NO_MAGICLINKS, openat2, root_directory

Json = dict[str, Any]


def mounts(engine: Engine, container: Container) -> list[Json]:
    """The OCI mounts of a container's mount points, but for tmpfs; KernelkitError for what cannot be mounted."""
    for text in container.host_config.get("Binds") or []:
        source = text.partition(":")[0]
        if os.path.isabs(source) and not os.path.lexists(source):
            os.makedirs(source, exist_ok=True)  # as it was when the container was made, with Docker
    return [_mount(engine, mount) for mount in container.mounts if mount.get("Type") != "tmpfs"]


def _mount(engine: Engine, mount: Mapping[str, Any]) -> Json:
    if mount["Type"] == "image":
        return _image(engine, mount)
    spec = mount.get("Spec") or {}
    source, propagation = mount["Source"], mount.get("Propagation") or "rprivate"
    options = ["bind" if spec.get("NonRecursive") else "rbind", propagation, *_read_only(mount, spec)]
    if mount["Type"] == "bind" and not os.path.exists(source):
        raise InvalidRequest(f'invalid mount config for type "bind": bind source path does not exist: {source}')
    if propagation not in ("private", "rprivate"):
        _check_propagation(source, propagation)
        # What is passed on is what the host's own mount is told, and not a copy's that the container was born with.
        source = f"/proc/{os.getpid()}/root{os.path.realpath(source)}"
    found: Json = {"destination": mount["Destination"], "type": "bind", "source": source, "options": options}
    if spec.get("Subpath"):
        found["subpath"] = spec["Subpath"]
        if mount["Type"] == "volume" and engine.state.volume(mount["Name"]).options.get("device"):
            # It is not there before it is mounted, and taken for a directory unless it is seen to be none.
            found["file"] = os.path.isfile(f"{source}/{spec['Subpath']}")
        else:
            _check_below(source, spec["Subpath"])
    return found


def _read_only(mount: Mapping[str, Any], spec: Mapping[str, Any]) -> list[str]:
    """OCI's word for read-only: with all that is mounted below, if the kernel can and nobody has asked for less."""
    if mount.get("RW", True):
        return []
    if spec.get("ReadOnlyNonRecursive") and spec.get("ReadOnlyForceRecursive"):
        raise InvalidRequest("mount options conflict: ReadOnlyNonRecursive && ReadOnlyForceRecursive")
    if can_protect_trees() and not spec.get("ReadOnlyNonRecursive"):
        return ["rro"]
    if spec.get("ReadOnlyForceRecursive"):
        raise InvalidRequest("recursively read-only mounts need mount_setattr(2): this kernel is older than Linux 5.12")
    return ["ro"]


def _check_propagation(source: str, wanted: str) -> None:
    """Refuse what would not be: a mount can only pass on what its source is told, mount_namespaces(7)."""
    where, tags = mounted_on(os.path.realpath(source))
    said = f"path {source} is mounted on {where} but it is not a shared"
    shared = any(tag.startswith("shared:") for tag in tags)
    if wanted.endswith("shared") and not shared:
        raise KernelkitError(f"{said} mount", f"mount --make-shared {where}")
    if not shared and not any(tag.startswith("master:") for tag in tags):
        raise KernelkitError(f"{said} or slave mount", f"mount --make-shared {where}")


def mounted_on(path: str) -> tuple[str, list[str]]:
    """The mount point that a path is below, and its propagation: proc(5), /proc/PID/mountinfo, optional fields."""
    found: tuple[str, list[str]] = ("/", [])
    with open("/proc/self/mountinfo") as table:
        for fields in map(str.split, table):
            place = fields[4].replace("\\040", " ")
            inside = path == place or path.startswith(place.rstrip("/") + "/")
            if inside and len(place) >= len(found[0]):
                found = place, fields[6 : fields.index("-")]
    return found


def _check_below(base: str, path: str) -> None:
    """Refuse a part of a volume that is not there, or is elsewhere because of links that somebody has put there."""
    with root_directory(base) as directory:
        try:
            os.close(openat2(directory, path, os.O_PATH, 0, RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS))
        except FileNotFoundError:
            raise KernelkitError(f"cannot access path {base}/{path}: no such file or directory") from None
        except OSError:
            said = f"path concatenation escapes the base directory, base: {base}, subpath: {path}"
            raise InvalidRequest(said) from None


def _image(engine: Engine, mount: Mapping[str, Any]) -> Json:
    """An image's files: its only layer, or all of them laid on each other; without a sheet to write on."""
    layers = list(reversed(engine.store.find(mount["Spec"]["Image"]).layers))
    subpath = mount["Spec"].get("Subpath") or ""
    target, source = mount["Destination"], mount["Source"]
    found: Json = {"destination": target, "type": "bind", "source": os.fspath(layers[0]), "options": ["rbind", "ro"]}
    if len(layers) > 1:
        lower = f"lowerdir={':'.join(map(os.fspath, layers))}"
        found = {"destination": target, "type": "overlay", "source": source, "options": ["ro", lower]}
    if subpath:
        found |= {"subpath": subpath, "file": _is_file(layers, source, subpath)}
    return found


def _is_file(layers: list[Path], source: str, subpath: str) -> bool:
    """Whether a part of an image is a file; KernelkitError when it is not there."""
    for layer in layers:
        if peek.is_hidden(layer, subpath):
            break
        try:
            status = os.stat(layer / subpath, follow_symlinks=False)
        except OSError:
            continue
        if not stat.S_ISDIR(status.st_mode):
            return True
        break
    if not copyup.shown(layers, f"/{subpath}"):
        raise KernelkitError(f"cannot access path {source}/{subpath}: no such file or directory")
    return False
