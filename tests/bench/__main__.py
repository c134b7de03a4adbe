"""Measures kernelkit beside the peers this machine has: `make bench`, or `python -m tests.bench --help`."""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import signal
import sys
from pathlib import Path

from tests.bench import cases, measure, peers
from tests.machine import short_folder

CACHE = Path(__file__).parents[2] / "build" / "bench"


def main() -> int:
    """Run the cases that are asked for, print the table; 0 if every target that could be compared is met."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--only", action="append", choices=cases.GROUPS, help="this group of cases; may be repeated")
    parser.add_argument("--rounds", type=int, default=0, help="instead of each case's own 10 or 20")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the table there as well")
    options = parser.parse_args()
    if os.geteuid() != 0:
        sys.exit("the benchmark makes machines of its own, which needs root: sudo make bench")
    os.environ["PATH"] = f"{Path(sys.executable).parent}:{os.environ['PATH']}"  # the peers that `make` has unpacked
    print(
        f"{platform.machine()}, {os.cpu_count()} processors, Linux {platform.release()}; medians, interleaved, on tmpfs"
    )
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # what has been started must be ended then too
    found: list[dict[str, object]] = []
    folder = short_folder()
    contenders = None
    try:
        contenders = cases.Contenders(peers.Shelf(folder, CACHE))
        print(measure.HEAD)
        for group in options.only or cases.GROUPS:
            for case in cases.GROUPS[group](contenders):
                rows = measure.rows(measure.measure(case, options.rounds))
                measure.print_rows(rows)
                found += rows
    finally:
        if contenders:
            contenders.close()
        shutil.rmtree(folder, ignore_errors=True)
    for name, reason in contenders.absent.items():
        print(f"without {name}: {reason.strip()[-300:]}")
    if options.json:
        measure.save(found, options.json)
    return 0 if all(row.get("met", True) for row in found) else 1


if __name__ == "__main__":
    sys.exit(main())
