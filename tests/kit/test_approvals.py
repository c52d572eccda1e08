"""Approvals: two people, one content, one use; held by the database whoever writes."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import psycopg
import pytest
from django.db import IntegrityError, ProgrammingError, connection, transaction
from hypothesis import given
from hypothesis import strategies as st

from billing_ops.kit import approving
from billing_ops.kit.actor import Actor
from billing_ops.kit.approval_kinds import Kind, Preview, PreviewLine
from billing_ops.kit.approvals import OWN_DOMAIN, TRANSITIONS, BadSubject, canonical, content_hash, same_person
from billing_ops.kit.errors import BillingError
from billing_ops.kit.http import issuing
from billing_ops.models import Approval, AuditEntry
from tests.ledger.test_at_the_same_time import all_at_once
from tests.support.database import Database

AT = datetime(2025, 3, 4, 12, tzinfo=UTC)
ANN = Actor("user", "ann", "Ann")
BOB = Actor("user", "bob", "Bob")
CARA = Actor("user", "cara", "Cara")

done: list[int] = []
amounts = {"now": Decimal(5)}


def _preview(approval: Approval, at: datetime) -> Preview:
    return Preview(lines=(PreviewLine("debit", "4910", "Credit notes", amounts["now"], "USD"),))


def _execute(approval: Approval, at: datetime, actor: Actor) -> str:
    if approval.subject.get("fails"):
        raise BillingError("It cannot be done.")
    done.append(approval.pk)
    return f"thing:{approval.pk}"


THING = Kind("A thing", "ledger.approve_credit", _preview, _execute)


@pytest.fixture(autouse=True)
def _kinds(settings: Any) -> None:
    settings.APPROVAL_KINDS = {"test.thing": "tests.kit.test_approvals.THING"}
    done.clear()
    amounts["now"] = Decimal(5)


def ask(key: str = "k", **more: Any) -> Approval:
    said: dict[str, Any] = {
        "kind": "test.thing", "key": key, "subject": {"amount": "5.00", "unit": "USD"}, "summary": "5 USD",
        "reason_code": "outage", "actor": ANN, "at": AT, "customer_key": "cus-1",
    }  # fmt: skip
    return approving.ask(**said | more)


def approve(row: Approval, **more: Any) -> Approval:
    said: dict[str, Any] = {"actor": BOB, "at": AT, "seen": _preview(row, AT).fingerprint()}
    return approving.approve(approval_id=row.pk, **said | more)


@contextmanager
def refused(rule: str) -> Iterator[None]:
    with pytest.raises(IntegrityError) as caught, transaction.atomic():  # noqa: PT012  # the block is the caller's
        yield
        sql("SET CONSTRAINTS ALL IMMEDIATE")
    assert caught.value.__cause__.diag.constraint_name == rule  # type: ignore[union-attr]


def sql(text: str, *values: Any) -> list[Any]:
    with connection.cursor() as cursor:
        cursor.execute(text, values)
        return cursor.fetchall() if cursor.description else []


TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8)
SUBJECTS = st.dictionaries(
    TEXT,
    st.recursive(
        TEXT | st.integers() | st.booleans() | st.none(),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
        max_leaves=6,
    ),
    max_size=5,
)


@given(SUBJECTS)
def test_our_canonical_text_is_the_databases(db_text: Callable[[Any], str], subject: dict[str, Any]) -> None:
    assert canonical(subject) == db_text(subject)


@pytest.fixture(scope="module")
def db_text(databases: Any) -> Iterator[Callable[[Any], str]]:
    with databases.fresh() as database, database.connect() as link:
        yield lambda value: str(link.execute("SELECT %s::jsonb::text", [json.dumps(value)]).fetchone()[0])


@pytest.mark.parametrize("subject", [{"a": 1.5}, {"a": Decimal(1)}, {"a": "\0"}, {"a": "\ud800"}, {"a": {1: "x"}}])
def test_content_without_one_text_is_refused(subject: Any) -> None:
    with pytest.raises(BadSubject):
        content_hash(subject)


def test_case_width_and_space_do_not_make_another_person() -> None:
    for other in ("Ann", " ann ", "ANN\n", "ａｎｎ"):  # the last in full width
        assert same_person("ann", other)
    assert not same_person("ann", "anna")


@pytest.mark.django_db
def test_the_same_key_is_the_same_request_and_other_content_is_named() -> None:
    row = ask()
    assert ask(at=AT + timedelta(hours=1)).pk == row.pk
    with pytest.raises(approving.ApprovalDiffers):
        ask(subject={"amount": "6.00", "unit": "USD"})
    assert Approval.objects.count() == AuditEntry.objects.count() == 1


@pytest.mark.django_db
def test_approving_does_it_once_and_leaves_a_trail() -> None:
    row = approve(ask(), note="fine")
    assert (row.status, row.decided_by_id, row.used_for) == ("approved", "bob", f"thing:{row.pk}")
    assert approve(row).used_at == AT  # a second click
    assert done == [row.pk]
    assert [one.action for one in AuditEntry.objects.order_by("id")] == ["approval.requested", "approval.approved"]
    with pytest.raises(approving.AlreadyDecided):
        approve(row, actor=CARA)


@pytest.mark.django_db
@pytest.mark.parametrize("name", ["ann", "Ann", " ann ", "ａｎｎ", "an\u200bn", "\u00adann", "ann\ufeff ", "\u202eann"])
def test_who_asks_does_not_decide(name: str) -> None:
    row, self_again = ask(), Actor("user", name, "somebody")
    with pytest.raises(approving.OwnRequest):
        approve(row, actor=self_again)
    with pytest.raises(approving.OwnRequest):
        approving.reject(approval_id=row.pk, actor=self_again, at=AT, note="no")
    for status in ("approved", "rejected"):
        with refused("approval_by_another_person"):
            sql(
                "UPDATE billing_ops_approval SET status = %s, decided_at = %s, decided_by_type = 'user',"
                " decided_by_id = %s WHERE id = %s", status, AT, name, row.pk,
            )  # fmt: skip
    assert done == []


@pytest.mark.django_db
def test_who_issued_the_key_that_asks_does_not_decide() -> None:
    key = issuing.issue(name="robot", scopes=["credits:write"], at=AT, actor=BOB).row
    row = ask(actor=Actor("api_key", key.prefix, key.name))
    with pytest.raises(approving.OwnRequest):
        approve(row)
    with refused("approval_by_another_person"):
        sql(
            "UPDATE billing_ops_approval SET status = 'approved', decided_at = %s, decided_by_type = 'user',"
            " decided_by_id = 'Bob ' WHERE id = %s", AT, row.pk,
        )  # fmt: skip
    assert done == []
    assert approve(row, actor=CARA).status == "approved"


@pytest.mark.django_db
def test_who_belongs_to_the_customer_does_not_approve() -> None:
    with pytest.raises(approving.ConflictOfInterest):
        approve(ask(), conflicts=[OWN_DOMAIN])
    assert done == []


@pytest.mark.django_db
def test_what_is_not_what_was_seen_is_not_done() -> None:
    row = ask()
    seen = _preview(row, AT).fingerprint()
    amounts["now"] = Decimal(6)
    with pytest.raises(approving.Drifted):
        approve(row, seen=seen)
    assert (done, Approval.objects.get().status) == ([], "pending")


@pytest.mark.django_db
def test_what_fails_leaves_the_request_pending() -> None:
    row = ask(subject={"fails": True})
    with pytest.raises(BillingError, match="cannot be done"):
        approve(row)
    assert Approval.objects.get().status == "pending"


@pytest.mark.django_db
def test_changed_content_is_a_new_request_and_the_old_one_void() -> None:
    old = ask()
    new = ask("k2", subject={"amount": "9.00", "unit": "USD"}, replaces=old)
    old.refresh_from_db()
    assert (old.status, new.status, new.replaces_id) == ("void", "pending", old.pk)
    with pytest.raises(approving.AlreadyDecided):
        approve(old)
    with pytest.raises(approving.NotYours):
        ask("k3", actor=CARA, replaces=new)
    assert done == []


@pytest.mark.django_db
def test_what_expired_cannot_be_approved() -> None:
    row = ask()
    late = row.expires_at
    with pytest.raises(approving.Expired):
        approve(row, at=late)
    with refused("approval_in_time"):
        raw_approve(row, at=late)
    assert approving.expire_due(at=late - timedelta(microseconds=1), actor=BOB) == 0
    assert approving.expire_due(at=late, actor=BOB) == 1
    assert approving.expire_due(at=late, actor=BOB) == 0
    with pytest.raises(approving.AlreadyDecided):
        approve(row)
    with refused("approval_transition"):
        raw_approve(row)


@pytest.mark.django_db
def test_nobody_expires_what_still_has_time() -> None:
    row = ask()
    with refused("approval_in_time"):
        sql("UPDATE billing_ops_approval SET status = 'expired', decided_at = %s WHERE id = %s", AT, row.pk)


@pytest.mark.django_db
def test_only_who_asked_withdraws_and_twice_is_once() -> None:
    row = ask()
    with pytest.raises(approving.NotYours):
        approving.withdraw(approval_id=row.pk, actor=BOB, at=AT)
    assert approving.withdraw(approval_id=row.pk, actor=ANN, at=AT).status == "withdrawn"
    approving.withdraw(approval_id=row.pk, actor=ANN, at=AT)
    assert AuditEntry.objects.filter(action="approval.withdrawn").count() == 1
    with pytest.raises(approving.AlreadyDecided):
        approve(row)


@pytest.mark.django_db
def test_rejecting_says_why() -> None:
    row = ask()
    with pytest.raises(BillingError, match="Say why"):
        approving.reject(approval_id=row.pk, actor=BOB, at=AT, note=" ")
    assert approving.reject(approval_id=row.pk, actor=BOB, at=AT, note="no ticket").decision_note == "no ticket"
    assert done == []


def raw_approve(row: Approval, *, at: datetime = AT) -> None:
    sql(
        "UPDATE billing_ops_approval SET status = 'approved', decided_at = %s, decided_by_type = 'user',"
        " decided_by_id = 'bob' WHERE id = %s", at, row.pk,
    )  # fmt: skip


@pytest.mark.django_db
def test_the_database_has_the_same_table_of_transitions() -> None:
    statuses = list(TRANSITIONS)
    found = sql(
        "SELECT a, b FROM unnest(%s::text[]) a, unnest(%s::text[]) b WHERE approval_may_become(a, b)",
        statuses, statuses,
    )  # fmt: skip
    assert set(found) == {(before, after) for before, those in TRANSITIONS.items() for after in those}
    allowed = sql("SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conname = 'approval_status'")[0][0]
    assert {name for name in statuses if f"'{name}'" in allowed} == set(statuses)
    assert allowed.count("'") == 2 * len(statuses)


@pytest.mark.django_db
@pytest.mark.parametrize(
    "column", ["subject", "content_hash", "kind", "customer_key", "requested_by_id", "expires_at", "key"]
)
def test_the_application_may_not_even_write_what_was_asked_for(column: str) -> None:
    row = ask()
    with pytest.raises(ProgrammingError, match="permission denied"), transaction.atomic():
        sql(f"UPDATE billing_ops_approval SET {column} = {column} WHERE id = %s", row.pk)


@pytest.mark.django_db
def test_nothing_is_removed() -> None:
    ask()
    for statement in ("DELETE FROM billing_ops_approval", "TRUNCATE billing_ops_approval"):
        with pytest.raises(ProgrammingError, match="permission denied"), transaction.atomic():
            sql(statement)


def test_what_was_asked_for_binds_the_owner_too(fresh_db: Database) -> None:
    row = ask()
    with fresh_db.connect(role="owner") as owner:
        for change, rule in (
            ('SET subject = \'{"amount": "500"}\'', "approval_content_fixed"),
            ("SET requested_by_id = 'zoe'", "approval_content_fixed"),
            ("SET expires_at = expires_at + interval '1 year'", "approval_content_fixed"),
        ):
            with pytest.raises(psycopg.errors.CheckViolation) as caught:
                owner.execute(f"UPDATE billing_ops_approval {change} WHERE id = {row.pk}")
            assert caught.value.diag.constraint_name == rule
        for removal in ("DELETE FROM billing_ops_approval", "TRUNCATE billing_ops_approval CASCADE"):
            with pytest.raises(psycopg.errors.RestrictViolation):
                owner.execute(removal)


@pytest.mark.django_db
def test_a_hash_that_is_not_the_contents_is_refused() -> None:
    row = ask()
    columns = [
        name for (name,) in sql("SELECT attname FROM pg_attribute WHERE attrelid = 'billing_ops_approval'::regclass"
                                " AND attnum > 0 AND NOT attisdropped")
        if name not in ("id", "public_id", "key", "subject")
    ]  # fmt: skip
    listed = ", ".join(columns)
    with refused("approval_content_hash"):
        sql(
            f"INSERT INTO billing_ops_approval (public_id, key, subject, {listed})"
            f" SELECT gen_random_uuid(), 'forged', '{{\"amount\": \"500\"}}', {listed} FROM billing_ops_approval"
            " WHERE id = %s", row.pk,
        )  # fmt: skip


@pytest.mark.django_db
def test_nothing_is_born_decided() -> None:
    row = ask()
    with refused("approval_born_pending"):
        Approval.objects.create(
            key="forged", kind=row.kind, subject=row.subject, content_hash=row.content_hash, summary="x",
            requested_by_type="user", requested_by_id="ann", reason_code="x", requested_at=AT,
            expires_at=AT + timedelta(days=1), status="approved", decided_by_id="bob", decided_at=AT,
        )  # fmt: skip


@pytest.mark.django_db
def test_an_approval_is_not_given_and_kept() -> None:
    with refused("approval_leads_somewhere"):
        raw_approve(ask())


@pytest.mark.django_db
def test_what_is_decided_stays_decided_and_is_used_once() -> None:
    row = approve(ask())
    for change in ("decided_by_id = 'cara'", "decision_note = 'else'", "decided_at = decided_at + interval '1 s'"):
        with refused("approval_decision_fixed"):
            sql(f"UPDATE billing_ops_approval SET {change} WHERE id = %s", row.pk)
    with refused("approval_transition"):
        sql("UPDATE billing_ops_approval SET status = 'rejected' WHERE id = %s", row.pk)
    with refused("approval_used_once"):
        sql("UPDATE billing_ops_approval SET used_for = 'entry:another' WHERE id = %s", row.pk)
    with refused("approval_used_once"):
        sql("UPDATE billing_ops_approval SET used_for = '', used_at = NULL WHERE id = %s", row.pk)
    assert sql("SELECT approval_use(%s, 'again'), approval_in_force(%s, 'test.thing')", row.pk, row.pk) == [
        (False, None)
    ]


def test_an_approval_is_used_in_the_transaction_that_gives_it(fresh_db: Database) -> None:
    row = ask()
    with fresh_db.connect(autocommit=False) as one, fresh_db.connect() as two:
        one.execute(
            "UPDATE billing_ops_approval SET status = 'approved', decided_at = requested_at, decided_by_type = 'user',"
            " decided_by_id = 'bob' WHERE id = %s", [row.pk],
        )  # fmt: skip
        assert one.execute("SELECT approval_in_force(%s, 'test.thing')", [row.pk]).fetchone() == (row.subject,)
        assert one.execute("SELECT approval_in_force(%s, 'test.other')", [row.pk]).fetchone() == (None,)
        assert two.execute("SELECT approval_in_force(%s, 'test.thing')", [row.pk]).fetchone() == (None,)
        assert one.execute("SELECT approval_use(%s, 'a'), approval_use(%s, 'b')", [row.pk] * 2).fetchone() == (
            True, False,
        )  # fmt: skip
        one.commit()
    assert Approval.objects.get().used_for == "a"


def test_of_two_who_decide_at_once_one_decides(fresh_db: Database) -> None:
    for number in range(6):
        row = ask(f"k{number}")
        seen = _preview(row, AT).fingerprint()

        def decide(place: int, row: Approval = row, seen: str = seen) -> Any:
            who = Actor("user", f"person-{place}")
            if place % 2:
                return approving.reject(approval_id=row.pk, actor=who, at=AT, note="no").status
            return approving.approve(approval_id=row.pk, actor=who, at=AT, seen=seen).status

        answers = all_at_once(4, decide)
        decided = [answer for answer in answers if isinstance(answer, str)]
        assert len(decided) == 1, answers
        assert all(isinstance(answer, (str, approving.AlreadyDecided)) for answer in answers), answers
        row.refresh_from_db()
        assert row.status == decided[0]
        assert done.count(row.pk) == (decided[0] == "approved")


def test_a_double_click_in_two_tabs_is_one_decision(fresh_db: Database) -> None:
    row = ask()
    answers = all_at_once(8, lambda _: approve(row).used_for)
    assert answers == [f"thing:{row.pk}"] * 8
    assert done == [row.pk]
    assert AuditEntry.objects.filter(action="approval.approved").count() == 1


def test_one_request_however_many_ask_for_it(fresh_db: Database) -> None:
    answers = all_at_once(8, lambda _: ask().pk)
    assert len(set(answers)) == 1, answers
    assert Approval.objects.count() == 1
