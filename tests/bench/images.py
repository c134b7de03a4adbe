"""The images that are run and pulled, as OCI layouts, the same bytes for every contender.

busybox: one static program. debian: what mmdebstrap makes, some 40 MB compressed. files: 5,000 files, 50 MB.
iperf: iperf3 with its libraries.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import random
import re
import shutil
import subprocess
import tarfile
from pathlib import Path

MACHINES = {"x86_64": "amd64", "aarch64": "arm64"}


def busybox(layout: Path) -> None:
    """Debian's static busybox under all its names."""
    program = shutil.which("busybox") or "/bin/busybox"
    names = subprocess.run([program, "--list"], check=True, capture_output=True, text=True).stdout.split()
    with _Layer() as layer:
        layer.add(program, "bin/busybox")
        for name in names:
            if name != "busybox":
                layer.link(f"bin/{name}", "/bin/busybox")
    _write(layout, layer.bytes, ["sh"])


def iperf(layout: Path) -> None:
    """iperf3, its libraries where the linker of this machine looks for them."""
    program = shutil.which("iperf3")
    assert program
    linked = subprocess.run(["ldd", program], check=True, capture_output=True, text=True).stdout
    with _Layer() as layer:
        layer.add(program, "bin/iperf3")
        for library in sorted(set(re.findall(r"(/\S+) \(0x", linked))):
            layer.add(os.path.realpath(library), library.lstrip("/"))
        layer.folder("tmp")
    _write(layout, layer.bytes, ["iperf3"])


def debian(layout: Path, kept: Path) -> None:
    """A minimal Debian; `kept` holds its tar from one run of the benchmark to the next."""
    if not kept.exists():
        kept.parent.mkdir(parents=True, exist_ok=True)
        new = kept.with_suffix(".new")
        command = ["mmdebstrap", "--quiet", "--variant=minbase", "--format=tar", "bookworm", str(new)]
        subprocess.run(command, check=True, capture_output=True)
        new.rename(kept)
    _write(layout, kept.read_bytes(), ["bash"])


def make_files(folder: Path, *, count: int = 5000, size: int = 10_000) -> None:
    """Many files with content that does not compress well: 5,000 of 10 kB in 50 folders, unless told otherwise."""
    dice = random.Random(1)
    for number in range(count):
        path = folder / f"d{number % 50}" / f"f{number}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(dice.randbytes(size))


class _Layer:
    def __enter__(self) -> _Layer:
        self._buffer = io.BytesIO()
        self._tar = tarfile.open(fileobj=self._buffer, mode="w")
        return self

    def __exit__(self, *_: object) -> None:
        self._tar.close()
        self.bytes = self._buffer.getvalue()

    def add(self, path: str, name: str) -> None:
        self._tar.add(path, name, filter=_as_root)

    def link(self, name: str, target: str) -> None:
        entry = tarfile.TarInfo(name)
        entry.type, entry.linkname = tarfile.SYMTYPE, target
        self._tar.addfile(entry)

    def folder(self, name: str) -> None:
        entry = tarfile.TarInfo(name)
        entry.type, entry.mode = tarfile.DIRTYPE, 0o1777
        self._tar.addfile(entry)


def _as_root(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = "root"
    return entry


def _write(layout: Path, layer: bytes, command: list[str]) -> None:
    """An OCI image layout (image-spec, image-layout.md) of one gzip layer, tagged `latest`."""
    (layout / "blobs/sha256").mkdir(parents=True)

    def blob(content: bytes, media_type: str) -> dict[str, object]:
        digest = hashlib.sha256(content).hexdigest()
        (layout / "blobs/sha256" / digest).write_bytes(content)
        return {
            "mediaType": f"application/vnd.oci.image.{media_type}",
            "digest": f"sha256:{digest}",
            "size": len(content),
        }

    config = {
        "architecture": MACHINES.get(os.uname().machine, os.uname().machine),
        "os": "linux",
        "config": {"Cmd": command, "Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"]},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(layer).hexdigest()}"]},
    }
    manifest = {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": blob(json.dumps(config).encode(), "config.v1+json"),
        "layers": [blob(gzip.compress(layer, 6, mtime=0), "layer.v1.tar+gzip")],
    }
    top = {**blob(json.dumps(manifest).encode(), "manifest.v1+json")}
    top["annotations"] = {"org.opencontainers.image.ref.name": "latest"}
    (layout / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [top]}))
    (layout / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
