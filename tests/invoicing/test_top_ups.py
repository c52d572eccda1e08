"""Top-ups: owed at once, spendable when paid, in the settling transaction, exactly once, whatever settles them."""

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction
from django.db.models import Sum

from invoicing import billing, collecting, settling, topping_up
from invoicing.models import Invoice, InvoiceLine, Payment, StripeEvent, TopUp
from invoicing.stripe import handling
from invoicing.taxing import LineTax, TaxAnswer
from ledger import balances, proofs, registering
from ledger.models import CreditGrant, Entry, Line
from plans.models import Customer
from tests.invoicing.shop import Shop, again, collect
from tests.invoicing.stories import START, TESTER, at_once, join
from tests.support.billing import deliver_webhooks

D = Decimal
LATER = START + timedelta(minutes=5)
NUMBERS = iter(range(1, 10_000))


def vat(customer: Any, currency: str, bases: Any) -> TaxAnswer:
    """20 % in Germany."""
    return TaxAnswer(
        tuple(LineTax("DE", base, D("0.2"), (base * D("0.2")).quantize(D("0.01"))) for base in bases), "VAT 20 %"
    )


@pytest.fixture
def buyer(shop: Shop, settings: Any) -> Customer:
    settings.TAX_RESOLVER = f"{__name__}.vat"
    return join(shop.plan("20.00"), f"topper-{next(NUMBERS)}", begin=False)


def order(customer: Customer, amount: str = "100.00", *, unit: str = "USD", key: str = "", **terms: Any) -> TopUp:
    return topping_up.order(
        customer_id=customer.pk,
        order=topping_up.Order(unit, D(amount), **terms),
        key=key or f"key-{next(NUMBERS)}",
        at=START,
        actor=TESTER,
    )


def journal(**of: Any) -> list[tuple[str, str, str, Decimal]]:
    found = []
    for entry in Entry.objects.filter(**of).order_by("pk"):
        for line in Line.objects.filter(entry=entry).select_related("account").order_by("line_no"):
            side = "Dr" if line.side > 0 else "Cr"
            found.append((entry.event_type_id, side, line.account.code_id, line.amount.normalize()))
    return found


def credit_of(customer: Customer, unit: str = "USD") -> Decimal:
    return balances.of(customer_key=customer.key, unit=unit).credits_total


def test_it_is_owed_at_once_and_becomes_credit_when_it_is_paid(shop: Shop, buyer: Customer) -> None:
    top_up = order(buyer)
    invoice = top_up.invoice
    assert (invoice.status, invoice.amount_due.amount) == ("open", D(120))
    assert credit_of(buyer) == 0
    assert journal(invoice_ref=invoice.public_id) == [
        ("topup.invoiced", "Dr", "1100", D(120)), ("topup.invoiced", "Cr", "2050", D(100)),
        ("topup.invoiced", "Cr", "2200", D(20)),
    ]  # fmt: skip
    assert collect(invoice).status == "succeeded"
    top_up.refresh_from_db()
    assert (top_up.status, credit_of(buyer)) == ("paid", D(100))
    assert journal(invoice_ref=invoice.public_id)[3:] == [
        ("payment.succeeded", "Dr", "1010", D(120)), ("payment.succeeded", "Cr", "1100", D(120)),
        ("credit.bought", "Dr", "2050", D(100)), ("credit.bought", "Cr", "2000", D(100)),
    ]  # fmt: skip
    grant = top_up.grant
    assert grant is not None
    assert (grant.kind, grant.source_invoice, grant.expires_at) == ("paid", invoice.public_id, None)
    (charge,) = shop.charges(invoice)
    assert charge["amount"] == 12_000
    assert proofs.violations() == []


def test_a_quantity_is_sold_at_its_rate_and_keeps_what_was_paid_for_it(shop: Shop, buyer: Customer) -> None:
    unit = f"u{next(NUMBERS)}"
    registering.register(code=unit, actor=TESTER, at=START)
    registering.set_rate(unit=unit, currency="USD", rate=D("0.0333"), reason="x", actor=TESTER, at=START)
    top_up = order(buyer, "1000", unit=unit, valid_days=30)
    registering.set_rate(unit=unit, currency="USD", rate=D(9), reason="dearer", actor=TESTER, at=LATER)
    collect(top_up.invoice, LATER)
    top_up.refresh_from_db()
    grant = top_up.grant
    assert grant is not None
    assert (grant.amount, grant.rate, grant.cost_basis) == (D(1000), D("0.0333"), D("33.30"))
    assert grant.expires_at == grant.effective_at + timedelta(days=30)
    assert top_up.invoice.lines.get().description == f"1,000 {unit} at 0.0333 USD, valid for 30 days"
    assert proofs.violations() == []


def test_the_webhook_that_comes_twice_and_a_retry_give_the_credit_once(shop: Shop, buyer: Customer) -> None:
    top_up = order(buyer)
    shop.standin.fault("error_after", method="POST", path="*/pay", count=1)
    collect(top_up.invoice)
    for at in (LATER, LATER + timedelta(days=2)):
        settling.refresh(stripe_id=str(again(top_up.invoice).stripe_id), at=at)
        settling.refresh(stripe_id=str(again(top_up.invoice).stripe_id), at=at)
        if again(top_up.invoice).status == "open":
            collect(top_up.invoice, at)
    assert CreditGrant.objects.filter(source_invoice=top_up.invoice.public_id).count() == 1
    assert Payment.objects.filter(invoice=top_up.invoice).count() == 1
    assert credit_of(buyer) == 100


def test_the_same_webhooks_again_change_nothing(shop: Shop, buyer: Customer) -> None:
    top_up = order(buyer)
    collect(top_up.invoice)
    before = Entry.objects.count()
    deliver_webhooks(shop.standin, LATER)
    told = StripeEvent.objects.filter(type="invoice.paid", object_id=again(top_up.invoice).stripe_id, outcome="applied")
    for event in list(told):
        handling.replay(event_pk=event.pk, at=LATER, actor=TESTER)
        handling.handle(event_pk=event.pk, at=LATER)
    assert told.exists()
    assert (credit_of(buyer), Entry.objects.count()) == (D(100), before)


def test_two_workers_that_settle_at_once_give_the_credit_once(shop: Shop, buyer: Customer) -> None:
    top_up = order(buyer)
    shop.standin.fault("error_after", method="POST", path="*/pay", count=1)
    collect(top_up.invoice)
    stripe_id = str(again(top_up.invoice).stripe_id)
    found = at_once(*[lambda: settling.refresh(stripe_id=stripe_id, at=LATER)] * 4)
    assert not [one for one in found if isinstance(one, BaseException)]
    assert CreditGrant.objects.filter(source_invoice=top_up.invoice.public_id).count() == 1
    assert credit_of(buyer) == 100


def test_a_declined_card_gives_nothing_and_another_card_pays(shop: Shop, buyer: Customer) -> None:
    from tests.invoicing.stories import give_card

    give_card(buyer, "pm_card_chargeCustomerFail")
    top_up = order(buyer)
    assert collect(top_up.invoice).status == "failed"
    top_up.refresh_from_db()
    assert (top_up.status, credit_of(buyer)) == ("open", D(0))
    give_card(buyer, "pm_card_visa")
    assert collect(top_up.invoice).status == "succeeded"
    assert credit_of(buyer) == 100


def test_a_customer_balance_pays_what_it_can_and_all_of_it_gives_the_credit_at_once(books: Any, settings: Any) -> None:
    from tests.invoicing.stories import fee, publish

    settings.TAX_RESOLVER = f"{__name__}.vat"
    customer = join(publish("p", fee("1.00")), "rich", begin=False)
    _has_balance(customer, "130.00")
    paid = order(customer)
    assert (paid.status, paid.invoice.status, credit_of(customer)) == ("paid", "paid", D(100))
    part = order(customer, "50.00")
    assert (part.status, part.invoice.balance_applied.amount) == ("open", D(10))
    assert journal(invoice_ref=part.invoice.public_id)[3:] == [
        ("balance.applied", "Dr", "2110", D(10)), ("balance.applied", "Cr", "1100", D(10)),
    ]  # fmt: skip
    voided = topping_up.give_up(top_up=part, reason_code="mistake", at=START, actor=TESTER)
    assert topping_up.give_up(top_up=part, reason_code="mistake", at=START, actor=TESTER) == voided
    now = balances.of(customer_key=customer.key, unit="USD")
    assert (voided.status, voided.invoice.status, now.customer_balance, now.receivable) == ("void", "void", D(10), D(0))
    assert balances.account_total(code="2050", unit="USD") == 0
    assert balances.account_total(code="2200", unit="USD") == 20
    assert proofs.violations() == []


def _has_balance(customer: Customer, amount: str) -> None:
    from ledger import posting
    from ledger.rules import movements

    posting.post(
        movement=movements.OPENING_BALANCE, key=f"balance-{next(NUMBERS)}", at=START, actor=TESTER,
        customer_key=customer.key, reason_code="x",
        lines=movements.opening_balance(code="2110", unit="USD", amount=D(amount), customer_key=customer.key),
    )  # fmt: skip


def test_the_same_key_is_the_same_top_up_and_what_differs_is_named(books: Any) -> None:
    from tests.invoicing.stories import fee, publish

    customer = join(publish("p", fee("1.00")), "once", begin=False)
    first = order(customer, key="k")
    assert order(customer, key="k") == first
    with pytest.raises(topping_up.TopUpDiffers) as caught:
        order(customer, "5.00", key="k")
    assert caught.value.details["differs"] == ["quantity"]
    assert Invoice.objects.filter(customer=customer).count() == 1


@pytest.mark.parametrize(
    ("change", "field"),
    [({"unit": "EUR"}, "unit"), ({"amount": "0.001"}, "amount"), ({"amount": "-1"}, "amount"),
     ({"valid_days": 0}, "valid_days"), ({"amount": "NaN"}, "amount")],
)  # fmt: skip
def test_what_cannot_be_sold_is_refused(books: Any, change: Any, field: str) -> None:
    from billing_ops.kit.errors import InvalidInput
    from tests.invoicing.stories import fee, publish

    customer = join(publish("p", fee("1.00")), "odd", begin=False)
    with pytest.raises(InvalidInput) as caught:
        order(customer, **{"amount": "5.00", **change})
    assert caught.value.details["field"] == field


def test_a_top_up_that_is_paid_or_being_collected_is_not_given_up(shop: Shop, buyer: Customer) -> None:
    top_up = order(buyer)
    shop.standin.fault("error_after", method="POST", path="*/pay", count=1)
    collect(top_up.invoice)
    if again(top_up.invoice).status == "open":
        with pytest.raises(topping_up.TopUpNotOpen, match="is being collected"):
            topping_up.give_up(top_up=top_up, reason_code="x", at=LATER, actor=TESTER)
        settling.refresh(stripe_id=str(again(top_up.invoice).stripe_id), at=LATER)
    with pytest.raises(topping_up.TopUpNotOpen, match="is paid"):
        topping_up.give_up(top_up=top_up, reason_code="x", at=LATER, actor=TESTER)


def test_money_for_a_given_up_top_up_becomes_customer_balance(shop: Shop, buyer: Customer) -> None:
    from tests.invoicing.stories import give_card

    give_card(buyer, "pm_card_chargeCustomerFail")
    top_up = order(buyer)
    collect(top_up.invoice)
    topping_up.give_up(top_up=top_up, reason_code="x", at=LATER, actor=TESTER)
    with pytest.raises(collecting.NotCollectable):
        collect(top_up.invoice)
    assert balances.of(customer_key=buyer.key, unit="USD").receivable == 0
    assert credit_of(buyer) == 0


def test_unused_top_up_credit_goes_back_with_its_tax(shop: Shop, buyer: Customer) -> None:
    from invoicing import refunding

    top_up = order(buyer)
    collect(top_up.invoice)
    top_up.refresh_from_db()
    assert top_up.grant is not None
    first = refunding.refund_credit(
        grant=top_up.grant, amount=D(25), reason_code="left", key="r1", at=LATER, actor=TESTER
    )
    rest = refunding.refund_credit(grant=top_up.grant, reason_code="left", key="r2", at=LATER, actor=TESTER)
    paid_back = [
        Line.objects.filter(entry=one, account__code="2300").aggregate(sum=Sum("amount"))["sum"]
        for one in (first, rest)
    ]
    assert paid_back == [D(30), D(90)]
    assert proofs.violations() == []


def test_a_whole_run_collects_it_like_any_invoice(shop: Shop, buyer: Customer) -> None:
    top_up = order(buyer)
    billing.collect_due(at=LATER, actor=TESTER)
    top_up.refresh_from_db()
    assert top_up.status == "paid"
    assert proofs.violations() == []


# By raw SQL ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE invoicing_topup SET status = 'paid', settled_at = now() WHERE id = %(top_up)s",
        "UPDATE invoicing_topup SET status = 'void', settled_at = now() WHERE id = %(top_up)s",
        "UPDATE invoicing_topup SET status = 'void', settled_at = now(),"
        " void_entry_id = (SELECT max(id) FROM ledger_entry) WHERE id = %(top_up)s",
        "UPDATE invoicing_topup SET status = 'paid', settled_at = now(), grant_id = %(grant)s WHERE id = %(top_up)s",
        "UPDATE invoicing_invoice SET status = 'void' WHERE id = %(invoice)s",
        "UPDATE invoicing_invoice SET status = 'uncollectible' WHERE id = %(invoice)s",
        "DELETE FROM invoicing_autotopup",
        "UPDATE invoicing_overagebill SET amount = 0",
        "TRUNCATE invoicing_topup",
    ],
)
def test_whoever_writes_credit_comes_with_the_payment_alone(books: Any, statement: str) -> None:
    from django.db import ProgrammingError
    from moneyed import Money

    from ledger import crediting
    from tests.invoicing.stories import fee, publish

    customer = join(publish("p", fee("1.00")), "raw", begin=False)
    grant = crediting.carry_over(customer_key=customer.key, kind="paid", amount=Money("100", "USD"), reason_code="x",
                                 key="g", at=START, actor=TESTER)  # fmt: skip
    top_up = order(customer)
    with (  # noqa: PT012  # deferred rules speak at the second statement
        pytest.raises((IntegrityError, ProgrammingError)),
        transaction.atomic(),
        connection.cursor() as cursor,
    ):
        cursor.execute(statement, {"top_up": top_up.pk, "grant": grant.pk, "invoice": top_up.invoice_id})
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
    assert InvoiceLine.objects.get(invoice=top_up.invoice).kind == "topup"
