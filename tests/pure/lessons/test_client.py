"""The lessons' HTTP client, when nobody is there to talk to."""

from __future__ import annotations

from pathlib import Path

import pytest

from lessons.client import Engine, LessonError
from lessons.l01_what_docker_run_did import Lesson


def test_an_engine_that_is_not_there_is_named_with_what_would_help(tmp_path: Path) -> None:
    engine = Engine(tmp_path / "docker.sock")
    assert not engine.answers()
    with pytest.raises(LessonError, match=r"no engine answers at '.*docker.sock' .*: run `kernelkit up`"):
        engine.get("/containers/json")


def test_a_lesson_whose_host_cannot_boot_says_so_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KERNELKIT_SOCKET", raising=False)
    monkeypatch.setenv("KERNELKIT_HOME", "/proc/nowhere")
    lesson = Lesson()
    for shown in (lesson.look(), lesson.walk(), lesson.exercise.check(lambda **_: [])):
        assert repr(shown).startswith("the practice host does not boot: ")
        assert "\n" not in repr(shown)
    assert repr(lesson.finish()) == "there is no walk yet: run the cell with `lesson.walk()` first"
