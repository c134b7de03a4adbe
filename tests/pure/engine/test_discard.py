"""What the kernel lacks is left away, with Docker's warnings."""

from __future__ import annotations

from pathlib import Path

import pytest

from kernelkit.engine.discard import discard
from kernelkit.kernel.hierarchies import Hierarchy, Layout

RATE = [{"Path": "/dev/sda", "Rate": 1000}]
WISHES = {
    "BlkioWeight": 100,
    "BlkioWeightDevice": [{"Path": "/dev/sda", "Weight": 100}],
    "BlkioDeviceReadBps": RATE,
    "BlkioDeviceWriteBps": RATE,
    "BlkioDeviceReadIOps": RATE,
    "BlkioDeviceWriteIOps": RATE,
}
NOTHING = {key: type(value)() for key, value in WISHES.items()}
END = "or the cgroup is not mounted."
WARNINGS = [
    f"Your kernel does not support Block I/O weight {END} Weight discarded.",
    f"Your kernel does not support Block I/O weight_device {END} Weight-device discarded.",
    f"Your kernel does not support BPS Block I/O read limit {END} Block I/O BPS read limit discarded.",
    f"Your kernel does not support BPS Block I/O write limit {END} Block I/O BPS write limit discarded.",
    f"Your kernel does not support IOPS Block read limit {END} Block I/O IOPS read limit discarded.",
    f"Your kernel does not support IOPS Block write limit {END} Block I/O IOPS write limit discarded.",
]


def layout(folder: Path, controller: str, version: int, *files: str) -> Layout:
    """A hierarchy in which containers' cgroups have these files."""
    (folder / "containers").mkdir(exist_ok=True)
    for file in files:
        (folder / "containers" / file).touch()
    return Layout((Hierarchy((controller,), str(folder), str(folder), version),))


def test_without_the_controller_all_is_discarded() -> None:
    assert discard(WISHES, Layout(), "containers") == (NOTHING, WARNINGS)


def test_what_was_not_asked_for_is_not_warned_of() -> None:
    assert discard(NOTHING, Layout(), "containers") == (NOTHING, [])


@pytest.mark.parametrize("version", [1, 2])
def test_rates_need_no_scheduler_that_knows_weights(tmp_path: Path, version: int) -> None:
    throttle = [f"blkio.throttle.{way}_{what}_device" for way in ("read", "write") for what in ("bps", "iops")]
    here = layout(tmp_path, "blkio" if version == 1 else "io", version, *(throttle if version == 1 else ["io.max"]))
    kept, warnings = discard(WISHES, here, "containers")
    assert kept == {**WISHES, "BlkioWeight": 0, "BlkioWeightDevice": []}
    assert warnings == WARNINGS[:2]


def test_one_file_of_version_2_is_enough_for_weights(tmp_path: Path) -> None:
    kept, warnings = discard({"BlkioWeight": 100}, layout(tmp_path, "io", 2, "io.weight"), "containers")
    assert (kept, warnings) == ({"BlkioWeight": 100}, [])


def test_what_linux_never_has_is_discarded_too() -> None:
    kept, warnings = discard({"CpuPercent": 50}, Layout(), "containers")
    assert (kept, warnings) == ({"CpuPercent": 0}, ["linux does not support CPU percent. Percent discarded."])


@pytest.mark.parametrize("swappiness", [0, 50])
def test_what_version_2_has_no_files_for_is_discarded(tmp_path: Path, swappiness: int) -> None:
    wish = {"MemorySwappiness": swappiness, "OomKillDisable": True}
    kept, warnings = discard(wish, layout(tmp_path, "memory", 2, "memory.max"), "containers")
    assert kept == {"MemorySwappiness": None, "OomKillDisable": False}
    assert warnings == [
        f"Your kernel does not support memory swappiness capabilities {END} Memory swappiness discarded.",
        "Your kernel does not support OomKillDisable. OomKillDisable discarded.",
    ]
    one = layout(tmp_path, "memory", 1, "memory.swappiness", "memory.oom_control")
    assert discard({**wish, "Memory": 64 << 20}, one, "containers") == ({**wish, "Memory": 64 << 20}, [])


def test_what_is_dangerous_is_warned_of(tmp_path: Path) -> None:
    wish = {"OomKillDisable": True}
    kept, warnings = discard(wish, layout(tmp_path, "memory", 1, "memory.oom_control"), "containers")
    assert (kept, len(warnings)) == (wish, 1)
    assert warnings[0].startswith("OOM killer is disabled for the container, but no memory limit is set, ")


def test_ports_of_the_host_s_own_network_are_not_published() -> None:
    _, warnings = discard({"NetworkMode": "host", "PortBindings": {"80/tcp": [{}]}}, Layout(), "containers")
    assert warnings == ["Published ports are discarded when using host network mode"]
