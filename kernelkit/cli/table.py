"""Lists of things as Docker prints them: a table, a template for each, or JSON for each.

A list declares its columns once (heading → function of a row); every form of `--format` is made from them.
"""

from __future__ import annotations

from kernelkit.cli import jsontext
from kernelkit.cli.output import Failure, write
from kernelkit.cli.template import Fields, Template, TemplateError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from typing import Any

PADDING, NARROWEST = 3, 10
BAD_TEMPLATE = ("template parsing error", "template parsing error")
FORMAT_HELP = (
    "Format output using a custom template:\n"
    "'table': print a table with column headings (default)\n"
    "'table TEMPLATE': print a table with the given Go template\n"
    "'json': print JSON\n"
    "'TEMPLATE': print with the given Go template"
)


class Column:
    """A column: the heading it has in a table, and how a row fills it."""

    __slots__ = ("heading", "value")

    def __init__(self, heading: str, value: Callable[..., Any]) -> None:
        self.heading = heading
        self.value = value


class Row(Fields):
    """A row as a template sees it: `{{.Name}}` is the column of that name."""

    def __init__(self, columns: Mapping[str, Column], item: Any, type_name: str) -> None:
        self._columns = columns
        self._item = item
        self.type_name = type_name

    def field(self, name: str, *arguments: Any) -> Any:
        """The value of a column; a column that takes arguments is a method, such as `{{.Label "x"}}`."""
        return self._columns[name].value(self._item, *arguments)

    def as_plain(self) -> dict[str, Any]:
        """The row as JSON has it: every column that needs no argument."""
        return {
            name: column.value(self._item) for name, column in sorted(self._columns.items()) if column.heading != "\0"
        }


class _Headings(Fields):
    """The row of headings: each column's heading in the place of its value."""

    def __init__(self, columns: Mapping[str, Column]) -> None:
        self._columns = columns

    def field(self, name: str, *arguments: Any) -> Any:
        """The heading of a column; a label's own name for `{{.Label "x"}}`."""
        if arguments:
            return _label_heading(str(arguments[0]))
        return self._columns[name].heading


def _label_heading(label: str) -> str:
    """`com.docker.swarm.node` as the heading `NODE`."""
    return label.rpartition(".")[2].replace("-", " ").replace("_", " ")


def print_list(
    items: Iterable[Any],
    columns: Mapping[str, Column],
    form: str,
    standard: str,
    type_name: str,
    *,
    headings: bool = True,
    failed: tuple[str, str] = BAD_TEMPLATE,
) -> None:
    """Print a list in the form that `--format` asks for; `standard` is the template of the table.

    Raises Failure, which begins with the words of `failed` when the template cannot be read, or not be rendered.
    """
    write(render_list(items, columns, form, standard, type_name, headings=headings, failed=failed))


def render_list(
    items: Iterable[Any],
    columns: Mapping[str, Column],
    form: str,
    standard: str,
    type_name: str,
    *,
    headings: bool = True,
    failed: tuple[str, str] = BAD_TEMPLATE,
) -> str:
    """The text that `print_list` prints."""
    form = form or "table"
    if form == "json":
        rows = (Row(columns, item, type_name).as_plain() for item in items)
        return "".join(jsontext.encode_for_web(row, sort=True) + "\n" for row in rows)
    is_table = form == "table" or form.startswith("table ")
    template = form[len("table") :].strip() if is_table else form
    template = unescape(template or standard)
    try:
        read = Template(template)
    except TemplateError as error:
        raise Failure(f"{failed[0]}: {error}") from None
    try:
        lines = [read.render(Row(columns, item, type_name)) for item in items]
        if is_table and headings:
            lines.insert(0, read.render(_Headings(columns)))
    except TemplateError as error:
        raise Failure(f"{failed[1]}: {error}") from None
    return aligned(lines) if is_table else "".join(line + "\n" for line in lines)


def unescape(template: str) -> str:
    """`\\t` and `\\n`, written as two characters on a command line, are a tab and a line's end."""
    return template.replace("\\t", "\t").replace("\\n", "\n")


def aligned(lines: Iterable[str], narrowest: int = NARROWEST, padding: int = PADDING) -> str:
    """Lines whose cells are separated by tabs, as columns: as wide as the widest cell and three spaces."""
    rows = [line.split("\t") for text in lines for line in text.split("\n")]
    out: list[str] = []
    for i, row in enumerate(rows):
        cells = [cell.ljust(max(_widest(rows, i, column) + padding, narrowest)) for column, cell in enumerate(row[:-1])]
        out.append("".join(cells) + row[-1] + "\n")
    return "".join(out)


def _widest(rows: list[list[str]], at: int, column: int) -> int:
    """The width of the widest cell of a column in the block of neighbouring lines that have this column."""
    first = last = at
    while first and len(rows[first - 1]) > column + 1:
        first -= 1
    while last + 1 < len(rows) and len(rows[last + 1]) > column + 1:
        last += 1
    return max(len(row[column]) for row in rows[first : last + 1])
