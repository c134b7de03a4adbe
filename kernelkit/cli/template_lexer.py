"""Cuts a template into what is plain text and the words of its actions (Go's text/template/parse, lex.go)."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

SPACE = " \t\r\n"


class TemplateError(ValueError):
    """The template cannot be read, or asks for something that is not there."""


def split(text: str) -> list[tuple[bool, str, int]]:
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


def tokens(code: str, column: int) -> list[Any]:
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
