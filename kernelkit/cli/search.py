"""`search`: refused by the engine in its own words; registries have no common way to be searched."""

from __future__ import annotations

from kernelkit.cli import human
from kernelkit.cli.connect import connect
from kernelkit.cli.flags import BOOL, FILTER, INT, STRING, Command, Flag
from kernelkit.cli.jsontext import encode
from kernelkit.cli.table import FORMAT_HELP, Column, print_list
from kernelkit.cli.values import filters

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from kernelkit.cli.flags import Options

TABLE = "{{.Name}}\t{{.Description}}\t{{.StarCount}}\t{{.IsOfficial}}"
LONGEST_DESCRIPTION = 45


def search(options: Options) -> int:
    """Print what the engine finds."""
    conditions = filters(options.many("filter"))
    query: dict[str, Any] = {
        "term": options.arguments[0],
        "limit": options.number("limit") or None,
        "filters": encode(conditions, sort=True) if conditions else None,
    }
    found = connect().get("/images/search", query)
    whole = options.on("no-trunc")
    columns = {
        "Name": Column("NAME", lambda r: r["name"]),
        "Description": Column("DESCRIPTION", lambda r: _description(r, whole=whole)),
        "StarCount": Column("STARS", lambda r: str(r["star_count"])),
        "IsOfficial": Column("OFFICIAL", lambda r: "[OK]" if r["is_official"] else ""),
    }
    print_list(found, columns, options.text("format"), TABLE, "search.searchContext")
    return 0


def _description(result: dict[str, Any], *, whole: bool) -> str:
    text = result["description"].replace("\n", " ").replace("\r", " ")
    return text if whole else human.ellipsis(text, LONGEST_DESCRIPTION)


SEARCH = Command(
    search,
    "[OPTIONS] TERM",
    "Search Docker Hub for images",
    (
        Flag("filter", FILTER, "Show only those that meet a condition", "f"),
        Flag("format", STRING, FORMAT_HELP),
        Flag("limit", INT, "Max number of search results"),
        Flag("no-trunc", BOOL, "Do not shorten anything"),
    ),
    least=1,
    most=1,
)
