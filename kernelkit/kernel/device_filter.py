"""Which devices a version 2 cgroup may use: a program that the kernel runs at each open and mknod. bpf(2).

Version 2 has no `devices.allow`; admin-guide/cgroup-v2.rst, Device controller.
"""

from __future__ import annotations

import ctypes
import os
import struct
from base64 import b64encode
from dataclasses import dataclass

from kernelkit.kernel import libc
from kernelkit.kernel.words import join

# linux/bpf.h
BPF_PROG_LOAD = 5
BPF_PROG_ATTACH = 8
BPF_PROG_TYPE_CGROUP_DEVICE = 15
BPF_CGROUP_DEVICE = 6
BPF_F_ALLOW_MULTI = 2
INSTRUCTION = struct.Struct("<BBhi")  # struct bpf_insn: code, registers, offset, immediate

# The beginnings of union bpf_attr: prog_type, insn_cnt, insns, license; target_fd, attach_bpf_fd, type, flags.
_LOAD = struct.Struct("=IIQQ24x")
_ATTACH = struct.Struct("=IIII")

# What a person without bpftool's object files would run.
_LOADER = (
    "import base64,ctypes as c,os,struct,sys;i=c.create_string_buffer(base64.b64decode(sys.argv[2]));"
    "g=c.create_string_buffer(b'GPL');s=c.CDLL(None).syscall;a=c.addressof;"
    "l=struct.pack('=IIQQ24x',15,(len(i)-1)//8,a(i),a(g));f=s({number},5,l,len(l));"
    "t=struct.pack('=IIII',os.open(sys.argv[1],0),f,6,2);sys.exit(f<0 or s({number},8,t,16)!=0)"
)


@dataclass(frozen=True)
class AttachDeviceFilter:
    """Have a program decide about each use of a device in a cgroup: BPF_PROG_TYPE_CGROUP_DEVICE.

    It is asked in addition to those of the cgroups above, and goes away with the cgroup. Takes CAP_SYS_ADMIN outside
    every user namespace.
    """

    path: str
    program: bytes

    def perform(self) -> None:
        """Load it, then attach it."""
        instructions = ctypes.create_string_buffer(self.program, len(self.program))
        license = ctypes.create_string_buffer(b"GPL")
        load = _LOAD.pack(
            BPF_PROG_TYPE_CGROUP_DEVICE,
            len(self.program) // INSTRUCTION.size,
            ctypes.addressof(instructions),
            ctypes.addressof(license),
        )
        program = libc.syscall(libc.SYS_bpf, BPF_PROG_LOAD, load, len(load), filename=self.path)
        try:
            cgroup = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                attach = _ATTACH.pack(cgroup, program, BPF_CGROUP_DEVICE, BPF_F_ALLOW_MULTI)
                libc.syscall(libc.SYS_bpf, BPF_PROG_ATTACH, attach, len(attach), filename=self.path)
            finally:
                os.close(cgroup)
        finally:
            os.close(program)

    def shell(self) -> str:
        """As Python says it, for want of a command."""
        loader = _LOADER.format(number=libc.SYS_bpf)
        return join(["python3", "-I", "-c", loader, self.path, b64encode(self.program).decode()])
