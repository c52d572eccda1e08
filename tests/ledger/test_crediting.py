"""Credits: granting, previewing, using, voiding, expiring; and where every unit of a grant went."""

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import transaction
from moneyed import Money

from billing_ops.kit.money import plain
from billing_ops.models import FailedWork
from ledger import balances, crediting, drawing, journal, posting, tasks, voiding
from ledger.crediting import GrantDiffers, Need, PaidCreditIsBought
from ledger.models import CreditDraw, CreditGrant, Entry, Line
from ledger.rules import movements
from ledger.rules.terms import InvalidTerms
from tests.ledger.books import AGENT, AT, ROBOT, SUPPORT, accrue, give, refused, spend, sql

pytestmark = pytest.mark.django_db

TERMS: dict[str, Any] = {
    "customer_key": "cus-1",
    "kind": "goodwill",
    "amount": Money("25.00", "USD"),
    "reason_code": "outage",
    "actor": AGENT,
    "at": AT,
    "priority": 10,
    "expires_at": AT + timedelta(days=30),
    "scope": ["tokens", "images", "tokens"],
    "ticket": "T-1",
    "note": "sorry",
}


def where(grant: CreditGrant, at: Any = AT) -> tuple[str, ...]:
    (found,) = balances.with_balances([grant], at=at)
    assert found.remaining + found.used + found.expired + found.voided == grant.amount
    return (*(plain(part) for part in (found.remaining, found.used, found.expired, found.voided)), found.status)


def test_a_grant_keeps_its_terms_and_is_posted() -> None:
    grant = crediting.grant(key="k", authority=SUPPORT, **TERMS)
    assert (grant.customer_key, grant.kind, str(grant.amount), grant.unit_id) == ("cus-1", "goodwill", "25.00", "USD")
    assert (grant.priority, grant.effective_at, grant.expires_at) == (10, AT, AT + timedelta(days=30))
    assert (grant.scope, grant.ticket, grant.reason_note, grant.requested_by_id) == (
        ["images", "tokens"],
        "T-1",
        "sorry",
        "ana",
    )
    entry = Entry.objects.get(grant_ref=str(grant.public_id))
    assert (entry.event_type_id, entry.reason_code, entry.ticket) == ("credit.granted", "outage", "T-1")
    assert balances.of(customer_key="cus-1", unit="USD").goodwill_credits == 25
    assert where(grant) == ("25", "0", "0", "0", "active")


@pytest.mark.parametrize("kind", ["promotional", "goodwill", "included"])
@pytest.mark.parametrize("before", [False, True], ids=["first credit", "on top of others"])
def test_the_preview_is_what_is_then_written(kind: str, before: bool) -> None:
    if before:
        give("earlier", "3", kind=kind)
    terms = {**TERMS, "kind": kind}
    rows = [Entry.objects.count(), CreditGrant.objects.count(), Line.objects.count()]
    shown = crediting.preview(**terms)
    assert [Entry.objects.count(), CreditGrant.objects.count(), Line.objects.count()] == rows
    assert shown.before == balances.of(customer_key="cus-1", unit="USD")
    grant = crediting.grant(key="k", authority=SUPPORT, **terms)
    (entry,) = journal.entries_for(grant=grant).items
    written = [
        (line.side, line.code, line.name, line.amount, line.unit, line.customer_key, bool(line.dimension))
        for line in entry.lines
    ]
    assert written == [
        (line.side, line.code, line.name, line.amount, line.unit, line.customer_key, bool(line.dimension))
        for line in shown.lines
    ]
    assert shown.after == balances.of(customer_key="cus-1", unit="USD")
    assert (shown.terms.request(), shown.effective_at) == (grant.request, grant.effective_at)


def test_the_same_key_and_terms_is_one_grant() -> None:
    first = crediting.grant(key="k", authority=SUPPORT, **TERMS)
    again = crediting.grant(key="k", authority=SUPPORT, **{**TERMS, "at": AT + timedelta(hours=1)})
    assert again.pk == first.pk
    assert Entry.objects.count() == 1


@pytest.mark.parametrize(
    "change",
    [
        {"customer_key": "cus-2"},
        {"kind": "promotional"},
        {"amount": Money("25.01", "USD")},
        {"amount": Money("25.00", "EUR")},
        {"reason_code": "other"},
        {"priority": 11},
        {"effective_at": AT},
        {"expires_at": None},
        {"scope": ["tokens"]},
        {"ticket": "T-2"},
        {"note": "very sorry"},
    ],
)
def test_the_same_key_and_other_terms_names_the_field(change: dict[str, Any]) -> None:
    crediting.grant(key="k", authority=SUPPORT, **TERMS)
    with pytest.raises(GrantDiffers) as caught:
        crediting.grant(key="k", authority=SUPPORT, **{**TERMS, **change})
    name = "unit" if str(change.get("amount", "")).startswith("€") else next(iter(change))
    assert caught.value.details["differs"] == [name]
    assert CreditGrant.objects.count() == Entry.objects.count() == 1


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"customer_key": ""}, "customer_key"),
        ({"amount": Money(0, "USD")}, "amount"),
        ({"amount": Money(-1, "USD")}, "amount"),
        ({"amount": Money("0.001", "USD")}, "amount"),
        ({"amount": Money("0.5", "JPY")}, "amount"),
        ({"amount": Money("NaN", "USD")}, "amount"),
        ({"amount": Money("1e16", "USD")}, "amount"),
        ({"reason_code": ""}, "reason_code"),
        ({"priority": -1}, "priority"),
        ({"priority": 101}, "priority"),
        ({"expires_at": AT}, "expires_at"),
        ({"effective_at": AT + timedelta(days=60)}, "expires_at"),
        ({"effective_at": AT.replace(tzinfo=None)}, "effective_at"),
        ({"scope": [""]}, "scope"),
    ],
)
def test_terms_that_no_grant_can_have_are_refused_by_name(change: dict[str, Any], field: str) -> None:
    for act in (crediting.preview, lambda **terms: crediting.grant(key="k", authority=SUPPORT, **terms)):
        with pytest.raises(InvalidTerms) as caught:
            act(**{**TERMS, **change})
        assert caught.value.details["field"] == field
    assert not CreditGrant.objects.exists()


def test_paid_credit_is_bought_or_brought_over_but_not_given() -> None:
    for act in (crediting.preview, lambda **terms: crediting.grant(key="k", authority=SUPPORT, **terms)):
        with pytest.raises(PaidCreditIsBought):
            act(**{**TERMS, "kind": "paid"})
    give("opening", "10", kind="paid")
    assert balances.of(customer_key="cus-1", unit="USD").paid_credits == 10
    assert balances.account_total(code="3000", unit="USD") == -10


def test_credit_pays_in_the_documented_order() -> None:
    give("paid", "100", kind="paid")
    give("late", "10", expires_at=AT + timedelta(days=9))
    soon = give("soon", "10", kind="goodwill", expires_at=AT + timedelta(days=8))
    first = give("first", "1", priority=1, kind="included")
    applied = spend("inv", "13.5")
    assert [(row.grant_id == grant.pk, row.amount) for row, grant in zip(applied, (first, soon), strict=False)] == [
        (True, 1),
        (True, 10),
    ]
    assert [row.kind for row in applied] == ["included", "goodwill", "promotional"]
    assert where(soon) == ("0", "10", "0", "0", "used")
    after = balances.of(customer_key="cus-1", unit="USD")
    assert after.receivable == after.unbilled == 0
    assert (after.promotional_credits, after.paid_credits) == (Decimal("7.5"), Decimal(100))


def test_what_credit_does_not_cover_stays_owed_and_the_shortfall_is_remembered() -> None:
    give("g", "5")
    spend("inv", "7.25")
    assert balances.of(customer_key="cus-1", unit="USD").receivable == Decimal("2.25")
    draw = CreditDraw.objects.get()
    assert (draw.outcome, draw.amount, draw.shortfall) == ("partial", Decimal("7.25"), Decimal("2.25"))
    assert draw.entry is not None
    assert draw.entry.idempotency_key == "inv"


def test_scope_and_window_decide_what_a_grant_pays_for() -> None:
    give("scoped", "5", scope=["tokens"])
    give("tomorrow", "5", effective_at=AT + timedelta(days=1))
    give("until", "5", expires_at=AT + timedelta(days=2))
    needs = [Need("a", "images", Decimal(9)), Need("b", "tokens", Decimal(9))]

    def quoted(at: Any) -> dict[str, Decimal]:
        sums = {"a": Decimal(0), "b": Decimal(0)}
        for row in crediting.quote(customer_key="cus-1", currency="USD", needs=needs, at=at):
            sums[row.ref] += row.amount
        return sums

    assert quoted(AT) == {"a": 5, "b": 5}
    assert quoted(AT + timedelta(days=1) - timedelta(microseconds=1)) == {"a": 5, "b": 5}
    assert quoted(AT + timedelta(days=1)) == {"a": 9, "b": 6}
    assert quoted(AT + timedelta(days=2)) == {"a": 5, "b": 5}
    used = [Need("a", "images", Decimal(9), used_at=AT)]
    late = crediting.quote(customer_key="cus-1", currency="USD", needs=used, at=AT + timedelta(days=5))
    assert sum(row.amount for row in late) == 5, "credit effective when it was used, not when it is processed"


def test_a_quote_is_what_apply_then_takes() -> None:
    give("a", "5", scope=["tokens"])
    give("b", "4", kind="paid")
    needs = [Need("x", "images", Decimal(3)), Need("y", "tokens", Decimal(7))]
    terms: dict[str, Any] = {"customer_key": "cus-1", "currency": "USD", "needs": needs, "at": AT}
    quoted = crediting.quote(**terms)
    with transaction.atomic():
        accrue("u", "10")
        applied = crediting.apply(key="inv", **terms)
        posting.post(
            movement=movements.INVOICE_FINALIZED,
            key="inv",
            lines=(
                *movements.invoice_finalized(
                    customer_key="cus-1",
                    currency="USD",
                    receivable=Decimal(1),
                    accrued_cleared=Decimal(10),
                    credits=crediting.uses_of(applied),
                ),
            ),
            at=AT,
            actor=ROBOT,
        )
    assert [(row.ref, row.grant_id, row.amount) for row in quoted] == [
        (row.ref, row.grant_id, row.amount) for row in applied
    ]
    assert crediting.apply(key="inv", **terms) == applied, "a replay returns what was taken then"
    with pytest.raises(drawing.DrawDiffers) as caught:
        crediting.apply(key="inv", **{**terms, "needs": [needs[0], Need("y", "tokens", Decimal(8))]})
    assert caught.value.details["differs"] == ["y"]
    assert crediting.lines_of(applied) == movements.credit_used(
        customer_key="cus-1", unit="USD", uses=crediting.uses_of(applied)
    )


def test_a_refusal_is_remembered() -> None:
    give("used up", "1")
    spend("one", "1")
    terms: dict[str, Any] = {"customer_key": "cus-1", "currency": "USD", "needs": [Need("x", "", Decimal(1))], "at": AT}
    assert crediting.apply(key="k", **terms) == []
    give("more", "5")
    assert crediting.apply(key="k", **terms) == []
    assert CreditDraw.objects.get(idempotency_key="k").outcome == "refused"
    assert crediting.lines_of([]) == ()


def test_applied_credit_that_is_never_posted_does_not_commit() -> None:
    give("g", "5")
    with refused("ledger_draw_posted"):
        crediting.apply(customer_key="cus-1", currency="USD", needs=[Need("x", "", Decimal(1))], at=AT, key="k")
        sql("SET CONSTRAINTS ALL IMMEDIATE")


def test_who_never_had_credit_gets_none_and_leaves_no_trace() -> None:
    terms: dict[str, Any] = {"customer_key": "cus-9", "currency": "USD", "needs": [Need("x", "", Decimal(1))], "at": AT}
    assert crediting.quote(**terms) == crediting.apply(key="k", **terms) == []
    assert sql("SELECT count(*) FROM ledger_credit_wallet") == [(0,)]


@pytest.mark.parametrize("needs", [[Need("a", "", Decimal(0))], [Need("a", "", Decimal(1)), Need("a", "", Decimal(1))]])
def test_needs_that_make_no_sense_are_refused(needs: list[Need]) -> None:
    with pytest.raises(Exception, match="needs"):
        crediting.quote(customer_key="cus-1", currency="USD", needs=needs, at=AT)


@pytest.mark.parametrize("kind", ["promotional", "goodwill", "included"])
def test_void_takes_back_what_is_left(kind: str) -> None:
    grant = give("g", "5", kind=kind)
    spend("inv", "2")
    terms: dict[str, Any] = {"grant": grant, "reason_code": "mistake", "actor": AGENT, "at": AT}
    entry = voiding.void(key="v", **terms)
    assert where(grant) == ("0", "2", "0", "3", "voided")
    assert voiding.void(key="v", **terms).pk == entry.pk
    with pytest.raises(voiding.NothingLeft):
        voiding.void(key="w", **terms)
    with pytest.raises(GrantDiffers):
        voiding.void(key="v", **{**terms, "grant": give("other", "1")})


def test_paid_credit_is_not_voided() -> None:
    with pytest.raises(PaidCreditIsBought):
        voiding.void(grant=give("g", "5", kind="paid"), reason_code="x", actor=ROBOT, at=AT, key="v")


@pytest.mark.parametrize(
    ("kind", "against"), [("paid", "4030"), ("goodwill", "4910"), ("promotional", "9000"), ("included", "9000")]
)
def test_expiry_books_the_remainder_once_after_its_grace(kind: str, against: str) -> None:
    end = AT + timedelta(days=10)
    grant = give("g", "5", kind=kind, expires_at=end)
    give("forever", "5")
    spend("inv", "2")
    grace = timedelta(hours=24)
    assert voiding.expire_due(at=end + grace - timedelta(microseconds=1), grace=grace) == 0
    assert voiding.expire_due(at=end + grace, grace=grace) == 1
    assert voiding.expire_due(at=end + grace, grace=grace) == 0
    assert where(grant, end) == ("0", "2", "3", "0", "expired")
    entry = Entry.objects.get(event_type="credit.expired")
    assert entry.effective_at == end
    assert set(Line.objects.filter(entry=entry).values_list("account__code", flat=True)) >= {against}


def test_a_grant_is_not_expired_before_its_time() -> None:
    with pytest.raises(ValueError, match="has not expired"):
        voiding.expire(grant=give("g", "5", expires_at=AT + timedelta(days=1)), at=AT, actor=ROBOT)
    with pytest.raises(ValueError, match="has not expired"):
        voiding.expire(grant=give("h", "5"), at=AT, actor=ROBOT)


def test_credit_that_comes_back_after_expiry_expires_again() -> None:
    end = AT + timedelta(days=1)
    grant = give("g", "5", expires_at=end)
    spend("inv", "2")
    voiding.expire(grant=grant, at=end, actor=ROBOT)
    posting.reverse(
        entry=Entry.objects.get(idempotency_key="inv"), key="undo", at=end, actor=ROBOT, reason_code="voided"
    )
    assert where(grant, end) == ("2", "0", "3", "0", "expired")
    assert voiding.expire(grant=grant, at=end, actor=ROBOT) is not None
    assert where(grant, end) == ("0", "0", "5", "0", "expired")


def test_a_reversed_issue_counts_as_voided() -> None:
    grant = give("g", "5")
    posting.reverse(
        entry=Entry.objects.get(grant_ref=str(grant.public_id)), key="undo", at=AT, actor=ROBOT, reason_code="mistake"
    )
    assert where(grant) == ("0", "0", "0", "5", "voided")


def test_a_used_grant_cannot_be_unissued() -> None:
    grant = give("g", "5")
    spend("inv", "2")
    with pytest.raises(posting.Overdraft):
        posting.reverse(
            entry=Entry.objects.get(event_type="credit.granted"), key="undo", at=AT, actor=ROBOT, reason_code="mistake"
        )
    assert where(grant) == ("3", "2", "0", "0", "active")


def test_the_task_expires_what_is_due(monkeypatch: pytest.MonkeyPatch) -> None:
    grant = give("g", "5", expires_at=AT + timedelta(days=1))
    monkeypatch.setattr("billing_ops.kit.clock.now", lambda: AT + timedelta(days=3))
    assert tasks.expire_credits() == 1
    assert where(grant, AT + timedelta(days=3))[2] == "5"


def test_a_grant_that_cannot_expire_holds_up_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    end = AT + timedelta(days=1)
    stuck, fine = (give(key, "5", expires_at=end) for key in "ab")
    expire = voiding.expire

    def break_one(*, grant: CreditGrant, **rest: Any) -> Entry | None:
        if grant == stuck:
            raise posting.PeriodClosed("The books are closed.")
        return expire(grant=grant, **rest)

    monkeypatch.setattr(voiding, "expire", break_one)
    assert voiding.expire_due(at=end, grace=timedelta(0)) == 1
    assert (where(stuck)[0], where(fine, end)[2]) == ("5", "5")
    assert FailedWork.objects.get().subject == str(stuck.public_id)
    monkeypatch.setattr(voiding, "expire", expire)
    assert voiding.expire_due(at=end, grace=timedelta(0)) == 0, "it rests"
    assert voiding.expire_due(at=end + timedelta(hours=1), grace=timedelta(0)) == 1
    assert not FailedWork.objects.exists()


def test_a_grant_in_the_future_is_scheduled() -> None:
    assert where(give("g", "5", effective_at=AT + timedelta(days=1)))[-1] == "scheduled"


def test_a_draw_that_is_allocated_by_half_is_refused() -> None:
    grant = give("g", "5")
    with refused("ledger_line_drawn"):
        applied = crediting.apply(
            customer_key="cus-1", currency="USD", needs=[Need("x", "", Decimal(2))], at=AT, key="k"
        )
        accrue("u", "3")
        sql(
            "INSERT INTO ledger_credit_draw (wallet_id, idempotency_key, ref, feature, amount, shortfall, outcome,"
            " used_at, entry_id)"
            " SELECT wallet_id, 'k', 'y', '', 1, 0, 'accepted', used_at, entry_id FROM ledger_credit_draw"
        )
        _post_raw_spend(applied[0].entry_id, grant)


def _post_raw_spend(entry_id: int, grant: CreditGrant) -> None:
    from tests.ledger.books import account, raw_entry, raw_lines

    raw_entry(movement=movements.INVOICE_FINALIZED, lines=4, id=entry_id)
    raw_lines(
        (entry_id, 1, grant.account_id, "USD", 1, "2", 2, "3"),
        (entry_id, 2, account("4900").pk, "USD", 1, "2", None, None),
        (entry_id, 3, account("9000").pk, "USD", -1, "2", None, None),
        (entry_id, 4, account("1110", customer="cus-1").pk, "USD", -1, "2", 2, "1"),
    )
