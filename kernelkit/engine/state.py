"""The engine's book: read once from its database at the start, and written there at every change.

What the engine reads is in memory; each change is one transaction before it is seen there.
"""

from __future__ import annotations

import json
import sqlite3
from collections import deque
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from kernelkit.engine.database import Database
from kernelkit.engine.events import KEPT
from kernelkit.engine.leases import Leases
from kernelkit.engine.model import Container, Network, State, Volume
from kernelkit.errors import Conflict, InvalidRequest, NotFound

Json = dict[str, Any]


class Book:
    """Everything the engine has to remember; safe to use from any thread."""

    def __init__(self, path: Path) -> None:
        self._database = Database(path)
        self._database.before_each_commit(self._write_events)
        self._lock = self._database.lock
        self._transaction = self._database.transaction
        self.leases = Leases(self._database)
        self._events: deque[str] = deque()
        self._containers: dict[str, Container] = {}
        self._names: dict[str, str] = {}
        self._networks: dict[str, Network] = {}
        self._volumes: dict[str, Volume] = {}
        self._read()

    def close(self) -> None:
        """Write what is waiting and close the file."""
        self._database.close()

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
                self.leases.drop(container.id)
            self._containers.pop(container.id, None)
            self._names.pop(container.name, None)

    def _name_taken(self, name: str) -> Conflict:
        holder = self._names.get(name, "")
        return Conflict(
            f'Conflict. The container name "/{name}" is already in use by container "{holder}". '
            "You have to remove (or rename) that container to be able to reuse that name."
        )

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
                self.leases.drop_network(network.id)
            self._networks.pop(network.id, None)

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
            rows = self._database.connection.execute(
                "select event from events order by seq desc limit ?", (KEPT,)
            ).fetchall()
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
            return frozenset(
                directory for (directory,) in self._database.connection.execute("select directory from cgroups")
            )

    def _write_events(self) -> None:
        if not self._events:
            return
        db = self._database.connection
        waiting = [self._events.popleft() for _ in range(len(self._events))]
        last = db.executemany("insert into events (event) values (?)", [(e,) for e in waiting])
        if last.rowcount and db.execute("select max(seq) % 64 from events").fetchone()[0] < len(waiting):
            db.execute("delete from events where seq <= (select max(seq) from events) - ?", (KEPT,))

    def _read(self) -> None:
        for row in self._database.connection.execute("select * from containers"):
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
        for (record,) in self._database.connection.execute("select record from networks"):
            network = Network(**json.loads(record))
            self._networks[network.id] = network
        for (record,) in self._database.connection.execute("select record from volumes"):
            volume = Volume(**json.loads(record))
            self._volumes[volume.name] = volume


def _state(container: Container) -> str:
    return _dump({**container.state.as_json(), "ports": container.ports})


def _dump(value: object) -> str:
    return json.dumps(value, separators=(",", ":"))
