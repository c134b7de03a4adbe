"""`--mount`, `--volume` and `--tmpfs`: what a container sees of other places."""

from __future__ import annotations

import os

from kernelkit.cli.values import FALSE, TRUE, csv_fields, parse_size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

SWITCHES = ("readonly", "ro", "volume-nocopy", "bind-nonrecursive", "bind-create-src")
OPTIONS_OF = {"bind": "BindOptions", "volume": "VolumeOptions", "image": "ImageOptions", "tmpfs": "TmpfsOptions"}


def parse_mount(text: str) -> dict[str, Any]:
    """A mount as the API has it, from `type=bind,src=/a,dst=/b,ro`; raises ValueError with Docker's words."""
    mount: dict[str, Any] = {"Type": "volume"}
    options: dict[str, dict[str, Any]] = {}
    for field in csv_fields(text):
        key, equals, value = field.partition("=")
        key = key.lower()
        if not equals:
            if key not in SWITCHES:
                raise ValueError(f"invalid field '{field}' must be a key=value pair")
            value = "true"
        _take(mount, options, key, value, field)
    kind = mount["Type"]
    if not mount.get("ReadOnly"):
        mount.pop("ReadOnly", None)
    if not mount.get("Target"):
        raise ValueError("target is required")
    for prefix in ("volume", "bind", "tmpfs", "image"):
        if prefix in options and prefix != kind:
            raise ValueError(f"cannot mix '{prefix}-*' options with mount type '{kind}'")
    if kind in options:
        chosen = options[kind]
        for word, key in (("writable", "ReadOnlyNonRecursive"), ("readonly", "ReadOnlyForceRecursive")):
            missing = [] if mount.get("ReadOnly") else ["readonly"]
            if word == "readonly" and chosen.get("Propagation") != "rprivate":
                missing.append("bind-propagation=rprivate")
            if chosen.get(key) and missing:
                said = f"option 'bind-recursive={word}' requires '{missing[0]}'"
                raise ValueError(f"{said} to be specified in conjunction")
        if kind == "volume":
            chosen.setdefault("DriverConfig", {})
        mount[OPTIONS_OF[kind]] = chosen
    return mount


def _take(mount: dict[str, Any], options: dict[str, dict[str, Any]], key: str, value: str, field: str) -> None:
    def of(kind: str) -> dict[str, Any]:
        return options.setdefault(kind, {})

    if key == "type":
        mount["Type"] = value.lower()
    elif key in ("source", "src"):
        mount["Source"] = os.path.abspath(value) if value.startswith(".") else value
    elif key in ("target", "dst", "destination"):
        mount["Target"] = value
    elif key in ("readonly", "ro"):
        mount["ReadOnly"] = _switch(key, value)
    elif key == "consistency":
        mount["Consistency"] = value.lower()
    elif key == "bind-propagation":
        of("bind")["Propagation"] = value.lower()
    elif key == "bind-nonrecursive":
        of("bind")["NonRecursive"] = _switch(key, value)
    elif key == "bind-create-src":
        of("bind")["CreateMountpoint"] = _switch(key, value)
    elif key == "bind-recursive":
        of("bind").update(_recursion(value))
    elif key == "volume-nocopy":
        of("volume")["NoCopy"] = _switch(key, value)
    elif key == "volume-label":
        of("volume").setdefault("Labels", {}).update(_pair(value))
    elif key == "volume-driver":
        of("volume").setdefault("DriverConfig", {})["Name"] = value
    elif key == "volume-opt":
        of("volume").setdefault("DriverConfig", {}).setdefault("Options", {}).update(_pair(value))
    elif key == "volume-subpath":
        of("volume")["Subpath"] = value
    elif key == "image-subpath":
        of("image")["Subpath"] = value
    elif key == "tmpfs-size":
        of("tmpfs")["SizeBytes"] = _size(value)
    elif key == "tmpfs-mode":
        of("tmpfs")["Mode"] = _mode(value)
    else:
        raise ValueError(f"unexpected key '{key}' in '{field}'")


def _switch(key: str, value: str) -> bool:
    if value not in TRUE + FALSE:
        raise ValueError(f"invalid value for {key}: {value}")
    return value in TRUE


def _size(value: str) -> int:
    try:
        return parse_size(value)
    except ValueError:
        raise ValueError(f"invalid value for tmpfs-size: {value}") from None


def _mode(value: str) -> int:
    try:
        return int(value, 8)
    except ValueError:
        raise ValueError(f"invalid value for tmpfs-mode: {value}") from None


def _recursion(value: str) -> dict[str, bool]:
    if value == "enabled":
        return {}
    if value == "disabled":
        return {"NonRecursive": True}
    if value == "writable":
        return {"ReadOnlyNonRecursive": True}
    if value == "readonly":
        return {"ReadOnlyForceRecursive": True}
    raise ValueError(
        f'invalid value for bind-recursive: {value} (must be "enabled", "disabled", "writable", or "readonly")'
    )


def _pair(value: str) -> dict[str, str]:
    key, _, text = value.partition("=")
    return {key: text}


def split_volumes(texts: list[str]) -> tuple[list[str], dict[str, dict[str, str]]]:
    """(binds, anonymous volumes) from `-v`: `a:/b[:options]` is a bind, `/b` alone a volume without a name."""
    binds: list[str] = []
    anonymous: dict[str, dict[str, str]] = {}
    for text in texts:
        source, colon, rest = text.partition(":")
        if not text:
            raise ValueError("invalid empty volume spec")
        # One letter before a colon is a drive of Windows to Docker's client, which leaves what follows to the engine.
        if len(text) > 2 and not all(text.split(":")) and not (len(source) == 1 and source.isalpha()):
            raise ValueError(f"invalid spec: {text}: empty section between colons")
        if not colon or not source or not rest:
            anonymous[text] = {}
        elif source.startswith("."):
            binds.append(f"{os.path.abspath(source)}:{rest}")
        else:
            binds.append(text)
    return binds, anonymous


def split_tmpfs(texts: list[str]) -> dict[str, str]:
    """Folder → options, from `--tmpfs /run:size=1m`."""
    return {folder: options for folder, _, options in (text.partition(":") for text in texts)}
