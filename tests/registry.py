"""A real registry on loopback: Debian's docker-registry, which the image tests pull from and push to."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.patience import wait_until

CONFIG = """
version: 0.1
log: {{accesslog: {{disabled: true}}, level: info}}
storage: {{filesystem: {{rootdirectory: "{folder}"}}, delete: {{enabled: true}}}}
http: {{addr: "127.0.0.1:{port}"}}
"""
LISTENING = re.compile(r"listening on 127\.0\.0\.1:(\d+)")


class Registry:
    """A docker-registry process with its own folder; `host` is what stands before the first slash of a reference."""

    def __init__(self, folder: Path, extra: str = "") -> None:
        if not shutil.which("docker-registry"):
            pytest.skip("needs docker-registry")
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self._log = folder / "log"
        config = folder / "config.yml"
        config.write_text(CONFIG.format(folder=folder / "data", port=0) + extra)
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                ["docker-registry", "serve", str(config)],
                stdout=log,
                stderr=log,
                env={**os.environ, "OTEL_TRACES_EXPORTER": "none"},
            )
        self.host = f"127.0.0.1:{self._port()}"

    def fill(self, source: str, name: str) -> str:
        """Copy an image into the registry with skopeo; returns the reference it can be pulled by."""
        reference = f"{self.host}/{name}"
        skopeo = ["skopeo", "copy", "--all", "--quiet", "--insecure-policy", "--dest-tls-verify=false"]
        subprocess.run([*skopeo, source, f"docker://{reference}"], check=True, capture_output=True)
        return reference

    def stop(self) -> None:
        """End the registry; its folder stays."""
        self.process.terminate()
        self.process.wait()

    def _port(self) -> str:
        """The port that the kernel has chosen for it, once it listens there: nobody else can have taken it."""
        wait_until(lambda: LISTENING.search(self._log.read_text()) or self.process.poll() is not None)
        found = LISTENING.search(self._log.read_text())
        if not found:
            raise OSError(f"docker-registry does not start: {self._log.read_text()[-500:]}")
        return found[1]
