"""A real registry on loopback: Debian's docker-registry, which the image tests pull from and push to."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
import urllib.request
from pathlib import Path

import pytest

from tests.patience import PATIENCE

CONFIG = """
version: 0.1
log: {{accesslog: {{disabled: true}}, level: error}}
storage: {{filesystem: {{rootdirectory: "{folder}"}}, delete: {{enabled: true}}}}
http: {{addr: "127.0.0.1:{port}"}}
"""


class Registry:
    """A docker-registry process with its own folder; `host` is what stands before the first slash of a reference."""

    def __init__(self, folder: Path, extra: str = "") -> None:
        if not shutil.which("docker-registry"):
            pytest.skip("needs docker-registry")
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        for _ in range(5):  # somebody may take the port between our asking for a free one and the registry's taking it
            port = _free_port()
            self.host = f"127.0.0.1:{port}"
            config = folder / "config.yml"
            config.write_text(CONFIG.format(folder=folder / "data", port=port) + extra)
            log = (folder / "log").open("wb")
            self.process = subprocess.Popen(
                ["docker-registry", "serve", str(config)],
                stdout=log,
                stderr=log,
                env={**os.environ, "OTEL_TRACES_EXPORTER": "none"},
            )
            log.close()
            if self._answers():
                return
        raise OSError(f"docker-registry does not start: {(folder / 'log').read_text()[-500:]}")

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

    def _answers(self) -> bool:
        """Whether it serves, once it does; False when it has ended."""
        until = time.monotonic() + PATIENCE
        while self.process.poll() is None and time.monotonic() < until:
            try:
                with urllib.request.urlopen(f"http://{self.host}/v2/", timeout=PATIENCE):
                    return self.process.poll() is None
            except OSError:
                time.sleep(0.02)
        return False


def _free_port() -> int:
    with socket.socket() as asked:
        asked.bind(("127.0.0.1", 0))
        return int(asked.getsockname()[1])
