"""What one page of a walk shows, as plain values: words, operations in shell, pictures with what is new in them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from lessons.client import Json
from lessons.draw import svg
from lessons.graphs.change import changes, highlight
from lessons.graphs.layers import layers
from lessons.graphs.life import life
from lessons.graphs.namespaces import namespaces
from lessons.graphs.network import network
from lessons.say import duration, folders_of, shorten
from lessons.state import State
from lessons.walk import Stage, Walk

# Each picture: its name, what draws it, and how to see the same by hand.
PICTURES = (
    ("Life cycle", life, "kernelkit ps --all"),
    ("Network", network, "ip address; nft list ruleset"),
    ("Layers", layers, "findmnt --task {pid} --types overlay"),
    ("Namespaces", namespaces, "lsns --task {pid}"),
)


def page(walk: Walk, shown: int) -> dict[str, Any]:
    """The page after `shown` stages, 0 before the first."""
    return {
        "command": walk.run.words,
        "stages": [stage.short for stage in walk.stages],
        "shown": shown,
        "done": walk.done,
        "now": _now(walk, shown),
        "focus": walk.stages[shown - 1].focus if shown else "",
        "coming": _coming(walk, shown),
        "summary": summary(walk.moments[shown].state),
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


def summary(state: State) -> str:
    """What a running container comes down to, in two sentences; empty before it runs."""
    if state.inside is None or not state.inside.is_entered:
        return ""
    said = f"Process {state.inside.pid} of the host is process 1 of the container `{state.inside.hostname}`."
    ports = [f"`localhost:{p.port}` leads to `{p.address}:{p.inside}`" for p in state.host.published]
    return f"{said} {' and '.join(ports)}." if ports else said


def _now(walk: Walk, shown: int) -> dict[str, Any]:
    if not shown:
        sentence = "The practice host is up, and there is no container. Below is what its kernel holds."
        nothing: dict[str, Any] = {"operations": [], "more": [], "legend": []}
        return {"title": "Before", "sentence": sentence, "why": "", "took": "", "question": None, **nothing}
    stage, moment = walk.stages[shown - 1], walk.moments[shown]
    why = stage.why
    if stage.name == "pull" and not moment.is_fresh:
        why = f"{why} It was here already, and this is how it came: `kernelkit rmi {walk.run.image}` undoes it."
    return {
        "title": stage.title,
        "sentence": stage.sentence,
        "why": why,
        "took": duration(sum(step.get("seconds") or 0 for step in moment.steps)) if moment.steps else "",
        "question": stage.question.answered(),
        **operations(stage, moment.steps, walk),
    }


def _coming(walk: Walk, shown: int) -> dict[str, Any] | None:
    if shown == len(walk.stages):
        return None
    stage = walk.stages[shown]
    steps: Sequence[Json] = walk.moments[shown + 1].steps if shown < walk.done else walk.coming(shown)
    if not steps:
        steps = [{"operation": "", "where": "engine", "actor": "", "shell": f"kernelkit pull {walk.run.image}"}]
    return {
        "title": stage.title,
        "sentence": stage.sentence,
        "need": stage.need,
        "question": stage.question.asked(),
        "is_done": shown < walk.done,
        **operations(stage, [{**step, "seconds": None} for step in steps], walk),
    }


def operations(stage: Stage, steps: Sequence[Json], walk: Walk) -> dict[str, Any]:
    """A stage's operations: those that matter most, the others, and what the names in them stand for."""
    chosen, others = _split(stage, steps)
    folders = folders_of(walk.home, walk.container)
    lines = [[operation(step, folders) for step in part] for part in (chosen, others)]
    said = "".join(line["shell"] for line in lines[0])
    legend = [f"{name[1:]}={shorten(path, {})}" for name, path in folders.items() if name in said]
    return {"operations": lines[0], "more": lines[1], "legend": legend}


def _split(stage: Stage, steps: Sequence[Json]) -> tuple[list[Json], list[Json]]:
    """The first few of each kind that matters, and the others; all of them when none stands out."""
    counted: Counter[str] = Counter()
    chosen: list[Json] = []
    others: list[Json] = []
    for step in steps:
        counted[step["operation"]] += 1
        matters = step["operation"] in stage.main and (not stage.few or counted[step["operation"]] <= stage.few)
        (chosen if matters else others).append(step)
    return (chosen, others) if chosen else (others, [])


def operation(step: Json, folders: Mapping[str, str]) -> dict[str, Any]:
    """One operation as a line: who does it where, in shell, how long it took, why it failed."""
    return {
        "shell": shorten(step["shell"], folders),
        "whole": step["shell"],
        "where": step["where"],
        "actor": step["actor"],
        "time": duration(step.get("seconds")),
        "error": step.get("error") or "",
    }
