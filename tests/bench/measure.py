"""Interleaved rounds, medians, and a table of ratios.

A machine's speed drifts by tens of per cent within a minute: contenders take turns, in an order that rotates, and what
is compared is the median of each.
"""

from __future__ import annotations

import json
import statistics
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

OURS = "kernelkit"
HEAD = f"{'case':<44} {'peer':<14} {'ours':>11} {'theirs':>11} {'ratio':>6} {'target':>7}"


@dataclass(frozen=True)
class Case:
    """One thing that is measured: by contender, a function that does it once and returns seconds (or another unit).

    `targets` gives, by peer, the ratio ours ÷ theirs that must not be exceeded; with `more_is_better`, must be reached.
    """

    name: str
    contenders: dict[str, Callable[[], float]]
    targets: dict[str, float]
    rounds: int = 10
    unit: str = "s"
    more_is_better: bool = False


@dataclass
class Result:
    """What was seen of a case: the samples by contender, and why one could not be measured."""

    case: Case
    samples: dict[str, list[float]] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)

    def median(self, contender: str) -> float:
        """The median of a contender's samples."""
        return statistics.median(self.samples[contender])


def measure(case: Case, rounds: int = 0) -> Result:
    """Let the contenders take turns; the first turn of each warms it up and is not counted."""
    result = Result(case)
    names = list(case.contenders)
    for turn in range((rounds or case.rounds) + (case.rounds > 1)):
        for name in names[turn % len(names) :] + names[: turn % len(names)]:
            if name in result.failed:
                continue
            try:
                sample = case.contenders[name]()
            except (OSError, AssertionError, ValueError) as error:
                result.failed[name] = str(error)
                result.samples.pop(name, None)
                continue
            if turn or case.rounds == 1:
                result.samples.setdefault(name, []).append(sample)
    return result


def rows(result: Result) -> list[dict[str, object]]:
    """A row for each peer with a target: medians, their ratio, the target, and whether it is met."""
    found: list[dict[str, object]] = []
    for peer, target in result.case.targets.items():
        row: dict[str, object] = {"case": result.case.name, "peer": peer, "target": target, "unit": result.case.unit}
        found.append(row)
        for side, name in (("ours", OURS), ("theirs", peer)):
            if name in result.samples:
                row[side] = result.median(name)
            elif name in result.failed:
                row[f"{side}_failed"] = result.failed[name]
        if "ours" in row and "theirs" in row:
            row["ratio"] = result.median(OURS) / result.median(peer)
            better = result.case.more_is_better
            row["met"] = row["ratio"] >= target if better else row["ratio"] <= target  # type: ignore[operator]
    return found


def print_rows(found: list[dict[str, object]]) -> None:
    """The rows as text, a line each, and why one could not be measured."""
    for row in found:
        ours, theirs = (_quantity(row.get(side), str(row["unit"])) for side in ("ours", "theirs"))
        ratio = f"{row['ratio']:.2f}" if "ratio" in row else "-"
        verdict = {True: "ok", False: "MISS"}.get(row.get("met"), "")  # type: ignore[arg-type]
        print(f"{row['case']:<44} {row['peer']:<14} {ours:>11} {theirs:>11} {ratio:>6} {row['target']:>7} {verdict}")
        for side in ("ours", "theirs"):
            if f"{side}_failed" in row:
                print(f"    {side} could not be measured: {str(row[f'{side}_failed']).strip()[-300:]}")
    sys.stdout.flush()


def save(found: list[dict[str, object]], path: Path) -> None:
    """The rows as JSON."""
    path.write_text(json.dumps(found, indent=1) + "\n")


def _quantity(value: object, unit: str) -> str:
    if not isinstance(value, float | int):
        return "-"
    if unit == "s":
        return f"{value * 1000:.1f} ms" if value < 1 else f"{value:.2f} s"
    return f"{value:.1f} {unit}"
