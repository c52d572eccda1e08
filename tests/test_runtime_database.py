"""The roles, the grants and the test databases themselves."""

import subprocess
import sys
from pathlib import Path

import psycopg
import pytest
from django.db import connection

from billing_ops.embedded import roles
from billing_ops.management.commands.sync_grants import declared_privileges
from tests.support.database import Database, Databases

ROOT = Path(__file__).resolve().parents[1]


def test_the_application_works_as_a_role_without_power(db: None) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT current_user, rolsuper, rolcreatedb, rolcreaterole, pg_has_role(%s, 'MEMBER')"
            " FROM pg_roles WHERE rolname = current_user",
            [roles.OWNER],
        )
        assert cursor.fetchone() == (roles.APP, False, False, False, False)


def test_the_application_may_do_exactly_what_each_model_declares(fresh_db: Database) -> None:
    with fresh_db.connect(role="owner") as owner:
        for table, privileges in declared_privileges().items():
            if owner.execute("SELECT to_regclass(%s)", [table]).fetchone() == (None,):
                continue
            for privilege in ("SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE", "REFERENCES", "TRIGGER"):
                has = owner.execute("SELECT has_table_privilege(%s, %s, %s)", [roles.APP, table, privilege]).fetchone()
                whole = privilege in [part.strip() for part in privileges.split(",")]
                assert has == (whole,), f"{privilege} on {table}: declared {privileges!r}"


def test_every_table_belongs_to_the_owner(fresh_db: Database) -> None:
    with fresh_db.connect() as app:
        rows = app.execute(
            "SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tableowner <> %s", [roles.OWNER]
        )
        assert rows.fetchall() == []


def test_the_application_cannot_change_the_schema_or_become_the_owner(fresh_db: Database) -> None:
    with fresh_db.connect() as app:
        for statement in (
            "CREATE TABLE mine (id int)",
            "DROP TABLE auth_user",
            "ALTER TABLE auth_user DISABLE TRIGGER ALL",
            f"SET ROLE {roles.OWNER}",
            "CREATE SCHEMA mine",
            "INSERT INTO django_migrations (app, name, applied) VALUES ('a', 'b', now())",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                app.execute(statement)


def test_grants_that_someone_added_by_hand_are_taken_back(fresh_db: Database) -> None:
    with fresh_db.connect(role="owner") as owner, fresh_db.connect() as app:
        owner.execute("GRANT ALL ON django_migrations TO billing_app, PUBLIC")
        env = {**fresh_db.env(), "BILLING_DB_ROLE": "owner"}
        subprocess.run([sys.executable, "manage.py", "sync_grants"], cwd=ROOT, env=env, check=True, timeout=60)
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            app.execute("DELETE FROM django_migrations")


def test_preparing_refuses_the_application_role(fresh_db: Database) -> None:
    done = subprocess.run(
        [sys.executable, "manage.py", "prepare_database"],
        cwd=ROOT,
        env=fresh_db.env(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert "BILLING_DB_ROLE=owner" in done.stderr


def test_a_fresh_database_commits_and_is_empty_for_the_next(databases: Databases) -> None:
    with databases.fresh() as first, databases.fresh() as second:
        with first.connect() as one, first.connect() as two:
            one.execute("INSERT INTO django_content_type (app_label, model) VALUES ('here', 'here')")
            assert two.execute("SELECT count(*) FROM django_content_type WHERE app_label = 'here'").fetchone() == (1,)
        with second.connect() as other:
            assert other.execute("SELECT count(*) FROM django_content_type WHERE app_label = 'here'").fetchone() == (0,)


def test_roles_are_brought_back_to_what_they_must_be(databases: Databases) -> None:
    name = "bo_test_role_probe"
    with psycopg.connect(databases.server.admin_url, autocommit=True) as admin, admin.transaction(force_rollback=True):
        admin.execute(f"CREATE ROLE {name} LOGIN CREATEDB")
        roles._ensure_role(admin, name, login=False, password=None)
        row = admin.execute("SELECT rolcanlogin, rolcreatedb FROM pg_roles WHERE rolname = %s", [name]).fetchone()
        assert row == (False, False)
