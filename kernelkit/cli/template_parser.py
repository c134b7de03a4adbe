"""Makes a tree of a template's text (Go's text/template/parse, parse.go).

A node of the tree is a tuple whose first element says what it is:

    ("text", str)  ("print", pipe)  ("if" | "with" | "range", pipe, body, otherwise, variables)  ("set", name, pipe)

A pipe is a list of commands, a command a list of operands; an operand is

    ("dot",)  ("field", [names], column)  ("variable", name, [names])  ("literal", value)  ("call", name)
    ("nested", pipe, names)
"""

from __future__ import annotations

from kernelkit.cli.template_functions import FUNCTIONS
from kernelkit.cli.template_lexer import TemplateError, split, tokens

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

ENDS = ("end", "else")
ABSENT = ("define", "template", "block", "break", "continue")


def parse(text: str) -> list[Any]:
    """The nodes of a template; raises TemplateError in Go's words."""
    return _Parser(text).parse()


class _Parser:
    def __init__(self, text: str) -> None:
        self._pieces = split(text)
        self._at = 0

    def parse(self) -> list[Any]:
        body, end = self._body()
        if end:
            raise TemplateError(f"template: :1: unexpected {{{{{end[0]}}}}}")
        return body

    def _body(self) -> tuple[list[Any], list[Any] | None]:
        """Nodes up to the end of the text, or up to an `end` or `else`, whose words are returned as well."""
        body: list[Any] = []
        while self._at < len(self._pieces):
            is_code, piece, column = self._pieces[self._at]
            self._at += 1
            if not is_code:
                body.append(("text", piece))
                continue
            words = tokens(piece, column)
            if not words:
                raise TemplateError("template: :1: missing value for command")
            head = words[0][1] if words[0][0] == "name" else ""
            if head in ENDS:
                return body, [head, words[1:]]
            if head in ("if", "with", "range"):
                body.append(self._branch(head, words[1:]))
            elif head in ABSENT:
                raise TemplateError(f"template: :1: {{{{{head}}}}} is not understood here")
            else:
                body.append(self._action(words))
        return body, None

    def _branch(self, kind: str, words: list[Any]) -> Any:
        variables, words = _declared(words)
        pipe = _pipe(words)
        body, end = self._body()
        otherwise: list[Any] = []
        if end and end[0] == "else" and end[1]:
            # `else if` opens a branch of its own, and shares its end with this one.
            head = end[1][0][1] if end[1][0] in (("name", "if"), ("name", "with")) else ""
            if not head:
                raise TemplateError("template: :1: unexpected word after {{else}}")
            return (kind, pipe, body, [self._branch(head, end[1][1:])], variables)
        if end and end[0] == "else":
            otherwise, end = self._body()
        if not end:
            raise TemplateError("template: :1: unexpected EOF")
        return (kind, pipe, body, otherwise, variables)

    def _action(self, words: list[Any]) -> Any:
        variables, rest = _declared(words)
        return ("set", variables[0], _pipe(rest)) if variables else ("print", _pipe(rest))


def _declared(words: list[Any]) -> tuple[list[str], list[Any]]:
    """The variables of `$k, $v := pipe` or `$x = pipe`, and the rest."""
    for i, word in enumerate(words):
        if word in (("op", ":="), ("op", "=")):
            return [one[1] for one in words[:i] if one[0] == "variable"], words[i + 1 :]
    return [], words


def _pipe(words: list[Any]) -> list[Any]:
    commands: list[Any] = [[]]
    i = 0
    while i < len(words):
        word = words[i]
        if word == ("op", "|"):
            commands.append([])
        elif word == ("op", "("):
            depth, j = 1, i + 1
            while j < len(words) and depth:
                depth += (words[j] == ("op", "(")) - (words[j] == ("op", ")"))
                j += 1
            if depth:
                raise TemplateError("template: :1: unclosed left paren")
            names = words[j][1] if j < len(words) and words[j][0] == "of" else []
            commands[-1].append(("nested", _pipe(words[i + 1 : j - 1]), names))
            i = j + (1 if names else 0)
            continue
        elif word[0] == "op":
            raise TemplateError(f'template: :1: unexpected "{word[1]}" in operand')
        elif word[0] == "name":
            if word[1] not in FUNCTIONS and word[1] not in ("and", "or"):
                raise TemplateError(f'template: :1: function "{word[1]}" not defined')
            commands[-1].append(("call", word[1]))
        else:
            commands[-1].append(word)
        i += 1
    if not all(commands):
        raise TemplateError("template: :1: missing value for command")
    return commands
