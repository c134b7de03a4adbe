"""Lesson 1, executed as a notebook and clicked through in a real browser, on a real kernel."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient
from playwright.sync_api import Page, expect
from traitlets.config import Config

from kernelkit.kernel.ip import AddAddress, SetLinkUp
from lessons.client import Engine, LessonError
from lessons.l01_what_docker_run_did import Lesson
from lessons.l01_what_docker_run_did.exercise import solution, stub
from lessons.l01_what_docker_run_did.exercise.check import check
from lessons.l01_what_docker_run_did.stages import STAGES
from lessons.l01_what_docker_run_did.verbs import RUN
from lessons.l01_what_docker_run_did.without import CHOICES, PROBES
from lessons.l01_what_docker_run_did.without import RUN as WITHOUT
from lessons.notebooks import sources, target
from lessons.walk import Walk
from lessons.widgets.walk import WalkView
from lessons.without import compare
from tests.conftest import Kernelkit
from tests.e2e.browser import CHROMIUM, chromium, lab, open_notebook, run_all, run_until
from tests.patience import PATIENCE, wait_until

NOTEBOOK = target(sources()[0])
needs_chromium = pytest.mark.skipif(not shutil.which(CHROMIUM), reason="needs Debian's chromium")


@pytest.fixture(scope="module")
def engine(shared_kk: Kernelkit) -> Engine:
    return Engine(shared_kk.socket)


@pytest.fixture
def walk(engine: Engine) -> Iterator[Walk]:
    walked = Walk(engine, RUN, STAGES)
    yield walked
    walked.close()


def test_each_step_changes_the_kernel_as_the_page_says(walk: Walk) -> None:
    walk.finish()
    before, pulled, created, prepared, stacked, plugged, addressed, published, runs = (m.state for m in walk.moments)
    assert (before.status, before.inside) == ("", None)
    assert [layer.made_by.split()[0] for layer in pulled.layers] == ["ADD", "COPY"]
    assert pulled.inside is None
    inside = created.inside
    assert inside is not None
    shared = {kind for kind, number in inside.namespaces.items() if number == created.host.namespaces[kind]}
    assert shared == {"user"}
    assert inside.hostname == walk.container[:12]
    assert (created.folder, prepared.folder) == (False, True)
    assert prepared.inside is not None
    assert prepared.inside.root is None
    assert stacked.inside is not None
    assert stacked.inside.root is not None
    assert not stacked.inside.is_entered
    assert {link.name for link in stacked.inside.links} == {"lo"}
    assert plugged.inside is not None
    eth0 = next(link for link in plugged.inside.links if link.name == "eth0")
    other = next(link for link in plugged.host.links if link.index == eth0.peer)
    assert (other.master, other.is_up, eth0.addresses) == ("kk0", True, ())
    assert addressed.inside is not None
    assert any(link.addresses == ("172.17.0.2/16",) for link in addressed.inside.links)
    assert any(route.gateway == "172.17.0.1" for route in addressed.inside.routes)
    assert addressed.host.published == ()
    assert [(p.address, p.inside) for p in published.host.published] == [("172.17.0.2", 80)]
    assert published.status == "created"
    assert runs.inside is not None
    assert (runs.status, runs.inside.is_entered, runs.inside.command) == ("running", True, "bash")


def test_every_step_of_a_walk_is_in_the_record(walk: Walk) -> None:
    walk.finish()
    walked = [(step["stage"], step["shell"]) for moment in walk.moments for step in moment.steps]
    recorded = [(step["stage"], step["shell"]) for step in walk.engine.trace(walk.container)]
    assert [step for step in walked if step not in recorded] == []
    assert {stage for stage, _ in walked} == {stage.name for stage in STAGES}
    assert not any(step["error"] for moment in walk.moments for step in moment.steps)


def test_a_walk_that_is_left_leaves_nothing_behind(engine: Engine) -> None:
    walked = Walk(engine, RUN, STAGES)
    for _ in range(5):
        walked.next()
    walked.close()
    # The kernel takes a network namespace apart, and its cable with it, a moment after its last process has gone.
    wait_until(lambda: "veth" not in engine.shell("ip", "-brief", "link").stdout)
    after = Walk(engine, RUN, STAGES).moments[0].state
    assert after.host.published == ()
    assert {link.name for link in after.host.links} == {"lo", "uplink", "kk0"}


def test_an_engine_that_goes_away_is_a_problem_on_the_page_and_no_traceback(kk: Kernelkit) -> None:
    kk("pull", "bash")
    view = WalkView(Walk(Engine(kk.socket), RUN, STAGES))
    for _ in range(4):
        view.act({"do": "next"})
    assert (view.shown, view.problem) == (4, "")
    kk("down")
    view.act({"do": "next"})
    assert view.shown == 4
    assert "the engine went away in the middle of a start" in view.problem
    view.act({"do": "back"})
    assert (view.shown, view.problem) == (3, "")


def test_a_page_can_be_begun_anew_after_its_engine_went_away(kk: Kernelkit, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in kk.env.items():
        monkeypatch.setenv(name, value)
    lesson = Lesson()
    view = lesson.walk()
    assert isinstance(view, WalkView)
    assert lesson.walk() is view
    for _ in range(3):
        view.act({"do": "next"})
    kk("down")
    assert lesson.walk() is not view
    view = lesson.walk()
    assert isinstance(view, WalkView)
    view.act({"do": "all"})
    assert (view.shown, view.problem) == (8, "")
    kk("down")
    view.act({"do": "again"})
    assert (view.shown, view.walk.done, view.problem) == (0, 0, "")
    view.act({"do": "next"})
    assert (view.shown, view.problem) == (1, "")
    repr(lesson.tidy())


def test_a_container_that_another_notebook_walks_with_is_left_to_it(engine: Engine, walk: Walk) -> None:
    for _ in range(4):
        walk.next()
    with pytest.raises(LessonError, match=r"another notebook is in the middle of its walk .* `lesson-1`"):
        Walk(engine, RUN, STAGES)
    walk.finish()
    assert walk.moments[-1].state.status == "running"


def test_a_container_that_was_removed_meanwhile_is_said_to_be(engine: Engine, walk: Walk) -> None:
    walk.finish()
    assert walk.is_alive()
    engine.delete(f"/containers/{walk.container}", force=1)
    assert not walk.is_alive()


def test_a_port_that_somebody_has_is_no_reason_to_stop(engine: Engine) -> None:
    walked = [Walk(engine, RUN, STAGES)]
    walked[0].finish()
    other = Walk(engine, type(RUN)(RUN.words, "lesson-1-second", RUN.image, RUN.settings), STAGES)
    try:
        other.finish()
        assert other.moments[-1].state.status == "running"
        assert other.run.words == "docker run -it -p 80 --name lesson-1 bash"
    finally:
        other.close()
        walked[0].close()


@pytest.mark.parametrize(
    ("answer", "hint"),
    [
        (lambda **_: [], "Return a list of operations"),
        (lambda link, **_: [SetLinkUp(link)], "says which link gets which address"),
        (lambda link, address, **_: [SetLinkUp(link), AddAddress(link, address)], "eth0 knows its own network only"),
        (lambda link, address, **_: [AddAddress(link, address)] * 2, "The kernel has that already"),
        (lambda **_: [SetLinkUp("eth7")], "The link's name is given to your function"),
    ],
)
def test_a_usual_mistake_is_answered_with_one_next_thought(engine: Engine, answer: Any, hint: str) -> None:
    verdict = check(engine, answer)
    assert not verdict.passed
    assert hint in verdict.hint


def test_the_stub_fails_and_the_solution_passes(engine: Engine) -> None:
    failed = check(engine, stub.give_address)
    assert not failed.passed
    assert failed.hint
    for _ in range(3):  # the host must not call the container of the try before
        passed = check(engine, solution.give_address)
        assert [claim.saw for claim in passed.claims if not claim.holds] == []
        assert passed.passed


def test_a_plan_in_the_wrong_order_is_answered_with_what_the_kernel_said(engine: Engine) -> None:
    verdict = check(engine, lambda **given: solution.give_address(**given)[::-1])
    assert not verdict.passed
    assert "unreachable" in verdict.claims[0].saw.lower()


@pytest.mark.parametrize("choice", CHOICES, ids=lambda choice: choice.name)
def test_leaving_something_out_shows_what_it_was_for(engine: Engine, choice: object) -> None:
    compared = compare(engine, WITHOUT, PROBES, choice)  # type: ignore[arg-type]
    assert compared.left_out
    assert "no answer" not in {whole for _, whole, _ in compared.rows}
    assert compared.problem or [row for row in compared.rows if row[1] != row[2]]


def test_the_notebook_runs_from_top_to_bottom(shared_kk: Kernelkit, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in shared_kk.env.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("IPYTHONDIR", str(shared_kk.home / "ipython"))
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    resources = {"metadata": {"path": str(NOTEBOOK.parent)}}
    # Not by ports, which somebody else may take before the kernel does.
    by_sockets = Config({"KernelManager": {"transport": "ipc", "ip": str(shared_kk.home / "kernel")}})
    NotebookClient(notebook, timeout=120, resources=resources, config=by_sockets).execute()
    text = {
        cell.source: "\n".join(
            str(output.get("text") or output.get("data", {}).get("text/plain", "")) for output in cell.outputs
        )
        for cell in notebook.cells
        if cell.cell_type == "code"
    }
    assert not any(output.output_type == "error" for cell in notebook.cells for output in cell.get("outputs", []))
    assert "container lesson-1 runs" in text["lesson.finish()"]
    inside = next(said for source, said in text.items() if source.startswith("lesson.inside"))
    assert "172.17.0.2/16" in inside
    assert "pivot_root . ." in text["lesson.record()"]
    assert "hint: " in text["lesson.exercise.check(give_address)"]
    shared_kk("rm", "-f", "lesson-1")


@needs_chromium
def test_a_student_clicks_through_all_steps(shared_kk: Kernelkit, tmp_path: Path) -> None:
    with lab(tmp_path, NOTEBOOK, shared_kk.env) as running, chromium() as browser:
        page = open_notebook(browser, running)
        run_until(page, NOTEBOOK, "lesson.walk()")
        expect(page.locator(".kk-walk")).to_be_visible()
        click_through(page)
        look_back(page)
        page.locator(".kk-walk").screenshot(path=tmp_path / "walk.png")
        use_the_keyboard(page)
        run_all(page)
        expect(page.locator(".exercise table.claims")).to_be_visible(timeout=PATIENCE * 3000)  # all cells
        expect(page.locator(".kk-walk .card.coming header")).to_have_text("Next, already recorded: step 1")
        predict(page)
        leave_out(page)
    shared_kk("rm", "-f", "lesson-1")


def click_through(page: Page) -> None:
    """Next to the end: each step announced, then done, with its operations and four pictures."""
    walk = page.locator(".kk-walk")
    forward, back = (
        walk.get_by_role("button", name="Next", exact=True),
        walk.get_by_role("button", name="Back", exact=True),
    )
    expect(walk.locator(".card.now h3")).to_have_text("Before")
    expect(back).to_be_disabled()
    for number, stage in enumerate(STAGES, 1):
        expect(walk.locator(".card.coming header")).to_have_text(f"About to happen: step {number}")
        assert walk.locator(".card.coming .operations li").count() >= 1
        expect(walk.locator(".card.coming .need")).to_contain_text(stage.need[:20])
        guess = walk.locator(".guess button").first
        guess.click()
        expect(guess).to_have_attribute("aria-pressed", "true")
        forward.click()
        expect(walk.locator(".card.now header")).to_have_text(f"Step {number} of 8, done")
        expect(walk.locator(".card.now h3")).to_have_text(stage.title)
        answer = "As you said" if stage.question.answer == 0 else "You said"
        expect(walk.locator(".card.now .answer")).to_contain_text(answer)
        assert walk.locator(".card.now .operations li").count() >= 1
        assert walk.locator("figure svg").count() == 4
    expect(forward).to_be_disabled()
    expect(walk.locator("figure.life-cycle .node.now")).to_contain_text("running")


def look_back(page: Page) -> None:
    """Back to the beginning, then to one of the steps by its number."""
    walk = page.locator(".kk-walk")
    back = walk.get_by_role("button", name="Back", exact=True)
    for number in range(len(STAGES) - 1, -1, -1):
        back.click()
        expect(walk).to_have_attribute("data-shown", str(number))
    walk.get_by_role("button", name=re.compile("interface")).click()
    expect(walk.locator("figure.network .node.new")).to_have_count(2)
    expect(walk.locator("figure.network .news")).to_contain_text("eth0")


def use_the_keyboard(page: Page) -> None:
    """Enter presses what has the focus, arrows turn pages, Shift-Enter runs the cell again and loses nothing."""
    walk = page.locator(".kk-walk")
    walk.get_by_role("button", name="Next", exact=True).focus()
    for key, shown in (("Enter", 6), (" ", 7), ("ArrowRight", 8), ("ArrowLeft", 7)):
        page.keyboard.press(key)
        expect(walk).to_have_attribute("data-shown", str(shown))
    walk.evaluate("drawn => drawn.dataset.before = 'yes'")
    page.keyboard.press("Shift+Enter")
    expect(page.locator(".kk-walk:not([data-before])")).to_have_attribute("data-shown", "7")
    expect(walk).to_have_attribute("data-done", "8")
    walk.get_by_role("button", name="Start over").click()
    expect(walk).to_have_attribute("data-done", "0")
    expect(walk.locator(".card.coming header")).to_have_text("About to happen: step 1")


def predict(page: Page) -> None:
    """A guess is answered."""
    question = page.locator(".kk-predict fieldset").first
    question.get_by_role("button").first.click()
    expect(question.locator(".why")).to_contain_text("One.")


def leave_out(page: Page) -> None:
    """Without NAT nobody finds the way in, nor the way back."""
    without = page.locator(".kk-without")
    without.get_by_role("button", name="NAT").click()
    expect(without.locator(".watch")).to_contain_text("finds the way in")
    expect(without.locator("tr.fails")).to_have_count(2)
