"""What the record costs: next to nothing while a container is started, little afterwards."""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from mmap import mmap
from typing import Any

import pytest

from kernelkit.engine.look import operation_types
from kernelkit.engine.records import Record
from kernelkit.trace import Ledger, Operation, Step
from tests.conftest import Kernelkit


@dataclass(frozen=True)
class Nothing:
    """An operation that takes no time."""

    def perform(self) -> object:
        return None

    def shell(self) -> str:
        return ":"


@pytest.fixture
def start(shared_kk: Kernelkit) -> Iterator[list[dict[str, Any]]]:
    """The record of a start, the pull left out."""
    shared_kk("run", "-d", "--name", "recorded", "-p", "80", "busybox", "sleep", "1000")
    steps = [json.loads(line) for line in shared_kk("trace", "--json", "recorded").stdout.splitlines()]
    yield [step for step in steps if step["stage"] != "pull"]
    shared_kk("rm", "-f", "recorded")


def rebuilt(step: dict[str, Any]) -> Operation:
    """The operation that the record tells of."""
    kind = operation_types()[step["operation"]]
    types = {field.name: field.type for field in fields(kind)}
    values = {n: bytes.fromhex(v) if types[n] == "bytes" else _frozen(v) for n, v in step["fields"].items()}
    operation: Operation = kind(**values)
    return operation


def _frozen(value: Any) -> Any:
    return tuple(map(_frozen, value)) if isinstance(value, list) else value


def shortest(measured: Callable[[], object], times: int = 30) -> float:
    """Seconds: the least of several, for whatever else the machine does only adds."""

    def once() -> float:
        began = time.perf_counter()
        measured()
        return time.perf_counter() - began

    return min(once() for _ in range(times))


def test_recording_costs_less_than_a_twentieth_of_a_run(shared_kk: Kernelkit, start: list[dict[str, Any]]) -> None:
    """The notes are made on the way; their text is written later, when nobody waits, and is no part of the run."""
    steps = [Step(n, s["stage"], s["actor"], s["where"], rebuilt(s)) for n, s in enumerate(start, 1)]
    ledger = Ledger(mmap(-1, Ledger.size(len(steps))))
    idle = [Nothing()] * len(steps)

    def keep() -> str:
        record = Record("", None)
        record.extend(steps, ledger)
        record.settle()
        return "".join(json.dumps(step) + "\n" for step in record.read())

    noting = shortest(lambda: ledger.perform(idle, 1)) - shortest(lambda: [each.perform() for each in idle])
    writing = shortest(keep)
    runs = []
    for _ in range(10):
        began = time.perf_counter()
        shared_kk("run", "--rm", "busybox", "true")
        runs.append(time.perf_counter() - began)
    run = statistics.median(runs)
    print(
        f"{run * 1000:.1f} ms a run, {noting * 1000:.2f} to note {len(steps)} steps, {writing * 1000:.2f} to write them"
    )
    assert len(steps) > 80
    assert noting < 0.02 * run
    assert writing < 0.08 * run
