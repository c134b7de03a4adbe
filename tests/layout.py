"""Images for the tests, as OCI layouts of a few kilobytes: skopeo copies them into a registry."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import shutil
import tarfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from kernelkit.image.manifest import Platform

Files = dict[str, bytes | str | None]  # name -> content, where a link leads, or None for a directory
Compress = Callable[[bytes], bytes]


def tar(files: Files) -> bytes:
    """An archive of these files; names that end in a slash are directories."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, what in files.items():
            info = tarfile.TarInfo(name)
            info.mode = 0o755
            if what is None:
                info.type = tarfile.DIRTYPE
            elif isinstance(what, str):
                info.type, info.linkname = tarfile.SYMTYPE, what
            content = what if isinstance(what, bytes) else b""
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def busybox() -> Files:
    """The one program every test image can run."""
    program = Path(shutil.which("busybox") or "/bin/busybox").read_bytes()
    return {"bin/": None, "bin/busybox": program, "bin/sh": "busybox", "bin/cat": "busybox", "etc/": None}


def squeeze(data: bytes) -> bytes:
    """gzip, the same bytes each time."""
    return gzip.compress(data, 6, mtime=0)


class Layout:
    """A folder of images in the making; every image has a tag of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "blobs/sha256").mkdir(parents=True)
        (folder / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
        self._tops: list[dict[str, Any]] = []

    def blob(self, content: bytes, media_type: str) -> dict[str, Any]:
        """Keep a blob; its descriptor."""
        digest = hashlib.sha256(content).hexdigest()
        (self.folder / "blobs/sha256" / digest).write_bytes(content)
        return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": len(content)}

    def manifest(
        self,
        layers: Iterable[bytes],
        platform: str = "",
        compress: Compress = squeeze,
        suffix: str = "+gzip",
        **config: Any,
    ) -> dict[str, Any]:
        """An image of these archives; its descriptor."""
        tars = list(layers)
        runs_on = Platform.parse(platform)
        body = {
            "architecture": runs_on.architecture,
            "os": runs_on.os,
            **({"variant": runs_on.variant} if runs_on.variant else {}),
            "config": {"Cmd": ["sh"], "Env": ["PATH=/bin"], **config},
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(each).hexdigest()}" for each in tars]},
        }
        kind = "application/vnd.oci.image"
        value = {
            "schemaVersion": 2,
            "mediaType": f"{kind}.manifest.v1+json",
            "config": self.blob(json.dumps(body).encode(), f"{kind}.config.v1+json"),
            "layers": [self.blob(compress(each), f"{kind}.layer.v1.tar{suffix}") for each in tars],
        }
        described = self.blob(json.dumps(value).encode(), f"{kind}.manifest.v1+json")
        where = {"os": runs_on.os, "architecture": runs_on.architecture, "variant": runs_on.variant}
        return {**described, "platform": {key: name for key, name in where.items() if name}}

    def index(self, manifests: list[dict[str, Any]]) -> dict[str, Any]:
        """An image index of several platforms; its descriptor."""
        media_type = "application/vnd.oci.image.index.v1+json"
        value = {"schemaVersion": 2, "mediaType": media_type, "manifests": manifests}
        return self.blob(json.dumps(value).encode(), media_type)

    def tag(self, descriptor: dict[str, Any], tag: str = "latest") -> str:
        """Give an image a tag; what skopeo calls it."""
        self._tops.append({**descriptor, "annotations": {"org.opencontainers.image.ref.name": tag}})
        (self.folder / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": self._tops}))
        return f"oci:{self.folder}:{tag}"

    def image(self, *layers: Files, tag: str = "latest", **options: Any) -> str:
        """An image of these layers under a tag; what skopeo calls it."""
        return self.tag(self.manifest([tar(files) for files in layers], **options), tag)
