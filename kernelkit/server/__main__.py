"""The practice host's commands: `python -m kernelkit.server up|down|status|shell|doctor`.

They work on the machine, not through the engine: the engine may not be there yet.
"""

from __future__ import annotations

import os
import sys

from kernelkit.errors import KernelkitError, Unavailable
from kernelkit.home import Home
from kernelkit.host import boot, doctor
from kernelkit.host.practice import Facts, mode_of
from kernelkit.kernel.cgroup import JoinCgroup
from kernelkit.kernel.hierarchies import unified_home
from kernelkit.kernel.process import Exec, Fork, lead_the_terminal
from kernelkit.kernel.unshare import EnterNamespaces
from kernelkit.trace import Trace, explain

INSIDE = ("cgroup", "ipc", "uts", "net", "pid", "mount")
USAGE = "usage: kernelkit up | down | status | shell [COMMAND [ARG...]] | doctor"
PROMPT = r"\[\e[1;33m\]\h\[\e[0m\]:\w# "


def main(words: list[str]) -> int:
    """Carry out the words; the exit code. Says problems on standard error, in one line."""
    verbs = {"up": up, "down": down, "status": status, "shell": shell, "doctor": examine}
    if not words or words[0] not in verbs:
        print(USAGE, file=sys.stderr)
        return 125
    try:
        return verbs[words[0]](Home.default(), words[1:])
    except KernelkitError as error:
        print(f"kernelkit: {error}", file=sys.stderr)
        return 125
    except OSError as error:
        print(
            f"kernelkit: {words[0]}: {explain(error)} (KERNELKIT_HOME says where everything is kept)", file=sys.stderr
        )
        return 125
    except KeyboardInterrupt:
        return 130


def up(home: Home, words: list[str]) -> int:
    """Boot the host unless it runs. With `--say`, say what there is now."""
    mode = mode_of(os.environ.get("KERNELKIT_HOST") or "practice")
    if not boot.answers(home):
        doctor.require()
    # -P: the current folder holds the user's files, not our modules.
    booted = boot.up(home, mode, [sys.executable, "-P", "-m", "kernelkit.server.daemon"])
    if "--say" in words:
        print(f"the {mode} host {'is up' if booted else 'was up already'}")
    return 0


def down(home: Home, words: list[str]) -> int:
    """Switch the host off, with all its containers; images and stopped containers stay on disk."""
    if not boot.down(home):
        print("the host is not up")
    return 0


def status(home: Home, words: list[str]) -> int:
    """Say whether the host is up, and where; 1 when it is down."""
    pid = boot.init_pid(home)
    if not pid or not boot.answers(home):
        print(f"host    down\nhome    {home.path}")
        return 1
    facts = Facts.load(home)
    rows = [("host", f"up ({facts.mode})"), ("init", f"process {pid}"), ("home", str(home.path))]
    rows.append(("socket", f"unix://{home.socket}"))
    rows.append(("bridge", facts.bridge))
    if cable := facts.cable:
        rows.append(("uplink", f"{cable.link} {cable.outer} on the real machine, {cable.inner} in the host"))
    print("\n".join(f"{name:<8}{value}" for name, value in rows))
    return 0


def shell(home: Home, words: list[str]) -> int:
    """A root shell in the practice host, or a command there; its exit code."""
    pid = boot.init_pid(home)
    if not pid:
        raise Unavailable("the practice host is not up", "kernelkit up")
    program = words or [os.environ.get("SHELL") or "/bin/sh"]
    environment = {**os.environ, "PS1": PROMPT, "KERNELKIT_HOME": str(home.path)}
    environment["PATH"] = f"{environment.get('PATH', '/bin')}:/usr/sbin:/sbin"
    trace = Trace()
    try:
        if Facts.load(home).mode == "practice":
            # With `nsdelegate`, as systemd mounts version 2, who comes from outside the host's cgroups can join none.
            if place := unified_home(pid):
                trace.perform("shell", JoinCgroup(place, "cgroup.procs"))
            trace.perform("shell", EnterNamespaces(pid, INSIDE))
            # A pid namespace takes in only children made later.
            child = trace.perform("shell", Fork("shell"))
            if child:
                return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) % 256
            if os.isatty(0) and os.isatty(1):  # what is piped into a pager leaves the terminal to it
                lead_the_terminal()
        trace.perform("shell", Exec(tuple(program), tuple(f"{k}={v}" for k, v in environment.items())))
    except FileNotFoundError:
        print(f"kernelkit: no such command: '{program[0]}'", file=sys.stderr)
        return 127
    except PermissionError as error:
        raise Unavailable(f"enter the practice host: {error.strerror}", "it belongs to another user") from None
    return 0


def examine(home: Home, words: list[str]) -> int:
    """Say what this machine offers, and what breaks without it; 1 when a container could not run."""
    findings = doctor.examine()
    for finding in findings:
        print(finding.line())
    return int(any(not finding.present and finding.needed for finding in findings))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
