"""A run, walked through one stage at a time, with the state of the kernel kept at each.

    walk = Walk(engine, run, stages)
    walk.next()          performs a stage, looks at the kernel
    walk.moments         what was done and seen so far; the first is the host before anything happened

The engine waits before every operation; a stage is done when it waits before one of a later stage.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from lessons.client import Engine, EngineError, Json, LessonError, StartLost, Stepper
from lessons.look import look
from lessons.question import Question
from lessons.state import State

GONE = "the engine went away in the middle of a start: press Start over"
TAKEN = "the container of this page was removed, perhaps by another notebook: press Start over"
BUSY = (
    "another notebook is in the middle of its walk with the container `{name}`: press Run all there, "
    "or shut its kernel down (Kernel ▸ Shut Down Kernel), then try again"
)
Progress = Callable[[Json], None]


@dataclass(frozen=True)
class Stage:
    """One step of a walk, in words.

    `name` is the stage's in the record.  `need` says what would be missing without it, `question` is to be answered
    before it is done, `why` is said afterwards.  `focus` is the picture in which most of it shows.  `main` are the
    operations that matter most, by name, the first `few` of each kind of them if that is not 0; the others are shown on
    request.
    """

    name: str
    title: str
    short: str
    sentence: str
    need: str
    question: Question
    why: str
    focus: str = ""
    main: tuple[str, ...] = ()
    few: int = 0


@dataclass(frozen=True)
class Run:
    """What is run: the words of `docker run` as a title, the container's name, and its settings in Docker's JSON."""

    words: str
    name: str
    image: str
    settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Moment:
    """What was seen after a stage, and the steps that led there as the record has them.

    `is_fresh` is false for a stage that had nothing to do: the image was here.
    """

    state: State
    steps: tuple[Json, ...] = ()
    is_fresh: bool = True


class Walk:
    """One run under way.  LessonError from any verb says in one line what went wrong."""

    def __init__(self, engine: Engine, run: Run, stages: tuple[Stage, ...]) -> None:
        self.engine = engine
        self.run = run
        self.stages = stages
        self.container = ""
        self.home = str(engine.get("/info")["DockerRootDir"])
        self._stepper: Stepper | None = None
        self._order = {stage.name: number for number, stage in enumerate(stages)}
        remove(engine, run.name)
        self.moments = [Moment(look(engine, run.image))]

    @property
    def done(self) -> int:
        """How many stages have been performed."""
        return len(self.moments) - 1

    @property
    def is_over(self) -> bool:
        """Whether all have."""
        return self.done == len(self.stages)

    def next(self, progress: Progress = lambda _: None) -> None:
        """Perform the next stage, and look; nothing when all is done."""
        if self.is_over:
            return
        if self.done == 0:
            self._pull(progress)
        else:
            self._perform(self.done)

    def finish(self, progress: Progress = lambda _: None) -> None:
        """Perform what is left."""
        while not self.is_over:
            self.next(progress)

    def coming(self, number: int) -> list[Json]:
        """The planned operations of a stage that has not been performed; none while they are not known yet."""
        if not self._stepper:
            return []
        return [step for step in self._stepper.plan if step["stage"] == self.stages[number].name]

    def is_alive(self) -> bool:
        """Whether it can go on, or, when it is through, still has what it made."""
        if not self.engine.answers():
            return False
        if not self.done:
            return True
        if not self.is_over:
            return bool(self._stepper) and not self._stepper.ended
        try:
            return bool(self.engine.get(f"/containers/{self.container}/json")["State"]["Running"])
        except EngineError:
            return False

    def leave(self) -> None:
        """Give up a start that is not through; its page can still be read, and turned back."""
        if self._stepper:
            self._stepper.close()
            self._stepper = None

    def close(self) -> None:
        """Give up a start that is not through, and remove the container."""
        self.leave()
        remove(self.engine, self.run.name)

    def _pull(self, progress: Progress) -> None:
        is_fresh = not self.engine.has(self.run.image)
        for message in self.engine.pull(self.run.image) if is_fresh else ():
            progress(message)
        state = look(self.engine, self.run.image)
        # The container is put down in the engine's book now, for only then is there a plan to show.
        self._create()
        pulled = [step for step in self.engine.trace(self.container) if step["stage"] == "pull"]
        self.moments.append(Moment(state, tuple(pulled), is_fresh))

    def _create(self) -> None:
        settings = {"Image": self.run.image, **self.run.settings}
        try:
            self._begin(settings)
        except LessonError as error:
            if "address already in use" not in str(error) and "already allocated" not in str(error):
                raise
            # Somebody else has that port of the machine: any free one will do.
            remove(self.engine, self.run.name)
            self.run = replace(self.run, words=re.sub(r"-p \d+:", "-p ", self.run.words))
            self._begin(_with_any_port(settings))

    def _begin(self, settings: Mapping[str, Any]) -> None:
        self.container = self.engine.post("/containers/create", settings, name=self.run.name)["Id"]
        self._stepper = self.engine.stepping(self.container)

    def _perform(self, number: int) -> None:
        stepper = self._stepper
        if stepper is None or (stepper.ended and not stepper.pid):
            raise LessonError("this walk has ended: press Start over")
        try:
            by_number = {step["seq"]: step for step in stepper.plan}
            while stepper.about and self._order.get(by_number[stepper.about]["stage"], 0) <= number:
                stepper.next()
            if number == len(self.stages) - 1 and not stepper.ended:
                stepper.go_on()
        except StartLost:
            raise LessonError(TAKEN if self.engine.answers() else GONE) from None
        name = self.stages[number].name
        steps = [step for seq, step in sorted(stepper.steps.items()) if step["stage"] == name]
        self.moments.append(Moment(look(self.engine, self.run.image, self.container), tuple(steps)))


def remove(engine: Engine, name: str) -> None:
    """Remove a container, running or not, if there is one of that name.

    LessonError when somebody else is walking through its start: they would lose it as soon as they are through.
    """
    if engine.is_starting(name):
        raise LessonError(BUSY.format(name=name))
    try:
        engine.delete(f"/containers/{name}", force=1, v=1)
    except EngineError as error:
        if error.status != 409:  # somebody else is removing it at this moment
            raise


def _with_any_port(settings: Mapping[str, Any]) -> dict[str, Any]:
    host = dict(settings.get("HostConfig") or {})
    host["PortBindings"] = {port: [{"HostPort": ""}] for port in host.get("PortBindings", {})}
    return {**settings, "HostConfig": host}
