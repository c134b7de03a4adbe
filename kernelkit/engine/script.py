"""A record as a program for sh: run as root, it asks the kernel for the same things and so builds the same container.

Each operation says its own line; what is arranged here is where the lines run.  A shell cannot enter a namespace or
give up a right, only put another shell in its own place that has; so the script goes on in sections, each run by the
shell that the section before it ended with.  And a shell needs tools, which the container's files need not have; so it
stays on the host's until the end, when a helper outside changes the root for it: pivot_root(2) moves all processes of
a mount namespace that stand on the old one.

    the script ── exec unshare … ─▶ section 1 ─ exec … ─▶ … ─▶ last section: waits for its new root, becomes the program
        └─ helper: waits for the last section, changes the root, opens the real machine's ports
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from kernelkit.kernel.words import join
from kernelkit.trace import STAGES

HEAD = """\
#!/bin/sh
# How container {name} was started, as root in the practice host would type it.
#
#   sh SCRIPT          in a network namespace that has the bridge and the nft table; the layers are where they were
#
# $MACHINE_NET, if set, is the file of the real machine's network namespace, whose ports are opened as well.
set -e
me=/proc/self/fd/5  # this script, which the container's user may not be able to reach by its path
case ${{1:-0}} in
0)
"""
HELPER = """\
# --- the helper: what is done to the container from outside, once it has given up its rights
terminal=$(tty) || terminal=  # this script's own, which the program gets as well
pipes=$(mktemp -d) && mkfifo "$pipes/ready" "$pipes/go"
{{
read -r pid
exec </dev/null
{lines}
echo go
{after}}} <"$pipes/ready" >"$pipes/go" &
# 5: this script, 6: standard input, 7: the host's network, 8 and 9: to the helper and back.
exec 5<"$0" 6<&0 7</proc/self/ns/net 8>"$pipes/ready" 9<"$pipes/go" && rm -r "$pipes"
"""
PRIVILEGES = "exec setpriv "
ENTER_HOST = "nsenter --net=/proc/self/fd/7"
WHO = "read -r self _ </proc/self/stat && export self  # its pid as the host counts"

Step = dict[str, Any]


@dataclass
class Sections:
    """The script being written: a list of lines for each shell."""

    lines: list[list[str]] = field(default_factory=lambda: [[]])

    def add(self, line: str) -> None:
        """One more line for the present shell; `exec … sh` begins the next section."""
        if line.startswith("exec keyctl "):
            # Without keyutils, which few machines have, the keyring stays the host's.
            self.lines[-1].append(f'command -v keyctl >/dev/null || exec sh "$me" {len(self.lines)}')
        if " exec " in f" {line}" and line.endswith(" sh"):
            self.lines[-1].append(f'{line} "$me" {len(self.lines)}')
            self.lines.append([])
        else:
            self.lines[-1].append(line)

    def text(self) -> str:
        """All sections after the first, each a case of its own."""
        return "".join(
            f";;\n{number})\n" + "".join(f"{line}\n" for line in lines)
            for number, lines in enumerate(self.lines)
            if number
        )


def script(steps: Sequence[Step], name: str = "") -> str:
    """The program for a container's record; what was left out or never reached is a comment."""
    started = [step for step in steps if step["stage"] in STAGES[1:]]
    end = next((i for i, step in enumerate(started) if step["operation"] == "Exec"), len(started) - 1)
    start, later = started[: end + 1], started[end + 1 :]
    inside = [step for step in start if step["actor"] == "container"]
    shim = [step for step in start if step["actor"] == "shim"]
    outside = [step for step in start if step["actor"] in ("engine", "init")]

    head = Sections()
    _titled(head, outside, _plain)
    sections = Sections()
    for step in shim:
        if step["fields"].get("path") != "/proc/self/ns/pid":
            _say(sections, step, _plain)
    sections.lines[-1].append(WHO)
    _titled(sections, _merged([step for step in inside if not _is_entering(step)]), _inside)
    _become(sections, inside)
    helper = HELPER.format(
        lines="\n".join(_helper(inside)), after="".join(f"{line}\n" for line in _machine(later) if line)
    )
    first = "".join(f"{line}\n" for line in (*head.lines[0], helper.rstrip("\n"), *sections.lines[0]))
    return HEAD.format(name=name or "…") + first + sections.text() + ";;\nesac\n"


def _titled(sections: Sections, steps: Sequence[Step], line_of: Any) -> None:
    """These steps' lines, with a title before each stage."""
    title = ""
    for step in steps:
        mine = f"# --- {step['stage']}: by the {step['actor']}, on the {step['where']}"
        if mine != title:
            sections.lines[-1].append(mine)
            title = mine
        _say(sections, step, line_of)


def _say(sections: Sections, step: Step, line_of: Any) -> None:
    if step["error"] or step["started"] is None:
        why = step["error"] or "never reached"
        commented = "\n".join(f"# {why}: {line}" for line in step["shell"].splitlines())
        sections.lines[-1].append(commented)
    else:
        sections.add(line_of(step))


def _merged(steps: Sequence[Step]) -> list[Step]:
    """The steps with those that setpriv(1) says one after another in one line.

    With each exec the kernel works out anew what a root shell may do, so between two lines of it the right to the
    second would be gone; setpriv itself has the order right.
    """
    found: list[Step] = []
    for step in steps:
        before = found[-1] if found else step
        done = not step["error"] and step["started"] is not None
        if done and step["shell"].startswith(PRIVILEGES) and before["shell"].startswith(PRIVILEGES) and found:
            words = f"{before['shell'].removesuffix(' sh')} {step['shell'].removeprefix(PRIVILEGES)}"
            if "--groups" in words or "--clear-groups" in words:
                words = words.replace(" --keep-groups", "")
            found[-1] = {**before, "shell": words}
        elif step["operation"] != "KeepCapabilities":
            found.append(step)
    return found


def _plain(step: Step) -> str:
    return str(step["shell"])


def _inside(step: Step) -> str:
    """The line as the shell that becomes the container says it."""
    line = str(step["shell"])
    if step["operation"] in ("AddVeth", "MoveLink"):
        line = line.replace("netns $$", 'netns "/proc/$self/ns/net"')
    if step["operation"] == "MakeLink":
        line = line.replace("ln -s ", "ln -sfn ")  # one from an earlier start may be there
    if step["operation"] == "SetOomScoreAdjustment":
        line = line.replace("$$", '"$self"')  # choom looks into /proc, which is still the host's
    if step["fields"].get("where") == "host" or (step["where"] == "host" and step["stage"] != "create"):
        return f"{ENTER_HOST} {_one_command(line)}"
    if step["operation"] == "DisableIpv6":
        return f"[ ! -e {line.rpartition(' ')[2]} ] || {line}"
    return line


def _one_command(line: str) -> str:
    """A line that another command can run: as it is, or by a shell when it is more than one command."""
    return f"sh -c {join([line])}" if any(sign in line for sign in ("&&", ";", "|", "\n", ">")) else line


def _is_entering(step: Step) -> bool:
    """Whether it is about the new root, and so for the helper or the last section."""
    return step["stage"] == "exec" and step["operation"] in (
        "Remount", "PivotRoot", "Unmount", "OpenTerminal", "ConnectStdio", "ChangeDirectory", "Exec",
    )  # fmt: skip


def _helper(inside: Sequence[Step]) -> list[str]:
    """What is done to the container's mounts from outside, in its mount namespace but with the host's tools."""
    root = next((s["fields"]["new_root"] for s in inside if s["operation"] == "PivotRoot"), "")
    lines: list[str] = []
    for step in inside:
        if step["stage"] != "exec" or step["error"] or step["started"] is None:
            continue
        enter = 'nsenter --target "$pid" --mount'
        if step["operation"] == "ChangeDirectory" and step["fields"].get("make") and step["fields"]["path"] != "/":
            lines.insert(0, f"{enter} {join(['mkdir', '-p', root + step['fields']['path']])}")
        elif step["operation"] == "OpenTerminal" and step["fields"]["console"]:
            console = join([root + step["fields"]["console"]])
            bind = f': > {console} && mount --bind "$1" {console}'
            lines.insert(0, f'[ -z "$terminal" ] || {enter} sh -c {join([bind])} sh "$terminal"')
        elif step["operation"] in ("Remount", "PivotRoot", "Unmount"):
            lines.append(f"{enter} {_one_command(str(step['shell']))}")
    return lines


def _become(sections: Sections, inside: Sequence[Step]) -> None:
    """The last section: with the program's environment and rights, wait for the new root, become the program."""
    step = next((s for s in inside if s["operation"] == "Exec" and not s["error"]), None)
    if step is None:
        sections.lines[-1].append("# the program itself was left out")
        return
    folder = next((s["fields"]["path"] for s in inside if s["operation"] == "ChangeDirectory"), "/")
    sections.lines[-1].append("# --- exec: standard input, output and error, or the terminal, are this script's own")
    sections.add(join(["exec", "env", "-i", *step["fields"]["environment"], "sh"]))
    sections.lines[-1] += [
        "cd /",
        "read -r self _ </proc/self/stat",
        'echo "$self" >&8',
        "read -r _ <&9",
        join(["cd", folder]),
        "exec 0<&6 5<&- 6<&- 7<&- 8<&- 9<&-",
        "unset PWD OLDPWD",
        *_program(inside, join(step["fields"]["arguments"])),
    ]


def _program(inside: Sequence[Step], words: str) -> list[str]:
    """The program in the shell's place; with `--init` in a child of it, and the shell stays as process 1."""
    if not any(s["operation"] == "StayAsInit" and not s["error"] for s in inside):
        return [f"exec {words}"]
    return [
        f"{words} <&0 &",
        *(f"trap 'kill -{name} $!' {name}" for name in ("HUP", "INT", "QUIT", "TERM", "USR1", "USR2")),
        "while kill -0 $! 2>&-; do wait $!; code=$?; done  # a signal ends the waiting, and not yet the program",
        "exit $code",
    ]


def _machine(later: Sequence[Step]) -> list[str]:
    """What the engine has asked of the real machine's network after the program had begun."""
    lines = [
        f'nsenter --net="$MACHINE_NET" {_one_command(str(step["shell"]))}'
        for step in later
        if step["where"] == "machine"
        and step["stage"] == "nat"
        and not step["error"]
        and "Delete" not in step["operation"]
    ]
    return ['if [ -n "$MACHINE_NET" ]; then', *lines, "fi"] if lines else []
