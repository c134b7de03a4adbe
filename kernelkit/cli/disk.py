"""`system df`: how much of the disk images, containers and volumes take, and how much could be had back."""

from __future__ import annotations

from kernelkit.cli import containers, human, images, volumes
from kernelkit.cli.connect import connect
from kernelkit.cli.flags import BOOL, STRING, Command, Flag
from kernelkit.cli.jsontext import encode_for_web
from kernelkit.cli.names import familiar, split
from kernelkit.cli.output import write
from kernelkit.cli.table import FORMAT_HELP, Column, print_list, render_list

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from kernelkit.cli.flags import Options

    Usage = dict[str, Any]

TABLE = "{{.Type}}\t{{.TotalCount}}\t{{.Active}}\t{{.Size}}\t{{.Reclaimable}}"
IMAGES = (
    "{{.Repository}}\t{{.Tag}}\t{{.ID}}\t{{.CreatedSince}}\t{{.Size}}\t{{.SharedSize}}\t{{.UniqueSize}}"
    "\t{{.Containers}}"
)
CONTAINERS = "{{.ID}}\t{{.Image}}\t{{.Command}}\t{{.LocalVolumes}}\t{{.Size}}\t{{.RunningFor}}\t{{.Status}}\t{{.Names}}"
VOLUMES = "{{.Name}}\t{{.Links}}\t{{.Size}}"
CACHE = "{{.ID}}\t{{.CacheType}}\t{{.Size}}\t{{.CreatedSince}}\t{{.LastUsedSince}}\t{{.UsageCount}}\t{{.Shared}}"
BUSY = ("running", "paused", "restarting")


def df(options: Options) -> int:
    """Print the sums, or with `--verbose` everything one by one."""
    usage = connect().get("/system/df")
    if options.on("verbose"):
        return _verbose(usage, options.text("format"))
    rows = [_images(usage), _containers(usage), _volumes(usage), _cache(usage)]
    columns = {
        "Type": Column("TYPE", lambda r: r["type"]),
        "TotalCount": Column("TOTAL", lambda r: str(r["total"])),
        "Active": Column("ACTIVE", lambda r: str(r["active"])),
        "Size": Column("SIZE", lambda r: human.size(r["size"], 4)),
        "Reclaimable": Column("RECLAIMABLE", lambda r: r["reclaimable"]),
    }
    print_list(rows, columns, options.text("format"), TABLE, "formatter.diskUsageContext")
    return 0


def _row(name: str, total: int, active: int, size: int, reclaimable: int, *, share: bool = True) -> Usage:
    text = human.size(reclaimable, 4)
    if share and size > 0:
        text += f" ({reclaimable * 100 // size}%)"
    return {"type": name, "total": total, "active": active, "size": size, "reclaimable": text}


def _images(usage: Usage) -> Usage:
    found = usage.get("Images") or []
    used = [one for one in found if one.get("Containers", 0) > 0]
    size = usage.get("LayersSize") or 0
    needed = sum(one["Size"] - max(one.get("SharedSize", 0), 0) for one in used if one["Size"] != -1)
    return _row("Images", len(found), len(used), size, size - needed)


def _containers(usage: Usage) -> Usage:
    found = usage.get("Containers") or []
    busy = [one for one in found if one["State"] in BUSY]
    size = sum(one.get("SizeRw") or 0 for one in found)
    return _row("Containers", len(found), len(busy), size, size - sum(one.get("SizeRw") or 0 for one in busy))


def _volumes(usage: Usage) -> Usage:
    found = usage.get("Volumes") or []
    uses = [one.get("UsageData") or {"RefCount": -1, "Size": -1} for one in found]
    sizes = [max(one["Size"], 0) for one in uses]
    free = sum(max(one["Size"], 0) for one in uses if one["RefCount"] == 0)
    return _row("Local Volumes", len(found), sum(one["RefCount"] > 0 for one in uses), sum(sizes), free)


def _cache(usage: Usage) -> Usage:
    found = usage.get("BuildCache") or []
    size = sum(one["Size"] for one in found if not one.get("Shared"))
    free = sum(one["Size"] for one in found if not one.get("InUse") and not one.get("Shared"))
    return _row("Build Cache", len(found), sum(bool(one.get("InUse")) for one in found), size, free, share=False)


def _verbose(usage: Usage, form: str) -> int:
    whole = form == "json"
    parts = [
        ("Images space usage:", "Images", _image_rows(usage), images.columns_of(whole=whole), IMAGES),
        (
            "Containers space usage:",
            "Containers",
            usage.get("Containers") or [],
            _container_columns(whole=whole),
            CONTAINERS,
        ),
        ("Local Volumes space usage:", "Volumes", usage.get("Volumes") or [], volumes.columns_of(), VOLUMES),
        ("", "BuildCache", usage.get("BuildCache") or [], _cache_columns(), CACHE),
    ]
    if form == "json":
        plain = {
            key: [{name: c.value(row) for name, c in sorted(columns.items()) if c.heading != "\0"} for row in rows]
            for _, key, rows, columns, _ in parts
        }
        write(encode_for_web(plain))
        return 0
    for title, key, rows, columns, table in parts:
        if key == "BuildCache":
            size = human.size(sum(one["Size"] for one in rows if not one.get("Shared")), 4)
            title = f"Build cache usage: {size}"
        text = render_list(rows, columns, form, table, "formatter.diskUsageContext")
        write(f"{title}\n\n{text}" + ("" if key == "BuildCache" else "\n"))
    return 0


def _image_rows(usage: Usage) -> list[dict[str, Any]]:
    rows = []
    for image in usage.get("Images") or []:
        name = next((one for one in image.get("RepoTags") or [] if one != "<none>:<none>"), "")
        repository, tag = split(name) if name else ("<none>", "<none>")
        rows.append({"repository": familiar(repository), "tag": tag, "digest": "", "image": image})
    return rows


def _container_columns(*, whole: bool) -> dict[str, Column]:
    return {
        **containers.columns_of(whole=whole),
        "Size": Column("SIZE", lambda c: human.size(c.get("SizeRw") or 0)),
    }


def _cache_columns() -> dict[str, Column]:
    def since(entry: Usage, key: str) -> str:
        return human.ago(human.parse_stamp(entry[key])) if entry.get(key) else ""

    return {
        "ID": Column("CACHE ID", lambda c: c["ID"][:12] + ("" if c.get("InUse") else "*")),
        "CacheType": Column("CACHE TYPE", lambda c: c.get("Type", "")),
        "Size": Column("SIZE", lambda c: human.size(c["Size"], 4)),
        "CreatedSince": Column("CREATED", lambda c: since(c, "CreatedAt")),
        "LastUsedSince": Column("LAST USED", lambda c: since(c, "LastUsedAt")),
        "UsageCount": Column("USAGE", lambda c: str(c.get("UsageCount", 0))),
        "Shared": Column("SHARED", lambda c: "true" if c.get("Shared") else "false"),
    }


DF = Command(
    df,
    "[OPTIONS]",
    "Show disk usage",
    (
        Flag("format", STRING, FORMAT_HELP),
        Flag("verbose", BOOL, "Show detailed information on space usage", "v"),
    ),
)
