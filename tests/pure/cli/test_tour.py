"""What the tour prints: shell lines short enough to read, folded to the terminal, and words for every stage."""

from __future__ import annotations

import pytest

from kernelkit import trace
from kernelkit.cli.tour import brief, fold
from kernelkit.cli.tour_stops import STOPS

ID = "c" * 64


@pytest.mark.parametrize(
    ("shell", "said"),
    [
        (f"mkdir -p /h/containers/{ID}/upper", "mkdir -p $C/upper"),
        (f"ls /h/layers/{'a' * 64}.partial", f"ls $H/layers/{'a' * 12}….partial"),
        (
            f"echo 1 > /sys/fs/cgroup/pids/containers/{ID}/tasks",
            f"echo 1 > /sys/fs/cgroup/pids/containers/{'c' * 12}…/tasks",
        ),
        ("curl -o file url -H 'Authorization: Bearer token'", "curl -o file url"),
        ("ip link add v numtxqueues 1 numrxqueues 1 type veth", "ip link add v type veth"),
        ("cat <<'.'\nmore\n.", "cat <<'.' …"),
    ],
)
def test_a_shell_line_is_shortened_for_reading(shell: str, said: str) -> None:
    assert brief(shell, "/h", ID) == said


@pytest.mark.parametrize("width", [20, 40, 79])
def test_text_is_folded_between_words_and_after_commas(width: int) -> None:
    text = "setpriv --bounding-set=-net_admin,-sys_admin,-sys_boot sh and some more words after that"
    rows = fold(text, width)
    assert "".join(rows).replace(" ", "") == text.replace(" ", "")
    assert all(len(row) <= max(width, len("--bounding-set=-net_admin,")) for row in rows)
    assert fold("", width) == [""]


def test_every_stage_of_the_record_is_a_stop() -> None:
    assert tuple(STOPS) == trace.STAGES
    for stop in STOPS.values():
        assert stop.guess.endswith("?")
        assert stop.answer.endswith(".")
        assert stop.main
