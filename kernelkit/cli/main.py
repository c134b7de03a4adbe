"""The command line: which words name which command. Nothing but the command's own module is imported.

    kernelkit [global options] GROUP COMMAND …     kernelkit container ls
    kernelkit [global options] COMMAND …           kernelkit ps

Exit codes as Docker's: what the command says; 125 for words that cannot be understood, 1 for an error the engine
reports, 130 after ctrl-C.
"""

from __future__ import annotations

import os
import sys

from kernelkit.cli.flags import (
    BOOL,
    LIST,
    STRING,
    Command,
    Flag,
    HelpWanted,
    Options,
    WrongUsage,
    check_count,
    parse,
    read_flags,
)
from kernelkit.cli.output import PROGRAM, Failure, complain, put, say

# Group → command → where it is declared: "module:NAME". The group "" holds the commands without one.
CONTAINER = {
    "attach": "start:ATTACH",
    "commit": "changes:COMMIT",
    "cp": "copy:CP",
    "create": "run:CREATE",
    "diff": "changes:DIFF",
    "exec": "execute:EXEC",
    "export": "changes:EXPORT",
    "inspect": "inspect:CONTAINER",
    "kill": "lifecycle:KILL",
    "logs": "logs:LOGS",
    "ls": "containers:LS",
    "pause": "lifecycle:PAUSE",
    "port": "look:PORT",
    "prune": "prune:CONTAINERS",
    "rename": "lifecycle:RENAME",
    "restart": "lifecycle:RESTART",
    "rm": "lifecycle:RM",
    "run": "run:RUN",
    "start": "start:START",
    "stats": "stats:STATS",
    "stop": "lifecycle:STOP",
    "top": "look:TOP",
    "unpause": "lifecycle:UNPAUSE",
    "update": "update:UPDATE",
    "wait": "lifecycle:WAIT",
}
IMAGE = {
    "history": "images:HISTORY",
    "import": "archives:IMPORT",
    "inspect": "inspect:IMAGE",
    "load": "archives:LOAD",
    "ls": "images:LS",
    "prune": "prune:IMAGES",
    "pull": "transfer:PULL",
    "push": "transfer:PUSH",
    "rm": "images:RM",
    "save": "archives:SAVE",
    "tag": "images:TAG",
}
NETWORK = {
    "connect": "networks:CONNECT",
    "create": "networks:CREATE",
    "disconnect": "networks:DISCONNECT",
    "inspect": "inspect:NETWORK",
    "ls": "networks:LS",
    "prune": "prune:NETWORKS",
    "rm": "networks:RM",
}
VOLUME = {
    "create": "volumes:CREATE",
    "inspect": "inspect:VOLUME",
    "ls": "volumes:LS",
    "prune": "prune:VOLUMES",
    "rm": "volumes:RM",
}
SYSTEM = {"df": "disk:DF", "events": "events:EVENTS", "info": "system:INFO", "prune": "prune:SYSTEM"}
OWN = {
    "doctor": "practice:DOCTOR",
    "down": "practice:DOWN",
    "env": "practice:ENV",
    "shell": "practice:SHELL",
    "status": "practice:STATUS",
    "tour": "tour:TOUR",
    "trace": "record:TRACE",
    "up": "practice:UP",
}
PLAIN = {
    **{name: CONTAINER[name] for name in CONTAINER if name not in ("ls", "inspect", "prune")},
    "ps": CONTAINER["ls"],
    "history": IMAGE["history"],
    "images": IMAGE["ls"],
    "import": IMAGE["import"],
    "load": IMAGE["load"],
    "pull": IMAGE["pull"],
    "push": IMAGE["push"],
    "rmi": IMAGE["rm"],
    "save": IMAGE["save"],
    "tag": IMAGE["tag"],
    "events": SYSTEM["events"],
    "info": SYSTEM["info"],
    "inspect": "inspect:ANY",
    "login": "login:LOGIN",
    "logout": "login:LOGOUT",
    "search": "search:SEARCH",
    "version": "system:VERSION",
}
GROUPS = {
    "": {**PLAIN, **OWN},
    "container": CONTAINER,
    "image": IMAGE,
    "network": NETWORK,
    "system": SYSTEM,
    "volume": VOLUME,
}
ALIASES = {
    "container": {"ps": "ls", "list": "ls", "remove": "rm"},
    "image": {"list": "ls", "remove": "rm"},
    "network": {"list": "ls", "remove": "rm"},
    "volume": {"list": "ls", "remove": "rm"},
    "": {"ls": "ps"},
}
# Docker has these and kernelkit does not: said by name, so that nobody looks for a spelling mistake.
ABSENT = (
    "build builder buildx checkpoint compose config context manifest node plugin secret service stack swarm trust"
).split()
LEVELS = ("trace", "debug", "info", "warn", "warning", "error", "fatal", "panic")
GLOBAL = (
    Flag("config", STRING, "Folder of the client's configuration files", default=""),
    Flag("context", STRING, "Name of the context (only 'default')", "c"),
    Flag("debug", BOOL, "Say which requests are made", "D"),
    Flag("host", LIST, "Socket of the engine to connect to", "H"),
    Flag("log-level", STRING, "What to say besides: debug says which requests are made", "l", "info"),
    Flag("version", BOOL, "Print version information and quit", "v"),
)


def main() -> int:
    """Run the command that the words of this process name; its exit code."""
    try:
        return command_line(sys.argv[1:])
    except Failure as failure:
        if failure.message:
            _complain(failure.message)
        return failure.code
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        return _nobody_reads()
    except OSError as error:
        return _cannot_say(error)


def command_line(words: list[str]) -> int:
    """Run the command that these words name. Raises Failure with what to say and the exit code."""
    options = Options(GLOBAL)
    wanted_help = False
    try:
        rest = read_flags(GLOBAL, words, options, interspersed=False)
    except HelpWanted:
        wanted_help, rest = True, _arguments_of(words)
    except WrongUsage as wrong:
        raise _usage(wrong, PROGRAM, "[OPTIONS] COMMAND [ARG...]") from None
    if options.on("version"):
        say(f"kernelkit version {_version()}")
        return 0
    if hosts := options.many("host"):
        os.environ["KERNELKIT_SOCKET"] = _socket(hosts[-1])
    if options.text("context") not in ("", "default"):
        raise Failure(f'context "{options.text("context")}" does not exist')
    level = options.text("log-level")
    if level not in LEVELS:
        raise Failure(f"Unable to parse logging level: {level}", 125)
    if options.on("debug") or level in ("debug", "trace"):
        os.environ["KERNELKIT_DEBUG"] = "1"
    if options.text("config"):
        os.environ["DOCKER_CONFIG"] = options.text("config")
    if rest[:1] == ["help"]:
        wanted_help, rest = True, rest[1:]
    return _dispatch([*rest, "--help"] if wanted_help else rest)


def _dispatch(words: list[str]) -> int:
    group, name = "", words[0] if words else "--help"
    if name in GROUPS and name:
        group, name = name, words[1] if len(words) > 1 else "--help"
    commands = GROUPS[group]
    path = f"{PROGRAM} {group}".strip()
    if name in ("--help", "-h"):
        # Asked for, the help is the answer; a command that is missing is a mistake.
        return _help("group_help", group, 1 if words[-1:] in (["--help"], ["-h"]) else 2)
    name = ALIASES.get(group, {}).get(name, name)
    if name not in commands:
        raise _unknown(group, name)
    command = load(commands[name])
    return execute(command, f"{path} {name}", words[2 if group else 1 :])


def load(place: str) -> Command:
    """The declaration of a command, from its module."""
    module, _, name = place.partition(":")
    __import__(f"kernelkit.cli.{module}")
    command: Command = getattr(sys.modules[f"kernelkit.cli.{module}"], name)
    return command


def execute(command: Command, path: str, words: list[str]) -> int:
    """Run one command with its words; `path` is how it was called, for its messages."""
    try:
        options = parse(command, words)
    except HelpWanted:
        if "-h" in words and "--help" not in words:
            complain("Flag shorthand -h has been deprecated, use --help")
        return _help("command_help", command, path)
    except WrongUsage as wrong:
        raise _usage(wrong, path, command.usage) from None
    try:
        check_count(command, path, len(options.arguments))
    except WrongUsage as wrong:
        wrong.message = f"{PROGRAM}: {wrong.message}"
        raise _usage(wrong, path, command.usage, "See" if command.most is None else "Run") from None
    return command.run(options) or 0


def _usage(wrong: WrongUsage, path: str, usage: str, verb: str = "Run") -> Failure:
    lines = [wrong.message, "", f"Usage:  {path} {usage}", "", f"{verb} '{path} --help' for more information"]
    return Failure("\n".join(lines), wrong.code)


def _unknown(group: str, name: str) -> Failure:
    path = f"{PROGRAM} {group}".strip()
    if not group and name in ABSENT:
        return Failure(f"{PROGRAM}: '{name}' is not there: kernelkit has no docker {name}")
    usage = f"\nUsage:  {path}\n" if group else ""
    return Failure(f"{PROGRAM}: unknown command: {path} {name}\n{usage}\nRun '{path} --help' for more information")


def _help(function: str, *arguments: object) -> int:
    import kernelkit.cli.help as texts  # most commands are run, few are asked what they are

    getattr(texts, function)(*arguments)
    return 0


def _arguments_of(words: list[str]) -> list[str]:
    return [word for word in words if not word.startswith("-")]


def _socket(host: str) -> str:
    if "://" in host and not host.startswith("unix://"):
        raise Failure(f"only unix sockets are spoken here: '{host}'", 125)
    return host.removeprefix("unix://")


def _version() -> str:
    from kernelkit.cli.system import client_version  # needed by one word only

    return client_version()


def _nobody_reads() -> int:
    # As a program that SIGPIPE has killed; the flush at the interpreter's exit would only complain again.
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    put(1, b"")
    return 141


def _complain(message: str) -> None:
    try:
        complain(message)
    except OSError:
        pass  # standard error is closed; the exit code remains


def _cannot_say(error: OSError) -> int:
    """What the kernel refused us in the middle of things: standard output on a full disk, or closed."""
    what = f"'{error.filename}'" if error.filename else "standard output"
    _complain(f"{PROGRAM}: {what}: {(error.strerror or str(error)).lower()}")
    return 1


if __name__ == "__main__":
    sys.exit(main())
