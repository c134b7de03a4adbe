"""What can be left out of lesson 1's run, and what to look at then."""

from __future__ import annotations

from lessons.l01_what_docker_run_did.exercise.check import SERVER
from lessons.walk import Run
from lessons.without import Choice, Probe, Seen, answers_at, answers_inside, called

RUN = Run(
    words="docker run -d -p 80 bash busybox httpd -f",
    name="lesson-1-without",
    image="bash",
    settings={
        "Cmd": SERVER,
        "ExposedPorts": {"80/tcp": {}},
        "HostConfig": {"PortBindings": {"80/tcp": [{"HostPort": ""}]}},
    },
)

CHOICES = (
    Choice(
        "nat",
        "NAT",
        "Nobody outside knows the way to the container's address. Without its two entries nothing finds the way in, "
        "and what goes out gets no answer.",
    ),
    Choice("ip", "the address", "A cable without addresses carries no packets: all is plugged in, nobody is at home."),
    Choice(
        "interface",
        "the cable",
        "What follows wants to give eth0 an address, and there is no eth0: the kernel refuses.",
    ),
    Choice("SetHostname", "the host name", "Its own UTS namespace began as a copy of the host's, name included."),
    Choice(
        "MaskPath",
        "the masks",
        "/proc shows more than a guest should see: the kernel's keys and timers, the memory itself.",
    ),
    Choice(
        "LoadSeccomp", "the system call filter", "It could ask for every system call there is, the dangerous ones too."
    ),
    Choice(
        "rw-layer", "the read-write layer", "No tree was mounted, so there is nothing to make the root directory of."
    ),
)


def _host_name(seen: Seen) -> str:
    inside = seen.state.inside
    if inside is None:
        return "no process"
    return "the host's" if inside.hostname == seen.state.host.hostname else "its own"


def _address(seen: Seen) -> str:
    links = seen.state.inside.links if seen.state.inside else ()
    eth0 = next((link for link in links if link.name == "eth0"), None)
    return "no eth0" if eth0 is None else "one of the bridge's network" if eth0.addresses else "none"


def _from_host(seen: Seen) -> str:
    network = seen.engine.get(f"/containers/{seen.container}/json")["NetworkSettings"]["Networks"]["bridge"]
    return "answers" if called(seen.engine, network["IPAddress"], seen.patience) else "no answer"


def _from_outside(seen: Seen) -> str:
    port = seen.ports.get(80, 0)
    return "answers" if port and answers_at(port, seen.patience) else "no answer"


def _to_outside(seen: Seen) -> str:
    uplink = seen.engine.get("/kernelkit/host")["uplink"]
    if not uplink:
        return "the host is the real machine"
    is_answered = answers_inside(seen.engine, seen.container, uplink["outer"], seen.patience)
    return "answers" if is_answered else "no answer"


def _hidden(seen: Seen) -> str:
    inside = seen.state.inside
    ran = seen.engine.shell("sh", "-c", f"wc -l </proc/{inside.pid}/root/proc/timer_list" if inside else "false")
    lines = int(ran.stdout or 0)
    return "hidden" if lines == 0 else f"{lines} lines can be read"


def _filter(seen: Seen) -> str:
    inside = seen.state.inside
    ran = seen.engine.shell("sh", "-c", f"grep ^Seccomp: /proc/{inside.pid}/status" if inside else "false")
    return "on" if ran.stdout.split()[-1:] == ["2"] else "off"


PROBES = (
    Probe("its web server, called from the host", _from_host),
    Probe("… and as localhost on the real machine", _from_outside),
    Probe("the real machine, called from inside", _to_outside),
    Probe("address of eth0", _address),
    Probe("host name", _host_name),
    Probe("/proc/timer_list", _hidden),
    Probe("system call filter", _filter),
)
