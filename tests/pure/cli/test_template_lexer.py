"""A template's text, cut into what is plain and the words of its actions."""

from __future__ import annotations

import pytest

from kernelkit.cli.template_lexer import TemplateError, split, tokens


def test_text_and_code_take_turns_and_code_knows_its_column() -> None:
    assert split("a {{.Name}}b") == [(False, "a ", 0), (True, ".Name", 4), (False, "b", 11)]


def test_a_minus_eats_the_white_space_on_its_side() -> None:
    assert [piece for _, piece, _ in split("a \n{{- .X -}}\t b")] == ["a", " .X ", "b"]
    assert [piece for _, piece, _ in split("a {{-1}}")] == ["a ", "-1"]


def test_comments_are_gone() -> None:
    assert split("{{/* nobody reads this */}}") == []


def test_braces_in_quotes_close_nothing() -> None:
    assert split('{{print "}}"}}') == [(True, 'print "}}"', 2)]


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (".", [("dot",)]),
        (".A.B", [("field", ["A", "B"], 0)]),
        ("$", [("variable", "$", [])]),
        ("$x.A", [("variable", "$x", ["A"])]),
        ("$x := 1", [("variable", "$x", []), ("op", ":="), ("literal", 1)]),
        ("json .A | upper", [("name", "json"), ("field", ["A"], 5), ("op", "|"), ("name", "upper")]),
        ("(index .A 0).B", [
            ("op", "("), ("name", "index"), ("field", ["A"], 7), ("literal", 0), ("op", ")"), ("of", ["B"])
        ]),
        ("true false nil", [("literal", True), ("literal", False), ("literal", None)]),
        ("-7 0x10 1.5 2e-3", [("literal", -7), ("literal", 16), ("literal", 1.5), ("literal", 0.002)]),
        (r'"a\t\"\x41\u00e9"', [("literal", 'a\t"Aé')]),
        (r"`a\t`", [("literal", r"a\t")]),
        ("'a'", [("literal", 97)]),
    ],
)  # fmt: skip
def test_the_words_of_an_action(code: str, words: list[object]) -> None:
    assert tokens(code, 0) == words


@pytest.mark.parametrize(
    ("code", "said"),
    [("1x", "bad number syntax: '1x'"), ("%", "unexpected '%' in command"), ('"a', "unterminated quoted string")],
)
def test_what_is_no_word_is_named(code: str, said: str) -> None:
    with pytest.raises(TemplateError, match=said):
        tokens(code, 0)
