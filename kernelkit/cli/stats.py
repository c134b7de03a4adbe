"""`stats`: what containers use, as a table that is drawn again and again, or once."""

from __future__ import annotations

import time

from kernelkit.cli import human
from kernelkit.cli.connect import connect
from kernelkit.cli.flags import BOOL, STRING, Command, Flag
from kernelkit.cli.http import Client
from kernelkit.cli.output import Failure, write
from kernelkit.cli.preferences import preferred
from kernelkit.cli.table import FORMAT_HELP, Column, render_list

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from kernelkit.cli.flags import Options

    Sample = dict[str, Any]

TABLE = "{{.ID}}\t{{.Name}}\t{{.CPUPerc}}\t{{.MemUsage}}\t{{.MemPerc}}\t{{.NetIO}}\t{{.BlockIO}}\t{{.PIDs}}"
BETWEEN = 0.5  # seconds from one picture to the next
UNKNOWN = "--"


def stats(options: Options) -> int:
    """Print what the containers use, for as long as they run or once."""
    client, names = connect(), options.arguments  # those that are named are shown whatever their state
    columns = columns_of(whole=options.on("no-trunc"))
    form = options.text("format") or preferred("statsFormat")
    if options.on("no-stream"):
        samples = [_once(client, name) for name in names or _running(client, every=options.on("all"))]
        write(render_list(samples, columns, form, TABLE, "container.statsContext"))
        return 0
    return _draw(client, names, columns, form, every=options.on("all"))


def _running(client: Client, *, every: bool) -> list[str]:
    return [str(one["Id"])[:12] for one in client.get("/containers/json", {"all": every})]


def _once(client: Client, name: str) -> Sample:
    return {"container": name, **client.get(f"/containers/{name}/stats", {"stream": "0"})}


class Watch:
    """Follows the use of several containers, each on a connection of its own; the newest sample of each."""

    def __init__(self, path: str, version: tuple[int, int]) -> None:
        import threading  # for this one command

        self._path = path
        self._version = version
        self._thread = threading.Thread
        self.samples: dict[str, Sample] = {}
        self.problems: list[str] = []

    def follow(self, name: str) -> None:
        """Begin to follow a container, unless it is followed already."""
        if name not in self.samples:
            self.samples[name] = {"container": name}
            self._thread(target=self._read, args=(name,), daemon=True).start()

    def _read(self, name: str) -> None:
        client = Client(self._path)
        client.version = self._version
        try:
            for sample in client.request("GET", f"/containers/{name}/stats", {"stream": "1"}).messages():
                self.samples[name] = {"container": name, **sample}
        except Failure as failure:
            self.problems.append(failure.message)
        except OSError as error:
            self.problems.append(str(error))
        self.samples.pop(name, None)


def _draw(client: Client, names: list[str], columns: dict[str, Column], form: str, *, every: bool) -> int:
    watch = Watch(client.path, client.version)
    for name in names:
        client.get(f"/containers/{name}/json")  # a name that is wrong is said before anything is drawn
        watch.follow(name)
    while True:
        if not names:
            for name in _running(client, every=every):
                watch.follow(name)
        time.sleep(BETWEEN)
        samples = list(watch.samples.values())
        if names and not samples:
            raise Failure("\n".join(watch.problems), 1 if watch.problems else 0)
        text = render_list(samples, columns, form, TABLE, "container.statsContext")
        # Drawn over the picture before: home, each line erased to its end, then all below.
        write("\x1b[H" + "".join(f"{line}\x1b[K\n" for line in text.splitlines()) + "\x1b[J")


def columns_of(*, whole: bool) -> dict[str, Column]:
    """The columns of a sample; `whole` leaves the ID uncut."""
    return {
        "BlockIO": Column("BLOCK I/O", _block),
        "CPUPerc": Column("CPU %", lambda s: f"{cpu_percent(s):.2f}%" if _is_there(s) else UNKNOWN),
        "Container": Column("CONTAINER", lambda s: s["container"]),
        "ID": Column("CONTAINER ID", lambda s: _id(s, whole=whole)),
        "MemPerc": Column("MEM %", lambda s: f"{_memory_percent(s):.2f}%" if _is_there(s) else UNKNOWN),
        "MemUsage": Column("MEM USAGE / LIMIT", _memory),
        "Name": Column("NAME", lambda s: str(s.get("name", "")).removeprefix("/") or UNKNOWN),
        "NetIO": Column("NET I/O", _network),
        "PIDs": Column(
            "PIDS", lambda s: str((s.get("pids_stats") or {}).get("current", 0)) if _is_there(s) else UNKNOWN
        ),
    }


def _is_there(sample: Sample) -> bool:
    return "cpu_stats" in sample


def _id(sample: Sample, *, whole: bool) -> str:
    text = str(sample.get("id") or sample["container"])
    return text if whole else text[:12]


def cpu_percent(sample: Sample) -> float:
    """Time on processors since the sample before, in percent of one processor."""
    now, before = sample["cpu_stats"], sample.get("precpu_stats") or {}
    used = now["cpu_usage"]["total_usage"] - (before.get("cpu_usage") or {}).get("total_usage", 0)
    whole = now.get("system_cpu_usage", 0) - before.get("system_cpu_usage", 0)
    processors = now.get("online_cpus") or len(now["cpu_usage"].get("percpu_usage") or [])
    return used / whole * processors * 100.0 if used > 0 and whole > 0 else 0.0


def memory_used(sample: Sample) -> int:
    """Memory in use without what is only a cache of files: cgroup v1 and v2 have different names for that."""
    memory = sample.get("memory_stats") or {}
    usage, detail = memory.get("usage", 0), memory.get("stats") or {}
    for name in ("total_inactive_file", "inactive_file"):
        if name in detail and detail[name] < usage:
            return int(usage - detail[name])
    return int(usage)


def _memory(sample: Sample) -> str:
    if not _is_there(sample):
        return f"{UNKNOWN} / {UNKNOWN}"
    limit = (sample.get("memory_stats") or {}).get("limit", 0)
    return f"{human.binary_size(memory_used(sample))} / {human.binary_size(limit)}"


def _memory_percent(sample: Sample) -> float:
    limit = (sample.get("memory_stats") or {}).get("limit", 0)
    return memory_used(sample) / limit * 100.0 if limit else 0.0


def _network(sample: Sample) -> str:
    if not _is_there(sample):
        return UNKNOWN
    links = (sample.get("networks") or {}).values()
    received, sent = sum(one["rx_bytes"] for one in links), sum(one["tx_bytes"] for one in links)
    return f"{human.size(received)} / {human.size(sent)}"


def _block(sample: Sample) -> str:
    if not _is_there(sample):
        return UNKNOWN
    entries = (sample.get("blkio_stats") or {}).get("io_service_bytes_recursive") or []
    sums = {letter: sum(one["value"] for one in entries if one["op"][:1].lower() == letter) for letter in "rw"}
    return f"{human.size(sums['r'])} / {human.size(sums['w'])}"


STATS = Command(
    stats,
    "[OPTIONS] [CONTAINER...]",
    "Display a live stream of container(s) resource usage statistics",
    (
        Flag("all", BOOL, "Show all containers (by default only those that run)", "a"),
        Flag("format", STRING, FORMAT_HELP),
        Flag("no-stream", BOOL, "Show one picture only"),
        Flag("no-trunc", BOOL, "Do not shorten anything"),
    ),
    most=None,
)
