"""The chain of seals: what is sealed, when, by whom, and that it goes on whatever happens."""

import hashlib
import json
import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.core.management import CommandError, call_command
from django.db import connection, transaction
from hypothesis import given
from hypothesis import strategies as st

from billing_ops.celery import app
from ledger import closing, proofs, sealing, tasks, verifying
from ledger.models import Entry, PeriodChange, Seal
from ledger.queries import statement
from ledger.rules import merkle
from ledger.rules.seals import FIRST, ids_of
from tests.ledger.books import AT, account, accrue, give, period, spend, sql
from tests.ledger.periods import ANN, LATER
from tests.ledger.tamper import sealed_books, settle, unguarded
from tests.ledger.test_at_the_same_time import all_at_once
from tests.support.database import Database

ROOT = Path(__file__).resolve().parents[2]


def sealed_ids() -> list[int]:
    """The ids of all entries in the chain, in its order."""
    return [one for row in Seal.objects.order_by("seq") for one in ids_of(row.entries)]


def holds() -> None:
    """The chain and the books hold, and every entry is sealed once."""
    assert verifying.verify().violations == ()
    assert sorted(sealed_ids()) == sorted(Entry.objects.values_list("pk", flat=True))


# The tree -------------------------------------------------------------------------------------------------------------


def test_the_tree_is_that_of_rfc_6962() -> None:
    """Roots of the first texts of RFC 6962's reference tests."""
    texts = ["", "\x00", "\x10", " !", "01", "@ABC"]
    roots = [merkle.root([merkle.leaf(text) for text in texts[:count]]).hex() for count in (0, 1, 2, 3)]
    assert roots == [
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
        "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    ]


@given(st.lists(st.binary(min_size=32, max_size=32), min_size=1, max_size=40), st.data())
def test_each_leaf_has_a_path_to_the_root_and_no_other_has(leaves: list[bytes], data: st.DataObject) -> None:
    index = data.draw(st.integers(0, len(leaves) - 1))
    steps = merkle.path(leaves, index)
    assert merkle.follow(leaves[index], steps) == merkle.root(leaves)
    other = hashlib.sha256(leaves[index]).digest()
    assert merkle.follow(other, steps) != merkle.root(leaves)


@pytest.mark.django_db
@pytest.mark.parametrize("count", [0, 1, 2, 3, 4, 5, 8, 13, 100])
def test_the_database_builds_the_same_tree(count: int) -> None:
    leaves = [hashlib.sha256(str(number).encode()).digest() for number in range(count)]
    ((root,),) = sql("SELECT ledger_merkle_root(%s::bytea[])", leaves)
    assert bytes(root) == merkle.root(leaves)


# The form -------------------------------------------------------------------------------------------------------------


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("form", "function", "table"),
    [
        ("entry_forms", "ledger_entry_forms", "ledger_entry"),
        ("change_forms", "ledger_change_forms", "ledger_period_change"),
    ],
)
def test_who_verifies_reads_what_was_sealed(form: str, function: str, table: str) -> None:
    give("g", "5")
    spend("inv", "7.12")
    closing.close(period=period(), at=LATER, actor=ANN, note="“quoted”, \\ and\nlines")
    ids = [row[0] for row in sql(f"SELECT id FROM {table}")]
    with connection.cursor() as cursor:
        cursor.execute(statement(form), {"ids": ids})
        read = cursor.fetchall()
    assert sorted(read) == sorted(sql(f"SELECT * FROM {function}(%s::bigint[])", ids))
    assert len(read) == len(ids) > 0


@pytest.mark.django_db
def test_the_form_does_not_depend_on_the_session() -> None:
    give("g", "5", expires_at=AT + timedelta(days=9))
    spend("inv", "3")
    ids = [row[0] for row in sql("SELECT id FROM ledger_entry")]
    plain = sql("SELECT * FROM ledger_entry_forms(%s::bigint[])", ids)
    for setting in ("TimeZone = 'Asia/Kathmandu'", "DateStyle = 'SQL, DMY'", "extra_float_digits = 0"):
        sql(f"SET LOCAL {setting}")
    assert sql("SELECT * FROM ledger_entry_forms(%s::bigint[])", ids) == plain


# Sealing --------------------------------------------------------------------------------------------------------------


def test_a_chain_in_bounded_pieces(fresh_db: Database) -> None:
    assert sealing.seal(at=AT) == []
    rows = sealed_books()
    assert [row.seq for row in rows] == list(range(1, len(rows) + 1))
    assert [row.previous_hash for row in rows] == [FIRST, *[row.hash for row in rows[:-1]]]
    assert max(row.entry_count for row in rows) <= 3
    assert sum(row.change_count for row in rows) == PeriodChange.objects.count() == 3
    holds()
    assert sealing.seal(at=AT) == []
    assert sealing.waiting() == 0


def test_the_task_seals_and_the_clock_asks_for_it(fresh_db: Database) -> None:
    accrue("a", "1")
    assert (tasks.seal(), tasks.seal()) == (1, 0)
    assert "ledger.seal" in {entry["task"] for entry in app.conf.beat_schedule.values()}


def test_at_most_so_many_seals_a_run(fresh_db: Database) -> None:
    for number in range(7):
        accrue(str(number), "1")
    assert sealing.seal(at=AT, most=2, seals=2) == [1, 2]
    assert sealing.waiting() == 3
    assert sealing.seal(at=AT, most=2, seals=9) == [3, 4]
    holds()


@pytest.mark.parametrize("most", [0, -1, None])
def test_a_seal_takes_at_least_one_entry(fresh_db: Database, most: int | None) -> None:
    """Else the first one would claim to have caught up with what it left out."""
    accrue("a", "1")
    with fresh_db.connect() as raw, pytest.raises(psycopg.errors.CheckViolation) as caught:
        raw.execute("SELECT ledger_seal_next(now(), %s)", [most])
    assert caught.value.diag.constraint_name == "ledger_seal_most"


def test_catching_up_ends_although_its_last_entry_was_removed(fresh_db: Database) -> None:
    for number in range(3):
        accrue(str(number), "1")
    sealing.seal(at=AT, most=1, seals=2)
    with unguarded(fresh_db) as admin:
        admin.execute("DELETE FROM ledger_entry WHERE id = (SELECT max(id) FROM ledger_entry)")
    accrue("later", "1", customer="cus-2")
    settle()
    assert len(sealed_ids()) == 3


def test_an_entry_of_a_transaction_that_is_still_open_is_in_a_later_seal(fresh_db: Database) -> None:
    accrue("before", "1")
    sealing.seal(at=AT)
    with ThreadPoolExecutor(1) as pool, transaction.atomic():
        long = accrue("long", "1", customer="cus-2")
        others = [pool.submit(_apart, lambda n=n: accrue(f"short {n}", "1").pk).result() for n in range(3)]
        assert pool.submit(_apart, lambda: sealing.seal(at=AT)).result() == []  # all of them began after the long one
        assert pool.submit(_apart, sealing.waiting).result() == 3
    settle()
    assert sorted(sealed_ids()[1:]) == sorted([long.pk, *others])
    holds()


def test_a_transaction_that_began_earlier_and_commits_after_a_seal(fresh_db: Database) -> None:
    """At the first seal of a cluster ids are walked: what commits behind it is found by its transaction."""
    period()
    for key in (("4000", ""), ("1110", "cus-1")):
        account(key[0], customer=key[1])
    with ThreadPoolExecutor(1) as pool, transaction.atomic():
        long = accrue("long", "1", customer="cus-2")
        short = pool.submit(_apart, lambda: accrue("short", "1").pk).result()
        assert short > long.pk
        assert pool.submit(_apart, lambda: sealing.seal(at=AT)).result() == [1]
    assert sealed_ids() == [short]
    settle()
    assert sealed_ids() == [short, long.pk]
    holds()


def _apart(act: Any) -> Any:
    try:
        return act()
    finally:
        connection.close()


def test_two_workers_make_one_chain(fresh_db: Database) -> None:
    for number in range(12):
        accrue(str(number), "1")
    answers = all_at_once(4, lambda _: sealing.seal(at=AT, most=2))
    assert not [one for one in answers if isinstance(one, Exception)], answers
    settle(most=2)
    made = [seq for one in answers for seq in one]
    assert len(made) == len(set(made))
    holds()


def test_a_worker_steps_aside_for_one_that_seals(fresh_db: Database) -> None:
    accrue("a", "1")
    with fresh_db.connect(autocommit=False) as other:
        assert other.execute("SELECT ledger_seal_next(now(), 10)").fetchone() == (1,)
        assert sealing.seal(at=AT) == []
        other.rollback()
    assert sealing.seal(at=AT) == [1]
    holds()


_SEALER = """
import django; django.setup()
from datetime import datetime, UTC
from ledger import sealing
print("ready", flush=True)
sealing.seal(at=datetime(2025, 3, 5, tzinfo=UTC), most=1, seals=10_000)
"""


def test_killed_while_it_seals_leaves_a_whole_chain(fresh_db: Database) -> None:
    for number in range(120):
        accrue(str(number), "1")
    for after in (3, 40):
        environment = {**fresh_db.env(), "DJANGO_SETTINGS_MODULE": "billing_ops.settings"}
        worker = subprocess.Popen([sys.executable, "-c", _SEALER], cwd=ROOT, env=environment, stdout=subprocess.PIPE)
        assert worker.stdout is not None
        assert worker.stdout.readline() == b"ready\n"
        while Seal.objects.count() < after:
            assert worker.poll() is None
        os.kill(worker.pid, signal.SIGKILL)
        worker.wait()
        worker.stdout.close()
        assert after <= Seal.objects.count() < 120
        assert verifying.verify().violations == ()
    settle(most=50)
    holds()


# Another cluster ------------------------------------------------------------------------------------------------------


def _restore(database: Database, *, xids_behind: int) -> None:
    """What a restore into another cluster looks like: the chain names a cluster that is not this one, and its
    transaction ids say nothing here."""
    with database.connect(role="admin", autocommit=False) as admin:
        admin.execute("SET session_replication_role = replica")
        admin.execute(
            "UPDATE ledger_entry SET created_xid = (created_xid::text::bigint + %s)::text::xid8", [xids_behind]
        )
        admin.execute(
            "UPDATE ledger_seal SET system_identifier = 4711,"
            " from_xid = (from_xid::text::bigint + %s)::text::xid8, to_xid = (to_xid::text::bigint + %s)::text::xid8",
            [xids_behind, xids_behind],
        )
        rows = admin.execute("SELECT seq FROM ledger_seal ORDER BY seq").fetchall()
        for (seq,) in rows:  # the chain as that cluster would have written it
            admin.execute(
                "UPDATE ledger_seal s SET previous_hash ="
                " coalesce((SELECT hash FROM ledger_seal WHERE seq = s.seq - 1), repeat('0', 64)) WHERE seq = %s",
                [seq],
            )
            admin.execute("UPDATE ledger_seal s SET hash = ledger_seal_hash(s) WHERE seq = %s", [seq])
        admin.commit()


@pytest.mark.parametrize("xids_behind", [0, 1_000_000, -700], ids=["the same ids", "lower ids here", "higher ids here"])
def test_a_chain_goes_on_in_another_cluster(fresh_db: Database, xids_behind: int) -> None:
    sealed_books()
    for number in range(5):
        accrue(f"not sealed at the backup {number}", "1", at=LATER)
    _restore(fresh_db, xids_behind=xids_behind)
    assert verifying.verify().violations == ()
    with ThreadPoolExecutor(1) as pool, transaction.atomic():
        accrue("open while it catches up", "1", at=LATER, customer="cus-2")
        pool.submit(_apart, lambda: accrue("here", "1", at=LATER)).result()
        assert pool.submit(_apart, lambda: sealing.seal(at=AT, most=2)).result()
        assert pool.submit(_apart, lambda: verifying.verify().violations).result() == ()
    accrue("later", "1", at=LATER)
    settle(most=2)
    assert len(set(Seal.objects.values_list("system_identifier", flat=True))) == 2
    assert sealing.waiting() == 0
    holds()


def test_a_restore_with_nothing_left_to_seal_is_marked_once(fresh_db: Database) -> None:
    sealed_books()
    _restore(fresh_db, xids_behind=0)
    made = sealing.seal(at=AT)
    assert [Seal.objects.get(pk=seq).entry_count for seq in made] == [0]
    assert sealing.seal(at=AT) == []
    accrue("later", "1", at=LATER)
    settle()
    holds()


# Who may --------------------------------------------------------------------------------------------------------------


def test_the_owner_cannot_bend_the_chain(fresh_db: Database) -> None:
    sealed_books()
    copy = "INSERT INTO ledger_seal SELECT (jsonb_populate_record(s, %s)).* FROM ledger_seal s WHERE seq = 1"
    with fresh_db.connect(role="owner") as owner:
        for change, rule in (
            ('{"seq": 99}', "ledger_seal_chained"),
            ('{"previous_hash": "00"}', "ledger_seal_chained"),
        ):
            with pytest.raises(psycopg.errors.CheckViolation) as caught:
                owner.execute(copy, [change])
            assert caught.value.diag.constraint_name == rule
        forged = (
            "INSERT INTO ledger_seal SELECT (jsonb_populate_record(s, jsonb_build_object('seq', seq + 1,"
            " 'previous_hash', hash, 'entry_count', 0))).* FROM ledger_seal s ORDER BY seq DESC LIMIT 1"
        )
        with pytest.raises(psycopg.errors.CheckViolation) as caught:
            owner.execute(forged)
        assert caught.value.diag.constraint_name == "ledger_seal_hashed"
        for statement_ in ("UPDATE ledger_seal SET hash = ''", "DELETE FROM ledger_seal", "TRUNCATE ledger_seal"):
            with pytest.raises(psycopg.errors.IntegrityError) as refused:
                owner.execute(statement_)
            assert refused.value.diag.constraint_name == "ledger_seal_append_only"


def test_no_entry_is_sealed_twice(fresh_db: Database) -> None:
    sealed_books()
    with fresh_db.connect(role="admin") as admin:
        admin.execute("SET session_replication_role = replica")
        with pytest.raises(psycopg.errors.ExclusionViolation):
            admin.execute(
                'INSERT INTO ledger_seal SELECT (jsonb_populate_record(s, \'{"seq": 99, "hash": "x"}\')).*'
                " FROM ledger_seal s WHERE seq = 1"
            )


# What a seal is good for ----------------------------------------------------------------------------------------------


def test_the_proof_of_an_entry_needs_only_sha_256(fresh_db: Database, capsys: pytest.CaptureFixture[str]) -> None:
    sealed_books()
    for entry in Entry.objects.all():
        call_command("prove_entry", str(entry.public_id))
        proof = json.loads(capsys.readouterr().out)
        node = hashlib.sha256(b"\0" + proof["entry"].encode()).digest()
        assert node.hex() == proof["leaf"]
        for side, other in proof["path"]:
            pair = bytes.fromhex(other) + node if side == "left" else node + bytes.fromhex(other)
            node = hashlib.sha256(b"\1" + pair).digest()
        assert node.hex() == proof["merkle_root"] == Seal.objects.get(pk=proof["seal"]).merkle_root
        assert str(entry.public_id) in proof["entry"]
    fresh = accrue("fresh", "1", at=LATER)
    with pytest.raises(CommandError, match="in no seal"):
        call_command("prove_entry", str(fresh.public_id))


def test_the_head_of_a_day_is_printed_to_be_kept_outside(
    fresh_db: Database, capsys: pytest.CaptureFixture[str]
) -> None:
    days = [datetime(2025, 3, day, 23, 59, tzinfo=UTC) for day in (5, 6)]
    for number, day in enumerate(days):
        accrue(str(number), "1")
        settle(at=day)
    first, last = Seal.objects.order_by("seq")
    for arguments, row, entries in (
        (["--day", "2025-03-05"], first, 1),
        (["--day", "2025-03-09"], last, 2),
        ([], last, 2),
    ):
        call_command("export_seals", *arguments)
        said = json.loads(capsys.readouterr().out)
        assert (said["seal"], said["hash"], said["entries"]) == (row.seq, row.hash, entries)
    with pytest.raises(CommandError, match="Nothing was sealed"):
        call_command("export_seals", "--day", "2025-03-04")


def test_a_book_without_seals_holds(fresh_db: Database) -> None:
    accrue("a", "1")
    verdict = verifying.verify()
    assert (verdict.violations, verdict.seals, verdict.head, verdict.entries_waiting) == ((), 0, "", 1)
    assert proofs.violations() == []
