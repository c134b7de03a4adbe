"""`state.db`, SQLite in WAL mode: its tables, and its transactions, one at a time.

That names, addresses and ports are held once is a constraint of the database, not a check in code.

A killed engine loses nothing (the operating system has the pages); a machine that loses power may lose the last
transactions, but never half of one: sqlite.org/pragma.html, synchronous.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

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

# Bytes that the journal comes to have before its pages go into the file: 1000 of them, sqlite.org/wal.html.
JOURNAL = 1000 * (4096 + 24) + 32


class Database:
    """The open file. Who reads holds `lock`, for a connection has one statement at a time."""

    def __init__(self, path: Path) -> None:
        self.lock = threading.RLock()
        self.connection = sqlite3.connect(path, check_same_thread=False, isolation_level=None, cached_statements=64)
        self.connection.execute("pragma journal_mode = wal")
        self.connection.execute("pragma synchronous = normal")
        self.connection.execute("pragma foreign_keys = on")
        self.connection.executescript(SCHEMA)
        _reserve(path.with_name(f"{path.name}-wal"))
        self._late: Callable[[], None] = lambda: None

    def before_each_commit(self, write: Callable[[], None]) -> None:
        """Have this called at the end of every transaction: it may write what can wait for one."""
        self._late = write

    def close(self) -> None:
        """Write what is waiting and close the file."""
        with self.transaction():
            pass
        self.connection.close()

    @contextlib.contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """All or nothing; nobody else writes meanwhile."""
        with self.lock:
            self.connection.execute("begin immediate")
            try:
                yield self.connection
                self._late()
            except BaseException:
                self.connection.execute("rollback")
                raise
            self.connection.execute("commit")


def _reserve(journal: Path) -> None:
    """Have room for the journal from the beginning: it is where what ends on a full disk is noted, and what is removed.

    SQLite writes over what it finds there, and keeps a journal's length.
    """
    with contextlib.suppress(OSError):
        file = os.open(journal, os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.posix_fallocate(file, 0, JOURNAL)
        finally:
            os.close(file)
