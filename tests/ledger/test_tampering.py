"""Attempts to bend the books. As the application: each is refused, by a rule with a name or for want of a right. As the
superuser with every trigger switched off: each is done, and ``verify_ledger`` says what was done."""

import json
from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from django.core.management import CommandError, call_command
from django.db import DatabaseError, connection, transaction

from billing_ops.models import AuditEntry
from ledger import closing, posting, proofs, sealing, verifying
from ledger.models import Entry, Seal
from ledger.rules import merkle
from tests.ledger.books import AT, accrue, give, raw_entry, raw_lines, spend, sql
from tests.ledger.periods import ANN, LATER, asked, month, move_period
from tests.ledger.tamper import sealed_books, unguarded
from tests.support.database import Database

DENIED = "permission denied"
OWNER = "must be owner"

_ENTRY = (
    "INSERT INTO ledger_entry (public_id, book_id, source, idempotency_key, event_type, effective_at, effective_on,"
    " period_id, line_count, customer_key, invoice_ref, grant_ref, stripe_ref, batch_ref, actor_type, actor_id,"
    " reason_code, reason_note, ticket, metadata)"
    " SELECT gen_random_uuid(), book_id, source, idempotency_key, event_type,"
    " effective_at, effective_on, period_id, line_count, customer_key, invoice_ref, grant_ref, stripe_ref, batch_ref,"
    " actor_type, actor_id, reason_code, reason_note, ticket, metadata FROM ledger_entry"
)
_APPROVE = (
    "UPDATE billing_ops_approval SET status = 'approved', decided_by_type = 'user', decided_by_id = '{}',"
    " decided_at = '2025-12-31T01:00:00Z'"
)

STATEMENTS: dict[str, tuple[str, str]] = {
    "change an entry": ("UPDATE ledger_entry SET effective_at = now()", DENIED),
    "delete an entry": ("DELETE FROM ledger_entry", DENIED),
    "empty the journal": ("TRUNCATE ledger_entry CASCADE", DENIED),
    "change a line": ("UPDATE ledger_line SET amount = amount * 2", DENIED),
    "delete a line inside a query": ("WITH gone AS (DELETE FROM ledger_line RETURNING 1) SELECT * FROM gone", DENIED),
    "empty the lines": ("TRUNCATE ledger_line", DENIED),
    "merge into lines": (
        "MERGE INTO ledger_line l USING ledger_entry e ON e.id = l.entry_id WHEN MATCHED THEN UPDATE SET amount = 1",
        DENIED,
    ),
    "merge away lines": (
        "MERGE INTO ledger_line l USING ledger_entry e ON e.id = l.entry_id WHEN MATCHED THEN DELETE",
        DENIED,
    ),
    "overwrite an entry by its key": (
        f"{_ENTRY} ON CONFLICT (source, idempotency_key) DO UPDATE SET customer_key = 'cus-2'",
        DENIED,
    ),
    "a second entry under its key": (_ENTRY, "ledger_entry_one_per_key"),
    "raise a balance": ("UPDATE ledger_balance SET credits = credits + 100", DENIED),
    "a balance of one's own": ("INSERT INTO ledger_balance SELECT * FROM ledger_balance", DENIED),
    "lower a floor": ("UPDATE ledger_balance SET min_available = -1000", DENIED),
    "lock the balances for everybody": ("SELECT * FROM ledger_balance FOR UPDATE", DENIED),
    "hand an account to somebody": ("UPDATE ledger_account SET customer_key = 'cus-2'", DENIED),
    "delete an account": ("DELETE FROM ledger_account", DENIED),
    "prolong a credit": ("UPDATE ledger_credit_grant SET expires_at = NULL", DENIED),
    "forget draws": ("DELETE FROM ledger_credit_draw", DENIED),
    "let a draw take less": ("UPDATE ledger_credit_draw_allocation SET amount = 1", DENIED),
    "route money elsewhere": ("UPDATE ledger_event_type SET allowed_debit = '{1000}'", DENIED),
    "let everything adjust": ("UPDATE ledger_event_type SET adjusts = true", DENIED),
    "take a floor from the chart": ("UPDATE ledger_account_code SET floor = NULL", DENIED),
    "open a period by hand": ("UPDATE ledger_period SET status = 'open', closed_at = NULL", DENIED),
    "remove a period": ("DELETE FROM ledger_period", DENIED),
    "change the history of periods": ("UPDATE ledger_period_change SET note = ''", DENIED),
    "remove the history of periods": ("DELETE FROM ledger_period_change", DENIED),
    "write a seal": ("INSERT INTO ledger_seal SELECT * FROM ledger_seal", DENIED),
    "change a seal": ("UPDATE ledger_seal SET hash = repeat('0', 64)", DENIED),
    "remove the seals": ("TRUNCATE ledger_seal", DENIED),
    "approve one's own request": (_APPROVE.format("ann"), "approval_by_another_person"),
    "approve it under a name that looks different": (_APPROVE.format(" ANN "), "approval_by_another_person"),
    "approve it and reopen nothing": (_APPROVE.format("bob"), "approval_leads_somewhere"),
    "change what was asked for": ("UPDATE billing_ops_approval SET subject = '{}'", DENIED),
    "remove who asked": ("DELETE FROM billing_ops_approval", DENIED),
    "cover one's tracks": ("DELETE FROM billing_ops_auditentry", DENIED),
    "shadow a table": ("CREATE TEMP TABLE ledger_event_type (code text)", DENIED),
    "shadow by a schema": ("CREATE SCHEMA shadow", DENIED),
    "switch triggers off": ("ALTER TABLE ledger_line DISABLE TRIGGER ALL", OWNER),
    "switch triggers off for the session": ("SET session_replication_role = replica", DENIED),
    "switch triggers off in the catalogue": ("UPDATE pg_trigger SET tgenabled = 'D'", DENIED),
    "drop a trigger": ("DROP TRIGGER ledger_append_only ON ledger_line", OWNER),
    "a trigger of one's own": (
        "CREATE TRIGGER mine BEFORE INSERT ON ledger_line FOR EACH ROW EXECUTE FUNCTION ledger_refuse_change()",
        DENIED,
    ),
    "drop a constraint": ("ALTER TABLE ledger_balance DROP CONSTRAINT ledger_balance_no_overdraft", OWNER),
    "a rule that swallows": ("CREATE RULE quiet AS ON INSERT TO ledger_line DO INSTEAD NOTHING", OWNER),
    "another guard": (
        "CREATE OR REPLACE FUNCTION ledger_line_guard() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'",
        DENIED,
    ),
    "become the owner": ("SET ROLE billing_owner", DENIED),
    "become a superuser": ("ALTER ROLE billing_app SUPERUSER", "must be superuser"),
    "give oneself a right": (
        "DO $$ BEGIN GRANT UPDATE ON ledger_line TO billing_app; UPDATE ledger_line SET amount = 1; END $$",
        DENIED,
    ),
    "a function that writes": ("DO $$ BEGIN UPDATE ledger_balance SET credits = 0; END $$", DENIED),
    "call a guard's function": ("SELECT ledger_line_move_balances()", "can only be called as triggers"),
    "turn a sequence back": ("SELECT setval('ledger_entry_id_seq', 1)", DENIED),
    "copy from a file": ("COPY ledger_line FROM '/etc/hostname'", "must be superuser"),
}


def _copied(*lines: str) -> None:
    columns = "entry_id, line_no, account_id, unit, side, amount, account_version, balance_after, effective_on"
    command = f"COPY ledger_line ({columns}) FROM STDIN"
    with connection.cursor() as cursor, connection.wrap_database_errors, cursor.copy(command) as copy:
        for line in lines:
            copy.write(line + "\n")


def _accounts(*codes: str) -> list[int]:
    return [row[0] for code in codes for row in sql("SELECT id FROM ledger_account WHERE code = %s LIMIT 1", code)]


def _one_sided_copy() -> None:
    usage, revenue = _accounts("1110", "4000")
    entry = raw_entry()
    _copied(
        f"{entry}\t1\t{usage}\tUSD\t1\t9\t9\t99\t2025-03-04", f"{entry}\t2\t{revenue}\tUSD\t-1\t8\t\\N\t\\N\t2025-03-04"
    )


def _copy_onto_an_entry() -> None:
    entry = Entry.objects.order_by("pk")[0].pk
    (revenue,) = _accounts("4000")
    _copied(*[f"{entry}\t{n}\t{revenue}\tUSD\t{side}\t1\t\\N\t\\N\t2025-03-04" for n, side in ((3, 1), (4, -1))])


def _take_more_than_there_is() -> None:
    grant, issued = _accounts("9010", "9000")
    entry = raw_entry(movement="credit.voided")
    raw_lines((entry, 1, grant, "USD", 1, "50", 3, "-48"), (entry, 2, issued, "USD", -1, "50", None, None))


def _take_without_a_draw() -> None:
    grant, contra, issued, usage = _accounts("9010", "4900", "9000", "1110")
    entry = raw_entry(movement="invoice.finalized", lines=4)
    raw_lines(
        (entry, 1, grant, "USD", 1, "1", 3, "1"),
        (entry, 2, contra, "USD", 1, "1", None, None),
        (entry, 3, issued, "USD", -1, "1", None, None),
        (entry, 4, usage, "USD", -1, "1", 4, "0"),
    )


def _into_a_closed_period() -> None:
    raw_entry(period_id=closing.close(period=month(3), at=LATER, actor=ANN).pk)


def _reopen(status: str, **other: Any) -> Callable[[], None]:
    def attempt() -> None:
        march = closing.close(period=month(3), at=LATER, actor=ANN)
        move_period(march.pk, "closed", status, **other)

    return attempt


def _isolated() -> None:
    with transaction.atomic():
        sql("SELECT set_config('transaction_isolation', 'serializable', true)")


ACTS: dict[str, tuple[Callable[[], Any], str]] = {
    "copy in lines that do not balance": (_one_sided_copy, "ledger_line_balanced"),
    "copy lines onto an entry": (_copy_onto_an_entry, "ledger_line_complete"),
    "take more than there is": (_take_more_than_there_is, "ledger_balance_no_overdraft"),
    "take credit without a draw": (_take_without_a_draw, "ledger_line_drawn"),
    "post into a closed period": (_into_a_closed_period, "ledger_entry_period_open"),
    "post it as of yesterday": (lambda: raw_entry(recorded_at="2020-01-01T00:00:00Z"), "ledger_entry_recorded_now"),
    "post it as of tomorrow": (lambda: raw_entry(recorded_at="2120-01-01T00:00:00Z"), "ledger_entry_recorded_now"),
    "post it under a sealed transaction": (lambda: raw_entry(created_xid="3"), "ledger_entry_recorded_now"),
    "an entry without lines": (raw_entry, "ledger_entry_has_lines"),
    "reopen without an approval": (_reopen("open", reason="x"), "ledger_period_reopen_approved"),
    "half-open what is closed": (_reopen("soft_closed"), "ledger_period_change_allowed"),
    "pretend it was open": (lambda: move_period(month(3).pk, "closed", "open"), "ledger_period_change_from"),
    "change the isolation under way": (_isolated, "must be called before any query"),
}


def _refusal(attempt: Callable[[], Any]) -> str:
    """The rule that the attempt met, or the database's own words."""
    with pytest.raises(DatabaseError) as caught, transaction.atomic():  # noqa: PT012  # deferred rules count
        attempt()
        sql("SET CONSTRAINTS ALL IMMEDIATE")
    return posting.violated_rule(caught.value) or str(caught.value)


@pytest.fixture
def books(db: None) -> None:
    """Something of everything, sealed, and a request that waits for its decision."""
    accrue("usage", "1")
    give("promo", "5")
    spend("invoice", "3")
    asked(closing.soft_close(period=month(5), at=LATER, actor=ANN))
    sealing.seal(at=AT)


@pytest.mark.parametrize("attempt", STATEMENTS)
def test_a_statement_of_the_application_is_refused(attempt: str, books: None) -> None:
    statement, rule = STATEMENTS[attempt]
    assert rule in _refusal(lambda: sql(statement.replace("%", "%%")))


@pytest.mark.parametrize("attempt", ACTS)
def test_an_act_of_the_application_is_refused(attempt: str, books: None) -> None:
    act, rule = ACTS[attempt]
    assert rule in _refusal(act)


def test_there_is_something_to_bend(books: None) -> None:
    """A statement that finds no row is refused by nothing."""
    for table in ("entry", "line", "balance", "credit_grant", "credit_draw", "credit_draw_allocation", "period_change",
                  "seal"):  # fmt: skip
        assert sql(f"SELECT count(*) > 0 FROM ledger_{table}") == [(True,)]
    assert sql("SELECT status, requested_by_id FROM billing_ops_approval") == [("pending", "ann")]


# Past every guard -----------------------------------------------------------------------------------------------------

_USAGE = "(SELECT id FROM ledger_entry WHERE idempotency_key = 'usage {}')"

EDITS: dict[str, tuple[str, str]] = {
    "both sides of an entry": (
        f"UPDATE ledger_line SET amount = amount + 1 WHERE entry_id = {_USAGE.format(0)}",
        verifying.ENTRY_EDITED,
    ),
    "a word of an entry": ("UPDATE ledger_entry SET customer_key = 'cus-9' WHERE id = 1", verifying.ENTRY_EDITED),
    "the day of an entry": (
        "UPDATE ledger_entry SET effective_at = effective_at - interval '1 hour' WHERE id = 2",
        verifying.ENTRY_EDITED,
    ),
    "whose account it is": (
        "UPDATE ledger_account SET customer_key = 'cus-9' WHERE code = '1110'",
        verifying.ENTRY_EDITED,
    ),
    "what a credit is worth to whom": (
        "UPDATE ledger_credit_grant SET priority = 1, scope = '{tokens}', scope_rank = 0",
        verifying.ENTRY_EDITED,
    ),
    "when a credit ends": (
        "UPDATE ledger_credit_grant SET expires_at = effective_at + interval '9 years'",
        verifying.ENTRY_EDITED,
    ),
    "what was given back and why": (
        "UPDATE ledger_credit_return SET reason_note = 'as agreed'",
        verifying.ENTRY_EDITED,
    ),
    "what was given back to which grant": (
        "UPDATE ledger_credit_return_allocation SET amount = amount + 1",
        verifying.ENTRY_EDITED,
    ),
    "what a draw was for": ("UPDATE ledger_credit_draw SET feature = 'another'", verifying.ENTRY_EDITED),
    "what a draw took": ("UPDATE ledger_credit_draw_allocation SET amount = amount - 1", "I12"),
    "an entry with its lines": (
        f"DELETE FROM ledger_line WHERE entry_id = {_USAGE.format(1)};"
        " DELETE FROM ledger_entry WHERE idempotency_key = 'usage 1'",
        verifying.ENTRY_REMOVED,
    ),
    "one line": (f"DELETE FROM ledger_line WHERE line_no = 2 AND entry_id = {_USAGE.format(2)}", "I1"),
    "the order of two entries": (
        "UPDATE ledger_entry SET id = CASE id WHEN 1 THEN -2 ELSE -1 END WHERE id IN (1, 2);"
        " UPDATE ledger_line SET entry_id = CASE entry_id WHEN 1 THEN -2 ELSE -1 END WHERE entry_id IN (1, 2);"
        " UPDATE ledger_entry SET id = -id WHERE id < 0;"
        " UPDATE ledger_line SET entry_id = -entry_id WHERE entry_id < 0",
        verifying.ENTRY_REORDERED,
    ),
    "an entry that was not there": (
        "CREATE TEMP TABLE copy AS SELECT * FROM ledger_entry WHERE id = 1;"
        " UPDATE copy SET id = nextval('ledger_entry_id_seq'), public_id = gen_random_uuid(),"
        " idempotency_key = 'forged';"
        " INSERT INTO ledger_entry SELECT * FROM copy",
        verifying.ENTRY_ADDED,
    ),
    "a balance": ("UPDATE ledger_balance SET credits = credits + 1", "I3"),
    "a floor": ("UPDATE ledger_balance SET min_available = -1000 WHERE min_available = 0", "CHART"),
    "the chart": ("UPDATE ledger_account_code SET floor = NULL WHERE code = '9010'", "CHART"),
    "the decimals of an account": ("UPDATE ledger_account SET decimals = 2 WHERE code = '1110'", "CHART"),
    "the decimals of a currency": ("UPDATE ledger_unit SET posting_scale = 5 WHERE code = 'USD'", "CHART"),
    "where money may go": (
        "UPDATE ledger_event_type SET allowed_debit = '{1000}' WHERE code = 'usage.accrued'",
        "CHART",
    ),
    "that money went where it may not": ("UPDATE ledger_entry SET event_type = 'payment.fee' WHERE id = 1", "ROUTED"),
    "the days of a period": ("UPDATE ledger_period SET starts_on = starts_on + 1 WHERE id = 1", "PERIOD"),
    "who decided": ("UPDATE billing_ops_approval SET decided_by_id = 'zoe'", verifying.CHANGE_EDITED),
    "a period": ("UPDATE ledger_period SET status = 'open', closed_at = NULL WHERE status = 'closed'", "PERIOD"),
    "when an entry was recorded": (
        "UPDATE ledger_entry SET recorded_at = (SELECT max(recorded_at) FROM ledger_period_change WHERE period_id = 1)"
        " WHERE id = 1",
        "I13",
    ),
    "why a period was closed": ("UPDATE ledger_period_change SET note = 'as agreed'", verifying.CHANGE_EDITED),
    "a row of the history": (
        "DELETE FROM ledger_period_change WHERE id = (SELECT min(id) FROM ledger_period_change)",
        verifying.CHANGE_REMOVED,
    ),
    "who approved": (
        "ALTER TABLE billing_ops_approval DROP CONSTRAINT approval_by_another_person;"
        " UPDATE billing_ops_approval SET decided_by_id = requested_by_id",
        "PERIOD",
    ),
    "what a seal counts": ("UPDATE ledger_seal SET line_count = line_count + 1 WHERE seq = 2", verifying.EDITED),
    "what a seal covers": ("UPDATE ledger_seal SET entries = '{[1,3)}' WHERE seq = 1", verifying.EDITED),
    "the hashes under a seal": ("UPDATE ledger_seal SET leaves = sha256('') || leaves WHERE seq = 1", verifying.EDITED),
    "a seal in the middle": ("DELETE FROM ledger_seal WHERE seq = 2", verifying.GAP),
    "the first seal": ("DELETE FROM ledger_seal WHERE seq = 1", verifying.GAP),
    "the chain's link": (
        "UPDATE ledger_seal SET previous_hash = repeat('7', 64) WHERE seq = 2;"
        " UPDATE ledger_seal s SET hash = ledger_seal_hash(s) WHERE seq = 2",
        verifying.LINK,
    ),
}


@pytest.mark.parametrize("edit", EDITS)
def test_what_was_done_past_every_guard_is_named(
    edit: str, fresh_db: Database, capsys: pytest.CaptureFixture[str]
) -> None:
    sealed_books()
    assert verifying.verify().violations == ()
    statement, rule = EDITS[edit]
    with unguarded(fresh_db) as admin:
        admin.execute(statement)
    with pytest.raises(CommandError, match="violations"):
        call_command("verify_ledger", "--json")
    verdict = json.loads(capsys.readouterr().out)
    assert verdict["holds"] is False
    assert rule in {one["rule"] for one in verdict["violations"]}, verdict["violations"]
    assert all(one["subject"] and one["detail"] for one in verdict["violations"])


TOLD_APART = (
    ("a word of an entry", {verifying.ENTRY_EDITED}, ["entry 1"]),
    ("an entry with its lines", {verifying.ENTRY_REMOVED}, ["entry 2"]),
    ("the order of two entries", {verifying.ENTRY_REORDERED}, ["entry 1", "entry 2"]),
    ("what a seal counts", {verifying.EDITED}, ["seal 2"]),
    ("a seal in the middle", {verifying.GAP}, ["seal 2"]),
)


@pytest.mark.parametrize(
    ("edit", "rules", "subjects"), TOLD_APART, ids=lambda value: value if isinstance(value, str) else ""
)
def test_the_chain_tells_them_apart(edit: str, rules: set[str], subjects: list[str], fresh_db: Database) -> None:
    sealed_books()
    with unguarded(fresh_db) as admin:
        admin.execute(EDITS[edit][0])
    found = verifying.chain()
    assert {one.rule for one in found} == rules
    assert [one.subject for one in found] == subjects


def _forge(admin: psycopg.Connection[Any]) -> None:
    """The whole chain made anew over edited rows, so that it agrees with itself."""
    for (seq,) in admin.execute("SELECT seq FROM ledger_seal ORDER BY seq").fetchall():
        rows = admin.execute(
            "SELECT form FROM ledger_seal s, unnest(s.entries) r, generate_series(lower(r), upper(r) - 1) i,"
            " ledger_entry_forms(ARRAY[i]) f WHERE s.seq = %s ORDER BY i", [seq]
        ).fetchall()  # fmt: skip
        rows += admin.execute(
            "SELECT form FROM ledger_seal s, unnest(s.changes) r, generate_series(lower(r), upper(r) - 1) i,"
            " ledger_change_forms(ARRAY[i]) f WHERE s.seq = %s ORDER BY i", [seq]
        ).fetchall()  # fmt: skip
        leaves = [merkle.leaf(form) for (form,) in rows]
        admin.execute(
            "UPDATE ledger_seal s SET leaves = %s, merkle_root = %s, previous_hash = coalesce((SELECT hash FROM"
            " ledger_seal WHERE seq = s.seq - 1), repeat('0', 64)) WHERE seq = %s",
            [b"".join(leaves), merkle.root(leaves).hex(), seq],
        )
        admin.execute("UPDATE ledger_seal s SET hash = ledger_seal_hash(s) WHERE seq = %s", [seq])


@pytest.mark.parametrize("forgery", ["made anew", "cut off"])
def test_a_head_that_was_kept_outside_shows_a_chain_that_was_changed(forgery: str, fresh_db: Database) -> None:
    head = sealed_books()[-1].hash
    accrue("more", "1", at=LATER)
    call_command("verify_ledger", "--expect-head", head)
    with unguarded(fresh_db) as admin:
        if forgery == "made anew":
            admin.execute("UPDATE ledger_entry SET reason_note = 'as agreed' WHERE id = 1")
            _forge(admin)
        else:
            admin.execute("DELETE FROM ledger_seal WHERE seq = (SELECT max(seq) FROM ledger_seal)")
    assert verifying.verify().violations == ()  # it agrees with itself: only who kept the head can tell
    found = verifying.verify(expect_head=head).violations
    assert [one.rule for one in found] == [verifying.HEAD]
    with pytest.raises(CommandError, match="1 violations"):
        call_command("verify_ledger", "--expect-head", head)


def test_verifying_reads_one_snapshot_and_leaves_its_trail(
    fresh_db: Database, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = sealed_books()
    before = AuditEntry.objects.count()
    call_command("verify_ledger")
    said = capsys.readouterr()
    assert "The books hold." in said.out
    assert rows[-1].hash in said.out
    assert f"seal {len(rows)} of {len(rows)}" in said.err
    entry = AuditEntry.objects.latest("pk")
    assert (AuditEntry.objects.count(), entry.action) == (before + 1, "ledger.verified")
    assert entry.changes["head"][1] == rows[-1].hash
    with pytest.raises(CommandError, match="64 hexadecimal"):
        call_command("verify_ledger", "--expect-head", "abc")


def test_verifying_is_read_only(fresh_db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    levels = []

    def look(**_: Any) -> list[Any]:
        levels.append(sql("SELECT current_setting('transaction_isolation'), current_setting('transaction_read_only')"))
        return []

    monkeypatch.setattr(proofs, "violations", look)
    verifying.verify()
    assert levels == [[("repeatable read", "on")]]
    assert Seal.objects.count() == 0
