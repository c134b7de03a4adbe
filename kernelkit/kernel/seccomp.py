"""System calls refused by a program in the kernel: seccomp(2). No command of its own does this.

The program is classic BPF, an array of `struct sock_filter` (linux/filter.h): it reads the call's number, architecture
and arguments (`struct seccomp_data`) and returns what is to happen.
"""

from __future__ import annotations

import ctypes
from base64 import b64encode
from dataclasses import dataclass

from kernelkit.kernel import libc
from kernelkit.kernel.words import join

INSTRUCTION = 8  # bytes of a struct sock_filter: code, jt, jf, k
SECCOMP_FILTER_FLAG_SPEC_ALLOW = 4

# What a person without a tool for it would run: load the filter, become the next shell.
_LOADER = (
    "import base64,ctypes,os,sys;f=base64.b64decode(sys.argv[1]);b=ctypes.create_string_buffer(f);"
    "p=ctypes.create_string_buffer((len(f)//8).to_bytes(8,'little')+ctypes.addressof(b).to_bytes(8,'little'));"
    "l=ctypes.CDLL(None,use_errno=True);"
    "r=l.syscall({number},1,{flags},p);r and sys.exit(os.strerror(ctypes.get_errno()));"
    "os.execvp(sys.argv[2],sys.argv[2:])"
)


class _Program(ctypes.Structure):
    """struct sock_fprog."""

    _fields_ = (("len", ctypes.c_ushort), ("filter", ctypes.c_char_p))


@dataclass(frozen=True)
class LoadSeccomp:
    """Put a filter before every system call of this process and its children: SECCOMP_SET_MODE_FILTER.

    It cannot be taken away again. Takes CAP_SYS_ADMIN or no_new_privs, as a set-user-ID program could be misled by it.
    """

    filter: bytes
    flags: int = SECCOMP_FILTER_FLAG_SPEC_ALLOW  # as runc: a filter alone is no reason to slow speculation down

    def perform(self) -> None:
        """Ask seccomp(2)."""
        program = _Program(len(self.filter) // INSTRUCTION, self.filter)
        libc.syscall(libc.SYS_seccomp, libc.SECCOMP_SET_MODE_FILTER, self.flags, ctypes.byref(program))

    def shell(self) -> str:
        """As Python says it, for want of a command; what follows runs behind the filter."""
        loader = _LOADER.format(number=libc.SYS_seccomp, flags=self.flags)
        return join(["exec", "python3", "-I", "-c", loader, b64encode(self.filter).decode(), "sh"])
