"""The throw-away machine that other tests stand on."""

from __future__ import annotations

from pathlib import Path

from tests.machine import Machine, names_below
from tests.patience import wait_until


def test_it_shows_what_was_made_on_it_and_that_it_is_gone(machine: Machine, tmp_path: Path) -> None:
    before = machine.state(tmp_path)
    machine.run("ip", "link", "add", "bridge9", "type", "bridge")
    machine.run("ip", "address", "add", "192.0.2.1/24", "dev", "bridge9")
    machine.run("ip", "link", "set", "bridge9", "up")
    machine.run("mount", "-t", "tmpfs", "tmpfs", "/mnt")
    machine.run("nft", "add", "table", "ip", "mine")
    unified = "test -e /sys/fs/cgroup/cgroup.procs && echo /sys/fs/cgroup"
    below = f"$({unified} || find /sys/fs/cgroup -maxdepth 1 -type d -name pids -o -name unified | head -1)"
    machine.run("sh", "-c", f"mkdir {below}/mine")
    sleeper = machine.start("sleep", "1000")
    wait_until(lambda: "sleep 1000" in machine.run("ps", "-eo", "args").stdout)
    (tmp_path / "file").touch()
    after = machine.state(tmp_path)
    changed = {name for name in before if before[name] != after[name]}
    assert changed >= {"links", "addresses", "routes", "mounts", "rules", "processes", "cgroups", "files"}

    sleeper.kill()
    sleeper.wait()
    (tmp_path / "file").unlink()
    machine.run("nft", "delete", "table", "ip", "mine")
    machine.run("umount", "/mnt")
    machine.run("ip", "link", "delete", "bridge9")
    machine.run("find", "/sys/fs/cgroup", "-mindepth", "1", "-type", "d", "-name", "mine", "-delete")
    assert machine.state(tmp_path) == before


def test_the_real_machine_is_as_it_was() -> None:
    def cgroups() -> set[str]:
        return {path for path in names_below(Path("/sys/fs/cgroup")) if name in path}

    one = Machine()
    name = one.name
    one.run("ip", "link", "add", "bridge8", "type", "bridge")
    assert "bridge8" not in Path("/proc/self/net/dev").read_text()
    assert cgroups()
    one.down()
    assert not cgroups()
    assert not Path(f"/proc/{one.init}").exists()
