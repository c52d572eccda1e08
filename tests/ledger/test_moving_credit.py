"""Credit that is transferred between customers by approval, bought, and given back as money."""

from datetime import timedelta
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest
from django.db import transaction
from django.test import override_settings

from billing_ops.kit import approving
from billing_ops.kit.actor import Actor
from billing_ops.kit.approval_kinds import Kind
from billing_ops.models import Approval
from ledger import balances, buying, crediting, moving, posting, proofs, registering, transferring, voiding
from ledger.models import CreditGrant, Entry, Line
from ledger.rules import movements
from ledger.rules.terms import Terms
from tests.invoicing.stories import at_once
from tests.ledger.books import AGENT, AT, ROBOT, account, give, raw_entry, raw_lines, refused, spend

D = Decimal
BOSS = Actor("user", "finn", "Finn")


@pytest.fixture(autouse=True)
def _any_holder() -> Any:
    with override_settings(CREDIT_HOLDER_CHECK=""):
        yield


def lines(entry: Entry) -> list[tuple[str, str, Decimal, str, str]]:
    rows = Line.objects.filter(entry=entry).select_related("account").order_by("line_no")
    return [
        (
            "Dr" if row.side > 0 else "Cr",
            row.account.code_id,
            row.amount.normalize(),
            row.unit,
            row.account.customer_key,
        )
        for row in rows
    ]


def asked(amount: str = "12", **other: Any) -> Approval:
    return transferring.ask(**{
        "from_customer": "cus-1", "to_customer": "cus-2", "unit": "USD", "amount": D(amount), "reason_code": "merger",
        "key": "t", "actor": AGENT, "at": AT, **other,
    })  # fmt: skip


def approved(approval: Approval, at: Any = AT) -> Approval:
    seen = approving.preview(approval=approval, at=at).fingerprint()
    return approving.approve(approval_id=approval.pk, seen=seen, actor=BOSS, at=at)


def where(grant: CreditGrant) -> balances.GrantBalance:
    return balances.with_balances([grant], at=AT)[0]


@pytest.mark.django_db
def test_a_transfer_takes_terms_kind_expiry_and_lineage_along() -> None:
    gift = give("g", "10", expires_at=AT + timedelta(days=9), scope=["api"], priority=20)
    paid = give("p", "30", kind="paid")
    approval = asked("12")
    assert where(gift).remaining == D(10), "nothing moves before somebody else approves"
    approved(approval)
    one, two = CreditGrant.objects.filter(customer_key="cus-2").order_by("pk")
    assert (one.from_grant, one.kind, one.amount, one.expires_at, one.scope, one.priority) == (
        gift, "promotional", D(10), gift.expires_at, ["api"], 20,
    )  # fmt: skip
    assert (two.from_grant, two.kind, two.amount) == (paid, "paid", D(2))
    entry = Entry.objects.get(event_type="credit.transferred")
    assert lines(entry) == [
        ("Dr", "9010", D(10), "USD", "cus-1"), ("Cr", "9010", D(10), "USD", "cus-2"),
        ("Dr", "2000", D(2), "USD", "cus-1"), ("Cr", "2000", D(2), "USD", "cus-2"),
    ]  # fmt: skip
    assert (entry.approval_id, entry.actor_id) == (approval.pk, AGENT.id)
    left = where(paid)
    assert (left.remaining, left.transferred, left.voided, left.taken_back) == (D(28), D(2), D(2), D(0))
    assert proofs.violations() == []


@pytest.mark.django_db
def test_credit_that_went_on_whole_is_moved_and_not_voided() -> None:
    kept, whole = give("kept", "7"), give("whole", "5", priority=1)
    approved(asked("5"))
    stays, went = where(kept), where(whole)
    assert (str(stays.status), stays.transferred) == ("active", D(0))
    assert (str(went.status), went.transferred) == ("moved", D(5))


@pytest.mark.django_db
def test_units_are_transferred_with_their_money() -> None:
    registering.register(code="credits", actor=ROBOT, at=AT)
    registering.set_rate(unit="credits", currency="USD", rate=D("0.5"), reason="x", actor=ROBOT, at=AT)
    paid = crediting.carry_over(
        customer_key="cus-1", kind="paid", amount=D(3), unit="credits", reason_code="x", actor=ROBOT, at=AT, key="p",
        cost=D(1),
    )  # fmt: skip
    approved(asked("1", unit="credits"))
    moved = CreditGrant.objects.get(customer_key="cus-2")
    assert moved.cost_basis == D("0.333333333333")
    assert balances.account_total(code="2005", unit="USD", customer_key="cus-1") == D("0.666666666667")
    assert where(paid).transferred == 1
    assert proofs.violations() == []


@pytest.mark.django_db
def test_chosen_grants_only_and_never_more_than_they_have() -> None:
    give("a", "10")
    chosen = give("b", "5")
    with pytest.raises(transferring.NotEnoughCredit, match="5 USD can be transferred"):
        asked("6", grants=[chosen.public_id])
    approval = asked("5", grants=[chosen.public_id])
    assert [part["grant"] for part in approval.subject["parts"]] == [str(chosen.public_id)]
    assert asked("5", grants=[chosen.public_id]) == approval
    with pytest.raises(approving.ApprovalDiffers):
        asked("4")


@pytest.mark.django_db
@pytest.mark.parametrize(("field", "change"), [("to_customer", {"to_customer": "cus-1"}), ("amount", {"amount": D(0)})])
def test_a_transfer_that_cannot_be_is_refused(field: str, change: Any) -> None:
    give("a", "10")
    with pytest.raises(transferring.BadTransfer) as caught:
        asked(**change)
    assert caught.value.details["field"] == field


@pytest.mark.django_db
def test_who_asks_does_not_approve_and_what_was_used_meanwhile_is_not_moved() -> None:
    give("a", "10")
    approval = asked("10")
    seen = approving.preview(approval=approval, at=AT).fingerprint()
    with pytest.raises(approving.OwnRequest):
        approving.approve(approval_id=approval.pk, seen=seen, actor=AGENT, at=AT)
    spend("u", "1")
    with pytest.raises(transferring.NotEnoughCredit):
        approving.approve(approval_id=approval.pk, seen=seen, actor=BOSS, at=AT)
    assert not CreditGrant.objects.filter(customer_key="cus-2").exists()
    approval.refresh_from_db()
    assert approval.status == "pending"


def test_two_transfers_that_cross_do_not_wait_for_each_other_for_ever(fresh_db: Any) -> None:
    give("a", "50")
    give("b", "50", customer="cus-2")
    back = {"from_customer": "cus-2", "to_customer": "cus-1"}
    there = [asked("1", key=f"t{n}") for n in range(4)]
    again = [asked("1", key=f"b{n}", **back) for n in range(4)]
    seen = {one.pk: approving.preview(approval=one, at=AT).fingerprint() for one in [*there, *again]}

    def approve(one: Approval) -> Any:
        return approving.approve(approval_id=one.pk, seen=seen[one.pk], actor=BOSS, at=AT)

    found = at_once(*[lambda one=one: approve(one) for one in [*there, *again]])
    deadlocks = [one for one in found if isinstance(one, BaseException) and not isinstance(one, approving.Drifted)]
    assert deadlocks == []
    assert proofs.violations() == []


def transferred_raw(approval_id: int | None, *, amount: str = "10") -> None:
    """10 USD of a gift of cus-1 end up at cus-2 by raw SQL."""
    gift = give("g", "10")
    name = str(uuid4())
    target = account("9010", customer="cus-2", dimension=name)
    entry = raw_entry(movement=movements.CREDIT_TRANSFERRED, approval_id=approval_id, customer_key="cus-1")
    raw_lines(
        (entry, 1, gift.account_id, "USD", 1, amount, 2, "0"), (entry, 2, target.pk, "USD", -1, amount, 1, amount)
    )


@pytest.mark.django_db
def test_a_transfer_by_raw_sql_needs_an_approval() -> None:
    with refused("ledger_entry_needs_approval"):
        transferred_raw(None)


@pytest.mark.django_db
def test_a_transfer_is_not_undone_without_an_approval_either() -> None:
    give("a", "10")
    approved(asked("4"))
    entry = Entry.objects.get(event_type=movements.CREDIT_TRANSFERRED)
    with pytest.raises(posting.InvalidEntry) as caught:
        posting.reverse(entry=entry, key="back", at=AT, actor=ROBOT, reason_code="test")
    assert caught.value.details["rule"] == "ledger_entry_needs_approval"


@pytest.mark.django_db
def test_a_transfer_that_is_not_what_was_approved_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """The act itself is bent: what it would write differs from the content that was approved."""
    give("a", "10")
    approval = asked("4")
    plan = moving.plan

    def other(leaving: Any, **terms: Any) -> Any:
        return plan(leaving, **{**terms, "public_id": uuid4()})

    seen = approving.preview(approval=approval, at=AT).fingerprint()
    monkeypatch.setattr(transferring, "_preview", None)
    monkeypatch.setattr(approving, "kind_of", lambda code: _bent(seen))
    monkeypatch.setattr(moving, "plan", other)
    with refused("ledger_grant_approved"):
        approving.approve(approval_id=approval.pk, seen=seen, actor=BOSS, at=AT)


def _bent(seen: str) -> Any:
    class Shown:
        def fingerprint(self) -> str:
            return seen

    return Kind("x", "x", lambda one, at: Shown(), transferring._execute)  # type: ignore[arg-type, return-value]


# Bought, and given back ----------------------------------------------------------------------------------------------


def bought(key: str = "k", *, price: str = "10", unit: str = "USD", amount: str = "", **other: Any) -> CreditGrant:
    """Credit that was paid for: the debt stands on 2050 first."""
    with transaction.atomic():
        posting.post(
            movement=movements.TOPUP_INVOICED, key=f"{key}:i", actor=ROBOT, at=AT, customer_key="cus-1",
            lines=movements.topup_invoiced(customer_key="cus-1", currency="USD", price=D(price), tax={"DE": D("1.90")}),
        )  # fmt: skip
        return buying.buy(
            terms=Terms("cus-1", "paid", D(amount or price), unit, "topup", **other),
            currency="USD", price=D(price), rate=D("0.5") if unit != "USD" else None, source_invoice="inv_1",
            key=f"topup:{key}", actor=ROBOT, at=AT,
        )  # fmt: skip


@pytest.mark.django_db
def test_bought_credit_is_issued_once_and_its_money_leaves_the_debt() -> None:
    one = bought()
    assert bought() == one
    assert lines(Entry.objects.get(event_type="credit.bought")) == [
        ("Dr", "2050", D(10), "USD", "cus-1"), ("Cr", "2000", D(10), "USD", "cus-1"),
    ]  # fmt: skip
    units = None
    registering.register(code="credits", actor=ROBOT, at=AT)
    units = bought("u", price="7", unit="credits", amount="20")
    assert (units.cost_basis, units.rate, units.source_invoice) == (D(7), D("0.5"), "inv_1")
    assert balances.account_total(code="2050", unit="USD") == 0
    assert proofs.violations() == []


@pytest.mark.django_db
def test_no_more_is_bought_than_was_invoiced_for_credit() -> None:
    bought()
    with refused("ledger_grant_bought"):
        buying.buy(
            terms=Terms("cus-1", "paid", D("0.01"), "USD", "topup"), currency="USD", price=D("0.01"), rate=None,
            source_invoice="inv_1", key="again", actor=ROBOT, at=AT,
        )  # fmt: skip


@pytest.mark.django_db
def test_unused_paid_credit_goes_back_as_money_with_its_tax() -> None:
    registering.register(code="credits", actor=ROBOT, at=AT)
    grant = bought(unit="credits", amount="3")
    terms: Any = {"grant": grant, "reason_code": "left", "actor": AGENT, "at": AT, "key": "r"}
    entry = buying.refund(amount=D(1), tax={"DE": D("0.63")}, **terms)
    assert lines(entry) == [
        ("Dr", "2005", D("3.333333333333"), "USD", "cus-1"), ("Dr", "2200", D("0.63"), "USD", ""),
        ("Cr", "6310", D("0.003333333333"), "USD", ""), ("Cr", "2300", D("3.96"), "USD", ""),
        ("Dr", "9110", D(1), "credits", "cus-1"), ("Cr", "9100", D(1), "credits", ""),
    ]  # fmt: skip
    assert buying.refund(amount=D(1), tax={"DE": D("0.63")}, **terms) == entry
    assert (where(grant).refunded, where(grant).remaining) == (D(1), D(2))
    with pytest.raises(buying.NotRefundable, match="2 credits can be given back"):
        buying.refund(amount=D(3), **{**terms, "key": "other"})
    with pytest.raises(buying.NotRefundable, match="Only paid"):
        buying.refund(**{**terms, "grant": give("g", "1"), "key": "other"})
    assert proofs.violations() == []


@pytest.mark.django_db
def test_what_is_too_little_to_pay_out_is_not_refunded() -> None:
    grant = give("p", "1", kind="paid")
    with pytest.raises(buying.NothingToPay):
        buying.refund(grant=grant, amount=D("0.004"), reason_code="x", key="r", actor=AGENT, at=AT)
    assert voiding.taken_out(grant).amount == 1
