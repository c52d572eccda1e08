"""What the stand-in remembers: one SQLite database, in a file or in memory.

Every API request is one transaction that holds its objects, its events, their deliveries, its line in the request log
and its answer under the idempotency key; it commits before the answer is sent. So a process that is killed has lost no
answered request. (Write-ahead log, ``synchronous=NORMAL``: safe against the death of the process, not of the machine.)
"""

import json
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from billing_ops.stripe_standin.errors import Json

_SCHEMA = """
CREATE TABLE IF NOT EXISTS objects (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, kind TEXT NOT NULL, created INTEGER NOT NULL,
    body TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS objects_kind ON objects (kind, seq);
CREATE INDEX IF NOT EXISTS objects_invoice ON objects (kind, json_extract(body, '$.invoice'));
CREATE INDEX IF NOT EXISTS objects_customer ON objects (kind, json_extract(body, '$.customer'));
CREATE TABLE IF NOT EXISTS answers (
    key TEXT PRIMARY KEY, path TEXT NOT NULL, params TEXT NOT NULL, status INTEGER NOT NULL, body TEXT NOT NULL,
    request_id TEXT NOT NULL, created INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS requests (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL, created INTEGER NOT NULL, method TEXT NOT NULL,
    path TEXT NOT NULL, params TEXT NOT NULL, idempotency_key TEXT, api_version TEXT, status INTEGER NOT NULL,
    error TEXT, replayed INTEGER NOT NULL, fault TEXT);
CREATE TABLE IF NOT EXISTS deliveries (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, rank REAL NOT NULL, event TEXT NOT NULL, endpoint TEXT NOT NULL,
    due REAL NOT NULL, state TEXT NOT NULL, attempts INTEGER NOT NULL DEFAULT 0, last_status INTEGER,
    plan TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS deliveries_due ON deliveries (state, due);
CREATE INDEX IF NOT EXISTS deliveries_event ON deliveries (event);
CREATE TABLE IF NOT EXISTS faults (seq INTEGER PRIMARY KEY AUTOINCREMENT, channel TEXT NOT NULL, body TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS counters (name TEXT PRIMARY KEY, value INTEGER NOT NULL);
"""
_TABLES = ("objects", "answers", "requests", "deliveries", "faults", "counters")


class Store:
    """Objects by identifier, newest last; the caller holds :meth:`transaction` around what belongs together."""

    def __init__(self, path: Path | None) -> None:
        self._lock = threading.RLock()
        self._depth = 0
        self._db = sqlite3.connect(path or ":memory:", check_same_thread=False, isolation_level=None)
        self._db.row_factory = sqlite3.Row
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=NORMAL")
        self._db.executescript(_SCHEMA)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing, one at a time; a nested use is a savepoint."""
        with self._lock:
            name = f"s{self._depth}"
            self._db.execute(f"SAVEPOINT {name}" if self._depth else "BEGIN IMMEDIATE")
            self._depth += 1
            try:
                yield
            except BaseException:
                self._depth -= 1
                self._db.execute(f"ROLLBACK TO {name}" if self._depth else "ROLLBACK")
                if self._depth:
                    self._db.execute(f"RELEASE {name}")
                raise
            self._depth -= 1
            self._db.execute(f"RELEASE {name}" if self._depth else "COMMIT")

    def run(self, sql: str, arguments: Sequence[object] = ()) -> list[sqlite3.Row]:
        """One statement, all its rows."""
        with self._lock:
            return self._db.execute(sql, arguments).fetchall()

    def add(self, obj: Json, created: int) -> None:
        """Keep a new object."""
        self.run(
            "INSERT INTO objects (id, kind, created, body) VALUES (?, ?, ?, ?)",
            (obj["id"], obj["object"], created, json.dumps(obj)),
        )

    def save(self, obj: Json) -> None:
        """Keep an object's new state."""
        self.run("UPDATE objects SET body = ? WHERE id = ?", (json.dumps(obj), obj["id"]))

    def remove(self, id: str) -> None:
        """Forget an object (drafts only)."""
        self.run("DELETE FROM objects WHERE id = ?", (id,))

    def get(self, id: str, kind: str | None = None) -> Json | None:
        """An object, or None when there is none (of that kind)."""
        for row in self.run("SELECT kind, body FROM objects WHERE id = ?", (id,)):
            if kind is None or row["kind"] == kind:
                return dict(json.loads(row["body"]))
        return None

    def place(self, id: str, kind: str) -> int | None:
        """Position of an object in the order of creation."""
        rows = self.run("SELECT seq FROM objects WHERE id = ? AND kind = ?", (id, kind))
        return int(rows[0]["seq"]) if rows else None

    def find(
        self, kind: str, where: str = "", arguments: Sequence[object] = (), tail: str = "ORDER BY seq"
    ) -> list[Json]:
        """Objects of a kind; ``where`` and ``tail`` are SQL of this package, never of a request."""
        condition = f" AND {where}" if where else ""
        rows = self.run(f"SELECT body FROM objects WHERE kind = ?{condition} {tail}", (kind, *arguments))  # noqa: S608
        return [json.loads(row["body"]) for row in rows]

    def count_up(self, name: str) -> int:
        """The next number of a named series, from 1."""
        rows = self.run(
            "INSERT INTO counters VALUES (?, 1) ON CONFLICT (name) DO UPDATE SET value = value + 1 RETURNING value",
            (name,),
        )
        return int(rows[0]["value"])

    def clear(self) -> None:
        """Forget everything."""
        with self.transaction():
            for table in _TABLES:
                self.run(f"DELETE FROM {table}")  # noqa: S608

    def close(self) -> None:
        """Close the database."""
        with self._lock:
            self._db.close()


def counted(rows: Sequence[sqlite3.Row]) -> dict[str, Any]:
    """Rows of (name, number) as a dict."""
    return {row[0]: row[1] for row in rows}
