"""What a command says of itself, laid out as Docker lays it out, from the same declarations that read its words."""

from __future__ import annotations

import os

from kernelkit.cli import main
from kernelkit.cli.flags import BOOL, Command, Flag
from kernelkit.cli.output import PROGRAM, put, write

GROUP_ABOUT = {
    "container": "Manage containers",
    "image": "Manage images",
    "network": "Manage networks",
    "system": "Manage the engine",
    "volume": "Manage volumes",
}
COMMON = ("run", "exec", "ps", "pull", "push", "images", "login", "logout", "search", "version", "info")


def command_help(command: Command, path: str) -> None:
    """Print a command's usage, what it does, its other names and its options."""
    lines = [f"Usage:  {path} {command.usage}", "", command.about]
    names = other_names(command)
    if len(names) > 1:
        lines += ["", "Aliases:", "  " + ", ".join(names)]
    if visible := [flag for flag in command.flags if not flag.hidden]:
        lines += ["", "Options:", *options_table(visible)]
    write("\n".join(lines) + "\n")


def group_help(group: str, fd: int = 1) -> None:
    """Print the commands of a group, or of everything for the group '', on a descriptor."""
    if group:
        lines = [f"Usage:  {PROGRAM} {group} COMMAND", "", GROUP_ABOUT[group]]
        lines += _section("Commands", {name: _about(place) for name, place in main.GROUPS[group].items()})
    else:
        rest = sorted(name for name in main.PLAIN if name not in COMMON)
        lines = [
            f"Usage:  {PROGRAM} [OPTIONS] COMMAND",
            "",
            "A container engine that remembers every request it makes to the kernel",
            *_section("Common Commands", {name: _about(main.PLAIN[name]) for name in COMMON}),
            *_section("The practice host and the record", {name: _about(at) for name, at in main.OWN.items()}),
            *_section("Management Commands", GROUP_ABOUT),
            *_section("Commands", {name: _about(main.PLAIN[name]) for name in rest}),
            "",
            "Global Options:",
            *options_table(list(main.GLOBAL)),
        ]
    path = f"{PROGRAM} {group}".strip()
    lines += ["", f"Run '{path} COMMAND --help' for more information on a command."]
    put(fd, ("\n".join(lines) + "\n").encode())


def other_names(command: Command) -> list[str]:
    """Every way to call a command."""
    names: list[str] = []
    for group, commands in sorted(main.GROUPS.items(), key=lambda item: not item[0]):
        for name, place in commands.items():
            if main.load(place) is command:
                path = f"{PROGRAM} {group}".strip()
                aliases = [alias for alias, target in main.ALIASES.get(group, {}).items() if target == name]
                names += [f"{path} {one}" for one in (name, *aliases)]
    return names


def options_table(flags: list[Flag]) -> list[str]:
    """One option a line, its explanation folded to the terminal's width."""
    heads = [_head(flag) for flag in flags]
    column = max(len(head) for head in heads) + 3
    width = max(_terminal_width() - column, 24)
    lines: list[str] = []
    for flag, head in sorted(zip(flags, heads, strict=True), key=lambda pair: pair[0].name):
        first, *more = _fold(flag.about + _default(flag), width)
        lines.append(head.ljust(column) + first)
        lines += [" " * column + line for line in more]
    return lines


def _head(flag: Flag) -> str:
    short = f"-{flag.short}, " if flag.short else "    "
    return f"  {short}--{flag.name} {flag.kind.metavar}".rstrip()


def _default(flag: Flag) -> str:
    if flag.default in (None, "", False) or flag.kind.many:
        return ""
    if flag.kind is BOOL:
        return " (default true)"
    return f' (default "{flag.default}")' if isinstance(flag.default, str) else f" (default {flag.default})"


def _section(title: str, rows: dict[str, str]) -> list[str]:
    column = max(max(len(name) for name in rows), 10) + 2
    return ["", f"{title}:", *(f"  {name.ljust(column)}{about}" for name, about in rows.items())]


def _about(place: str) -> str:
    return main.load(place).about.partition("\n")[0]


def _fold(text: str, width: int) -> list[str]:
    lines: list[str] = []
    for paragraph in text.split("\n"):
        line = ""
        for word in paragraph.split(" "):
            if line and len(line) + 1 + len(word) > width:
                lines.append(line)
                line = word
            else:
                line = f"{line} {word}" if line else word
        lines.append(line)
    return lines


def _terminal_width() -> int:
    try:
        return os.get_terminal_size(1).columns or 80
    except OSError:
        return 80
