"""The engine's book: `state.db`, SQLite in WAL mode, read once at the start and written at every change.

What the engine reads is in memory; each change is one transaction before it is seen there.  That names, addresses and
ports are held once is a constraint of the database, not a check in code.

A killed engine loses nothing (the operating system has the pages); a machine that loses power may lose the last
transactions, but never half of one: sqlite.org/pragma.html, synchronous.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
import threading
from collections import deque
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from kernelkit.engine.events import KEPT
from kernelkit.engine.model import Container, Network, State, Volume
from kernelkit.errors import Conflict, InvalidRequest, NotFound

LAST_PORT = 65535
SCHEMA = """
create table if not exists containers (
    id text primary key, name text not null unique, created text not null, image text not null, image_id text not null,
    config text not null, host_config text not null, mounts text not null, networks text not null, state text not null
) without rowid;
create table if not exists networks (
    id text primary key, name text not null unique, record text not null
) without rowid;
create table if not exists volumes (name text primary key, record text not null) without rowid;
create table if not exists leases (
    network text not null, address text not null, container text not null, primary key (network, address)
) without rowid;
create table if not exists ports (
    proto text not null, host_ip text not null, port integer not null, container text not null,
    primary key (proto, host_ip, port)
) without rowid;
create table if not exists cables (
    proto text not null, cable integer not null, host_ip text not null, port integer not null,
    primary key (proto, cable), unique (proto, host_ip, port),
    foreign key (proto, host_ip, port) references ports on delete cascade
) without rowid;
create table if not exists events (seq integer primary key, event text not null);
create table if not exists cgroups (directory text primary key) without rowid;
create table if not exists facts (name text primary key, value text not null) without rowid;
"""

Json = dict[str, Any]


class Book:
    """Everything the engine has to remember; safe to use from any thread."""

    def __init__(self, path: Path) -> None:
        self._lock = threading.RLock()
        self._db = sqlite3.connect(path, check_same_thread=False, isolation_level=None, cached_statements=64)
        self._db.execute("pragma journal_mode = wal")
        self._db.execute("pragma synchronous = normal")
        self._db.execute("pragma foreign_keys = on")
        self._db.executescript(SCHEMA)
        self._events: deque[str] = deque()
        self._containers: dict[str, Container] = {}
        self._names: dict[str, str] = {}
        self._networks: dict[str, Network] = {}
        self._volumes: dict[str, Volume] = {}
        self._leases: dict[str, dict[str, str]] = {}
        self._read()

    def close(self) -> None:
        """Write what is waiting and close the file."""
        with self._transaction():
            pass
        self._db.close()

    # containers -------------------------------------------------------------------------------------------------

    def containers(self) -> list[Container]:
        """All of them, the newest first."""
        return sorted(self._containers.values(), key=lambda c: c.created, reverse=True)

    def container(self, word: str) -> Container:
        """The container with that id, name, or beginning of an id; NotFound, or InvalidRequest for more than one."""
        found = self._containers.get(word) or self._containers.get(self._names.get(word.removeprefix("/"), ""))
        if found:
            return found
        near = [c for key, c in list(self._containers.items()) if word and key.startswith(word)]
        if len(near) > 1:
            raise InvalidRequest(f"multiple IDs found with provided prefix: {word}")
        if not near:
            raise NotFound(f"No such container: {word}")
        return near[0]

    def add(self, container: Container) -> None:
        """Note a new container; Conflict when its name is taken."""
        c = container
        row = (c.id, c.name, c.created, c.image, c.image_id, *map(_dump, (c.config, c.host_config, c.mounts)))
        with self._lock:
            try:
                with self._transaction() as db:
                    db.execute(
                        "insert into containers values (?,?,?,?,?,?,?,?,?,?)",
                        (*row, _dump(c.networks), _state(c)),
                    )
            except sqlite3.IntegrityError:
                raise self._name_taken(c.name) from None
            self._containers[c.id] = c
            self._names[c.name] = c.id

    def save(self, container: Container, *, settings: bool = False) -> None:
        """Note a container's state and networks as they now are, with its `settings` if they changed too.

        Then wake all who wait for a change of it. One that has been removed meanwhile stays removed.
        """
        c = container
        with self._transaction() as db:
            state = (_dump(c.networks), _state(c))
            if settings:
                db.execute(
                    "update containers set networks=?, state=?, config=?, host_config=?, mounts=? where id=?",
                    (*state, *map(_dump, (c.config, c.host_config, c.mounts)), c.id),
                )
            else:
                db.execute("update containers set networks=?, state=? where id=?", (*state, c.id))
        c.notify()

    def rename(self, container: Container, name: str) -> None:
        """Give a container another name; Conflict when it is taken."""
        with self._lock:
            try:
                with self._transaction() as db:
                    db.execute("update containers set name=? where id=?", (name, container.id))
            except sqlite3.IntegrityError:
                raise self._name_taken(name) from None
            self._names.pop(container.name, None)
            self._names[name] = container.id
            container.name = name

    def remove(self, container: Container) -> None:
        """Forget a container, with its addresses and ports."""
        with self._lock:
            with self._transaction() as db:
                db.execute("delete from containers where id=?", (container.id,))
                self._release(db, container.id)
            self._containers.pop(container.id, None)
            self._names.pop(container.name, None)

    def _name_taken(self, name: str) -> Conflict:
        holder = self._names.get(name, "")
        return Conflict(
            f'Conflict. The container name "/{name}" is already in use by container "{holder}". '
            "You have to remove (or rename) that container to be able to reuse that name."
        )

    # addresses and ports ----------------------------------------------------------------------------------------

    def leases(self, network: str) -> dict[str, str]:
        """The addresses held in a network, by its id: address -> container id."""
        return dict(self._leases.get(network, {}))

    def lease(self, network: str, addresses: Iterable[str], container: str) -> str:
        """Hold the first address of these that is free, for a container; empty when none is."""
        with self._lock:
            held = self._leases.setdefault(network, {})
            for address in addresses:
                if address in held:
                    continue
                try:
                    with self._transaction() as db:
                        db.execute("insert into leases values (?,?,?)", (network, address, container))
                except sqlite3.IntegrityError:
                    continue
                held[address] = container
                return address
        return ""

    def release_address(self, network: str, container: str) -> None:
        """Give back the addresses that a container holds in one network."""
        with self._lock, self._transaction() as db:
            db.execute("delete from leases where network=? and container=?", (network, container))
            held = self._leases.get(network, {})
            for address in [a for a, holder in held.items() if holder == container]:
                del held[address]

    def release(self, container: str) -> None:
        """Give back all addresses and ports of a container."""
        with self._lock, self._transaction() as db:
            self._release(db, container)

    def _release(self, db: sqlite3.Connection, container: str) -> None:
        db.execute("delete from leases where container=?", (container,))
        db.execute("delete from ports where container=?", (container,))
        for held in self._leases.values():
            for address in [a for a, holder in held.items() if holder == container]:
                del held[address]

    def hold_ports(self, container: str, ports: Iterable[tuple[str, str, int]]) -> tuple[str, str, int] | None:
        """Hold (proto, host address, port) for a container: all of them, or none and say which was taken."""
        wanted = list(ports)
        with self._lock:
            for proto, address, port in wanted:
                # Holding 0.0.0.0:80 means holding 80 on every address, and the other way round.
                family = "%:%" if ":" in address else "%.%"
                anywhere = address in ("0.0.0.0", "::")
                clash = self._db.execute(
                    "select 1 from ports where proto=? and port=? and container<>? and host_ip like ?"
                    " and (? or host_ip in (?, '0.0.0.0', '::'))",
                    (proto, port, container, family, anywhere, address),
                ).fetchone()
                if clash:
                    return proto, address, port
            try:
                with self._transaction() as db:
                    for proto, address, port in wanted:
                        cable = _cable(db, proto, address, port)
                        db.execute("insert into ports values (?,?,?,?)", (proto, address, port, container))
                        if cable:
                            db.execute("insert into cables values (?,?,?,?)", (proto, cable, address, port))
            except sqlite3.IntegrityError:
                return wanted[0]
        return None

    def ports(self, container: str = "") -> list[tuple[str, str, int]]:
        """The ports that one container holds, or that all hold: (proto, host address, port)."""
        with self._lock:
            where, values = ("where container=?", (container,)) if container else ("", ())
            return list(self._db.execute(f"select proto, host_ip, port from ports {where}", values))

    def cables(self, container: str) -> dict[tuple[str, str, int], int]:
        """At which port of the cable's end in the practice host each of a container's ports arrives.

        Each address of the real machine has a port 80, the cable's end has one. What is not here arrives as itself.
        """
        query = "select proto, host_ip, port, cable from cables natural join ports where container=?"
        with self._lock:
            return {
                (proto, address, port): cable for proto, address, port, cable in self._db.execute(query, (container,))
            }

    # networks and volumes ---------------------------------------------------------------------------------------

    def networks(self) -> list[Network]:
        """All networks, in the order they were made."""
        return sorted(self._networks.values(), key=lambda n: n.created)

    def network(self, word: str) -> Network:
        """The network with that name, id, or beginning of an id; NotFound, or InvalidRequest for more than one."""
        everyone = list(self._networks.values())
        for network in everyone:
            if word in (network.name, network.id):
                return network
        near = [n for n in everyone if word and n.id.startswith(word)]
        if len(near) > 1:
            raise InvalidRequest(f"network {word} is ambiguous ({len(near)} matches found on ID prefix)")
        if not near:
            raise NotFound(f"network {word} not found")
        return near[0]

    def add_network(self, network: Network) -> None:
        """Note a new network; Conflict when its name is taken."""
        with self._lock:
            try:
                with self._transaction() as db:
                    db.execute(
                        "insert into networks values (?,?,?)", (network.id, network.name, _dump(network.as_json()))
                    )
            except sqlite3.IntegrityError:
                raise Conflict(f"network with name {network.name} already exists") from None
            self._networks[network.id] = network

    def remove_network(self, network: Network) -> None:
        """Forget a network."""
        with self._lock:
            with self._transaction() as db:
                db.execute("delete from networks where id=?", (network.id,))
                db.execute("delete from leases where network=?", (network.id,))
            self._networks.pop(network.id, None)
            self._leases.pop(network.id, None)

    def volumes(self) -> list[Volume]:
        """All volumes, by name."""
        return sorted(self._volumes.values(), key=lambda v: v.name)

    def volume(self, name: str) -> Volume:
        """The volume of that name; NotFound."""
        found = self._volumes.get(name)
        if not found:
            raise NotFound(f"get {name}: no such volume")
        return found

    def add_volume(self, volume: Volume) -> Volume:
        """Note a new volume; when there is one of that name already, that one."""
        with self._lock:
            try:
                with self._transaction() as db:
                    db.execute("insert into volumes values (?,?)", (volume.name, _dump(volume.as_json())))
            except sqlite3.IntegrityError:
                return self._volumes[volume.name]
            self._volumes[volume.name] = volume
            return volume

    def remove_volume(self, volume: Volume) -> None:
        """Forget a volume."""
        with self._lock:
            with self._transaction() as db:
                db.execute("delete from volumes where name=?", (volume.name,))
            self._volumes.pop(volume.name, None)

    # the rest ---------------------------------------------------------------------------------------------------

    def note_event(self, event: Json) -> None:
        """Keep an event; it is written with the next change, for nothing depends on it."""
        self._events.append(_dump(event))

    def events(self) -> list[Json]:
        """The events written so far, the oldest first."""
        with self._lock:
            rows = self._db.execute("select event from events order by seq desc limit ?", (KEPT,)).fetchall()
        return [json.loads(event) for (event,) in reversed(rows)]

    def fact(self, name: str, default: str) -> str:
        """What was noted under that name; when nothing was, note and return `default`."""
        with self._lock, self._transaction() as db:
            db.execute("insert or ignore into facts values (?,?)", (name, default))
            return str(db.execute("select value from facts where name=?", (name,)).fetchone()[0])

    def note_cgroups(self, directories: Iterable[str]) -> None:
        """Note parents of containers' cgroups as made by us."""
        with self._transaction() as db:
            db.executemany("insert or ignore into cgroups values (?)", [(directory,) for directory in directories])

    def forget_cgroups(self, directories: Iterable[str]) -> None:
        """Note that they are no more."""
        with self._transaction() as db:
            db.executemany("delete from cgroups where directory=?", [(directory,) for directory in directories])

    def cgroups(self) -> frozenset[str]:
        """Those that are noted."""
        with self._lock:
            return frozenset(directory for (directory,) in self._db.execute("select directory from cgroups"))

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        """All or nothing; nobody else writes meanwhile."""
        with self._lock:
            self._db.execute("begin immediate")
            try:
                yield self._db
                if self._events:
                    self._write_events()
            except BaseException:
                self._db.execute("rollback")
                raise
            self._db.execute("commit")

    def _write_events(self) -> None:
        waiting = [self._events.popleft() for _ in range(len(self._events))]
        last = self._db.executemany("insert into events (event) values (?)", [(e,) for e in waiting])
        if last.rowcount and self._db.execute("select max(seq) % 64 from events").fetchone()[0] < len(waiting):
            self._db.execute("delete from events where seq <= (select max(seq) from events) - ?", (KEPT,))

    def _read(self) -> None:
        for row in self._db.execute("select * from containers"):
            config, host_config, mounts, networks, state = (json.loads(column) for column in row[5:])
            ports = state.pop("ports")
            container = Container(
                id=row[0],
                name=row[1],
                created=row[2],
                image=row[3],
                image_id=row[4],
                config=config,
                host_config=host_config,
                mounts=mounts,
                networks=networks,
                state=State(**state),
                ports=ports,
            )
            self._containers[container.id] = container
            self._names[container.name] = container.id
        for (record,) in self._db.execute("select record from networks"):
            network = Network(**json.loads(record))
            self._networks[network.id] = network
        for (record,) in self._db.execute("select record from volumes"):
            volume = Volume(**json.loads(record))
            self._volumes[volume.name] = volume
        for network_id, address, holder in self._db.execute("select network, address, container from leases"):
            self._leases.setdefault(network_id, {})[address] = holder


def _state(container: Container) -> str:
    return _dump({**container.state.as_json(), "ports": container.ports})


def _cable(db: sqlite3.Connection, proto: str, address: str, port: int) -> int:
    """The same number, if nothing else arrives there; else one that programs rarely have, from the last one down.

    0 for an IPv6 address that shares the port with IPv4: what comes for it arrives with the others.
    """
    query = "select host_ip, port, coalesce(cable, port) from ports natural left join cables where proto=?"
    rows = db.execute(query, (proto,)).fetchall()
    if address == "::" and any(row[:2] == ("0.0.0.0", port) for row in rows):
        return 0
    taken = {cable for _, _, cable in rows}
    return port if port not in taken else next(number for number in range(LAST_PORT, 0, -1) if number not in taken)


def _dump(value: object) -> str:
    return json.dumps(value, separators=(",", ":"))
