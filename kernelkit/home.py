"""Where everything is kept: the folder `KERNELKIT_HOME`, and what lies where in it.

oci-layout index.json blobs/   images as they were pulled        layers/      unpacked, once each
containers/ID/                 one folder a container            volumes/     named data
state.db                       names, leases, ports              trash/       being deleted
run/                           sockets and locks, empty when the host is down
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Home:
    """One KERNELKIT_HOME; two of them never disturb each other."""

    path: Path

    @classmethod
    def default(cls) -> Home:
        """`$KERNELKIT_HOME`; else /var/lib/kernelkit for root, and `$XDG_DATA_HOME/kernelkit` for everybody else."""
        given = os.environ.get("KERNELKIT_HOME")
        if given:
            return cls(Path(given).absolute())
        if os.geteuid() == 0:
            return cls(Path("/var/lib/kernelkit"))
        data = os.environ.get("XDG_DATA_HOME") or os.path.expanduser("~/.local/share")
        return cls(Path(data) / "kernelkit")

    @property
    def mark(self) -> str:
        """Eight characters that tell this home's things (links, cgroups, tables) from another home's."""
        return hashlib.sha256(os.fsencode(self.path)).hexdigest()[:8]

    @property
    def run(self) -> Path:
        """Sockets and locks."""
        return self.path / "run"

    @property
    def socket(self) -> Path:
        """Where the engine listens: what DOCKER_HOST names."""
        return self.run / "docker.sock"

    @property
    def containers(self) -> Path:
        """A folder for each container, named by its id."""
        return self.path / "containers"

    @property
    def trash(self) -> Path:
        """Trees on their way out."""
        return self.path / "trash"

    def container(self, identity: str) -> Path:
        """One container's folder."""
        return self.containers / identity
