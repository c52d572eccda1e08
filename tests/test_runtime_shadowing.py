"""Temporary objects do not stand in for ours: nobody may make them, and the database's functions look at them last."""

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from django.db import connection
from psycopg import errors

from billing_ops.embedded import roles
from tests.plans import stories
from tests.support.database import Database

FUNCTIONS = """
    SELECT p.proname, coalesce((SELECT c FROM unnest(p.proconfig) c WHERE c LIKE 'search_path=%'), '')
      FROM pg_proc p
     WHERE p.pronamespace = 'public'::regnamespace AND (p.prosecdef OR p.prorettype = 'trigger'::regtype)
       AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = p.oid AND d.deptype = 'e')
"""


@pytest.fixture
def lent(fresh_db: Database) -> Iterator[psycopg.Connection[Any]]:
    """The application with a right that it is never given, so that only the functions themselves hold."""
    with fresh_db.connect(role="admin") as admin:
        admin.execute(f'GRANT TEMPORARY ON DATABASE "{fresh_db.name}" TO {roles.APP}')
    with fresh_db.connect() as app:
        yield app


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TEMPORARY TABLE plans_price (id int)",
        "CREATE TEMPORARY VIEW pg_class AS SELECT 1 AS relname",
        "CREATE FUNCTION pg_temp.mine() RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "SELECT 1 AS id INTO TEMPORARY mine",
    ],
)
def test_the_application_makes_nothing_temporary(fresh_db: Database, statement: str) -> None:
    with fresh_db.connect() as app, pytest.raises(errors.InsufficientPrivilege):
        app.execute(statement)


def test_functions_that_guard_or_have_more_power_look_at_temporary_objects_last(db: None) -> None:
    with connection.cursor() as cursor:
        cursor.execute(FUNCTIONS)
        found = dict(cursor.fetchall())
    assert {"refuse_change", "metering_ensure_month", "ledger_line_guard", "invoice_guard"} <= found.keys()
    wrong = {name: path for name, path in found.items() if path != "search_path=pg_catalog, public, pg_temp"}
    assert wrong == {}


def test_a_false_catalogue_does_not_run_as_the_owner(lent: psycopg.Connection[Any]) -> None:
    lent.execute(
        "CREATE FUNCTION pg_temp.told() RETURNS boolean LANGUAGE plpgsql AS"
        " $$ BEGIN RAISE EXCEPTION 'ran as %', current_user; END $$"
    )
    lent.execute(
        "CREATE TEMPORARY VIEW pg_class AS SELECT 'x'::name AS relname,"
        " 'public'::regnamespace::oid AS relnamespace WHERE pg_temp.told()"
    )
    lent.execute("GRANT SELECT ON pg_temp.pg_class TO PUBLIC")
    assert lent.execute("SELECT metering_ensure_month('2077-03-01Z')").fetchone() == (True,)


def test_a_false_version_does_not_thaw_a_published_price(lent: psycopg.Connection[Any]) -> None:
    stories.published()
    lent.execute("CREATE TEMPORARY TABLE plans_planversion AS SELECT * FROM public.plans_planversion")
    lent.execute("UPDATE pg_temp.plans_planversion SET published_at = NULL")
    with pytest.raises(errors.RestrictViolation):
        lent.execute("UPDATE public.plans_price SET unit_amount = 999 WHERE key = 'fee'")


def test_a_false_balance_is_not_the_one_that_moves(lent: psycopg.Connection[Any]) -> None:
    from tests.ledger.books import accrue

    accrue("first", "1")
    lent.execute("CREATE TEMPORARY TABLE ledger_balance AS SELECT * FROM public.ledger_balance")
    locked = lent.execute(
        "SELECT debits FROM ledger_lock_balances(ARRAY(SELECT account_id FROM pg_temp.ledger_balance))"
    ).fetchall()
    lent.execute("UPDATE pg_temp.ledger_balance SET debits = 99")
    again = lent.execute(
        "SELECT debits FROM ledger_lock_balances(ARRAY(SELECT account_id FROM pg_temp.ledger_balance))"
    ).fetchall()
    assert locked == again != []
