"""What keyctl(1) does, as far as containers need it: session-keyring(7)."""

from __future__ import annotations

import ctypes
import errno
from dataclasses import dataclass

from kernelkit.kernel import libc


@dataclass(frozen=True)
class JoinSessionKeyring:
    """Leave the caller's session keyring for a new one: a container must not find its host's keys in its pocket."""

    def perform(self) -> None:
        """Ask keyctl(2); a kernel without keyrings has nothing to hide."""
        try:
            libc.syscall(libc.SYS_keyctl, libc.KEYCTL_JOIN_SESSION_KEYRING, ctypes.c_char_p(None))
        except OSError as error:
            if error.errno != errno.ENOSYS:
                raise

    def shell(self) -> str:
        """As keyctl(1) says it; what follows runs with the new one."""
        return "exec keyctl session - sh"
