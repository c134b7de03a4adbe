"""What a shell does to start a program: fork, redirect, exec. fork(2), clone(2), dup2(2), execve(2), pty(7)."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import os
import signal
import socket
import struct
import termios
from dataclasses import dataclass

from kernelkit.kernel import libc
from kernelkit.kernel.unshare import KINDS, flags_of
from kernelkit.kernel.words import join

# asm-generic/ioctls.h: lock a pty or unlock it, ask for its number, open its other side whatever /dev/pts shows here
TIOCSPTLCK = 0x40045431
TIOCGPTN = 0x80045430
TIOCGPTPEER = 0x5441

# Ignored signals stay ignored across exec. Python ignores some, `nohup` and shells that start us in the background
# others; glibc ignores two of its own in what it spawns, which only the kernel itself can be asked to undo.
IGNORED = tuple(number for number in range(1, 32) if signal.getsignal(number) is signal.SIG_IGN)
GLIBC_OWN = (32, 33)
_DEFAULT = bytes(32)  # struct kernel_sigaction, all zero: SIG_DFL

# What a process 1 must not hold back: its own mistakes, and being stopped for the terminal. sigprocmask(2), NOTES.
OWN = (signal.SIGFPE, signal.SIGILL, signal.SIGSEGV, signal.SIGBUS, signal.SIGABRT, signal.SIGTRAP, signal.SIGSYS)

# struct clone_args of clone3(2): flags pidfd child_tid parent_tid exit_signal stack stack_size tls set_tid
# set_tid_size cgroup
_CLONE_ARGS = struct.Struct("<11Q")


@dataclass(frozen=True)
class Fork:
    """Make a copy of this process, to become `role`: fork(2)."""

    role: str

    def perform(self) -> int:
        """Return 0 in the child, the child's pid in the parent, which must have one thread only."""
        return fork()

    def shell(self) -> str:
        """A shell forks for every command; there is no word for it."""
        return f": fork for the {self.role}"


@dataclass(frozen=True)
class Clone:
    """Make the container's first process, in new namespaces of these kinds: clone(2).

    With `cgroup`, a directory of the unified hierarchy, it is born there (CLONE_INTO_CGROUP, Linux 5.7): moving a
    process later costs a hundred times as much.
    """

    kinds: tuple[str, ...]
    cgroup: str = ""

    def perform(self) -> tuple[int, int]:
        """Return (0, -1) in the child; (pid, pidfd) in the parent, which must have one thread only.

        Python's own lock might be another thread's, of which there would be none in the child to give it back.
        """
        flags = flags_of(self.kinds) | libc.CLONE_PIDFD
        pidfd = ctypes.c_int(-1)
        group = os.open(self.cgroup, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC) if self.cgroup else -1
        if group >= 0:
            flags |= libc.CLONE_INTO_CGROUP
        try:
            arguments = _CLONE_ARGS.pack(
                flags, ctypes.addressof(pidfd), 0, 0, signal.SIGCHLD, 0, 0, 0, 0, 0, max(group, 0)
            )
            pid = libc.syscall(libc.SYS_clone3, arguments, len(arguments))
        finally:
            if group >= 0:
                os.close(group)
        return (0, -1) if pid == 0 else (pid, pidfd.value)

    def shell(self) -> str:
        """As unshare(1) says it; what follows runs inside."""
        kinds = [f"--{kind}" for kind in KINDS if kind in self.kinds]
        inside = f"echo $$ > {join([self.cgroup])}/cgroup.procs && " if self.cgroup else ""
        return inside + join(["exec", "unshare", *kinds, *(["--fork"] if "pid" in self.kinds else []), "sh"])


@dataclass(frozen=True)
class OpenTerminal:
    """Open a new terminal of the container's own /dev/pts and make it this session's: pty(7).

    Its other side goes to the shim, through the socket at descriptor `to`; `console` is where Docker shows it.
    """

    devpts: str
    console: str
    to: int
    rows: int = 0
    columns: int = 0

    def perform(self) -> None:
        """Open, unlock, send the master away, bind the slave on /dev/console, make it 0, 1 and 2."""
        master = os.open(f"{self.devpts}/ptmx", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
        fcntl.ioctl(master, TIOCSPTLCK, struct.pack("i", 0))
        slave = fcntl.ioctl(master, TIOCGPTPEER, os.O_RDWR | os.O_NOCTTY)
        number = struct.unpack("I", fcntl.ioctl(master, TIOCGPTN, bytes(4)))[0]
        if self.rows and self.columns:
            fcntl.ioctl(master, termios.TIOCSWINSZ, struct.pack("HHHH", self.rows, self.columns, 0, 0))
        if self.console:
            os.close(os.open(self.console, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o666))
            libc.mount(f"{self.devpts}/{number}", self.console, "", libc.MS_BIND)
        send_descriptor(self.to, master)
        os.close(master)
        take_terminal(slave)

    def shell(self) -> str:
        """As script(1) gives a command a terminal."""
        if not self.console:
            return ": the terminal of the shim becomes standard input, output and error"
        return f': > {join([self.console])} && mount --bind "$(tty)" {join([self.console])}'


@dataclass(frozen=True)
class ConnectStdio:
    """Make these descriptors standard input, output and error: dup2(2)."""

    stdin: int
    stdout: int
    stderr: int

    def perform(self) -> None:
        """Three times dup2(2); below 0 stands for /dev/null."""
        for number, source in enumerate((self.stdin, self.stdout, self.stderr)):
            if source >= 0:
                os.dup2(source, number, inheritable=True)
            else:
                null = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
                os.dup2(null, number, inheritable=True)
                os.close(null)

    def shell(self) -> str:
        """As redirections say it: the shim's pipes are what a shell has already."""
        return ": standard input, output and error are the pipes of the shim"


@dataclass(frozen=True)
class StartSession:
    """Leave the caller's session and terminal for a session of one's own: setsid(2)."""

    def perform(self) -> None:
        """Ask setsid(2); who leads a session already keeps it."""
        try:
            os.setsid()
        except PermissionError:
            return

    def shell(self) -> str:
        """Nothing to type: unshare --fork has made the shell the first process already."""
        return ": setsid"


@dataclass(frozen=True)
class BecomeSubreaper:
    """Be the one to whom descendants come when their parents are gone, as to a process 1: PR_SET_CHILD_SUBREAPER."""

    def perform(self) -> None:
        """Ask prctl(2)."""
        libc.prctl(libc.PR_SET_CHILD_SUBREAPER, 1)

    def shell(self) -> str:
        """No command of a shell does it."""
        return ": become the reaper of all descendants"


@dataclass(frozen=True)
class EndWithParent:
    """Be killed when the process that made this one ends, however it ends: PR_SET_PDEATHSIG."""

    def perform(self) -> None:
        """Ask prctl(2)."""
        libc.prctl(libc.PR_SET_PDEATHSIG, signal.SIGKILL)

    def shell(self) -> str:
        """As setpriv(1) says it, which then becomes the program that it is to hold for."""
        return "exec setpriv --pdeathsig KILL"


@dataclass(frozen=True)
class ForbidTracing:
    """Let nobody with no more rights than this process look into it, until it becomes another program: PR_SET_DUMPABLE.

    Through /proc/PID/exe a container's root could else reach, and change, the host's own program. ptrace(2), Ptrace
    access mode checking.
    """

    def perform(self) -> None:
        """Ask prctl(2)."""
        libc.prctl(libc.PR_SET_DUMPABLE, 0)

    def shell(self) -> str:
        """No command of a shell does it, and a shell's own program is nothing to hide."""
        return ": nobody in the container may look into this process"


@dataclass(frozen=True)
class StayAsInit:
    """Stay as process 1 of the container and go on in a child: `docker run --init`.

    A program that does not expect to be process 1 then gets signals as anywhere else, and somebody collects the
    orphans: pid_namespaces(7), The namespace init process.
    """

    program: tuple[str, ...]

    def perform(self) -> None:
        """Return in the child. Process 1 hands on signals, collects whoever ends, and ends as its child has ended."""
        with contextlib.suppress(OSError):
            _be_called("kernelkit-init", ("/sbin/kernelkit-init", "--", *self.program))
        handed_on = signal.valid_signals() - set(OWN)
        before = signal.pthread_sigmask(signal.SIG_BLOCK, handed_on)
        child = os.fork()
        if child == 0:
            lead_the_terminal()
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
            return
        os.closerange(3, 1 << 20)  # what the child still needs until it is its program
        os._exit(_look_after(child, handed_on))

    def shell(self) -> str:
        """As a shell that waits."""
        return ": stay as process 1, which hands on signals and collects orphans, and go on in a child"


@dataclass(frozen=True)
class Exec:
    """Become another program: execve(2). The last operation of every container."""

    arguments: tuple[str, ...]
    environment: tuple[str, ...]

    def perform(self) -> None:
        """Look the program up in the new environment's PATH; on success this never returns.

        FileNotFoundError names a program that is not there, PermissionError one that cannot be run.
        """
        let_go(*IGNORED, *GLIBC_OWN)
        environment = dict(variable.partition("=")[::2] for variable in self.environment)
        program = self.arguments[0]
        if "/" in program:
            os.execve(program, self.arguments, environment)
        denied: OSError | None = None
        if not program:  # it would be the directories themselves
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), program)
        for directory in environment.get("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin").split(
            ":"
        ):
            try:
                os.execve(os.path.join(directory or ".", program), self.arguments, environment)
            except (FileNotFoundError, NotADirectoryError):
                continue
            except PermissionError as error:
                denied = error
        if denied:
            raise denied
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), program)

    def shell(self) -> str:
        """As env(1) and exec say it."""
        return join(["exec", "env", "-i", *self.environment, *self.arguments])


def fork() -> int:
    """Make a copy of this process, which must have one thread only: fork(2). Return 0 in it, its pid in the parent.

    The bare system call: what the C library and Python do after it is for the sake of threads, and writes to some
    hundred pages, of which each copy would keep its own.
    """
    arguments = _CLONE_ARGS.pack(0, 0, 0, 0, signal.SIGCHLD, 0, 0, 0, 0, 0, 0)
    return libc.syscall(libc.SYS_clone3, arguments, len(arguments))


def let_go(*signals: int) -> None:
    """Have the kernel do with these signals what it does by itself: sigaction(2), SIG_DFL.

    Asked of the kernel: Python's way there is longer, and the C library's is closed for two of its own.
    """
    for number in signals:
        libc.syscall(libc.SYS_rt_sigaction, number, _DEFAULT, None, 8)


def take_terminal(slave: int) -> None:
    """Make a terminal standard input, output, error and the controlling terminal of this session."""
    fcntl.ioctl(slave, termios.TIOCSCTTY, 0)
    for number in (0, 1, 2):
        os.dup2(slave, number, inheritable=True)
    if slave > 2:
        os.close(slave)


def send_descriptor(to: int, descriptor: int) -> None:
    """Send a descriptor through the unix socket at number `to`: unix(7), SCM_RIGHTS."""
    with socket.socket(fileno=os.dup(to)) as connection:
        socket.send_fds(connection, [b"T"], [descriptor])


def lead_the_terminal() -> None:
    """Be a process group of one's own, and the one that the terminal's keys are for, if there is a terminal.

    A shell that finds a group of another pid namespace in front cannot name it, and so not give the terminal back.
    """
    os.setpgid(0, 0)
    before = signal.signal(signal.SIGTTOU, signal.SIG_IGN)  # asking from behind would stop us: termios(3)
    with contextlib.suppress(OSError):
        os.tcsetpgrp(0, os.getpgrp())
    signal.signal(signal.SIGTTOU, before)


def _be_called(name: str, words: tuple[str, ...]) -> None:
    """Show this name and these words in ps(1): the memory that /proc/PID/cmdline reads is written over, proc(5)."""
    buffer = ctypes.create_string_buffer(name.encode())
    libc.prctl(libc.PR_SET_NAME, ctypes.addressof(buffer))
    with open("/proc/self/stat", "rb") as stat:
        fields = stat.read().rpartition(b")")[2].split()
    start, end = int(fields[45]), int(fields[46])  # arg_start, arg_end
    text = b"".join(word.encode() + b"\0" for word in words)[: end - start - 1]
    ctypes.memmove(start, text.ljust(end - start, b"\0"), end - start)


def _look_after(child: int, signals: set[signal.Signals]) -> int:
    """Hand on signals and collect the dead until `child` is one of them; its exit code."""
    while True:
        number = signal.sigwait(signals)
        if number != signal.SIGCHLD:
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, number)
            continue
        while True:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == child:
                code = os.waitstatus_to_exitcode(status)
                return code if code >= 0 else 128 - code
            if not pid:
                break
