"""Which words name which command, and what is said of words that name none."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from kernelkit.cli import main
from tests.pure.cli.answers import ANSWERS
from tests.pure.cli.conftest import Said
from tests.pure.cli.fake_engine import FakeEngine

Run = Callable[..., Said]


@pytest.fixture(autouse=True)
def answers(fake: FakeEngine) -> None:
    fake.answers = ANSWERS


def test_groups_and_aliases_lead_to_the_same_command(cli: Run) -> None:
    listed = [cli(*words.split()).out for words in ("ps", "ls", "container ls", "container ps", "container list")]
    assert len(set(listed)) == 1
    assert listed[0].startswith("CONTAINER ID")


@pytest.mark.parametrize("name", ["build", "compose", "swarm"])
def test_what_docker_has_and_we_do_not_is_said_by_name(name: str, cli: Run) -> None:
    said = cli(name, "--any", "words")
    assert said.code == 1
    assert said.err == f"kernelkit: '{name}' is not there: kernelkit has no docker {name}\n"


def test_unknown_words_are_said_in_docker_s_words(cli: Run) -> None:
    said = cli("pss")
    assert said.code == 1
    assert said.err.startswith("kernelkit: unknown command: kernelkit pss\n")
    said = cli("container", "nosuch")
    assert said.err.startswith(
        "kernelkit: unknown command: kernelkit container nosuch\n\nUsage:  kernelkit container\n"
    )


@pytest.mark.parametrize(
    ("words", "count"),
    [
        (["pull"], "'kernelkit pull' requires 1 argument"),
        (["rename", "a"], "'kernelkit rename' requires 2 arguments"),
        (["kill"], "'kernelkit kill' requires at least 1 argument"),
        (["ps", "a"], "'kernelkit ps' accepts no arguments"),
        (["commit"], "'kernelkit commit' requires at least 1 and at most 2 arguments"),
    ],
)
def test_a_wrong_number_of_arguments(words: list[str], count: str, cli: Run) -> None:
    said = cli(*words)
    assert said.code == 1
    assert said.err.startswith(f"kernelkit: {count}\n\nUsage:  kernelkit {words[0]}")


def test_every_command_has_help_that_names_its_flags(cli: Run) -> None:
    for name, place in main.GROUPS[""].items():
        said = cli(name, "--help")
        assert said.code == 0
        assert said.out.startswith(f"Usage:  kernelkit {name}")
        for flag in main.load(place).flags:
            assert flag.hidden or f"--{flag.name}" in said.out


def test_help_that_was_not_asked_for_goes_to_standard_error(cli: Run) -> None:
    assert cli("container").err == cli("container", "--help").out


def test_debug_says_which_requests_are_made(cli: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KERNELKIT_DEBUG", "")
    assert cli("--debug", "rename", "web", "x").err == "POST /v1.50/containers/web/rename?name=x\n"
    assert cli("-l", "loud", "ps").code == 125


@pytest.mark.parametrize(
    "words",
    [
        ["--context", "other", "ps"],
        ["pull", "--disable-content-trust=false", "busybox"],
        ["create", "--disable-content-trust=false", "busybox"],
        ["create", "--cpu-count", "2", "busybox"],
        ["start", "--checkpoint", "x", "web"],
        ["images", "--tree"],
        ["network", "create", "--ingress", "x"],
        ["volume", "create", "--group", "x"],
        ["volume", "ls", "--cluster"],
        ["inspect", "--type", "node", "x"],
    ],
)
def test_what_does_not_work_is_refused_by_name(words: list[str], cli: Run, fake: FakeEngine) -> None:
    said = cli(*words)
    assert said.code == 1
    assert said.err.count("\n") == 1
    assert any(word.partition("=")[0].lstrip("-") in said.err for word in words if word.startswith("-"))
    assert fake.asked == []


def test_one_failure_does_not_keep_the_others_from_being_done(cli: Run, fake: FakeEngine) -> None:
    said = cli("rm", "nosuch", "web")
    assert (said.code, said.out) == (1, "web\n")
    assert said.err == "Error response from daemon: No such container: nosuch\n"


def test_many_names_are_asked_for_at_once_and_said_in_order(cli: Run, fake: FakeEngine) -> None:
    names = [f"c{i}" for i in range(120)]
    fake.answers = {f"POST /containers/{name}/kill": (204, None) for name in names}
    assert cli("kill", *names).out.split() == names
    assert {asked.path for asked in fake.asked} == {f"/containers/{name}/kill" for name in names}


@pytest.mark.parametrize(
    ("redirection", "code", "said"),
    [
        ("> /dev/full", 1, "kernelkit: standard output: no space left on device\n"),
        (">&-", 1, "kernelkit: standard output: bad file descriptor\n"),
        ("| head -c 1 > /dev/null", 0, ""),
        ("<&-", 0, ""),
    ],
)
def test_an_output_that_takes_nothing_is_one_line(redirection: str, code: int, said: str, fake: FakeEngine) -> None:
    command = f"{Path(sys.executable).with_name('kernelkit')} ps {redirection}"
    ran = subprocess.run(["sh", "-c", command], capture_output=True, text=True)
    assert (ran.returncode, ran.stderr) == (code, said)


def test_bytes_that_are_no_text_go_to_the_engine_as_they_are(fake: FakeEngine) -> None:
    command = [str(Path(sys.executable).with_name("kernelkit")), "rename", "web", b"a\xff"]
    subprocess.run(command, check=True)
    assert fake.asked[-1].query == {"name": ["a\ufffd"]}
