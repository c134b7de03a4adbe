"""The grammar of flags, as Docker's commands read them: declarations, and the words of a command line against them.

    --name value   --name=value   -n value   -nvalue   -n=value   -abc (bundled)   --bool   --bool=false   -- (the end)

A command whose arguments are another command (`run`, `exec`, `top`) stops reading flags at its first argument.
"""

from __future__ import annotations

from kernelkit.cli.output import Failure
from kernelkit.cli.values import (
    parse_bool,
    parse_decimal,
    parse_duration,
    parse_filter,
    parse_int,
    parse_size,
    parse_swap,
    parse_uint16,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

USAGE_ERROR = 125


class Kind:
    """A type of value: its name in the help, how to read one, whether the flag may be given more than once."""

    __slots__ = ("comma", "many", "metavar", "read")

    def __init__(
        self, metavar: str, read: Callable[[str], Any] | None = None, *, many: bool = False, comma: bool = False
    ) -> None:
        self.metavar = metavar
        self.read = read
        self.many = many
        self.comma = comma


BOOL = Kind("", parse_bool)
STRING = Kind("string")
INT = Kind("int", parse_int)
UINT = Kind("uint", parse_int)
UINT16 = Kind("uint16", parse_uint16)
DECIMAL = Kind("decimal", parse_decimal)
BYTES = Kind("bytes", parse_size)
SWAP = Kind("bytes", parse_swap)
DURATION = Kind("duration", parse_duration)
LIST = Kind("list", many=True)
STRINGS = Kind("strings", many=True, comma=True)
MAP = Kind("map", many=True)
FILTER = Kind("filter", parse_filter, many=True)


class Flag:
    """One option of a command. `check` looks at a value once more and raises ValueError with Docker's words."""

    __slots__ = ("about", "check", "default", "hidden", "kind", "name", "short")

    def __init__(
        self,
        name: str,
        kind: Kind,
        about: str,
        short: str = "",
        default: Any = None,
        check: Callable[[str], object] | None = None,
        *,
        hidden: bool = False,
    ) -> None:
        self.name = name
        self.kind = kind
        self.about = about
        self.short = short
        self.default = default
        self.check = check
        self.hidden = hidden

    @property
    def label(self) -> str:
        """How messages name it: `-m, --memory` or `--cpus`."""
        return f"-{self.short}, --{self.name}" if self.short else f"--{self.name}"


class Options:
    """What a command line said: values by flag name, the names that were given, the arguments that are left."""

    def __init__(self, flags: tuple[Flag, ...]) -> None:
        self.arguments: list[str] = []
        self.given: set[str] = set()
        self._values: dict[str, Any] = {}
        for flag in flags:
            empty: Any = [] if flag.kind.many else False if flag.kind is BOOL else None
            self._values[flag.name] = empty if flag.default is None else flag.default

    def take(self, flag: Flag, text: str) -> None:
        """Note a value; raises ValueError with the reason when it is none."""
        kind = flag.kind
        value = kind.read(text) if kind.read else text
        for one in text.split(",") if kind.comma else [text]:
            if flag.check:
                flag.check(one)
        if kind.many:
            if flag.name not in self.given:
                self._values[flag.name] = []
            self._values[flag.name].extend(text.split(",") if kind.comma else [value])
        else:
            self._values[flag.name] = value
        self.given.add(flag.name)

    def __getitem__(self, name: str) -> Any:
        return self._values[name]

    def on(self, name: str) -> bool:
        """A switch."""
        return bool(self._values[name])

    def text(self, name: str) -> str:
        """A string, empty when not given."""
        return self._values[name] or ""

    def number(self, name: str) -> int:
        """A number, 0 when not given."""
        return self._values[name] or 0

    def many(self, name: str) -> list[str]:
        """The values of a flag that may be repeated, in order."""
        return list(self._values[name])


class Command:
    """A command: what it takes, what it says of itself, and the function that carries it out."""

    __slots__ = ("about", "flags", "interspersed", "least", "most", "run", "usage")

    def __init__(
        self,
        run: Callable[..., int | None],
        usage: str,
        about: str,
        flags: tuple[Flag, ...] = (),
        least: int = 0,
        most: int | None = 0,
        *,
        interspersed: bool = True,
    ) -> None:
        self.run = run
        self.usage = usage
        self.about = about
        self.flags = flags
        self.least = least
        self.most = most
        self.interspersed = interspersed


class HelpWanted(Exception):
    """`--help` was among the words."""


class WrongUsage(Failure):
    """The words do not fit the command. A wrong number of arguments is exit code 1, everything else 125."""


def parse(command: Command, words: list[str]) -> Options:
    """Read a command's words. Raises WrongUsage, or HelpWanted when `--help` is among them."""
    options = Options(command.flags)
    options.arguments = read_flags(command.flags, words, options, interspersed=command.interspersed)
    return options


def read_flags(flags: tuple[Flag, ...], words: list[str], options: Options, *, interspersed: bool) -> list[str]:
    """Take the flags out of the words; what is left are the arguments."""
    longs = {flag.name: flag for flag in flags}
    shorts = {flag.short: flag for flag in flags if flag.short}
    rest = list(words)
    arguments: list[str] = []
    helped = False
    while rest:
        word = rest.pop(0)
        if word == "--":
            return _unless(helped, arguments + rest)
        if not word.startswith("-") or word == "-":
            arguments.append(word)
            if not interspersed:
                return _unless(helped, arguments + rest)
        elif word.startswith("--"):
            helped = _long(word, rest, longs, options) or helped
        else:
            helped = _short(word, rest, shorts, options) or helped
    return _unless(helped, arguments)


def _unless(helped: bool, arguments: list[str]) -> list[str]:
    if helped:
        raise HelpWanted
    return arguments


def _long(word: str, rest: list[str], flags: dict[str, Flag], options: Options) -> bool:
    name, equals, text = word[2:].partition("=")
    if not name or name.startswith("-"):
        raise WrongUsage(f"bad flag syntax: {word}", USAGE_ERROR)
    flag = flags.get(name)
    if flag is None:
        if name == "help":
            return not equals or text in ("1", "t", "T", "true", "TRUE", "True")
        raise WrongUsage(f"unknown flag: --{name}", USAGE_ERROR)
    if not equals:
        if flag.kind is BOOL:
            text = "true"
        elif rest:
            text = rest.pop(0)
        else:
            raise WrongUsage(f"flag needs an argument: --{name}", USAGE_ERROR)
    _take(options, flag, text)
    return False


def _short(word: str, rest: list[str], flags: dict[str, Flag], options: Options) -> bool:
    letters = word[1:]
    while letters:
        letter, letters = letters[0], letters[1:]
        flag = flags.get(letter)
        if flag is None:
            if letter == "h" and not letters:
                return True
            raise WrongUsage(f"unknown shorthand flag: {letter!r} in -{letter}{letters}", USAGE_ERROR)
        if letters.startswith("="):
            text, letters = letters[1:], ""
        elif flag.kind is BOOL:
            text = "true"
        elif letters:
            text, letters = letters, ""
        elif rest:
            text = rest.pop(0)
        else:
            raise WrongUsage(f"flag needs an argument: {letter!r} in -{letter}", USAGE_ERROR)
        _take(options, flag, text)
    return False


def _take(options: Options, flag: Flag, text: str) -> None:
    try:
        options.take(flag, text)
    except ValueError as error:
        raise WrongUsage(f'invalid argument "{text}" for "{flag.label}" flag: {error}', USAGE_ERROR) from None


def check_count(command: Command, name: str, count: int) -> None:
    """Whether this many arguments are right for the command; raises WrongUsage with Docker's words."""
    least, most = command.least, command.most
    if count >= least and (most is None or count <= most):
        return
    if most == 0:
        raise WrongUsage(f"'{name}' accepts no arguments")
    if most is None:
        raise WrongUsage(f"'{name}' requires at least {_arguments(least)}")
    if least == most:
        raise WrongUsage(f"'{name}' requires {_arguments(least)}")
    if least == 0:
        raise WrongUsage(f"'{name}' requires at most {_arguments(most)}")
    raise WrongUsage(f"'{name}' requires at least {least} and at most {_arguments(most)}")


def _arguments(count: int) -> str:
    return f"{count} argument" if count == 1 else f"{count} arguments"
