"""The database roles and an empty database that they fit: the one place that works as a superuser.

* ``billing_owner`` owns every table and cannot log in.
* ``billing_migrator`` logs in, is a member of the owner and migrates as it (``SET ROLE``).
* ``billing_app`` logs in and only works: neither owner nor superuser. What it may do to each table is granted by
  ``manage.py sync_grants`` from what each model declares.

Roles belong to the whole cluster, so they are made under an advisory lock of the maintenance database.
"""

from typing import Any

import psycopg
from psycopg import sql

OWNER = "billing_owner"
MIGRATOR = "billing_migrator"
APP = "billing_app"

Connection = psycopg.Connection[Any]

_ROLES_LOCK = 7_262_001  # any number, the same for everybody who makes these roles
_NO_POWER = sql.SQL("NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS")


def ensure_roles(admin: Connection, *, app_password: str | None = None, migrator_password: str | None = None) -> None:
    """Create the three roles, or bring them back to what they must be; run again it changes nothing.

    ``admin`` is a superuser's connection to the maintenance database. A password of ``None`` leaves the present one
    alone (a trusting or externally authenticated server needs none).
    """
    with admin.transaction():
        admin.execute("SELECT pg_advisory_xact_lock(%s)", [_ROLES_LOCK])
        _ensure_role(admin, OWNER, login=False, password=None)
        _ensure_role(admin, MIGRATOR, login=True, password=migrator_password)
        _ensure_role(admin, APP, login=True, password=app_password)
        member = admin.execute("SELECT pg_has_role(%s, %s, 'MEMBER')", [MIGRATOR, OWNER]).fetchone()
        if not member or not member[0]:
            admin.execute(sql.SQL("GRANT {} TO {}").format(sql.Identifier(OWNER), sql.Identifier(MIGRATOR)))


def _ensure_role(admin: Connection, name: str, *, login: bool, password: str | None) -> None:
    present = admin.execute(
        "SELECT rolcanlogin, rolsuper OR rolcreatedb OR rolcreaterole OR rolreplication OR rolbypassrls"
        " FROM pg_roles WHERE rolname = %s",
        [name],
    ).fetchone()
    role = sql.Identifier(name)
    can_login = sql.SQL("LOGIN" if login else "NOLOGIN")
    if present is None:
        admin.execute(sql.SQL("CREATE ROLE {} {} {}").format(role, can_login, _NO_POWER))
    elif present != (login, False):
        admin.execute(sql.SQL("ALTER ROLE {} {} {}").format(role, can_login, _NO_POWER))
    if password is not None:
        admin.execute(sql.SQL("ALTER ROLE {} PASSWORD {}").format(role, sql.Literal(password)))


def create_database(admin: Connection, name: str, *, template: str = "template0") -> None:
    """Create a database that belongs to the owner; the application role may connect and nothing more.

    ``admin`` is a superuser's autocommit connection. Raises ``psycopg.errors.DuplicateDatabase`` when it exists.
    """
    admin.execute(
        sql.SQL("CREATE DATABASE {} OWNER {} TEMPLATE {}").format(
            sql.Identifier(name), sql.Identifier(OWNER), sql.Identifier(template)
        )
    )
    _open_database(admin, name)


def ensure_database(admin: Connection, name: str) -> None:
    """Create the database unless it exists, and let the right roles in either way."""
    if not admin.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name]).fetchone():
        create_database(admin, name)
    _open_database(admin, name)


def _open_database(admin: Connection, name: str) -> None:
    # A temporary table or view could stand in for ours where a name is written without its schema: nobody who does not
    # own the database makes one.
    database, app, migrator = sql.Identifier(name), sql.Identifier(APP), sql.Identifier(MIGRATOR)
    admin.execute(sql.SQL("REVOKE CONNECT, TEMPORARY ON DATABASE {} FROM PUBLIC").format(database))
    admin.execute(sql.SQL("REVOKE TEMPORARY ON DATABASE {} FROM {}, {}").format(database, app, migrator))
    admin.execute(sql.SQL("GRANT CONNECT ON DATABASE {} TO {}, {}").format(database, app, migrator))


def furnish_database(inside: Connection) -> None:
    """Give a new database its extension and its schema to the owner. ``inside`` is a superuser connected to it."""
    with inside.transaction():
        inside.execute("SELECT pg_advisory_xact_lock(%s)", [_ROLES_LOCK])
        inside.execute("CREATE EXTENSION IF NOT EXISTS btree_gist SCHEMA public")
        inside.execute(sql.SQL("ALTER SCHEMA public OWNER TO {}").format(sql.Identifier(OWNER)))
        inside.execute("REVOKE CREATE ON SCHEMA public FROM PUBLIC")
        inside.execute(sql.SQL("GRANT USAGE ON SCHEMA public TO {}").format(sql.Identifier(APP)))
