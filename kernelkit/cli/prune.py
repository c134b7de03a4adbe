"""`prune`: remove what nobody uses, of one kind or of all."""

from __future__ import annotations

from kernelkit.cli import human
from kernelkit.cli.confirm import confirm
from kernelkit.cli.connect import connect
from kernelkit.cli.flags import BOOL, FILTER, Command, Flag
from kernelkit.cli.http import ApiError
from kernelkit.cli.jsontext import encode
from kernelkit.cli.output import Failure, say, write
from kernelkit.cli.values import filters

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from kernelkit.cli.flags import Options
    from kernelkit.cli.http import Client

    Conditions = dict[str, dict[str, bool]]

WARNING = "WARNING! This will remove {}."


def containers(options: Options) -> int:
    """Remove the containers that do not run."""
    if not options.on("force"):
        confirm(WARNING.format("all stopped containers"))
    text, space = _containers(connect(), filters(options.many("filter")))
    return _report(text, space)


def images(options: Options) -> int:
    """Remove the images that nobody uses: those without a name, or all."""
    every = options.on("all")
    if not options.on("force"):
        what = "all images without at least one container associated to them" if every else "all dangling images"
        confirm(WARNING.format(what))
    text, space = _images(connect(), filters(options.many("filter")), every=every)
    return _report(text, space)


def networks(options: Options) -> int:
    """Remove the networks that no container is in."""
    if not options.on("force"):
        confirm(WARNING.format("all custom networks not used by at least one container"))
    text, _ = _networks(connect(), filters(options.many("filter")))
    write(text)
    return 0


def volumes(options: Options) -> int:
    """Remove the volumes that no container uses: those without a name, or all."""
    client, conditions, every = connect(), filters(options.many("filter")), options.on("all")
    knows_anonymous = client.at_least(42)
    if every and not knows_anonymous:
        version = "{}.{}".format(*client.version)
        raise Failure(f'"--all" requires API version 1.42, but the Docker daemon API version is {version}')
    if every and "all" in conditions:
        raise Failure("conflicting options: cannot specify both --all and --filter all=1")
    if not options.on("force"):
        what = "all" if every or not knows_anonymous else "anonymous"
        confirm(WARNING.format(f"{what} local volumes not used by at least one container"))
    if every:
        conditions["all"] = {"true": True}
    text, space = _volumes(client, conditions)
    return _report(text, space)


def system(options: Options) -> int:
    """Remove everything that nobody uses."""
    client, conditions, every = connect(), filters(options.many("filter")), options.on("all")
    if options.on("volumes") and "until" in conditions:
        raise Failure('ERROR: The "until" filter is not supported with "--volumes"')
    if not options.on("force"):
        confirm(_system_warning(options, every=every))
    results = [_containers(client, dict(conditions)), _networks(client, dict(conditions))]
    if options.on("volumes"):
        results.append(_volumes(client, dict(conditions)))
    results += [_images(client, dict(conditions), every=every), _build_cache(client, dict(conditions), every=every)]
    for text, _ in results:
        write(text)
    say(f"Total reclaimed space: {human.size(sum(space for _, space in results), 4)}")
    return 0


def _system_warning(options: Options, *, every: bool) -> str:
    going = ["all stopped containers", "all networks not used by at least one container"]
    if options.on("volumes"):
        going.append("all anonymous volumes not used by at least one container")
    going.append("all images without at least one container associated to them" if every else "all dangling images")
    going.append("all build cache" if every else "unused build cache")
    lines = ["WARNING! This will remove:", *(f"  - {one}" for one in going)]
    if options.many("filter"):
        lines += ["", "  Items to be pruned will be filtered with:"]
        lines += [f"  - {one}" for one in options.many("filter")]
    return "\n".join([*lines, ""])


def _ask(client: Client, path: str, conditions: Conditions, key: str) -> tuple[list[Any], int]:
    query = {"filters": encode(conditions, sort=True) if conditions else None}
    answer = client.post(path, query) or {}
    return answer.get(key) or [], answer.get("SpaceReclaimed") or 0


def _containers(client: Client, conditions: Conditions) -> tuple[str, int]:
    gone, space = _ask(client, "/containers/prune", conditions, "ContainersDeleted")
    return _listed("Deleted Containers:", gone), space


def _networks(client: Client, conditions: Conditions) -> tuple[str, int]:
    gone, _ = _ask(client, "/networks/prune", conditions, "NetworksDeleted")
    return _listed("Deleted Networks:", gone), 0


def _volumes(client: Client, conditions: Conditions) -> tuple[str, int]:
    gone, space = _ask(client, "/volumes/prune", conditions, "VolumesDeleted")
    return _listed("Deleted Volumes:", gone), space


def _images(client: Client, conditions: Conditions, *, every: bool) -> tuple[str, int]:
    conditions["dangling"] = {"false" if every else "true": True}
    gone, space = _ask(client, "/images/prune", conditions, "ImagesDeleted")
    names = [f"untagged: {one['Untagged']}" if one.get("Untagged") else f"deleted: {one['Deleted']}" for one in gone]
    return _listed("Deleted Images:", names), space


def _build_cache(client: Client, conditions: Conditions, *, every: bool) -> tuple[str, int]:
    query = {"all": every, "filters": encode(conditions, sort=True) if conditions else None}
    try:
        answer = client.post("/build/prune", query) or {}
    except ApiError as error:
        if error.status == 404:
            return "", 0  # an engine without a cache of builds
        raise
    gone, space = answer.get("CachesDeleted") or [], answer.get("SpaceReclaimed") or 0
    return _listed("Deleted build cache objects:", gone), space


def _listed(title: str, names: list[str]) -> str:
    return "".join(f"{line}\n" for line in (title, *names, "")) if names else ""


def _report(text: str, space: int) -> int:
    write(text)
    say(f"Total reclaimed space: {human.size(space, 4)}")
    return 0


FORCE = Flag("force", BOOL, "Do not prompt for confirmation", "f")
UNTIL = Flag("filter", FILTER, 'Remove only those that meet a condition ("until=<timestamp>")')
LABEL = Flag("filter", FILTER, 'Remove only those that meet a condition ("label=<label>")')
CONTAINERS = Command(containers, "[OPTIONS]", "Remove all stopped containers", (UNTIL, FORCE))
IMAGES = Command(
    images,
    "[OPTIONS]",
    "Remove unused images",
    (Flag("all", BOOL, "Remove all unused images, not just dangling ones", "a"), UNTIL, FORCE),
)
NETWORKS = Command(networks, "[OPTIONS]", "Remove all unused networks", (UNTIL, FORCE))
VOLUMES = Command(
    volumes,
    "[OPTIONS]",
    "Remove unused local volumes",
    (Flag("all", BOOL, "Remove all unused volumes, not just anonymous ones", "a"), LABEL, FORCE),
)
SYSTEM = Command(
    system,
    "[OPTIONS]",
    "Remove unused data",
    (
        Flag("all", BOOL, "Remove all unused images not just dangling ones", "a"),
        LABEL,
        FORCE,
        Flag("volumes", BOOL, "Prune anonymous volumes"),
    ),
)
