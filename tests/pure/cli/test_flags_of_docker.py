"""Every flag of Docker's client is known here: the same name, short form and kind of value."""

from __future__ import annotations

import re
import subprocess

import pytest

from kernelkit.cli import main
from kernelkit.cli.flags import Command
from tests.pure.cli.fake_engine import stock_docker

DOCKER = stock_docker()
COMMANDS = [
    (f"{group} {name}".strip(), place)
    for group, commands in main.GROUPS.items()
    for name, place in commands.items()
    if name not in main.OWN
]


def flags_of_docker(words: str) -> dict[str, tuple[str, str]]:
    """Long name → (short form, kind of value), from the help of Docker's client."""
    said = subprocess.run([DOCKER, *words.split(), "--help"], capture_output=True, text=True).stdout
    found = re.findall(r"^  (?:-(\w), |    )--([\w-]+)(?: ([\w-]+))?(?:   |$)", said, re.MULTILINE)
    return {name: (short, kind) for short, name, kind in found if name != "help"}


def flags_of_ours(command: Command) -> dict[str, tuple[str, str]]:
    return {flag.name: (flag.short, flag.kind.metavar) for flag in command.flags}


@pytest.mark.skipif(not DOCKER, reason="needs Docker's client, version 28 or newer")
@pytest.mark.parametrize(("words", "place"), COMMANDS, ids=[words for words, _ in COMMANDS])
def test_all_flags_of_docker_are_known(words: str, place: str) -> None:
    theirs, ours = flags_of_docker(words), flags_of_ours(main.load(place))
    assert {name: ours.get(name) for name in theirs} == theirs


@pytest.mark.skipif(not DOCKER, reason="needs Docker's client, version 28 or newer")
def test_no_command_of_docker_is_unknown() -> None:
    """Each is in the table, or said by name not to be there."""
    said = subprocess.run([DOCKER, "--help"], capture_output=True, text=True).stdout
    names = re.findall(r"^  (\w+) +[A-Z]", said, re.MULTILINE)
    assert len(names) > 40
    assert [name for name in names if name not in {*main.PLAIN, *main.GROUPS, *main.ABSENT}] == []


def test_every_command_says_what_it_is() -> None:
    for _, place in COMMANDS:
        command = main.load(place)
        assert command.about
        assert all(flag.about for flag in command.flags)
