"""The grammar of flags, which is that of Docker's commands."""

from __future__ import annotations

import pytest

from kernelkit.cli.flags import BOOL, INT, LIST, STRING, STRINGS, Command, Flag, HelpWanted, Options, WrongUsage, parse

FLAGS = (
    Flag("all", BOOL, "", "a"),
    Flag("env", LIST, "", "e"),
    Flag("last", INT, "", "n", -1),
    Flag("name", STRING, ""),
    Flag("quiet", BOOL, "", "q"),
    Flag("sig-proxy", BOOL, "", default=True),
    Flag("subnet", STRINGS, ""),
)


def read(*words: str, interspersed: bool = True) -> Options:
    return parse(Command(lambda _: 0, "", "", FLAGS, most=None, interspersed=interspersed), list(words))


@pytest.mark.parametrize("words", [["--name", "x"], ["--name=x"]])
def test_a_value_follows_or_is_glued(words: list[str]) -> None:
    assert read(*words).text("name") == "x"


@pytest.mark.parametrize("words", [["-n", "5"], ["-n5"], ["-n=5"], ["-aqn5"], ["-aq", "-n", "0x5"]])
def test_short_flags_may_be_bundled(words: list[str]) -> None:
    assert read(*words).number("last") == 5


def test_switches_take_a_value_only_after_an_equals_sign() -> None:
    options = read("--sig-proxy=false", "--all", "false")
    assert not options.on("sig-proxy")
    assert options.on("all")
    assert options.arguments == ["false"]


def test_lists_keep_order_and_commas_separate_only_where_they_should() -> None:
    options = read("-e", "A=1,2", "-e", "B", "--subnet", "10.0.0.0/8,10.1.0.0/16", "--subnet", "x")
    assert options.many("env") == ["A=1,2", "B"]
    assert options.many("subnet") == ["10.0.0.0/8", "10.1.0.0/16", "x"]


def test_two_dashes_end_the_flags() -> None:
    assert read("-a", "--", "-q", "--name").arguments == ["-q", "--name"]


def test_a_command_for_another_program_is_left_alone() -> None:
    options = read("-a", "busybox", "ls", "-q", interspersed=False)
    assert options.arguments == ["busybox", "ls", "-q"]
    assert not options.on("quiet")


def test_what_was_given_can_be_told_from_what_was_not() -> None:
    assert read("--name", "").given == {"name"}
    assert read().number("last") == -1


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--nope"], "unknown flag: --nope"),
        (["-z"], "unknown shorthand flag: 'z' in -z"),
        (["-az"], "unknown shorthand flag: 'z' in -z"),
        (["--name"], "flag needs an argument: --name"),
        (["-n"], "flag needs an argument: 'n' in -n"),
        (["--last=x"], 'invalid argument "x" for "-n, --last" flag: strconv.ParseInt: parsing "x": invalid syntax'),
        (
            ["--all=maybe"],
            'invalid argument "maybe" for "-a, --all" flag: strconv.ParseBool: parsing "maybe": invalid syntax',
        ),
        (["---x"], "bad flag syntax: ---x"),
    ],
)
def test_what_cannot_be_understood_is_said_in_docker_s_words(words: list[str], said: str) -> None:
    with pytest.raises(WrongUsage) as wrong:
        read(*words)
    assert wrong.value.message == said
    assert wrong.value.code == 125


@pytest.mark.parametrize("words", [["--help"], ["-h"], ["--name", "x", "--help", "y"]])
def test_help_is_asked_for_anywhere_among_the_flags(words: list[str]) -> None:
    with pytest.raises(HelpWanted):
        read(*words)
