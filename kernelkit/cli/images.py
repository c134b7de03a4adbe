"""`image ls` (`images`), `rm` (`rmi`), `tag` and `history`."""

from __future__ import annotations

from kernelkit.cli import human
from kernelkit.cli.connect import connect
from kernelkit.cli.flags import BOOL, FILTER, STRING, STRINGS, Command, Flag
from kernelkit.cli.http import ApiError
from kernelkit.cli.jsontext import encode
from kernelkit.cli.names import check, familiar, platform_json, split
from kernelkit.cli.output import Failure, complain, say
from kernelkit.cli.preferences import form_of
from kernelkit.cli.table import FORMAT_HELP, Column, print_list
from kernelkit.cli.values import filters

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from kernelkit.cli.flags import Options

NONE = "<none>"
NOT_KNOWN = "N/A"
LONGEST_STEP = 45  # characters of a history's CREATED BY


def ls(options: Options) -> int:
    """Print the images, one line for each of their names."""
    if options.on("tree"):
        raise Failure("'--tree' is not there: an image here has one platform, and so a tree of one leaf")
    client = connect()
    conditions = filters(options.many("filter"))
    if options.arguments:
        conditions.setdefault("reference", {})[options.arguments[0]] = True
    form, quiet = form_of(options, "imagesFormat"), options.on("quiet")
    query: dict[str, Any] = {"all": options.on("all"), "filters": encode(conditions, sort=True) if conditions else None}
    images = client.get("/images/json", query)
    digests = options.on("digests")
    rows = [
        row for image in images for row in _rows(image, digests=digests, with_digest=digests or "{{.Digest}}" in form)
    ]
    columns = columns_of(whole=options.on("no-trunc"), digests=digests)
    table = "{{.Repository}}\t{{.Tag}}\t" + ("{{.Digest}}\t" if digests else "")
    table += "{{.ID}}\t{{if .CreatedSince }}{{.CreatedSince}}{{else}}N/A{{end}}\t{{.Size}}"
    if quiet and form in ("", "table"):
        form = "{{.ID}}"
    print_list(rows, columns, form, table, "formatter.imageContext")
    return 0


def _rows(image: dict[str, Any], *, digests: bool, with_digest: bool) -> list[dict[str, Any]]:
    """An image once for each of its names: `{repository, tag, digest, image}`."""
    tags, by_digest = _by_repository(image.get("RepoTags")), _by_repository(image.get("RepoDigests"))
    rows: list[tuple[str, str, str]] = []
    for repository, names in tags.items():
        own = by_digest.pop(repository, [])
        rows += [(repository, tag, digest) for tag in names for digest in (own if with_digest else []) or [NONE]]
    for repository, values in by_digest.items():
        rows += [(repository, NONE, digest) for digest in (values if digests else [""])]
    rows = rows or [(NONE, NONE, NONE)]
    return [{"repository": r, "tag": t, "digest": d, "image": image} for r, t, d in rows]


def _by_repository(names: list[str] | None) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name in names or []:
        if name in (f"{NONE}:{NONE}", f"{NONE}@{NONE}"):
            continue
        repository, tag = split(name)
        found.setdefault(familiar(repository), []).append(tag)
    return found


def columns_of(*, whole: bool, digests: bool = False) -> dict[str, Column]:
    """The columns of an image's row; `whole` leaves IDs uncut."""

    def unknown(value: Any, show: Any = str) -> str:
        return NOT_KNOWN if value in (None, -1) else str(show(value))

    return {
        "ID": Column("IMAGE ID", lambda r: r["image"]["Id"] if whole else human.short_id(r["image"]["Id"])),
        "Repository": Column("REPOSITORY", lambda r: r["repository"]),
        "Tag": Column("TAG", lambda r: r["tag"]),
        "Digest": Column("DIGEST", lambda r: r["digest"]),
        "CreatedSince": Column(
            "CREATED", lambda r: human.ago(r["image"]["Created"]) if r["image"]["Created"] > 0 else ""
        ),
        "CreatedAt": Column("CREATED AT", lambda r: human.stamp(r["image"]["Created"])),
        "Size": Column("SIZE", lambda r: human.size(r["image"]["Size"])),
        "Containers": Column("CONTAINERS", lambda r: unknown(r["image"].get("Containers"))),
        "SharedSize": Column("SHARED SIZE", lambda r: unknown(r["image"].get("SharedSize"), _size)),
        "UniqueSize": Column("UNIQUE SIZE", lambda r: _unique(r["image"])),
        "VirtualSize": Column("VIRTUAL SIZE", lambda r: _size(r["image"]["Size"])),
    }


def _size(count: int) -> str:
    return human.size(count, 4)


def _unique(image: dict[str, Any]) -> str:
    shared = image.get("SharedSize")
    return NOT_KNOWN if shared in (None, -1) else _size(image["Size"] - shared)


def rm(options: Options) -> int:
    """Remove names of images, and the images when no name is left; says what went."""
    client = connect()
    query: dict[str, Any] = {"force": options.on("force"), "noprune": options.on("no-prune")}
    if options.many("platform"):
        query["platforms"] = [platform_json(text) for text in options.many("platform")]
    problems: list[str] = []
    forgiven = options.on("force")
    for name in options.arguments:
        try:
            for change in client.delete(f"/images/{name}", query) or []:
                say(f"Deleted: {change['Deleted']}" if change.get("Deleted") else f"Untagged: {change['Untagged']}")
        except ApiError as error:
            problems.append(error.message)
            forgiven = forgiven and error.status == 404
    if problems and not forgiven:
        raise Failure("\n".join(problems))
    if problems:
        complain("\n".join(problems))
    return 0


def tag(options: Options) -> int:
    """Give an image another name."""
    source, target = options.arguments
    for name in (source, target):
        try:
            check(name)
        except ValueError as error:
            raise Failure(f'Error parsing reference: "{name}" is not a valid repository/tag: {error}') from None
    repository, new = split(target)
    if ":" in new:
        raise Failure("refusing to create a tag with a digest reference")
    connect().post(f"/images/{source}/tag", {"repo": repository, "tag": new or "latest"})
    return 0


def history(options: Options) -> int:
    """Print how an image was made, the last step first."""
    client = connect()
    query = {"platform": platform_json(options.text("platform"))} if options.text("platform") else None
    steps = client.get(f"/images/{options.arguments[0]}/history", query)
    form, whole, kind = options.text("format"), options.on("no-trunc"), options.on("human")
    if options.on("quiet") and form in ("", "table"):
        form = "{{.ID}}"
    table = "{{.ID}}\t{{.CreatedSince}}\t{{.CreatedBy}}\t{{.Size}}\t{{.Comment}}"
    print_list(steps, history_columns(whole=whole, plain=not kind), form, table, "formatter.historyContext")
    return 0


def history_columns(*, whole: bool, plain: bool) -> dict[str, Column]:
    """The columns of a history's step; `plain` gives sizes in bytes and moments as dates."""

    def by(step: dict[str, Any]) -> str:
        text = step["CreatedBy"].replace("\t", " ")
        return text if whole else human.ellipsis(text, LONGEST_STEP)

    def since(step: dict[str, Any]) -> str:
        if plain:
            return human.rfc3339(step["Created"])
        return human.ago(step["Created"]) if step["Created"] > 0 else NOT_KNOWN

    return {
        "ID": Column("IMAGE", lambda s: s["Id"] if whole else human.short_id(s["Id"])),
        "CreatedSince": Column("CREATED AT" if plain else "CREATED", since),
        "CreatedAt": Column("CREATED AT", lambda s: human.rfc3339(s["Created"])),
        "CreatedBy": Column("CREATED BY", by),
        "Size": Column("SIZE", lambda s: str(s["Size"]) if plain else human.size(s["Size"])),
        "Comment": Column("COMMENT", lambda s: s["Comment"]),
    }


LS = Command(
    ls,
    "[OPTIONS] [REPOSITORY[:TAG]]",
    "List images",
    (
        Flag("all", BOOL, "Show all images (by default intermediate ones are hidden)", "a"),
        Flag("digests", BOOL, "Show digests"),
        Flag("filter", FILTER, "Show only those that meet a condition", "f"),
        Flag("format", STRING, FORMAT_HELP),
        Flag("no-trunc", BOOL, "Do not shorten anything"),
        Flag("quiet", BOOL, "Show only image IDs", "q"),
        Flag("tree", BOOL, "List images of several platforms as a tree"),
    ),
    most=1,
)
RM = Command(
    rm,
    "[OPTIONS] IMAGE [IMAGE...]",
    "Remove one or more images",
    (
        Flag("force", BOOL, "Force removal of the image", "f"),
        Flag("no-prune", BOOL, "Do not delete untagged parents"),
        Flag("platform", STRINGS, "Remove only the variant of this platform (os[/arch[/variant]])"),
    ),
    least=1,
    most=None,
)
TAG = Command(
    tag,
    "SOURCE_IMAGE[:TAG] TARGET_IMAGE[:TAG]",
    "Create a tag TARGET_IMAGE that refers to SOURCE_IMAGE",
    least=2,
    most=2,
)
HISTORY = Command(
    history,
    "[OPTIONS] IMAGE",
    "Show the history of an image",
    (
        Flag("format", STRING, FORMAT_HELP),
        Flag("human", BOOL, "Print sizes and dates for people", "H", default=True),
        Flag("no-trunc", BOOL, "Do not shorten anything"),
        Flag("platform", STRING, "Show the history of this platform (os[/arch[/variant]])"),
        Flag("quiet", BOOL, "Show only image IDs", "q"),
    ),
    least=1,
    most=1,
)
