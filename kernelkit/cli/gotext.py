"""How Go prints a value: `map[a:1]`, `[a b]`, `<no value>`, and its printf."""

from __future__ import annotations

from kernelkit.cli import jsontext

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def text(value: Any) -> str:
    """A value as `%v` prints it."""
    if value is None:
        return "<no value>"
    return _inner(value)


def _inner(value: Any) -> str:
    if value is None:
        return "<nil>"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return value
    if isinstance(value, float):
        return f"{int(value)}" if value.is_integer() and abs(value) < 1e21 else f"{value!r}"
    if isinstance(value, dict):
        printed = getattr(value, "printed", None)
        if printed:
            return "{" + " ".join(_inner(one) for one in printed()) + "}"
        return "map[" + " ".join(f"{key}:{_inner(one)}" for key, one in sorted(value.items())) + "]"
    if isinstance(value, list | tuple):
        return "[" + " ".join(_inner(one) for one in value) + "]"
    return str(value)


def truth(value: Any) -> bool:
    """Whether a value counts as true: everything but false, zero, nil and the empty."""
    return bool(value)


def type_name(value: Any) -> str:
    """The name of a value's type, as Go's messages have it."""
    if value is None:
        return "interface {}"
    if isinstance(value, bool):
        return "bool"
    names = {str: "string", int: "int", float: "float64", dict: "map[string]interface {}", list: "[]interface {}"}
    return next((name for kind, name in names.items() if isinstance(value, kind)), type(value).__name__)


def json(value: Any) -> str:
    """A value as JSON; a row of a list with sorted keys and escaped for the web, as Docker does it."""
    as_plain = getattr(value, "as_plain", None)
    return jsontext.encode_for_web(as_plain(), sort=True) if as_plain else jsontext.encode(value)


def print_text(*values: Any) -> str:
    """Values next to each other, a space between two that are no strings."""
    out = ""
    for i, value in enumerate(values):
        if i and not isinstance(value, str) and not isinstance(values[i - 1], str):
            out += " "
        out += text(value)
    return out


def html(content: str) -> str:
    """Text with the five characters of HTML escaped."""
    for plain, escaped in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ('"', "&#34;"), ("'", "&#39;")):
        content = content.replace(plain, escaped)
    return content


def url_query(content: str) -> str:
    """Text for a URL's query."""
    from kernelkit.cli.http import quote  # one function of templates, hardly ever used

    return quote(content)


def printf(form: str, *values: Any) -> str:
    """Go's Sprintf: %s %v %q %d %x %o %b %t %f %g %e %c %%, with flags, width and precision."""
    out: list[str] = []
    rest = list(values)
    i = 0
    while i < len(form):
        if form[i] != "%":
            out.append(form[i])
            i += 1
            continue
        end = i + 1
        while end < len(form) and form[end] in "+-# 0123456789.":
            end += 1
        flags, verb = form[i + 1 : end], form[end : end + 1]
        i = end + 1
        if verb == "%":
            out.append("%")
        elif not verb:
            out.append("%!(NOVERB)")
        elif not rest:
            out.append(f"%!{verb}(MISSING)")
        else:
            out.append(_verb(flags, verb, rest.pop(0)))
    if rest:
        extra = ", ".join(f"{type_name(value)}={text(value)}" for value in rest)
        out.append(f"%!(EXTRA {extra})")
    return "".join(out)


def _verb(flags: str, verb: str, value: Any) -> str:
    if verb in "sv":
        return f"%{flags}s" % _inner(value)
    if verb == "q":
        return f"%{flags}s" % jsontext.encode(_inner(value))
    if verb == "t" and isinstance(value, bool):
        return f"%{flags}s" % _inner(value)
    if verb in "dxXoc" and isinstance(value, int):
        return f"%{flags}{verb}" % value
    if verb == "b" and isinstance(value, int):
        return f"%{flags}s" % format(value, "b")
    if verb in "eEfFgG" and isinstance(value, int | float):
        return f"%{flags}{verb}" % value
    if verb in "xX" and isinstance(value, str):
        return f"%{flags}s" % value.encode().hex()
    return f"%!{verb}({type_name(value)}={text(value)})"
