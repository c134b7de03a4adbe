"""Where the engine listens, and how it comes to listen: the practice host is booted by whoever needs it first."""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]
import os
import sys

from kernelkit.cli.http import Client
from kernelkit.cli.output import Failure

LONGEST = 107  # bytes of a socket's name, unix(7)


def home() -> str:
    """The folder that holds everything: `KERNELKIT_HOME`, root's /var/lib/kernelkit, or one below the user's own."""
    if path := os.environ.get("KERNELKIT_HOME"):
        return os.path.abspath(path)
    if os.geteuid() == 0:
        return "/var/lib/kernelkit"
    share = os.environ.get("XDG_DATA_HOME") or os.path.expanduser("~/.local/share")
    return os.path.join(share, "kernelkit")


def socket_path() -> str:
    """The unix socket of the engine: `KERNELKIT_SOCKET` names another one than the home's."""
    return os.environ.get("KERNELKIT_SOCKET") or os.path.join(home(), "run", "docker.sock")


def connect(host: str = "") -> Client:
    """A client of the running engine; boots the practice host when nobody listens on its own socket.

    Raises Failure with exit code 125 when the host cannot be booted.
    """
    client = Client(_path_of(host) if host else socket_path())
    try:
        client.ping()
    except (FileNotFoundError, ConnectionRefusedError, ConnectionResetError) as error:
        if host or os.environ.get("KERNELKIT_SOCKET"):
            raise Failure(_nobody_there(client.path, error)) from None
        boot()
        client = Client(socket_path())
        client.ping()
    except OSError as error:
        raise Failure(_nobody_there(client.path, error)) from None
    return client


def boot(*arguments: str) -> None:
    """Boot the practice host and wait until its engine answers; it prints its own problems on standard error."""
    code = run_host("up", *arguments)
    if code:
        raise Failure("", 125)


def run_host(*words: str) -> int:
    """Run a command of the practice host in a child with this terminal; its exit code."""
    # -P: the current folder holds the user's files, not our modules.
    program = [sys.executable, "-P", "-m", "kernelkit.server", *words]
    child = os.posix_spawn(program[0], program, os.environ)
    _, status = os.waitpid(child, 0)
    _take_terminal_back()
    return os.waitstatus_to_exitcode(status)


def _take_terminal_back() -> None:
    """Be the terminal's foreground again: a shell in another pid namespace cannot name who it had it from.

    Without this the next read or setting of the terminal would stop us (termios(3), SIGTTOU).
    """
    if not os.isatty(0):
        return
    before = _signal.signal(_signal.SIGTTOU, _signal.SIG_IGN)
    try:
        os.tcsetpgrp(0, os.getpgrp())
    except OSError:
        pass  # a terminal that is not ours to control
    finally:
        _signal.signal(_signal.SIGTTOU, before)


def _path_of(host: str) -> str:
    if host.startswith("unix://"):
        return host.removeprefix("unix://")
    if "://" in host:
        raise Failure(f"only unix sockets are spoken here: '{host}'", 125)
    return host


def _nobody_there(path: str, error: OSError) -> str:
    if len(os.fsencode(path)) > LONGEST:
        return f"the name of the socket {path} is longer than {LONGEST} bytes (choose a shorter KERNELKIT_HOME)"
    return f"Cannot connect to the engine at unix://{path}. Is it running? ({error.strerror})"
