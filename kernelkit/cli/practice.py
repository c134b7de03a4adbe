"""`up down status shell doctor env`: the practice host, which the machine makes, and so not asked for over HTTP."""

from __future__ import annotations

import os

from kernelkit.cli.connect import home, run_host, socket_path
from kernelkit.cli.flags import STRING, Command, Flag
from kernelkit.cli.output import Failure, say

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kernelkit.cli.flags import Options

HOSTS = ("practice", "real")
SAFE = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_@%+=:,./-")


def up(options: Options) -> int:
    """Boot the host and wait until its engine answers."""
    kind = options.text("host")
    if kind:
        if kind not in HOSTS:
            raise Failure(f"invalid host '{kind}': there are '{HOSTS[0]}' and '{HOSTS[1]}'", 125)
        os.environ["KERNELKIT_HOST"] = kind
    return run_host("up", "--say")


def down(options: Options) -> int:
    """Switch the host off: the kernel throws away what was in it."""
    return run_host("down")


def status(options: Options) -> int:
    """Say whether the host is up, and where it is."""
    return run_host("status")


def shell(options: Options) -> int:
    """A root shell in the host, or a command there; leaves with its exit code."""
    return run_host("shell", *options.arguments)


def doctor(options: Options) -> int:
    """Say what the machine offers, and what would not work for want of it."""
    return run_host("doctor")


def env(options: Options) -> int:
    """Print the lines with which a shell finds the engine: `eval "$(kernelkit env)"`."""
    if os.environ.get("KERNELKIT_HOME"):
        say(f"export KERNELKIT_HOME={quoted(home())}")
    say(f"export DOCKER_HOST={quoted(f'unix://{socket_path()}')}")
    return 0


def quoted(text: str) -> str:
    """One word for a shell."""
    return text if text and not set(text) - SAFE else "'" + text.replace("'", "'\"'\"'") + "'"


UP = Command(
    up,
    "[OPTIONS]",
    "Boot the practice host",
    (Flag("host", STRING, "The host to have: 'practice' (default), or 'real' for the machine itself"),),
)
DOWN = Command(down, "", "Switch the practice host off, with all its containers")
STATUS = Command(status, "", "Show whether the practice host is up")
SHELL = Command(shell, "[COMMAND [ARG...]]", "Open a root shell in the practice host", most=None, interspersed=False)
DOCTOR = Command(doctor, "", "Show what this machine offers, and what breaks without it")
ENV = Command(env, "", "Print the settings with which docker finds this engine")
