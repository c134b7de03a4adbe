"""The tree of a template, and what Go says of a text that has none."""

from __future__ import annotations

import pytest

from kernelkit.cli.template_lexer import TemplateError
from kernelkit.cli.template_parser import parse

X, Y = ("field", ["X"], 5), ("field", ["Y"], 19)


def test_an_action_prints_a_pipe_of_commands() -> None:
    assert parse("a{{.A | json}}") == [("text", "a"), ("print", [[("field", ["A"], 3)], [("call", "json")]])]


def test_parentheses_are_an_operand() -> None:
    nested = ("nested", [[("call", "json"), ("dot",)]], [])
    assert parse("{{len (json .)}}") == [("print", [[("call", "len"), nested]])]


def test_a_branch_holds_both_ways() -> None:
    assert parse("{{if .X}}a{{else}}b{{end}}") == [("if", [[X]], [("text", "a")], [("text", "b")], [])]


def test_else_if_is_a_branch_in_the_other_way_and_shares_its_end() -> None:
    other = ("if", [[Y]], [], [("text", "b")], [])
    assert parse("{{if .X}}{{else if .Y}}{{else}}b{{end}}") == [("if", [[X]], [], [other], [])]


def test_variables_are_declared_and_set() -> None:
    assert parse("{{$a := 1}}") == [("set", "$a", [[("literal", 1)]])]
    assert parse("{{range $i, $e := .}}{{end}}") == [("range", [[("dot",)]], [], [], ["$i", "$e"])]


@pytest.mark.parametrize(
    ("template", "said"),
    [
        ("{{.Name", "unclosed action"),
        ("{{}}", "missing value for command"),
        ("{{.A | }}", "missing value for command"),
        ("{{nope .Name}}", 'function "nope" not defined'),
        ("{{if .Name}}x", "unexpected EOF"),
        ("{{end}}", "unexpected {{end}}"),
        ("{{if .A}}{{else range .B}}{{end}}", "unexpected word after {{else}}"),
        ("{{len (json .}}", "unclosed left paren"),
        ("{{len )}}", 'unexpected ")" in operand'),
        ("{{template 1}}", "{{template}} is not understood here"),
    ],
)
def test_what_is_wrong_is_said_as_go_says_it(template: str, said: str) -> None:
    with pytest.raises(TemplateError) as wrong:
        parse(template)
    assert str(wrong.value) == f"template: :1: {said}"
