"""`inspect`: all that the engine knows of containers, images, networks and volumes, as JSON or through a template."""

from __future__ import annotations

from kernelkit.cli import jsontext
from kernelkit.cli.connect import connect
from kernelkit.cli.each import EMPTY_NAME
from kernelkit.cli.flags import BOOL, STRING, Command, Flag
from kernelkit.cli.http import ApiError
from kernelkit.cli.names import platform_json
from kernelkit.cli.output import Failure, complain, say
from kernelkit.cli.table import unescape
from kernelkit.cli.template import Template, TemplateError
from kernelkit.cli.typed import typed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from kernelkit.cli.flags import Options
    from kernelkit.cli.http import Client

    Find = Callable[[str], str]

# What `--type` may say; the kinds after the first four belong to Docker's swarm and plugins.
PLACES = {
    "container": "/containers/{}/json",
    "image": "/images/{}/json",
    "network": "/networks/{}",
    "volume": "/volumes/{}",
}
KINDS = ("config", "container", "image", "network", "node", "plugin", "secret", "service", "task", "volume")
FORMAT = "Format output using a custom template:\n'json': print JSON\n'TEMPLATE': print with the given Go template"
# A template that is wrong is no fault of the engine: sysexits.h, EX_USAGE.
BAD_TEMPLATE = 64


def inspect_any(options: Options) -> int:
    """Inspect things of any kind: the first kind that has something of this name."""
    kind = options.text("type")
    if kind and kind not in KINDS:
        said = ", ".join(f'"{one}"' for one in KINDS)
        raise Failure(f'unknown type: "{kind}": must be one of {said}')
    if kind and kind not in PLACES:
        raise Failure(f"'--type {kind}' is not there: kernelkit has containers, images, networks and volumes")
    if kind not in ("", "container") and options.on("size"):
        complain(f"WARNING: --size ignored for {kind}")
    client = connect()
    return _inspect(options, _finder(client, [kind], options) if kind else _any_finder(client, options))


def _inspect_kind(kind: str) -> Callable[[Options], int]:
    def run(options: Options) -> int:
        return _inspect(options, _finder(connect(), [kind], options))

    run.__doc__ = f"Inspect {kind}s."
    return run


def _finder(client: Client, kinds: list[str], options: Options) -> Find:
    """Something that finds the JSON of a thing by its name, as the engine wrote it. Raises ApiError."""
    extra: dict[str, dict[str, Any]] = {
        "container": {"size": _switch(options, "size")},
        "network": {},
        "image": {},
        "volume": {},
    }
    extra["network"]["verbose"] = _switch(options, "verbose")
    if "platform" in options.given:
        extra["image"]["platform"] = platform_json(options.text("platform"))

    def find(name: str) -> str:
        for kind in kinds:
            try:
                answer = client.request("GET", PLACES[kind].format(name), extra[kind])
                return answer.read().decode("utf-8", "replace").strip()
            except ApiError as error:
                # What cannot be an image's name may well be another thing's.
                is_no_image = error.status == 404 or "invalid reference format" in error.message
                if not is_no_image or len(kinds) == 1:
                    raise
        raise Failure(f"Error: No such object: {name}")

    return find


def _any_finder(client: Client, options: Options) -> Find:
    return _finder(client, list(PLACES), options)


def _switch(options: Options, name: str) -> bool:
    return name in options.given and options.on(name)


def _inspect(options: Options, find: Find) -> int:
    form = unescape(options.text("format"))
    template = None
    if form not in ("", "json"):
        try:
            template = Template(form)
        except TemplateError as error:
            raise Failure(f"template parsing error: {error}", BAD_TEMPLATE) from None
    found: list[str] = []
    problems: list[str] = []
    for name in options.arguments:
        try:
            if not name.strip():
                raise Failure(EMPTY_NAME)
            found.append(_render(template, find(name)) if template else find(name))
        except Failure as failure:
            problems.append(failure.message)
    if template:
        say("\n".join(found))
    else:
        text = "[" + ",".join(found) + "]"
        say(jsontext.compact(text) if form == "json" else jsontext.indent(text))
    if problems:
        raise Failure("\n".join(problems))
    return 0


def _render(template: Template, text: str) -> str:
    """What the template makes of a thing; raises Failure with what is missing in it."""
    plain = jsontext.decode(text)
    try:
        return template.render(typed(plain))
    except TemplateError:
        pass
    try:
        return template.render(plain)  # asked of the JSON as it is, it says what is missing there
    except TemplateError as error:
        raise Failure(f"template parsing error: {error}") from None


FLAGS = (Flag("format", STRING, FORMAT, "f"),)
SIZE = Flag("size", BOOL, "Display total file sizes", "s")
ANY = Command(
    inspect_any,
    "[OPTIONS] NAME|ID [NAME|ID...]",
    "Return low-level information on containers, images, networks and volumes",
    (
        *FLAGS,
        Flag("size", BOOL, "Display total file sizes if the type is container", "s"),
        Flag("type", STRING, "Only inspect objects of the given type"),
    ),
    least=1,
    most=None,
)
CONTAINER = Command(
    _inspect_kind("container"),
    "[OPTIONS] CONTAINER [CONTAINER...]",
    "Display detailed information on one or more containers",
    (*FLAGS, SIZE),
    least=1,
    most=None,
)
IMAGE = Command(
    _inspect_kind("image"),
    "[OPTIONS] IMAGE [IMAGE...]",
    "Display detailed information on one or more images",
    (*FLAGS, Flag("platform", STRING, "Inspect the image of this platform (os[/arch[/variant]])")),
    least=1,
    most=None,
)
NETWORK = Command(
    _inspect_kind("network"),
    "[OPTIONS] NETWORK [NETWORK...]",
    "Display detailed information on one or more networks",
    (*FLAGS, Flag("verbose", BOOL, "Verbose output for diagnostics", "v")),
    least=1,
    most=None,
)
VOLUME = Command(
    _inspect_kind("volume"),
    "[OPTIONS] VOLUME [VOLUME...]",
    "Display detailed information on one or more volumes",
    FLAGS,
    least=1,
    most=None,
)
