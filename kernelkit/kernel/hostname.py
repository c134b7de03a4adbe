"""What hostname(1) and domainname(1) do."""

from __future__ import annotations

import socket
from dataclasses import dataclass

from kernelkit.kernel import libc
from kernelkit.kernel.words import join


@dataclass(frozen=True)
class SetHostname:
    """Rename the machine, for everyone in this UTS namespace."""

    name: str

    def perform(self) -> None:
        """Ask sethostname(2)."""
        socket.sethostname(self.name)

    def shell(self) -> str:
        """As hostname(1) says it."""
        return join(["hostname", self.name])


@dataclass(frozen=True)
class SetDomainname:
    """Set the NIS domain name, for everyone in this UTS namespace."""

    name: str

    def perform(self) -> None:
        """Ask setdomainname(2)."""
        libc.setdomainname(self.name)

    def shell(self) -> str:
        """As domainname(1) says it."""
        return join(["domainname", self.name])
