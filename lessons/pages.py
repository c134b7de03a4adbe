"""What one page of a walk shows, as plain values: words, operations in shell, pictures with what is new in them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from lessons.client import Json
from lessons.draw import svg
from lessons.graphs.change import changes, highlight
from lessons.graphs.layers import layers
from lessons.graphs.life import life
from lessons.graphs.namespaces import namespaces
from lessons.graphs.network import network
from lessons.state import State
from lessons.walk import Stage, Walk

# Each picture: its name, what draws it, and how to see the same by hand.
PICTURES = (
    ("Life cycle", life, "kernelkit ps --all"),
    ("Network", network, "ip address; nft list ruleset"),
    ("Layers", layers, "findmnt --task {pid} --types overlay"),
    ("Namespaces", namespaces, "lsns --task {pid}"),
)
_LONG = re.compile(r"[0-9a-f]{64}")


def page(walk: Walk, shown: int) -> dict[str, Any]:
    """The page after `shown` stages, 0 before the first."""
    return {
        "command": walk.run.words,
        "stages": [stage.short for stage in walk.stages],
        "shown": shown,
        "done": walk.done,
        "now": _now(walk, shown),
        "coming": _coming(walk, shown),
        "pictures": pictures(walk.moments[shown].state, walk.moments[shown - 1].state if shown else None),
    }


def pictures(after: State, before: State | None = None) -> list[dict[str, Any]]:
    """All pictures of a state, with what is new in them since an earlier one."""
    pid = str(after.inside.pid) if after.inside else "PID"
    found = []
    for title, draw, how in PICTURES:
        graph = highlight(draw(before) if before else None, draw(after))
        found.append({"title": title, "svg": svg(graph), "new": changes(graph), "how": how.format(pid=pid)})
    return found


def _now(walk: Walk, shown: int) -> dict[str, Any]:
    if not shown:
        sentence = "The practice host is up, and there is no container. Below is what its kernel holds."
        return {"title": "Before", "sentence": sentence, "why": "", "operations": [], "more": []}
    stage, moment = walk.stages[shown - 1], walk.moments[shown]
    main, more = _split(stage, moment.steps)
    why = stage.why
    if stage.name == "pull" and not moment.steps:
        why = f"{why} It was here already: `kernelkit rmi {walk.run.image}` would make this step do it again."
    return {"title": stage.title, "sentence": stage.sentence, "why": why, "operations": main, "more": more}


def _coming(walk: Walk, shown: int) -> dict[str, Any] | None:
    if shown == len(walk.stages):
        return None
    stage = walk.stages[shown]
    steps: Sequence[Json] = walk.moments[shown + 1].steps if shown < walk.done else walk.coming(shown)
    main, more = _split(stage, [{**step, "seconds": None} for step in steps])
    if not main and stage.name == "pull":
        main = [{"shell": f"kernelkit pull {walk.run.image}", "where": "engine", "time": "", "error": ""}]
    return {
        "title": stage.title,
        "sentence": stage.sentence,
        "watch": stage.watch,
        "operations": main,
        "more": more,
        "is_done": shown < walk.done,
    }


def _split(stage: Stage, steps: Sequence[Json]) -> tuple[list[Json], list[Json]]:
    """The operations that matter most, and the others; all of them when none stands out."""
    chosen = [step for step in steps if step["operation"] in stage.main]
    if stage.few:
        counted: dict[str, int] = {}
        for step in chosen:
            counted[step["operation"]] = counted.get(step["operation"], 0) + 1
            step_number = counted[step["operation"]]
            if step_number > stage.few:
                chosen = [s for s in chosen if s is not step]
    if not chosen:
        return [operation(step) for step in steps], []
    return [operation(step) for step in chosen], [operation(step) for step in steps if step not in chosen]


def operation(step: Json) -> dict[str, Any]:
    """One operation as a line: who does it where, in shell, how long it took, why it failed."""
    where = "host" if step["where"] == "host" else step["where"]
    return {
        "shell": shorten(step["shell"]),
        "whole": step["shell"],
        "where": where,
        "actor": step["actor"],
        "time": duration(step.get("seconds")),
        "error": step.get("error") or "",
    }


def shorten(shell: str) -> str:
    """Shell text with long digests and ids cut to their first twelve digits, for reading."""
    return _LONG.sub(lambda found: f"{found[0][:12]}…", shell)


def duration(seconds: float | None) -> str:
    """A time as people read it; empty for one that is not known."""
    if seconds is None:
        return ""
    if seconds < 0.001:
        return f"{seconds * 1e6:.0f} µs"
    return f"{seconds * 1e3:.1f} ms" if seconds < 1 else f"{seconds:.1f} s"
