"""Test databases: one template a state of the code, copied for every pytest process and for every committing test.

Names carry a namespace (user and checkout), and each process holds an advisory lock of the maintenance database while
its databases live. So several pytest runs share a server, a killed run's leftovers are found and dropped by the next
one, and a template is dropped only when no run copies from it any more.
"""

import getpass
import hashlib
import os
import re
import secrets
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote

import psycopg
from psycopg import sql

from billing_ops.embedded import roles

ROOT = Path(__file__).resolve().parents[2]
Role = Literal["app", "owner", "admin"]

# What decides the template's contents: tables, grants, roles and the code that makes them.
_SOURCES = (
    "*/migrations/**/*.py",
    "*/migrations/**/*.sql",
    "*/sql/**/*.sql",
    "*/models.py",
    "*/models/**/*.py",
    "*/management/commands/*.py",
    "billing_ops/embedded/roles.py",
    "billing_ops/kit/fields.py",
    "billing_ops/settings/*.py",
    "billing_ops/console/roles.py",
    "requirements.lock",
)
_CLASS_RUN, _CLASS_TEMPLATE, _CLASS_BUILD = 7_262_010, 7_262_011, 7_262_012


@dataclass(frozen=True)
class Server:
    """A PostgreSQL server that tests may create databases on; ``admin_url`` is a superuser's."""

    admin_url: str
    app_password: str = ""
    migrator_password: str = ""

    def url(self, database: str, role: Role = "app") -> str:
        info = psycopg.conninfo.conninfo_to_dict(self.admin_url)
        user, password = {
            "app": (roles.APP, self.app_password),
            "owner": (roles.MIGRATOR, self.migrator_password),
            "admin": (str(info.get("user", "")), str(info.get("password") or "")),
        }[role]
        login = quote(user, safe="") + (f":{quote(password, safe='')}" if password else "")
        host, port = str(info.get("host", "127.0.0.1")), str(info.get("port", "5432"))
        options = "?options=-c%20role%3D" + roles.OWNER if role == "owner" else ""
        return f"postgres://{login}@{host}:{port}/{quote(database, safe='')}{options}"


@dataclass(frozen=True)
class Database:
    """A committed database of one test."""

    server: Server
    name: str

    def url(self, role: Role = "app") -> str:
        """The address to log in with, as the application (default), the owner of the tables or a superuser."""
        return self.server.url(self.name, role)

    def connect(self, *, role: Role = "app", autocommit: bool = True) -> psycopg.Connection[Any]:
        """A new connection of its own; the caller closes it."""
        return psycopg.connect(self.url(role), autocommit=autocommit)

    def env(self) -> dict[str, str]:
        """The environment for a process of ours (worker, web server, command) that works on this database."""
        return {**os.environ, "DATABASE_URL": self.url(), "OWNER_DATABASE_URL": self.url("owner")}


def _namespace() -> str:
    user = re.sub(r"[^a-z0-9]", "", getpass.getuser().lower())[:8]
    return f"bo_test_{user}_{hashlib.sha256(str(ROOT).encode()).hexdigest()[:6]}"


def _fingerprint() -> str:
    digest = hashlib.sha256()
    for pattern in _SOURCES:
        for path in sorted(ROOT.glob(pattern)):
            if ".venv" in path.parts or path.is_relative_to(ROOT / "tests"):
                continue
            digest.update(str(path.relative_to(ROOT)).encode() + b"\0")
            try:
                digest.update(path.read_bytes() + b"\0")
            except FileNotFoundError:  # renamed between the listing and the reading: another fingerprint, rightly
                digest.update(b"gone\0")
    return digest.hexdigest()[:12]


class Databases:
    """The databases of one pytest process."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self._admin: psycopg.Connection[Any] = psycopg.connect(server.admin_url, autocommit=True)
        self._run = f"{_namespace()}_run_{os.getpid()}_{secrets.token_hex(2)}"
        self._count = 0
        roles.ensure_roles(
            self._admin,
            app_password=server.app_password or None,
            migrator_password=server.migrator_password or None,
        )
        self._lock(_CLASS_RUN, self._run)
        self._drop_orphans()
        self.template = self._ensure_template()

    def close(self) -> None:
        """Give the locks back; whatever is left of this run is dropped by the next one."""
        self._admin.close()

    def create(self, *, migrated: bool = True) -> Database:
        """Copy the template into a database of this process, or make one without tables."""
        self._count += 1
        database = Database(self.server, f"{self._run}_{self._count}")
        roles.create_database(self._admin, database.name, template=self.template if migrated else "template0")
        if not migrated:
            with database.connect(role="admin") as inside:
                roles.furnish_database(inside)
        return database

    def drop(self, database: Database) -> None:
        """Drop it, whoever is still connected."""
        self._drop(database.name)

    @contextmanager
    def fresh(self, *, migrated: bool = True) -> Iterator[Database]:
        """A database for as long as the block lasts."""
        database = self.create(migrated=migrated)
        try:
            yield database
        finally:
            self.drop(database)

    def _drop(self, name: str) -> None:
        self._admin.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))

    def _lock(self, kind: int, name: str, *, shared: bool = False) -> None:
        function = "pg_advisory_lock_shared" if shared else "pg_advisory_lock"
        self._admin.execute(f"SELECT {function}(%s, hashtext(%s))", [kind, name])

    def _try_lock(self, kind: int, name: str) -> bool:
        row = self._admin.execute("SELECT pg_try_advisory_lock(%s, hashtext(%s))", [kind, name]).fetchone()
        return bool(row and row[0])

    def _unlock(self, kind: int, name: str) -> None:
        self._admin.execute("SELECT pg_advisory_unlock(%s, hashtext(%s))", [kind, name])

    def _names(self, kind: str) -> list[str]:
        prefix = f"{_namespace()}_{kind}_"
        rows = self._admin.execute("SELECT datname FROM pg_database WHERE starts_with(datname, %s)", [prefix])
        return [str(row[0]) for row in rows.fetchall()]

    def _drop_orphans(self) -> None:
        for name in self._names("run"):
            run = name.rpartition("_")[0]
            if run != self._run and self._try_lock(_CLASS_RUN, run):
                self._drop(name)
                self._unlock(_CLASS_RUN, run)

    def _ensure_template(self) -> str:
        """Return the template of the present code, built if need be; this run keeps it from being dropped."""
        namespace = _namespace()
        self._lock(_CLASS_BUILD, namespace)
        try:
            while True:
                fingerprint = _fingerprint()
                name = f"{namespace}_tpl_{fingerprint}"
                self._lock(_CLASS_TEMPLATE, name, shared=True)
                if name in self._names("tpl"):
                    break
                self._build(name)
                if _fingerprint() == fingerprint:
                    break
                self._drop(name)  # the code changed while it was built
            for other in self._names("tpl"):
                if other != name and self._try_lock(_CLASS_TEMPLATE, other):
                    self._drop(other)
                    self._unlock(_CLASS_TEMPLATE, other)
            return name
        finally:
            self._unlock(_CLASS_BUILD, namespace)

    def _build(self, name: str) -> None:
        """Build under another name and rename at the end: a template that exists is complete."""
        draft = f"{_namespace()}_new_{os.getpid()}"
        for left in self._names("new"):
            self._drop(left)
        roles.create_database(self._admin, draft)
        with psycopg.connect(self.server.url(draft, "admin"), autocommit=True) as inside:
            roles.furnish_database(inside)
        environment = {
            **os.environ,
            "BILLING_DB_ROLE": "owner",
            "DATABASE_URL": self.server.url(draft),
            "OWNER_DATABASE_URL": self.server.url(draft, "owner"),
        }
        done = subprocess.run(
            [sys.executable, "manage.py", "prepare_database", "--verbosity", "0"],
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        if done.returncode:
            self._drop(draft)
            raise RuntimeError(f"The test database could not be migrated:\n{(done.stdout + done.stderr)[-4000:]}")
        self._admin.execute(
            sql.SQL("ALTER DATABASE {} RENAME TO {}").format(sql.Identifier(draft), sql.Identifier(name))
        )
