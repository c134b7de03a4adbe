"""One request for each of several names, many at once, and what is said of each in the order of the names."""

from __future__ import annotations

from kernelkit.cli.http import ApiError
from kernelkit.cli.output import Failure

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from typing import Any

    from kernelkit.cli.http import Pending
    from kernelkit.cli.wire import Response

AT_ONCE = 50  # requests under way at a time, as Docker's client has it
EMPTY_NAME = "invalid container name or ID: value is empty"


def answers(names: Sequence[str], send: Callable[[str], Pending]) -> Iterator[tuple[str, Response | Failure]]:
    """(name, answer or what went wrong) for each name; a batch's requests are sent before the first is answered."""
    for start in range(0, len(names), AT_ONCE):
        batch = names[start : start + AT_ONCE]
        sent = [(name, send(name) if name.strip() else None) for name in batch]
        for name, pending in sent:
            if pending is None:
                yield name, Failure(EMPTY_NAME)
                continue
            try:
                yield name, pending.response()
            except ApiError as error:
                yield name, error


def for_each(names: Sequence[str], send: Callable[[str], Pending], done: Callable[[str, Any], object]) -> int:
    """Ask for every name; `done(name, JSON or None)` for each that went well. Raises Failure with all that did not."""
    problems: list[str] = []
    for name, answer in answers(names, send):
        if isinstance(answer, Failure):
            problems.append(answer.message)
        else:
            done(name, json_of(answer))
    if problems:
        raise Failure("\n".join(problems))
    return 0


def json_of(answer: Response) -> Any:
    """The JSON of an answer; None when it has no body."""
    from kernelkit.cli import jsontext

    content = answer.read()
    return jsontext.decode(content) if content.strip() else None
