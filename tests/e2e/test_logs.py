"""Where a log is kept, and for how long: drivers, rotation, compression, as docker's client asks for them."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from tests.conftest import Kernelkit

LINES = "for i in $(seq 1000); do echo line $i; done"


@pytest.fixture
def kk(shared_kk: Kernelkit) -> Kernelkit:
    """The file's kernelkit."""
    return shared_kk


def folder(kk: Kernelkit, name: str) -> Path:
    return kk.home / "containers" / kk.docker("inspect", "-f", "{{.Id}}", name).stdout.strip()


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def read_back(kk: Kernelkit, name: str) -> list[str]:
    """The lines that are still there, which must be the last ones, all of them, however they are asked for."""
    said = kk.docker("logs", name).stdout.splitlines()
    assert said == [f"line {i}" for i in range(1001 - len(said), 1001)]
    assert kk.docker("logs", "--tail", "250", name).stdout.splitlines() == said[-250:]
    assert kk("logs", "-n", "3", name).stdout.splitlines() == said[-3:]
    return said


def test_rotated_files_are_packed_and_read_back(kk: Kernelkit) -> None:
    options = ["--log-opt", "max-size=10k", "--log-opt", "max-file=4", "--log-opt", "compress=true"]
    kk.docker("run", "--name", "packed", *options, "busybox", "sh", "-c", LINES)
    files = folder(kk, "packed")

    assert [name for name in names(files) if name.startswith("log")] == ["log", "log.1.gz", "log.2.gz", "log.3.gz"]
    newest = gzip.decompress((files / "log.1.gz").read_bytes())
    assert 9_000 < len(newest) <= 10_000
    assert json.loads(newest.splitlines()[-1])["stream"] == "stdout"
    assert len(read_back(kk, "packed")) > 300


def test_a_log_is_followed_while_its_files_are_packed(kk: Kernelkit) -> None:
    options = ["--log-opt", "max-size=10k", "--log-opt", "max-file=50", "--log-opt", "compress=true"]
    slowly = "for i in $(seq 40); do for j in $(seq 25); do echo line $((i * 25 + j - 25)); done; sleep 0.05; done"
    kk.docker("run", "-d", "--name", "followed", *options, "busybox", "sh", "-c", slowly)

    assert kk.docker("logs", "-f", "followed").stdout.splitlines() == [f"line {i}" for i in range(1, 1001)]
    assert "log.1.gz" in names(folder(kk, "followed"))


def test_what_comes_all_at_once_is_followed_to_the_last_line(kk: Kernelkit) -> None:
    options = ["--log-driver", "local", "--log-opt", "max-size=2k", "--log-opt", "max-file=500"]
    burst = "sleep 0.5; i=0; while [ $i -lt 1000 ]; do i=$((i+1)); echo line $i; done"
    kk.docker("run", "-d", "--name", "burst", *options, "busybox", "sh", "-c", burst)

    assert kk.docker("logs", "-f", "burst").stdout.splitlines() == [f"line {i}" for i in range(1, 1001)]
    assert len(names(folder(kk, "burst") / "local-logs")) > 20


def test_the_local_driver_keeps_a_log_that_docker_reads(kk: Kernelkit) -> None:
    kk.docker("run", "--name", "local", "--log-driver", "local", "busybox", "sh", "-c", f"{LINES}; echo oh >&2")
    assert len(read_back_both(kk, "local")) == 1000

    files = folder(kk, "local")
    assert names(files / "local-logs") == ["container.log"]
    assert "log" not in names(files)
    assert kk.docker("inspect", "-f", "{{.HostConfig.LogConfig.Type}} [{{.LogPath}}]", "local").stdout == "local []\n"


def read_back_both(kk: Kernelkit, name: str) -> list[str]:
    said = kk.docker("logs", name)
    assert said.stderr == "oh\n"
    return said.stdout.splitlines()


def test_the_local_driver_rotates_and_packs_unless_told_otherwise(kk: Kernelkit) -> None:
    small = ["--log-driver", "local", "--log-opt", "max-size=10k"]
    kk.docker("run", "--name", "local2", *small, "--log-opt", "max-file=3", "busybox", "sh", "-c", LINES)
    kk.docker("run", "--name", "local3", *small, "--log-opt", "compress=false", "busybox", "sh", "-c", LINES)

    packed, plain = (folder(kk, name) / "local-logs" for name in ("local2", "local3"))
    assert names(packed) == ["container.log", "container.log.1.gz", "container.log.2.gz"]
    assert names(plain) == ["container.log", *(f"container.log.{i}" for i in range(1, 5))]
    assert len(read_back(kk, "local2")) < len(read_back(kk, "local3"))


def test_a_local_log_can_be_followed_before_there_is_anything_in_it(kk: Kernelkit) -> None:
    script = "sleep 0.5; echo one; sleep 0.3; echo two"
    kk.docker("run", "-d", "--name", "local4", "--log-driver", "local", "busybox", "sh", "-c", script)
    assert kk.docker("logs", "-f", "local4").stdout == "one\ntwo\n"


def test_attributes_go_with_each_entry_of_either_driver(kk: Kernelkit) -> None:
    wanted = ["--log-opt", "labels=owner", "--log-opt", "env=APP", "--log-opt", "tag={{.Name}}"]
    for driver in ("json-file", "local"):
        name = f"attributes-{driver}"
        known = ["--log-driver", driver, "--label", "owner=me", "-e", "APP=1", "-e", "B=2"]
        kk.docker("run", "--name", name, *known, *wanted, "busybox", "echo", "hi")
        assert kk.docker("logs", "--details", name).stdout == f"APP=1,owner=me,tag={name} hi\n"


def test_a_log_that_must_not_block_is_a_log(kk: Kernelkit) -> None:
    options = ["--log-opt", "mode=non-blocking", "--log-opt", "max-buffer-size=4m"]
    kk.docker("run", "--name", "buffered", *options, "busybox", "sh", "-c", LINES)
    assert len(read_back(kk, "buffered")) == 1000


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("--log-driver fluentd", "logger: no log driver named 'fluentd' is registered"),
        ("--log-driver local --log-opt nosuch=1", "unknown log opt 'nosuch' for log driver local"),
        ("--log-opt mode=later", "logger: logging mode not supported: later"),
        ("--log-opt max-buffer-size=1m", "logger: max-buffer-size option is only supported with 'mode=non-blocking'"),
        (
            "--log-opt compress=true",
            "failed to initialize logging driver: "
            "compress cannot be true when max-file is less than 2 or max-size is not set",
        ),
    ],
)
def test_what_cannot_be_is_refused_in_dockers_words(kk: Kernelkit, options: str, said: str) -> None:
    refused = kk.docker("run", "--rm", *options.split(), "busybox", "true", check=False)
    assert refused.returncode == 125
    assert said in refused.stderr
