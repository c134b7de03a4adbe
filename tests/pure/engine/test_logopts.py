"""`--log-driver` and `--log-opt`: what they mean, and what is refused in Docker's words."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from kernelkit.engine import logopts
from kernelkit.engine.engine import Engine
from kernelkit.engine.model import Container
from kernelkit.errors import InvalidRequest
from kernelkit.host.channel import LogSettings

INIT = "failed to initialize logging driver: "


def settings(driver: str, options: dict[str, str], labels: dict[str, str] | None = None) -> LogSettings | None:
    engine = cast(Engine, SimpleNamespace(folder=lambda _: Path("/c")))
    container = cast(Container, SimpleNamespace(id="1", config={"Labels": labels or {}, "Env": []}))
    return logopts.settings(engine, container, {"Type": driver, "Config": options})


def test_a_log_is_one_file_that_grows_unless_something_else_is_asked_for() -> None:
    assert settings("json-file", {}) == LogSettings("/c/log")
    assert settings("none", {}) is None


def test_a_size_counts_in_thousands_as_docker_counts_it() -> None:
    wanted = {"max-size": "10k", "max-file": "3", "compress": "true"}
    assert settings("json-file", wanted) == LogSettings("/c/log", 10_000, 3, "", True)
    assert settings("json-file", {"max-size": "1.5mb"}) == LogSettings("/c/log", 1_500_000)


def test_the_local_driver_keeps_five_packed_files_of_twenty_mebibytes_elsewhere() -> None:
    path = "/c/local-logs/container.log"
    assert settings("local", {}) == LogSettings(path, 20 << 20, 5, "", True)
    few = {"max-size": "1k", "max-file": "1", "compress": "0", "labels": "a"}
    assert settings("local", few, {"a": "b"}) == LogSettings(path, 1000, 1, '{"a": "b"}', False)


@pytest.mark.parametrize(
    ("driver", "options"),
    [
        ("json-file", {"mode": "non-blocking", "max-buffer-size": "4m"}),
        ("json-file", {"mode": "blocking"}),
        ("json-file", {"tag": "{{.Name}}", "labels": "a,b", "env-regex": "^A"}),
        ("local", {"mode": "non-blocking", "compress": "F", "max-file": "1"}),
        ("none", {"whatever": "is", "mode": "said"}),
    ],
)
def test_what_can_be_asked(driver: str, options: dict[str, str]) -> None:
    logopts.check({"Type": driver, "Config": options})


REFUSED: list[tuple[str, dict[str, Any], str]] = [
    ("syslog", {}, "logger: no log driver named 'syslog' is registered"),
    ("json-file", {"nosuch": "1"}, "unknown log opt 'nosuch' for json-file log driver"),
    ("local", {"nosuch": "1"}, "unknown log opt 'nosuch' for log driver local"),
    ("json-file", {"mode": "fast"}, "logger: logging mode not supported: fast"),
    (
        "json-file",
        {"max-buffer-size": "4m"},
        "logger: max-buffer-size option is only supported with 'mode=non-blocking'",
    ),
    (
        "local",
        {"max-buffer-size": "much", "mode": "non-blocking"},
        "error parsing option max-buffer-size: invalid size: 'much'",
    ),
    ("json-file", {"max-size": "-1"}, f"{INIT}invalid size: '-1'"),
    ("json-file", {"max-size": "0"}, f"{INIT}max-size must be a positive number"),
    ("json-file", {"max-file": "0"}, f"{INIT}max-file cannot be less than 1"),
    ("json-file", {"max-file": "x"}, f'{INIT}strconv.Atoi: parsing "x": invalid syntax'),
    ("json-file", {"compress": "perhaps"}, f'{INIT}strconv.ParseBool: parsing "perhaps": invalid syntax'),
    (
        "json-file",
        {"compress": "true", "max-size": "1m"},
        f"{INIT}compress cannot be true when max-file is less than 2 or max-size is not set",
    ),
    ("local", {"max-file": "1"}, f"{INIT}compression cannot be enabled when max file count is 1"),
    ("local", {"max-file": "-1"}, f"{INIT}max-file must not be negative"),
    ("local", {"max-size": "x"}, f"{INIT}invalid value for max-size: x: invalid size: 'x'"),
    ("local", {"max-file": "x"}, f'{INIT}invalid value for max-file: x: strconv.Atoi: parsing "x": invalid syntax'),
    (
        "local",
        {"compress": "x"},
        f'{INIT}invalid boolean value for compress: strconv.ParseBool: parsing "x": invalid syntax',
    ),
]


@pytest.mark.parametrize(("driver", "options", "said"), REFUSED)
def test_what_is_refused(driver: str, options: dict[str, str], said: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        logopts.check({"Type": driver, "Config": options})
    assert refused.value.message == said
