"""`pull` and `push`: images from and to a registry, through the engine."""

from __future__ import annotations

from kernelkit.cli import progress
from kernelkit.cli.connect import connect
from kernelkit.cli.credentials import registry_auth
from kernelkit.cli.flags import BOOL, STRING, Command, Flag
from kernelkit.cli.names import check, platform_json, registry_of, split
from kernelkit.cli.output import Failure, say

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from kernelkit.cli.flags import Options
    from kernelkit.cli.http import Client


def pull(
    client: Client,
    name: str,
    platform: str = "",
    *,
    fd: int = 1,
    quiet: bool = False,
    every: bool = False,
    bars: bool = True,
) -> None:
    """Have the engine pull an image, and show how it goes on a descriptor, with `bars` if that is a terminal."""
    repository, tag = split(name)
    query: dict[str, Any] = {"fromImage": repository, "tag": "" if every else tag or "latest", "platform": platform}
    messages = client.request("POST", "/images/create", query, headers=registry_auth(registry_of(name))).messages()
    if quiet:
        messages = (message for message in messages if "error" in message or "errorDetail" in message)
    progress.show(messages, fd, bars=bars)


def refuse_trust(options: Options) -> None:
    """Refuse to verify signatures, which nobody here does. Raises Failure."""
    if not options.on("disable-content-trust"):
        raise Failure("'--disable-content-trust=false' is not there: kernelkit knows no signatures, only digests")


def pull_one(options: Options) -> int:
    """Pull an image and print its full name."""
    refuse_trust(options)
    name = options.arguments[0]
    _check(name)
    repository, tag = split(name)
    if options.on("all-tags"):
        if tag:
            raise Failure("tag can't be used with --all-tags/-a")
    elif not tag and not options.on("quiet"):
        say("Using default tag: latest")
    pull(connect(), name, options.text("platform"), quiet=options.on("quiet"), every=options.on("all-tags"))
    say(repository if options.on("all-tags") else _full(repository, tag or "latest"))
    return 0


def push(options: Options) -> int:
    """Push an image and say under which digest it can be found."""
    refuse_trust(options)
    name = options.arguments[0]
    _check(name)
    repository, tag = split(name)
    every, quiet = options.on("all-tags"), options.on("quiet")
    if every and tag:
        raise Failure("tag can't be used with --all-tags/-a")
    if not every and not tag and not quiet:
        say("Using default tag: latest")
    query = {"tag": "" if every else tag or "latest"}
    if options.text("platform"):
        query["platform"] = platform_json(options.text("platform"))
    headers = registry_auth(registry_of(name)) or {"X-Registry-Auth": "e30="}  # the API asks for one; this is {}
    messages = connect().request("POST", f"/images/{repository}/push", query, headers=headers).messages()
    if quiet:
        messages = (message for message in messages if "error" in message or "errorDetail" in message)
    progress.show(messages)
    if quiet:
        say(repository if every else _full(repository, tag or "latest"))
    return 0


def _check(name: str) -> None:
    try:
        check(name)
    except ValueError as error:
        raise Failure(str(error)) from None


def _full(repository: str, tag: str) -> str:
    return repository + ("@" if ":" in tag else ":") + tag


PULL = Command(
    pull_one,
    "[OPTIONS] NAME[:TAG|@DIGEST]",
    "Download an image from a registry",
    (
        Flag("all-tags", BOOL, "Download all tagged images in the repository", "a"),
        Flag("disable-content-trust", BOOL, "Skip the verification of the image", default=True),
        Flag("platform", STRING, "Platform of the image, if it has several"),
        Flag("quiet", BOOL, "Do not show how it goes", "q"),
    ),
    least=1,
    most=1,
)
PUSH = Command(
    push,
    "[OPTIONS] NAME[:TAG]",
    "Upload an image to a registry",
    (
        Flag("all-tags", BOOL, "Push all tags of an image to the repository", "a"),
        Flag("disable-content-trust", BOOL, "Skip the signing of the image", default=True),
        Flag("platform", STRING, "Push one platform of the image only (os[/arch[/variant]])"),
        Flag("quiet", BOOL, "Do not show how it goes", "q"),
    ),
    least=1,
    most=1,
)
