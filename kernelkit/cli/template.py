"""Go's text/template, as far as `--format` uses it.

    {{.Names}}  {{.State.Health.Status}}  {{index .Config.Labels "a"}}  {{json .}}  {{.ID | upper}}  {{printf "%s" .ID}}
    {{range $k, $v := .Map}}…{{else}}…{{end}}  {{if eq .State "running"}}…{{else if …}}…{{end}}  {{with .X}}…{{end}}
    {{$x := .ID}}  {{/* a comment */}}  {{- and -}} that eat white space

Three steps, as in Go: `template_lexer` cuts the text into words, `template_parser` makes a tree of them, and here
`Template.render` walks it over a value.  What can be called stands in `template_functions`.
"""

from __future__ import annotations

from kernelkit.cli import gotext
from kernelkit.cli.template_functions import FUNCTIONS
from kernelkit.cli.template_lexer import TemplateError
from kernelkit.cli.template_parser import parse

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["Fields", "Template", "TemplateError"]


class Fields:
    """A value whose fields are computed when a template asks: subclasses define `field`."""

    type_name = "formatter.Context"

    def field(self, name: str, *arguments: Any) -> Any:
        """The value of a field or method; raises KeyError when there is none of this name."""
        raise KeyError(name)


class Template:
    """A template that was read once and can be rendered for many values."""

    def __init__(self, text: str) -> None:
        self._body = parse(text)

    def render(self, value: Any) -> str:
        """The text for a value. Raises TemplateError for a field that the value does not have."""
        out: list[str] = []
        _Walk(value, out).block(self._body, value)
        return "".join(out)


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
