"""The cgroups of a running container, for tests to read."""

from __future__ import annotations

from tests.conftest import Kernelkit


class Cgroups:
    """A running container's cgroups, as the practice host sees them."""

    def __init__(self, kk: Kernelkit, name: str) -> None:
        self._kk = kk
        self._pid = kk("inspect", "-f", "{{.State.Pid}}", name).stdout.strip()
        self._init = (kk.home / "run" / "init.pid").read_text()
        lines = self._cat(f"/proc/{self._pid}/cgroup").splitlines()
        self._paths = {c: path for _, names, path in (x.split(":", 2) for x in lines) for c in names.split(",")}
        table = self._cat("/proc/self/mountinfo").splitlines()
        halves = [line.split(" - ") for line in table if " - cgroup" in line]
        self._mounts = {(after.split()[0], after.split()[2]): before.split()[4] for before, after in halves}

    def path(self, controller: str) -> str:
        """Where it is in the hierarchy of a controller; of version 2 when that has no hierarchy of its own."""
        return self._paths.get(controller) or self._paths[""]

    def read(self, controller: str, one: str, two: str, *, check: bool = True) -> str:
        """The file's words: `one` in version 1, `two` in version 2."""
        place = next(
            (
                at
                for (kind, options), at in self._mounts.items()
                if kind == "cgroup" and controller in options.split(",")
            ),
            None,
        )
        if place:
            return self._cat(f"{place}{self._paths[controller]}/{one}", check)
        unified = next(at for (kind, _), at in self._mounts.items() if kind == "cgroup2")
        return self._cat(f"{unified}{self._paths['']}/{two}", check)

    def _cat(self, path: str, check: bool = True) -> str:
        # Entered directly, for there are many of these.
        return self._kk.run(["nsenter", "-t", self._init, "-a", "--", "cat", path], check).stdout.strip()
