"""`events`: what happens in the engine, as it happens."""

from __future__ import annotations

from kernelkit.cli import human, jsontext
from kernelkit.cli.connect import connect
from kernelkit.cli.flags import FILTER, STRING, Command, Flag
from kernelkit.cli.moments import api_time
from kernelkit.cli.output import Failure, say
from kernelkit.cli.table import unescape
from kernelkit.cli.template import Template, TemplateError
from kernelkit.cli.typed import typed
from kernelkit.cli.values import filters

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from kernelkit.cli.flags import Options

    Event = dict[str, Any]

FORMAT = "Format output using a custom template:\n'json': print JSON\n'TEMPLATE': print with the given Go template"
BAD_TEMPLATE = 64  # sysexits.h, EX_USAGE


def events(options: Options) -> int:
    """Print the events, to `--until` or for ever."""
    line = _liner(options.text("format"))
    conditions = filters(options.many("filter"))
    query = {
        "since": _moment(options, "since"),
        "until": _moment(options, "until"),
        "filters": jsontext.encode(conditions, sort=True) if conditions else None,
    }
    for event in connect().request("GET", "/events", query).messages():
        say(line(event))
    return 0


def _moment(options: Options, name: str) -> str:
    try:
        return api_time(options.text(name))
    except ValueError as error:
        raise Failure(str(error)) from None


def _liner(form: str) -> Callable[[Event], str]:
    """What makes a line of an event. Raises Failure when the template cannot be read."""
    if not form:
        return plain
    if form == "json":
        return _json
    try:
        template = Template(unescape(form))
    except TemplateError as error:
        raise Failure(f"Error parsing format: {error}", BAD_TEMPLATE) from None

    def render(event: Event) -> str:
        try:
            return template.render(_struct(event))
        except TemplateError as error:
            raise Failure(f"Error parsing format: {error}", BAD_TEMPLATE) from None

    render({"Actor": {"Attributes": {}}})  # a field that no event has is found out before the first one comes
    return render


def _json(event: Event) -> str:
    actor = event.get("Actor") or {}
    if actor.get("Attributes"):
        event = {**event, "Actor": {**actor, "Attributes": dict(sorted(actor["Attributes"].items()))}}
    return jsontext.encode_for_web(event)


def _struct(event: Event) -> Any:
    """An event under the names that Docker's client knows its fields by."""
    names = {"Status": "status", "ID": "id", "From": "from", "Type": "Type", "Action": "Action", "Scope": "scope"}
    fields: Event = {name: event.get(key, "") for name, key in names.items()}
    fields |= {"Actor": event.get("Actor") or {}, "Time": event.get("time", 0), "TimeNano": event.get("timeNano", 0)}
    return typed(fields)


def plain(event: Event) -> str:
    """An event as a line: when, of what kind, what, of whom, and its attributes by name."""
    seconds, nanoseconds = event.get("time") or 0, event.get("timeNano") or 0
    moment = human.rfc3339_nano(nanoseconds or seconds * 1_000_000_000)
    actor = event.get("Actor") or {}
    text = f"{moment} {event['Type']} {event['Action']} {actor.get('ID', '')}"
    attributes = sorted((actor.get("Attributes") or {}).items())
    if attributes:
        text += " (" + ", ".join(f"{key}={value}" for key, value in attributes) + ")"
    return text


EVENTS = Command(
    events,
    "[OPTIONS]",
    "Get real time events from the server",
    (
        Flag("filter", FILTER, "Show only those that meet a condition", "f"),
        Flag("format", STRING, FORMAT),
        Flag("since", STRING, "Show all events since a moment"),
        Flag("until", STRING, "Show events until a moment"),
    ),
)
