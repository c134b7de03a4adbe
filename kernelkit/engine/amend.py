"""Changes to an image's settings in the words of a Dockerfile: `docker commit -c 'CMD ["sh"]'`, `docker import -c …`.

    words of a Dockerfile  →  amended(config)

Those instructions count that change settings and run nothing; the Dockerfile reference says what each one means.
"""

from __future__ import annotations

import json
import posixpath
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from kernelkit.engine.when import duration
from kernelkit.errors import InvalidRequest

Json = dict[str, Any]

SHELL = ["/bin/sh", "-c"]
_WORD = re.compile(r"""(?:[^\s"'\\]|\\.|"(?:[^"\\]|\\.)*"|'[^']*')+""", re.S)
_PIECE = re.compile(r"""\\(.)|"((?:[^"\\]|\\.)*)"|'([^']*)'|([^"'\\]+)""", re.S)
_VARIABLE = re.compile(r"\\(\$)|\$(?:(\w+)|\{(\w+)(?::([-+])([^}]*))?\})")
_SHORTEST = 1_000_000  # nanoseconds
_TIMES = {
    "interval": "Interval", "timeout": "Timeout", "start-period": "StartPeriod", "start-interval": "StartInterval"
}  # fmt: skip


def amended(config: Mapping[str, Any], changes: Iterable[str]) -> Json:
    """A copy of an image's `config` with these changes, a line each; InvalidRequest for one that is none."""
    result: Json = {key: _copy(value) for key, value in config.items()}
    has_command = False
    for line in (line.strip() for change in changes for line in _lines(change)):
        if not line or line.startswith("#"):
            continue
        name, _, rest = line.partition(" ")
        apply = _CHANGES.get(name.upper())
        if apply is None:
            raise InvalidRequest(f"{name.lower()} is not a valid change command")
        if not rest.strip():
            raise InvalidRequest(f"{name.upper()} requires at least one argument")
        apply(result, rest.strip())
        has_command |= name.upper() == "CMD"
        if name.upper() == "ENTRYPOINT" and not has_command:
            result["Cmd"] = None  # the old arguments were the old entry point's
    return result


def _lines(text: str) -> list[str]:
    """The lines of a change; one that ends in a backslash goes on."""
    return re.sub(r"\\[ \t]*\n", "", text).split("\n")


def _copy(value: Any) -> Any:
    return dict(value) if isinstance(value, dict) else list(value) if isinstance(value, list) else value


def _array(text: str) -> list[str] | None:
    """A JSON array of strings, or None."""
    try:
        value = json.loads(text)
    except ValueError:
        return None
    return value if isinstance(value, list) and all(isinstance(each, str) for each in value) else None


def _command(config: Json, text: str) -> list[str]:
    array = _array(text)
    return array if array is not None else [*(config.get("Shell") or SHELL), text]


def _cmd(config: Json, text: str) -> None:
    config["Cmd"] = _command(config, text)


def _entrypoint(config: Json, text: str) -> None:
    config["Entrypoint"] = _command(config, text)


def _env(config: Json, text: str) -> None:
    known = dict(entry.split("=", 1) for entry in config.get("Env") or [] if "=" in entry)
    for name, value in _pairs("ENV", config, text):
        known[name] = value
    config["Env"] = [f"{name}={value}" for name, value in known.items()]


def _label(config: Json, text: str) -> None:
    config["Labels"] = {**(config.get("Labels") or {}), **dict(_pairs("LABEL", config, text))}


def _expose(config: Json, text: str) -> None:
    ports = dict(config.get("ExposedPorts") or {})
    for word in _words(config, text):
        # What is written before it, as for `run -p`, is nothing that an image can say.
        port, _, protocol = word.lower().rpartition(":")[2].partition("/")
        found = re.fullmatch(r"(\d+)(?:-(\d+))?", port)
        first, last = (int(found[1]), int(found[2] or found[1])) if found else (1, 0)
        if not 0 < first <= last <= 65535:
            raise InvalidRequest(f"invalid containerPort: {word}")
        if protocol not in ("", "tcp", "udp", "sctp"):
            raise InvalidRequest(f"invalid proto: {protocol}")
        ports.update({f"{number}/{protocol or 'tcp'}": {} for number in range(first, last + 1)})
    config["ExposedPorts"] = ports


def _volume(config: Json, text: str) -> None:
    paths = _array(text)
    if paths == []:
        raise InvalidRequest("VOLUME requires at least one argument")
    config["Volumes"] = {**(config.get("Volumes") or {}), **{path: {} for path in paths or _words(config, text)}}


def _user(config: Json, text: str) -> None:
    config["User"] = _only("USER", _words(config, text))


def _workdir(config: Json, text: str) -> None:
    path = _expanded(config, text)
    config["WorkingDir"] = posixpath.normpath(posixpath.join(config.get("WorkingDir") or "/", path))


def _stopsignal(config: Json, text: str) -> None:
    config["StopSignal"] = _only("STOPSIGNAL", _words(config, text))


def _shell(config: Json, text: str) -> None:
    array = _array(text)
    if not array:
        raise InvalidRequest("SHELL requires the arguments to be in JSON form")
    config["Shell"] = array


def _onbuild(config: Json, text: str) -> None:
    name = text.split()[0].upper()
    if name == "ONBUILD":
        raise InvalidRequest("Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed")
    if name in ("FROM", "MAINTAINER"):
        raise InvalidRequest(f"{name} isn't allowed as an ONBUILD trigger")
    config["OnBuild"] = [*(config.get("OnBuild") or []), text]


def _healthcheck(config: Json, text: str) -> None:
    check: Json = {}
    while text.startswith("--"):
        option, _, text = text.partition(" ")
        name, _, value = option[2:].partition("=")
        text = text.strip()
        if name == "retries" and re.fullmatch(r"-?\d+", value):
            if int(value) < 0:
                raise InvalidRequest(f"--retries cannot be negative ({value})")
            check["Retries"] = int(value)
        elif name in _TIMES:
            check[_TIMES[name]] = duration(value)
            if 0 < check[_TIMES[name]] < _SHORTEST:
                raise InvalidRequest(f'Interval "{name}" cannot be less than 1ms')
        else:
            raise InvalidRequest(f"unknown flag: {option}")
    kind, _, command = text.partition(" ")
    if kind.upper() == "NONE" and not command.strip() and not check:
        check["Test"] = ["NONE"]
    elif kind.upper() == "CMD":
        array = _array(command)
        if not command.strip() or array == []:
            raise InvalidRequest("missing command after HEALTHCHECK CMD")
        check["Test"] = ["CMD", *array] if array else ["CMD-SHELL", command.strip()]
    else:
        raise InvalidRequest(f'unknown type "{kind}" in HEALTHCHECK (try CMD)')
    config["Healthcheck"] = check


_CHANGES: Mapping[str, Callable[[Json, str], None]] = {
    "CMD": _cmd,
    "ENTRYPOINT": _entrypoint,
    "ENV": _env,
    "EXPOSE": _expose,
    "HEALTHCHECK": _healthcheck,
    "LABEL": _label,
    "ONBUILD": _onbuild,
    "SHELL": _shell,
    "STOPSIGNAL": _stopsignal,
    "USER": _user,
    "VOLUME": _volume,
    "WORKDIR": _workdir,
}


def _pairs(name: str, config: Json, text: str) -> Iterator[tuple[str, str]]:
    """`k=v k2="v 2"`, or the old `k all the rest`."""
    words = _WORD.findall(text)
    if not words or "=" not in words[0]:
        key, _, value = text.partition(" ")
        if not value.strip():
            raise InvalidRequest(f"{name} must have two arguments")
        yield key, _expanded(config, value.strip())
        return
    for word in words:
        key, equals, value = word.partition("=")
        if equals and not key:
            raise InvalidRequest(f"{name} names can not be blank")
        if not equals:
            raise InvalidRequest(f"Syntax error - can't find = in {json.dumps(word)}. Must be of the form: name=value")
        yield _expanded(config, key), _expanded(config, value)


def _words(config: Json, text: str) -> list[str]:
    return [_expanded(config, word) for word in _WORD.findall(text)]


def _only(name: str, words: list[str]) -> str:
    if len(words) != 1:
        raise InvalidRequest(f"{name} requires exactly one argument")
    return words[0]


def _expanded(config: Json, word: str) -> str:
    """Without its quotes, and with the values of the image's variables in place of their names."""
    values = dict(entry.split("=", 1) for entry in config.get("Env") or [] if "=" in entry)

    def value(found: re.Match[str]) -> str:
        if found[1]:
            return found[1]
        known = values.get(found[2] or found[3], "")
        if found[4] == "-":
            return known or found[5]
        return (found[5] if known else "") if found[4] == "+" else known

    def piece(found: re.Match[str]) -> str:
        if found[1]:
            return found[1]
        if found[3] is not None:
            return found[3]
        text = found[2] if found[2] is not None else found[4]
        text = _VARIABLE.sub(value, text)
        return re.sub(r'\\(["\\$])', r"\1", text) if found[2] is not None else text

    return _PIECE.sub(piece, word)
