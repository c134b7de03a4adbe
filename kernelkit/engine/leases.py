"""Who holds which address and which port: each is held once, or not at all."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable

from kernelkit.engine.database import Database

LAST_PORT = 65535


class Leases:
    """The addresses of networks and the ports of the real machine that containers hold; for any thread."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._held: dict[str, dict[str, str]] = {}
        for network, address, holder in database.connection.execute("select network, address, container from leases"):
            self._held.setdefault(network, {})[address] = holder

    def addresses(self, network: str) -> dict[str, str]:
        """The addresses held in a network, by its id: address -> container id."""
        return dict(self._held.get(network, {}))

    def lease(self, network: str, addresses: Iterable[str], container: str) -> str:
        """Hold the first address of these that is free, for a container; empty when none is."""
        with self._database.lock:
            held = self._held.setdefault(network, {})
            for address in addresses:
                if address in held:
                    continue
                try:
                    with self._database.transaction() as db:
                        db.execute("insert into leases values (?,?,?)", (network, address, container))
                except sqlite3.IntegrityError:
                    continue
                held[address] = container
                return address
        return ""

    def release_address(self, network: str, container: str) -> None:
        """Give back the addresses that a container holds in one network."""
        with self._database.transaction() as db:
            db.execute("delete from leases where network=? and container=?", (network, container))
            held = self._held.get(network, {})
            for address in [a for a, holder in held.items() if holder == container]:
                del held[address]

    def release_ports(self, container: str) -> None:
        """Give back the ports of a container."""
        with self._database.transaction() as db:
            db.execute("delete from ports where container=?", (container,))

    def release(self, container: str) -> None:
        """Give back all addresses and ports of a container."""
        with self._database.transaction():
            self.drop(container)

    def drop(self, container: str) -> None:
        """The same, within a transaction that does more."""
        db = self._database.connection
        db.execute("delete from leases where container=?", (container,))
        db.execute("delete from ports where container=?", (container,))
        for held in self._held.values():
            for address in [a for a, holder in held.items() if holder == container]:
                del held[address]

    def drop_network(self, network: str) -> None:
        """Forget a network's addresses, within a transaction that does more."""
        self._database.connection.execute("delete from leases where network=?", (network,))
        self._held.pop(network, None)

    def hold_ports(self, container: str, ports: Iterable[tuple[str, str, int]]) -> tuple[str, str, int] | None:
        """Hold (proto, host address, port) for a container: all of them, or none and say which was taken."""
        wanted = list(ports)
        with self._database.lock:
            for proto, address, port in wanted:
                # Holding 0.0.0.0:80 means holding 80 on every address, and the other way round.
                family = "%:%" if ":" in address else "%.%"
                anywhere = address in ("0.0.0.0", "::")
                clash = self._database.connection.execute(
                    "select 1 from ports where proto=? and port=? and container<>? and host_ip like ?"
                    " and (? or host_ip in (?, '0.0.0.0', '::'))",
                    (proto, port, container, family, anywhere, address),
                ).fetchone()
                if clash:
                    return proto, address, port
            try:
                with self._database.transaction() as db:
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
        with self._database.lock:
            where, values = ("where container=?", (container,)) if container else ("", ())
            return list(self._database.connection.execute(f"select proto, host_ip, port from ports {where}", values))

    def cables(self, container: str) -> dict[tuple[str, str, int], int]:
        """At which port of the cable's end in the practice host each of a container's ports arrives.

        Each address of the real machine has a port 80, the cable's end has one. What is not here arrives as itself.
        """
        query = "select proto, host_ip, port, cable from cables natural join ports where container=?"
        with self._database.lock:
            return {
                (proto, address, port): cable
                for proto, address, port, cable in self._database.connection.execute(query, (container,))
            }


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
