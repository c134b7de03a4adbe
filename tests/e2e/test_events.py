"""`docker events`: what happened, in the order in which it did, and what the filters let through."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Kernelkit

Event = dict[str, Any]


@pytest.fixture
def kk(shared_kk: Kernelkit) -> Iterator[Kernelkit]:
    yield shared_kk
    shared_kk.empty()


def events(kk: Kernelkit, since: float, *words: str) -> list[Event]:
    """What has happened since then; the client asks in whole seconds only, so it is asked for one second more."""
    said = kk.docker(
        "events", "--since", f"{since:.9f}", "--until", f"{time.time() + 1:.9f}", "--format", "{{json .}}", *words
    )
    return [json.loads(line) for line in said.stdout.splitlines()]


def actions(kk: Kernelkit, since: float, *words: str) -> list[str]:
    return [event["Action"] for event in events(kk, since, *words)]


def test_an_exec_begins_before_it_ends(kk: Kernelkit) -> None:
    began = time.time()
    kk.docker("run", "-d", "--name", "has-execs", "busybox", "sleep", "1000")
    for _ in range(5):
        kk.docker("exec", "has-execs", "true")
    found = [action.partition(":")[0] for action in actions(kk, began, "--filter", "container=has-execs")]
    assert [action for action in found if action.startswith("exec_")] == ["exec_create", "exec_start", "exec_die"] * 5


def test_an_end_tells_its_code_and_how_long_it_ran(kk: Kernelkit) -> None:
    began = time.time()
    kk.docker("run", "--name", "ends", "--label", "colour=red", "busybox", "sh", "-c", "sleep 1.2; exit 3", check=False)
    (end,) = events(kk, began, "--filter", "event=die", "--filter", "label=colour=red")
    about = end["Actor"]["Attributes"]
    assert (about["exitCode"], about["name"], about["image"]) == ("3", "ends", "busybox")
    whole = kk.docker("inspect", "-f", "{{.State.StartedAt}} {{.State.FinishedAt}}", "ends").stdout.split()
    started, finished = (datetime.fromisoformat(moment[:19]) for moment in whole)
    assert about["execDuration"] == str((finished - started).seconds) != "0"


def test_an_images_events_have_its_labels(kk: Kernelkit, tmp_path: Path) -> None:
    began = time.time()
    kk.docker("create", "--name", "maker", "busybox")
    kk.docker("commit", "-c", "LABEL of=mine", "maker", "labelled:1")
    kk.docker("tag", "labelled:1", "labelled:2")
    kk.docker("save", "labelled:1", "-o", str(tmp_path / "saved.tar"))
    kk.docker("rmi", "labelled:1")
    found = events(kk, began, "--filter", "type=image", "--filter", "label=of=mine")
    assert [(event["Action"], event["Actor"]["Attributes"]["name"].partition(":")[0]) for event in found] == [
        ("tag", "labelled"),  # by commit
        ("tag", "labelled"),
        ("save", "sha256"),
        ("untag", "sha256"),
    ]
    kk.docker("rmi", "labelled:2")
    assert actions(kk, began, "--filter", "type=image", "--filter", "event=delete") == ["delete"]


def test_filters_of_one_key_are_alternatives_and_of_several_conditions(kk: Kernelkit) -> None:
    began = time.time()
    kk.docker("volume", "create", "told")
    kk.docker("create", "--name", "one", "busybox")
    kk.docker("rename", "one", "two")
    kk.docker("volume", "rm", "told")
    either = ("--filter", "event=create", "--filter", "event=destroy")
    assert actions(kk, began, "--filter", "type=volume", *either) == ["create", "destroy"]
    assert actions(kk, began, "--filter", "type=volume", "--filter", "volume=other", *either) == []
    assert actions(kk, began, "--filter", "container=two") == ["rename"]
    assert actions(kk, began, "--filter", "image=busybox") == ["create", "rename"]
