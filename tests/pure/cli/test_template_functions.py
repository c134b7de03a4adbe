"""What a template's functions answer, and which arguments they refuse."""

from __future__ import annotations

from typing import Any

import pytest

from kernelkit.cli.template_functions import FUNCTIONS


@pytest.mark.parametrize(
    ("name", "arguments", "answer"),
    [
        ("not", (0,), True),
        ("len", ("é",), 2),  # Go counts bytes
        ("len", (None,), 0),
        ("index", ({"a": ["x", "y"]}, "a", 1), "y"),
        ("index", ("ab", 0), 97),
        ("index", ({"a": "1"}, "b"), ""),
        ("slice", ("abcd", 1, 3), "bc"),
        ("eq", (1, 2, 1), True),
        ("ne", ("a", "b"), True),
        ("lt", (1, 2.5), True),
        ("ge", ("b", "b"), True),
        ("println", ("a", 1), "a 1\n"),
        ("split", ("a,b", ","), ["a", "b"]),
        ("split", ("ab", ""), ["a", "b"]),
        ("join", (None, ","), ""),
        ("title", ("a bc-d",), "A Bc-D"),
        ("pad", ("", 1, 1), ""),
        ("pad", ("x", 1, 2), " x  "),
        ("truncate", ("abc", 2), "ab"),
    ],
)
def test_a_function_answers(name: str, arguments: tuple[Any, ...], answer: object) -> None:
    assert FUNCTIONS[name](*arguments) == answer


@pytest.mark.parametrize(
    ("name", "arguments", "said"),
    [
        ("len", (1,), "len of type int"),
        ("index", ([1], 1), "index out of range: 1"),
        ("index", ([1], "a"), "cannot index slice/array with type string"),
        ("index", (None, 1), "index of untyped nil"),
        ("slice", ("ab", 3), "index out of range: 3"),
        ("slice", ("ab", 2, 1), "invalid slice index: 2 > 1"),
        ("eq", (1, "1"), "incompatible types for comparison"),
        ("lt", (None, 1), "incompatible types for comparison"),
        ("eq", (1,), "missing argument for comparison"),
    ],
)
def test_a_function_refuses_what_go_refuses(name: str, arguments: tuple[Any, ...], said: str) -> None:
    with pytest.raises(ValueError) as wrong:
        FUNCTIONS[name](*arguments)
    assert str(wrong.value) == said
