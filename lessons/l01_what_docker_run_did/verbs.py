"""The verbs of lesson 1's cells."""

from __future__ import annotations

from typing import Any, ClassVar

from lessons.client import Engine, EngineError, LessonError, Ran, connect
from lessons.draw import svg
from lessons.exercises.exercise import Exercise
from lessons.graphs.network import network
from lessons.l01_what_docker_run_did import without
from lessons.l01_what_docker_run_did.exercise.check import check
from lessons.l01_what_docker_run_did.questions import QUESTIONS
from lessons.l01_what_docker_run_did.stages import STAGES
from lessons.look import look
from lessons.show import Shown, friendly, terminal
from lessons.walk import Run, Walk, remove
from lessons.widgets.predict import Predict
from lessons.widgets.walk import WalkView
from lessons.widgets.without import Without
from lessons.without import compare

RUN = Run(
    words="docker run -it -p 8080:80 --name lesson-1 bash",
    name="lesson-1",
    image="bash",
    settings={
        "Tty": True,
        "OpenStdin": True,
        "ExposedPorts": {"80/tcp": {}},
        "HostConfig": {"PortBindings": {"80/tcp": [{"HostPort": "8080"}]}},
    },
)
TASK = """
The container `exercise-1` was started without step 6: the cable is plugged in, and `eth0` has no address.

Write the plan that the engine left out. It is a list of operations; each has the name of what it does and takes what
it needs. `link` is the name of the interface, `address` the one the engine has leased for it, such as `172.17.0.3/16`,
and `gateway` is the bridge's address.

The check starts a fresh container each time, has your plan performed in it, and then looks at the kernel.
"""
PRAISE = "Your plan did what step 6 does. The host calls the container's web server, and it answers."


class Lesson:
    """What the cells call. Nothing is asked of the engine before the first verb that needs it."""

    _walks: ClassVar[list[Walk]] = []  # those under way in this process: one at most

    def __init__(self) -> None:
        self._engine: Engine | None = None
        self._view: WalkView | None = None
        self.exercise = Exercise("Give it an address", TASK, self._check, PRAISE)

    @property
    def engine(self) -> Engine:
        """The engine; the practice host is booted if it is not up, or no longer."""
        if self._engine is None or not self._engine.answers():
            self._engine = connect()
        return self._engine

    @friendly
    def look(self) -> Shown:
        """The practice host's network, as it is now."""
        state = look(self.engine)
        graph = network(state)
        addresses = ", ".join(f"{link.name} {' '.join(link.addresses)}" for link in state.host.links)
        running = [each["Names"][0].lstrip("/") for each in self.engine.get("/containers/json")]
        note = f"Running already: {', '.join(running)}." if running else ""
        picture = f'<figure>{svg(graph)}<p class="how">{note}</p></figure>'
        return Shown(picture, f"practice host {state.host.hostname}: {addresses}. {note}")

    def predict(self) -> Predict:
        """Three questions."""
        return Predict(QUESTIONS)

    @friendly
    def walk(self) -> WalkView:
        """The eight steps: those of a walk that is under way, else from the beginning.

        Run again, the cell shows what it has shown: Shift-Enter on the way to the next cell must not undo the walk.
        """
        if self._view and self._view.walk.is_alive():
            return self._view
        if self._view:
            self._view.walk.leave()
        self._view = WalkView(self._begin(), self._begin)
        return self._view

    @friendly
    def finish(self) -> Shown:
        """Perform the steps that have not been clicked yet, so that there is a container to look at."""
        if self._view is None:
            raise LessonError("there is no walk yet: run the cell with `lesson.walk()` first")
        missing = len(STAGES) - self._view.walk.done
        self._view.finish()
        what = "all eight steps are done" if not missing else f"the {missing} steps you had left are done as well"
        return Shown(f"<p>Container <code>{RUN.name}</code> runs: {what}.</p>", f"container {RUN.name} runs: {what}")

    @friendly
    def host(self, command: str) -> Shown:
        """Run a command in a shell on the practice host, as root."""
        return terminal("practice host#", command, self.engine.shell("sh", "-c", command))

    @friendly
    def inside(self, command: str) -> Shown:
        """Run a command in the container's namespaces, with the host's tools: the image needs none."""
        return terminal(
            "in its namespaces#", command, self.engine.shell("sh", "-c", command, container=self._running())
        )

    @friendly
    def record(self) -> Shown:
        """Everything that was asked of the kernel for the container, as a shell script."""
        script = self.engine.get(f"/kernelkit/trace/{self._running()}/script")
        return terminal("$", f"kernelkit trace --sh {RUN.name}", Ran(0, script, ""))

    @friendly
    def without(self) -> Without:
        """The same run with something left out."""
        engine = self.engine
        return Without(
            without.RUN.words, without.CHOICES, lambda choice: compare(engine, without.RUN, without.PROBES, choice)
        )

    @friendly
    def tidy(self) -> Shown:
        """Remove what this lesson has made."""
        if self._view:
            self._view.walk.leave()
        for name in (RUN.name, without.RUN.name, "exercise-1"):
            remove(self.engine, name)
        self._view = None
        return Shown("<p>The lesson's containers are gone.</p>", "the lesson's containers are gone")

    def _begin(self) -> Walk:
        """A new walk. One that an earlier `Lesson` of this notebook is in the middle of would hold the container."""
        while self._walks:
            self._walks.pop().leave()
        walk = Walk(self.engine, RUN, STAGES)
        self._walks.append(walk)
        return walk

    def _running(self) -> str:
        if self._view is None or not self._view.walk.is_over:
            raise LessonError("the container does not run yet: run the cell with `lesson.finish()` first")
        container = self._view.walk.container
        try:
            is_running = self.engine.get(f"/containers/{container}/json")["State"]["Running"]
        except EngineError:
            is_running = False
        if not is_running:
            again = "run the cells with `lesson.walk()` and `lesson.finish()` again"
            raise LessonError(f"the container `{RUN.name}` is gone or has ended: {again}")
        return container

    def _check(self, answer: Any) -> Any:
        return check(self.engine, answer)
