"""Looks at the kernel, and says what it saw as a State.

Everything is asked with tools a student has: ip, nft, readlink, cat.  All of it is one shell script, run once by the
engine on the practice host, so that the answers are of the same moment.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lessons.client import Engine, EngineError, LessonError
from lessons.state import KINDS, Host, Inside, Layer, Link, Mount, Published, Route, State

# $1 is a container's id, $2 its folder.  Sections are told apart by lines that begin with the character 001.
SCRIPT = r"""
say() { printf '\001%s\n' "$1"; }
spaces() {
  for kind in mnt uts ipc net pid cgroup user; do printf '%s ' "$kind"; readlink "/proc/$1/ns/$kind" || echo; done
}
say hostname; cat /proc/sys/kernel/hostname
say links; ip -json -details address
say routes; ip -json route
say namespaces; spaces 1
say rules; nft -json list ruleset
[ -n "$1" ] || exit 0
say folder; ls -d "$2/upper" 2>/dev/null
say written; find "$2/upper" -mindepth 1 -maxdepth 1 -printf '%f\n' 2>/dev/null
pid=
for file in /proc/[0-9]*/cgroup; do
  if grep -q "$1" "$file" 2>/dev/null; then pid=${file#/proc/}; pid=${pid%/cgroup}; [ "$pid" = "$$" ] || break; pid=; fi
done
[ -n "$pid" ] || exit 0
say pid; echo "$pid"
say command; tr '\0' ' ' <"/proc/$pid/cmdline"; echo
say inside-namespaces; spaces "$pid"
say mounts; cat "/proc/$pid/mountinfo"
[ "$(readlink "/proc/$pid/ns/net")" = "$(readlink /proc/1/ns/net)" ] && exit 0
say inside-hostname; nsenter --target "$pid" --uts hostname
say inside-links; nsenter --target "$pid" --net ip -json -details address
say inside-routes; nsenter --target "$pid" --net ip -json route
exit 0
"""


@dataclass(frozen=True)
class Names:
    """What the engine calls its own on the host: the default network's bridge, and its table of rules."""

    bridge: str = "kk0"
    table: str = "kernelkit"


def look(engine: Engine, image: str = "", container: str = "") -> State:
    """The state of the practice host, of an image's layers and of one container, as they are now.

    An image or container that is not there is simply not in the state.
    """
    known = _inspect(engine, container) if container else {}
    folder = known.get("GraphDriver", {}).get("Data", {}).get("UpperDir", "").removesuffix("/upper")
    ran = engine.shell("sh", "-c", SCRIPT, "look", known.get("Id", ""), folder)
    if ran.code:
        raise LessonError(f"cannot look at the practice host: {ran.stderr.strip() or 'its tools are not there'}")
    facts = engine.get("/kernelkit/host")
    names = Names(facts["bridge"]["name"], facts["table"])
    return parse(ran.stdout, image, layers_of(engine, image) if image else (), known, names)


def layers_of(engine: Engine, image: str) -> tuple[Layer, ...]:
    """An image's sheets, bottom first; none when it is not here."""
    try:
        digests = engine.get(f"/images/{image}/json")["RootFS"]["Layers"]
        history = [entry for entry in reversed(engine.get(f"/images/{image}/history")) if entry["Size"]]
    except EngineError as error:
        if error.status == 404:
            return ()
        raise
    if len(history) != len(digests):
        history = [{"CreatedBy": "", "Size": 0} for _ in digests]
    return tuple(
        Layer(digest, _made_by(entry["CreatedBy"]), entry["Size"])
        for digest, entry in zip(digests, history, strict=True)
    )


def parse(text: str, image: str, layers: tuple[Layer, ...], container: Mapping[str, Any], names: Names) -> State:
    """The state from what the script wrote and what the engine knows of the container."""
    said = _sections(text)
    uplink = next((r.link for r in _routes(said.get("routes", "")) if r.destination == "default"), "")
    masquerades, published = _rules(said.get("rules", ""), names.table)
    host = Host(
        hostname=said.get("hostname", "").strip(),
        links=_links(said.get("links", "")),
        namespaces=_namespaces(said.get("namespaces", "")),
        masquerades=masquerades,
        published=published,
        uplink=uplink,
        bridge=names.bridge,
    )
    status = container.get("State", {}).get("Status", "")
    inside = _inside(said) if "pid" in said else None
    return State(host, image, layers, status, bool(said.get("folder", "").strip()), inside)


def _inspect(engine: Engine, container: str) -> dict[str, Any]:
    try:
        return dict(engine.get(f"/containers/{container}/json"))
    except EngineError as error:
        if error.status == 404:
            return {}
        raise


def _sections(text: str) -> dict[str, str]:
    found = {}
    for part in text.split("\001")[1:]:
        name, _, content = part.partition("\n")
        found[name] = content
    return found


def _inside(said: Mapping[str, str]) -> Inside:
    mounts = [mount for line in said.get("mounts", "").splitlines() if (mount := _mount(line))]
    root = next(
        (m for m in mounts if m.fstype == "overlay" and (m.target == "/" or m.target.endswith("/merged"))), None
    )
    is_entered = any(m.target == "/" and m.fstype == "overlay" for m in mounts)
    return Inside(
        pid=int(said["pid"]),
        command=said.get("command", "").strip(),
        hostname=said.get("inside-hostname", "").strip(),
        namespaces=_namespaces(said.get("inside-namespaces", "")),
        links=_links(said.get("inside-links", "")),
        routes=_routes(said.get("inside-routes", "")),
        root=root,
        is_entered=is_entered,
        mounts=len(mounts),
        written=tuple(sorted(said.get("written", "").split())),
    )


def _mount(line: str) -> Mount | None:
    before, dash, after = line.partition(" - ")
    if not dash:
        return None
    fstype, source, options = after.split(" ", 2)
    return Mount(before.split()[4], fstype, source, tuple(options.split(",")))


def _links(text: str) -> tuple[Link, ...]:
    return tuple(
        Link(
            name=link["ifname"],
            index=link["ifindex"],
            is_up="UP" in link["flags"],
            kind=link.get("linkinfo", {}).get("info_kind", ""),
            master=link.get("master", ""),
            peer=link.get("link_index", 0),
            addresses=tuple(f"{a['local']}/{a['prefixlen']}" for a in link["addr_info"] if a["family"] == "inet"),
        )
        for link in _json(text)
        if link.get("ifname")
    )


def _routes(text: str) -> tuple[Route, ...]:
    return tuple(Route(r.get("dst", ""), r.get("gateway", ""), r.get("dev", "")) for r in _json(text))


def _namespaces(text: str) -> dict[str, int]:
    """Lines like `net net:[4026532008]`."""
    found = {}
    for line in text.splitlines():
        kind, _, link = line.partition(" ")
        number = link.partition("[")[2].strip().rstrip("]")
        if kind in KINDS and number.isdigit():
            found[kind] = int(number)
    return found


def _rules(text: str, table: str) -> tuple[tuple[str, ...], tuple[Published, ...]]:
    """Of one table in `nft -json list ruleset`: whose packets go out as the host's, and which ports lead where."""
    everything = json.loads(text)["nftables"] if text.strip() else []
    entries = [entry for entry in everything if any(value.get("table") == table for value in entry.values())]
    sets = {e["set"]["name"]: _addresses(e["set"].get("elem", [])) for e in entries if "set" in e}
    masquerades: list[str] = []
    for rule in (e["rule"] for e in entries if "rule" in e):
        steps = rule.get("expr", [])
        if any("masquerade" in step for step in steps) and not any(_is_answer(step) for step in steps):
            # Each further match leaves fewer: the last one says whose packets these are.
            masquerades += ([], *(found for step in steps if (found := _sources(step, sets)) is not None))[-1]
    published = {
        found
        for ports in (e["map"] for e in entries if "map" in e)
        for key, value in ports.get("elem", [])
        if (found := _published(ports["name"], key, value))
    }
    return tuple(dict.fromkeys(masquerades)), tuple(sorted(published, key=lambda p: (p.protocol, p.port)))


def _is_answer(expression: Mapping[str, Any]) -> bool:
    """Whether a rule is for what was led inside (`ct status dnat`), and says nothing of what goes out."""
    left = expression.get("match", {}).get("left", {})
    return isinstance(left, dict) and left.get("ct", {}).get("key") == "status"


def _sources(expression: Mapping[str, Any], sets: Mapping[str, list[str]]) -> list[str] | None:
    """Those of `ip saddr 172.17.0.0/16`, or of `ip saddr @subnets`; None for what says nothing of a sender.

    The loopback is none of a network's.
    """
    match = expression.get("match", {})
    left, right = match.get("left", {}), match.get("right")
    if not isinstance(left, dict) or left.get("payload", {}).get("field") != "saddr":
        return None
    found = sets.get(right[1:], []) if isinstance(right, str) and right.startswith("@") else _addresses([right])
    return [subnet for subnet in found if not subnet.startswith("127.")]


def _addresses(elements: list[Any]) -> list[str]:
    """Addresses and subnets among the elements of a set."""
    prefixes = [element["prefix"] for element in elements if isinstance(element, dict) and "prefix" in element]
    alone = [element for element in elements if isinstance(element, str)]
    return [*(f"{prefix['addr']}/{prefix['len']}" for prefix in prefixes), *alone]


def _published(name: str, key: Any, value: Any) -> Published | None:
    """An element `8080 : 172.17.0.2 . 80` of a map of ports, or one with an address before the port."""
    left, right = _parts(key), _parts(value)
    if not left or not isinstance(left[-1], int) or len(right) != 2 or not isinstance(right[1], int):
        return None
    return Published(name.partition("_")[0], left[-1], str(right[0]), right[1])


def _parts(value: Any) -> list[Any]:
    return list(value["concat"]) if isinstance(value, dict) and "concat" in value else [value]


def _json(text: str) -> Any:
    return json.loads(text) if text.strip() else []


def _made_by(command: str) -> str:
    """The instruction that made a layer, as short as it is clear."""
    words = " ".join(command.replace("/bin/sh -c", "").replace("#(nop)", "").split())
    return words if len(words) <= 30 else words[:29] + "…"
