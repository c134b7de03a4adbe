"""`--log-driver` and `--log-opt`: what they may say, in Docker's words, and what follows for the writer of a log."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from typing import Any

from kernelkit.engine import logs
from kernelkit.engine.engine import Engine
from kernelkit.engine.model import Container
from kernelkit.errors import InvalidRequest
from kernelkit.host.channel import LogSettings

# Options of each driver that keeps something; those of `none` are taken as they come.
COMMON = ("max-size", "max-file", "compress", "labels", "labels-regex", "env", "env-regex", "tag")
UNKNOWN = {"json-file": "for json-file log driver", "local": "for log driver local"}
# A shim writes into a file, which never makes it wait: blocking or not, the container does not notice.
MODES = ("", "blocking", "non-blocking")

SIZE = re.compile(r"(\d+(?:\.\d+)?) ?([kmgtp]?)(?:i?b)?", re.IGNORECASE)
POWERS = "kmgtp"
TRUE, FALSE = ("1", "t", "T", "true", "TRUE", "True"), ("0", "f", "F", "false", "FALSE", "False")
LOCAL_SIZE, LOCAL_FILES = 20 << 20, 5


def check(log: Mapping[str, Any]) -> None:
    """Refuse, by InvalidRequest, a driver that is not there and options that mean nothing to it."""
    driver, options = log["Type"], log["Config"]
    if driver == "none":
        return
    if options.get("mode", "") not in MODES:
        raise InvalidRequest(f"logger: logging mode not supported: {options['mode']}")
    if "max-buffer-size" in options:
        if options.get("mode") != "non-blocking":
            raise InvalidRequest("logger: max-buffer-size option is only supported with 'mode=non-blocking'")
        _size(options["max-buffer-size"], 1024, "error parsing option max-buffer-size: ")
    if driver not in UNKNOWN:
        raise InvalidRequest(f"logger: no log driver named '{driver}' is registered", "json-file, local and none are")
    for option, value in options.items():
        if option not in (*COMMON, "mode", "max-buffer-size"):
            raise InvalidRequest(f"unknown log opt '{option}' {UNKNOWN[driver]}")
        if option in ("labels-regex", "env-regex"):
            _pattern(option, value)
        if option == "tag" and "{{" in logs.WORD.sub("", value):
            raise InvalidRequest(f"log opt 'tag={value}' is not supported by kernelkit", "{{.Name}} and {{.ID}} are")
    rotation(driver, options)


def settings(engine: Engine, container: Container, log: Mapping[str, Any]) -> LogSettings | None:
    """What the shim has to know to write a container's log; None when there is to be none."""
    driver, options = log.get("Type") or "json-file", log.get("Config") or {}
    if driver == "none":
        return None
    size, files, compress = rotation(driver, options) if options or driver != "json-file" else (0, 1, False)
    found = logs.attributes(options, container) if options else {}
    path = os.fspath(logs.path_of(engine, container, driver))
    return LogSettings(path, size, files, json.dumps(found, ensure_ascii=False) if found else "", compress)


def rotation(driver: str, options: Mapping[str, str]) -> tuple[int, int, bool]:
    """(bytes of a file at most, 0 for any; how many files; whether the older ones are packed); InvalidRequest."""
    local = driver == "local"
    size, files, compress = (LOCAL_SIZE, LOCAL_FILES, True) if local else (0, 1, False)
    said = "failed to initialize logging driver: "

    def about(option: str) -> str:
        return f"{said}invalid value for {option}: {options[option]}: " if local else said

    if "max-size" in options:
        size = _size(options["max-size"], 1000, about("max-size"))
        if not size and not local:
            raise InvalidRequest(f"{said}max-size must be a positive number")
    if "max-file" in options:
        files = _number(options["max-file"], about("max-file"))
        if files < (0 if local else 1):
            raise InvalidRequest(f"{said}max-file {'must not be negative' if local else 'cannot be less than 1'}")
    if "compress" in options:
        if options["compress"] not in TRUE + FALSE:
            why = f'strconv.ParseBool: parsing "{options["compress"]}": invalid syntax'
            raise InvalidRequest(f"{said}invalid boolean value for compress: {why}" if local else said + why)
        compress = options["compress"] in TRUE
    if compress and local and files <= 1:
        raise InvalidRequest(f"{said}compression cannot be enabled when max file count is 1")
    if compress and not local and (files == 1 or not size):
        raise InvalidRequest(f"{said}compress cannot be true when max-file is less than 2 or max-size is not set")
    return size, max(files, 1), compress


def _size(text: str, step: int, said: str) -> int:
    """Bytes, from `10m`: Docker counts a log in thousands, and memory in 1024s."""
    match = SIZE.fullmatch(text)
    if not match:
        raise InvalidRequest(f"{said}invalid size: '{text}'")
    power = POWERS.index(match[2].lower()) + 1 if match[2] else 0
    return int(float(match[1]) * step**power)


def _number(text: str, said: str) -> int:
    if not re.fullmatch(r"[+-]?\d+", text):
        raise InvalidRequest(f'{said}strconv.Atoi: parsing "{text}": invalid syntax')
    return int(text)


def _pattern(option: str, text: str) -> None:
    try:
        re.compile(text)
    except re.error as error:
        raise InvalidRequest(f"invalid log opt '{option}={text}': {error}") from None
