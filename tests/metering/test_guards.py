"""Facts cannot be changed: not by the application's role, and not by the owner of the tables either."""

import psycopg
import pytest
from psycopg import errors

from metering import ingesting
from metering.models import Batch, Event
from tests.metering.support import ACTOR, AT, accept, fold_all, raw, sum_meter
from tests.support.database import Database

FACTS = [
    "metering_event",
    "metering_event_key",
    "metering_conflict",
    "metering_fold",
    "metering_batch",
    "metering_backfilledspan",
]
TAMPERING = {
    "metering_event": "UPDATE metering_event SET data = '{}'",
    "metering_event_key": "UPDATE metering_event_key SET content = key",
    "metering_conflict": "UPDATE metering_conflict SET subject = 'x'",
    "metering_fold": "UPDATE metering_fold SET events = 0",
    "metering_batch": "UPDATE metering_batch SET events = events + 1",
    "metering_backfilledspan": "UPDATE metering_backfilledspan SET subject = 'x'",
    "folded batch": "UPDATE metering_batch SET fold_id = NULL",
    "refolded batch": "UPDATE metering_batch SET fold_id = (SELECT max(id) FROM metering_fold)",
    "metering_meter": "UPDATE metering_meter SET value_path = 'other'",
    "filters": "UPDATE metering_meter SET filters = '[]' || '[1]'::jsonb",
    "progress": "UPDATE metering_meterprogress SET after_fold = 99",
}
DELETIONS = [f"DELETE FROM {table}" for table in [*FACTS, "metering_meter"]]
EMPTYINGS = [f"TRUNCATE {table} CASCADE" for table in [*FACTS, "metering_meter", "metering_event_2025_03"]]


@pytest.fixture
def written(fresh_db: Database) -> Database:
    """A database with one row of each fact."""
    sum_meter()
    accept(raw(1))
    accept(raw(1, subject="other"), raw(2))
    ingesting.backfill(events=[raw(3)], at=AT, actor=ACTOR, label="guarded")
    fold_all()
    return fresh_db


def refused(database: Database, role: str, statement: str) -> str:
    with database.connect(role=role) as conn, pytest.raises(psycopg.Error) as caught:  # type: ignore[arg-type]
        conn.execute(statement)
    return type(caught.value).__name__


def test_the_tests_work_as_neither_owner_nor_superuser(fresh_db: Database) -> None:
    with fresh_db.connect() as conn:
        row = conn.execute(
            "SELECT rolsuper, rolcreaterole, rolbypassrls, pg_has_role(current_user, 'billing_owner', 'member') "
            "FROM pg_roles WHERE rolname = current_user"
        ).fetchone()
    assert row == (False, False, False, False)


def test_the_application_is_refused_by_privilege_or_trigger(written: Database) -> None:
    for statement in [*TAMPERING.values(), *DELETIONS, *EMPTYINGS]:
        assert refused(written, "app", statement) in {"InsufficientPrivilege", "RestrictViolation"}, statement
    for table in ("metering_event", "metering_event_key", "metering_conflict", "metering_fold"):
        assert refused(written, "app", TAMPERING[table]) == "InsufficientPrivilege"
    assert refused(written, "app", TAMPERING["metering_batch"]) == "InsufficientPrivilege"
    assert refused(written, "app", TAMPERING["folded batch"]) == "RestrictViolation"


def test_the_owner_is_refused_by_the_triggers(written: Database) -> None:
    for statement in [*TAMPERING.values(), *DELETIONS, *EMPTYINGS]:
        assert refused(written, "owner", statement) == "RestrictViolation", statement
    assert refused(written, "owner", "UPDATE metering_event_2025_03 SET data = '{}'") == "RestrictViolation"
    assert refused(written, "owner", "DELETE FROM metering_event_2025_03") == "RestrictViolation"
    assert Event.objects.count() == 3


def test_the_application_may_not_touch_a_partition_or_run_ddl(written: Database) -> None:
    for statement in (
        "SELECT * FROM metering_event_2025_03",
        "INSERT INTO metering_event_2025_03 SELECT * FROM metering_event",
        "DROP TABLE metering_event_2025_03",
        "ALTER TABLE metering_event DISABLE TRIGGER ALL",
        "CREATE TABLE metering_event_mine PARTITION OF metering_event DEFAULT",
        "CREATE OR REPLACE FUNCTION metering_refuse_change() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN END'",
    ):
        assert refused(written, "app", statement) == "InsufficientPrivilege", statement


def test_what_may_change_does(written: Database) -> None:
    with written.connect() as conn:
        conn.execute("UPDATE metering_meter SET name = 'Renamed', archived_at = now()")
        assert conn.execute("SELECT name FROM metering_meter").fetchone() == ("Renamed",)


def test_an_unfolded_batch_can_only_be_folded(fresh_db: Database) -> None:
    accept(raw(1))
    with fresh_db.connect(role="owner") as conn:
        conn.execute("INSERT INTO metering_fold (folded_at, batches, events) VALUES (now(), 1, 1)")
        with pytest.raises(errors.RestrictViolation):
            conn.execute("UPDATE metering_batch SET fold_id = (SELECT max(id) FROM metering_fold), events = 9")
        with pytest.raises(errors.RestrictViolation):
            conn.execute("UPDATE metering_batch SET recorded_at = now()")
        conn.execute("UPDATE metering_batch SET fold_id = (SELECT max(id) FROM metering_fold)")
    assert Batch.objects.get().fold_id is not None


def test_events_lie_in_the_partition_of_their_month(fresh_db: Database) -> None:
    accept(raw(1, time="2025-02-28T23:59:59.999999Z"), raw(2, time="2025-03-01T00:00:00Z"), raw(3, time=None))
    with fresh_db.connect(role="owner") as conn:
        rows = conn.execute(
            "SELECT tableoid::regclass::text, event_id FROM metering_event ORDER BY event_id"
        ).fetchall()
    assert rows == [
        ("metering_event_2025_02", "ev-1"),
        ("metering_event_2025_03", "ev-2"),
        ("metering_event_2025_03", "ev-3"),
    ]


def test_a_month_is_made_once_within_bounds_and_never_over_default_rows(fresh_db: Database) -> None:
    with fresh_db.connect() as conn:

        def ensure(instant: str | None) -> object:
            row = conn.execute("SELECT metering_ensure_month(%s::timestamptz)", [instant]).fetchone()
            return row and row[0]

        assert ensure("2031-12-31T23:00:00-05:00") is True  # January 2032 in UTC
        assert ensure("2032-01-01T00:00:00Z") is False
        assert ensure("1999-12-31T23:59:59Z") is False
        assert ensure("2100-01-01T00:00:00Z") is False
        assert ensure(None) is False
        conn.execute(
            "INSERT INTO metering_event VALUES (gen_random_uuid(), 1, '2040-05-05', 's', 't', 'src', 'id', '{}', NULL)"
        )
        assert ensure("2040-05-01T00:00:00Z") is False
        assert conn.execute("SELECT count(*) FROM metering_event WHERE occurred_at >= '2040-05-01'").fetchone() == (1,)
