"""Go's text/template, as far as `--format` uses it.

    {{.Names}}  {{.State.Health.Status}}  {{index .Config.Labels "a"}}  {{json .}}  {{.ID | upper}}  {{printf "%s" .ID}}
    {{range $k, $v := .Map}}…{{else}}…{{end}}  {{if eq .State "running"}}…{{else if …}}…{{end}}  {{with .X}}…{{end}}
    {{$x := .ID}}  {{/* a comment */}}  {{- and -}} that eat white space

Three steps: `_tokens` cuts the text into words, `parse` makes a tree of them, `Template.render` walks it over a value.
Names follow pkg.go.dev/text/template; the functions are those and Docker's (json split join title lower upper pad
truncate println).
"""

from __future__ import annotations

from kernelkit.cli import gotext

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

SPACE = " \t\r\n"
ENDS = ("end", "else")


class TemplateError(ValueError):
    """The template cannot be read, or asks for something that is not there."""


class Fields:
    """A value whose fields are computed when a template asks: subclasses define `field`."""

    type_name = "formatter.Context"

    def field(self, name: str, *arguments: Any) -> Any:
        """The value of a field or method; raises KeyError when there is none of this name."""
        raise KeyError(name)


class Template:
    """A template that was read once and can be rendered for many values."""

    def __init__(self, text: str) -> None:
        self._body = _Parser(text).parse()

    def render(self, value: Any) -> str:
        """The text for a value. Raises TemplateError for a field that the value does not have."""
        out: list[str] = []
        _Walk(value, out).block(self._body, value)
        return "".join(out)


# The tree. A node is a tuple whose first element says what it is:
#   ("text", str)  ("print", pipe)  ("if" | "with" | "range", pipe, body, otherwise, variables)  ("set", name, pipe)
# A pipe is a list of commands, a command a list of operands; an operand is
#   ("dot",)  ("field", [names], column)  ("variable", name, [names])  ("literal", value)  ("call", name)
#   ("nested", pipe, names)


class _Parser:
    def __init__(self, text: str) -> None:
        self._text = text
        self._pieces = _split(text)
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
            words = _tokens(piece, column)
            if not words:
                raise TemplateError("template: :1: missing value for command")
            head = words[0][1] if words[0][0] == "name" else ""
            if head in ENDS:
                return body, [head, words[1:]]
            if head in ("if", "with", "range"):
                body.append(self._branch(head, words[1:]))
            elif head in ("define", "template", "block", "break", "continue"):
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


def _split(text: str) -> list[tuple[bool, str, int]]:
    """(is code, content, column) for text and what stands between `{{` and `}}`, white space trimmed as `-` asks."""
    pieces: list[tuple[bool, str, int]] = []
    at, trim = 0, False
    while True:
        open_at = text.find("{{", at)
        plain = text[at:] if open_at < 0 else text[at:open_at]
        if trim:
            plain = plain.lstrip(SPACE)
        if open_at < 0:
            if plain:
                pieces.append((False, plain, at))
            return pieces
        start = open_at + 2
        if text[start : start + 1] == "-" and text[start + 1 : start + 2] in tuple(SPACE):
            plain = plain.rstrip(SPACE)
            start += 1
        if plain:
            pieces.append((False, plain, at))
        close = _close(text, start)
        code = text[start:close]
        trim = code.endswith("-") and code[-2:-1] in tuple(SPACE)
        if trim:
            code = code[:-1]
        if not code.strip(SPACE).startswith("/*"):
            pieces.append((True, code, start))
        at = close + 2


def _close(text: str, start: int) -> int:
    i = start
    while i < len(text):
        if text[i] in "\"`'":
            i = _end_of_quote(text, i)
            continue
        if text.startswith("}}", i):
            return i
        i += 1
    raise TemplateError("template: :1: unclosed action")


def _end_of_quote(text: str, start: int) -> int:
    quote, i = text[start], start + 1
    while i < len(text):
        if text[i] == "\\" and quote != "`":
            i += 2
            continue
        if text[i] == quote:
            return i + 1
        i += 1
    raise TemplateError("template: :1: unterminated quoted string")


def _tokens(code: str, column: int) -> list[Any]:
    """Words of an action: ("name", x) ("field", [x, y], column) ("variable", x, […]) ("literal", v) ("op", c)."""
    words: list[Any] = []
    i = 0
    while i < len(code):
        character = code[i]
        if character in SPACE:
            i += 1
        elif character in '"`':
            end = _end_of_quote(code, i)
            words.append(("literal", _unquote(code[i:end])))
            i = end
        elif character == "'":
            end = _end_of_quote(code, i)
            words.append(("literal", ord(_unquote('"' + code[i + 1 : end - 1] + '"'))))
            i = end
        elif code.startswith(":=", i):
            words.append(("op", ":="))
            i += 2
        elif character in "|(),=":
            words.append(("op", character))
            i += 1
        elif character == "." and (i + 1 >= len(code) or not _is_letter(code[i + 1])):
            words.append(("dot",))
            i += 1
        else:
            end = i + 1
            while end < len(code) and (_is_letter(code[end]) or (code[end] in ".+-" and _goes_on(code, i, end))):
                end += 1
            # A field right after a closing parenthesis belongs to what was in it.
            glued = character == "." and words and words[-1] == ("op", ")") and i > 0 and code[i - 1] == ")"
            words.append(("of", code[i + 1 : end].split(".")) if glued else _word(code[i:end], column + i))
            i = end
    return words


def _goes_on(code: str, start: int, at: int) -> bool:
    """A dot goes on with a path or a number; a sign only with a number's exponent."""
    if code[at] == ".":
        return not code[start].isalpha()
    return code[start].isdigit() and code[at - 1] in "eE"


def _is_letter(character: str) -> bool:
    return character.isalnum() or character == "_"


def _word(text: str, column: int) -> Any:
    if text.startswith("."):
        return ("field", text[1:].split("."), column)
    if text.startswith("$"):
        name, *names = text.split(".")
        return ("variable", name, names)
    if text in ("true", "false"):
        return ("literal", text == "true")
    if text == "nil":
        return ("literal", None)
    if text[0].isdigit() or text[0] in "+-":
        try:
            return ("literal", int(text, 0))
        except ValueError:
            pass
        try:
            return ("literal", float(text))
        except ValueError:
            raise TemplateError(f"template: :1: bad number syntax: {text!r}") from None
    if not _is_letter(text[0]):
        raise TemplateError(f"template: :1: unexpected {text!r} in command")
    return ("name", text)


def _unquote(text: str) -> str:
    if text.startswith("`"):
        return text[1:-1]
    escapes = {"n": "\n", "t": "\t", "r": "\r", "a": "\a", "b": "\b", "f": "\f", "v": "\v"}
    out, i, inside = [], 0, text[1:-1]
    while i < len(inside):
        if inside[i] != "\\":
            out.append(inside[i])
            i += 1
            continue
        letter = inside[i + 1 : i + 2]
        if letter in ("x", "u", "U"):
            digits = {"x": 2, "u": 4, "U": 8}[letter]
            out.append(chr(int(inside[i + 2 : i + 2 + digits], 16)))
            i += 2 + digits
        else:
            out.append(escapes.get(letter, letter))
            i += 2
    return "".join(out)


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


class _Walk:
    """Renders a tree: the variables that are set, and the text so far."""

    def __init__(self, root: Any, out: list[str]) -> None:
        self._variables: dict[str, Any] = {"$": root}
        self._out = out

    def block(self, nodes: list[Any], dot: Any) -> None:
        for node in nodes:
            kind = node[0]
            if kind == "text":
                self._out.append(node[1])
            elif kind == "print":
                self._out.append(gotext.text(self._pipe(node[1], dot)))
            elif kind == "set":
                self._variables[node[1]] = self._pipe(node[2], dot)
            elif kind == "range":
                self._range(node, dot)
            else:
                self._choice(node, dot)

    def _choice(self, node: Any, dot: Any) -> None:
        kind, pipe, body, otherwise, variables = node
        value = self._pipe(pipe, dot)
        if variables:
            self._variables[variables[0]] = value
        if gotext.truth(value):
            self.block(body, value if kind == "with" else dot)
        else:
            self.block(otherwise, dot)

    def _range(self, node: Any, dot: Any) -> None:
        _, pipe, body, otherwise, variables = node
        value = self._pipe(pipe, dot)
        pairs: list[tuple[Any, Any]]
        if isinstance(value, dict):
            pairs = sorted(value.items())
        elif isinstance(value, int) and not isinstance(value, bool):
            pairs = [(i, i) for i in range(value)]
        elif isinstance(value, list | tuple | str):
            pairs = list(enumerate(value))
        elif value is None:
            pairs = []
        else:
            raise TemplateError(f"template: :1: range can't iterate over {gotext.text(value)}")
        for key, one in pairs:
            if len(variables) == 2:
                self._variables[variables[0]], self._variables[variables[1]] = key, one
            elif variables:
                self._variables[variables[0]] = one
            self.block(body, one)
        if not pairs:
            self.block(otherwise, dot)

    def _pipe(self, commands: list[Any], dot: Any) -> Any:
        value: Any = None
        for i, command in enumerate(commands):
            value = self._command(command, dot, [value] if i else [])
        return value

    def _command(self, command: list[Any], dot: Any, piped: list[Any]) -> Any:
        head, *rest = command
        if head[0] == "call":
            if head[1] in ("and", "or"):
                return self._short_cut(head[1], rest, dot, piped)
            arguments = [self._operand(one, dot) for one in rest] + piped
            try:
                return FUNCTIONS[head[1]](*arguments)
            except TemplateError:
                raise
            except (TypeError, ValueError, IndexError, KeyError) as error:
                raise TemplateError(
                    f'template: :1: executing "" at <{head[1]}>: error calling {head[1]}: {error}'
                ) from None
        if head[0] == "field" and (rest or piped):
            return self._path(dot, head[1], head[2], [self._operand(one, dot) for one in rest] + piped)
        if rest or piped:
            raise TemplateError(f"template: :1: can't give argument to non-function {_said(head)}")
        return self._operand(head, dot)

    def _short_cut(self, name: str, rest: list[Any], dot: Any, piped: list[Any]) -> Any:
        value: Any = None
        for one in rest:
            value = self._operand(one, dot)
            if gotext.truth(value) == (name == "or"):
                return value
        return piped[0] if piped else value

    def _operand(self, operand: Any, dot: Any) -> Any:
        kind = operand[0]
        if kind == "dot":
            return dot
        if kind == "field":
            return self._path(dot, operand[1], operand[2], [])
        if kind == "literal":
            return operand[1]
        if kind == "variable":
            if operand[1] not in self._variables:
                raise TemplateError(f'template: :1: undefined variable "{operand[1]}"')
            return self._path(self._variables[operand[1]], operand[2], 0, [])
        if kind == "nested":
            return self._path(self._pipe(operand[1], dot), operand[2], 0, [])
        return FUNCTIONS[operand[1]]()

    def _path(self, value: Any, names: list[str], column: int, arguments: list[Any]) -> Any:
        for i, name in enumerate(names):
            last = i == len(names) - 1
            try:
                value = _field(value, name, arguments if last else [])
            except KeyError as error:
                path = "." + ".".join(names)
                # Go puts the error of a path with several names at its second one.
                where = column + (len(names[0]) + 1 if len(names) > 1 else 0)
                raise TemplateError(f'template: :1:{where}: executing "" at <{path}>: {error.args[0]}') from None
        return value


def _field(value: Any, name: str, arguments: list[Any]) -> Any:
    if isinstance(value, Fields):
        try:
            return value.field(name, *arguments)
        except KeyError:
            raise KeyError(f"can't evaluate field {name} in type *{value.type_name}") from None
        except TypeError:
            wanted = 0 if arguments else 1
            raise KeyError(f"wrong number of args for {name}: want {wanted} got {len(arguments)}") from None
    if isinstance(value, dict):
        if name in value:
            return value[name]
        raise KeyError(f'map has no entry for key "{name}"')
    if value is None:
        raise KeyError(f'nil data; no entry for key "{name}"')
    raise KeyError(f"can't evaluate field {name} in type {gotext.type_name(value)}")


def _said(operand: Any) -> str:
    return "." + ".".join(operand[1]) if operand[0] == "field" else str(operand[-1] if len(operand) > 1 else ".")


def _index(value: Any, *keys: Any) -> Any:
    for key in keys:
        if isinstance(value, dict):
            value = value.get(key, "" if all(isinstance(one, str) for one in value.values()) and value else None)
        elif isinstance(value, list | str):
            if not isinstance(key, int):
                raise ValueError(f"cannot index slice/array with type {gotext.type_name(key)}")
            if not 0 <= key < len(value):
                raise ValueError(f"index out of range: {key}")
            value = ord(value[key]) if isinstance(value, str) else value[key]
        else:
            raise ValueError(
                "index of untyped nil" if value is None else f"can't index item of type {gotext.type_name(value)}"
            )
    return value


def _length(value: Any) -> int:
    if value is None:
        return 0  # in Go's structs a list that is not there is an empty one
    if not isinstance(value, dict | list | str):
        raise ValueError(f"len of type {gotext.type_name(value)}")
    return len(value.encode() if isinstance(value, str) else value)


def _compare(test: Callable[[Any, Any], bool]) -> Callable[[Any, Any], bool]:
    def compare(one: Any, other: Any) -> bool:
        numbers = (int, float)
        if isinstance(one, str) != isinstance(other, str) or not isinstance(one, (str, *numbers)):
            raise ValueError("incompatible types for comparison")
        return test(one, other)

    return compare


def _equal(one: Any, *others: Any) -> bool:
    if not others:
        raise ValueError("missing argument for comparison")
    for other in others:
        if one is not None and other is not None and isinstance(one, str) != isinstance(other, str):
            raise ValueError("incompatible types for comparison")
    return any(one == other for other in others)


def _slice(value: Any, *bounds: int) -> Any:
    start = bounds[0] if bounds else 0
    end = bounds[1] if len(bounds) > 1 else len(value)
    if not 0 <= start <= end <= len(value):
        raise ValueError(f"index out of range: {end}")
    return value[start:end]


def _pad(text: str, before: int, after: int) -> str:
    return " " * before + text + " " * after if text else ""


def _truncate(text: str, length: int) -> str:
    return text[:length]


def _title(text: str) -> str:
    return "".join(c.upper() if i == 0 or not text[i - 1].isalnum() else c for i, c in enumerate(text))


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "and": lambda *values: values[-1],
    "or": lambda *values: values[-1],
    "not": lambda value: not gotext.truth(value),
    "len": _length,
    "index": _index,
    "slice": _slice,
    "eq": _equal,
    "ne": lambda one, other: not _equal(one, other),
    "lt": _compare(lambda one, other: one < other),
    "le": _compare(lambda one, other: one <= other),
    "gt": _compare(lambda one, other: one > other),
    "ge": _compare(lambda one, other: one >= other),
    "print": gotext.print_text,
    "println": lambda *values: " ".join(gotext.text(value) for value in values) + "\n",
    "printf": gotext.printf,
    "html": lambda value: gotext.html(gotext.text(value)),
    "urlquery": lambda value: gotext.url_query(gotext.text(value)),
    "json": gotext.json,
    "split": lambda text, separator: text.split(separator) if separator else list(text),
    "join": lambda texts, separator: separator.join(texts or []),
    "title": _title,
    "lower": lambda text: text.lower(),
    "upper": lambda text: text.upper(),
    "pad": _pad,
    "truncate": _truncate,
}
