"""Credits, tax, customer balance and the amount due, in the documented order, posted and shown."""

from collections.abc import Sequence
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from moneyed import Money

from billing_ops.kit.errors import BillingError
from billing_ops.kit.money import round_amount
from invoicing import finalizing, previewing, printing, taxing
from invoicing.models import Invoice
from ledger import balances, crediting
from ledger.models import Line
from plans.models import Customer
from tests.invoicing.proof import prove
from tests.invoicing.stories import (
    BILLED,
    CONTEXT,
    FEBRUARY_LATER,
    MONTH_LATER,
    NOON,
    START,
    TESTER,
    accrue_to,
    billed,
    drafted,
    fee,
    finalized,
    join,
    publish,
    told,
    usage_price,
    used,
)
from tests.support.billing import World, ledger_of


def give(amount: str, kind: Any = "goodwill", key: str = "grant", **terms: Any) -> None:
    """Credit for acme."""
    crediting.grant(
        customer_key="acme",
        kind=kind,
        amount=Money(amount, "USD"),
        reason_code="outage",
        actor=TESTER,
        at=terms.pop("at", START),
        key=key,
        **terms,
    )


def total(code: str) -> Decimal:
    return balances.account_total(code=code, unit="USD")


def posted(invoice: Invoice) -> list[tuple[str, str, str, Decimal]]:
    """The entry of an invoice: side, account code, dimension, amount."""
    lines = Line.objects.filter(entry=invoice.entry).select_related("account").order_by("line_no")
    return [
        ("Dr" if one.side == 1 else "Cr", str(one.account.code_id), one.account.dimension, one.amount) for one in lines
    ]


def german(customer: Customer, currency: str, bases: Sequence[Decimal]) -> taxing.TaxAnswer:
    """19 % on every line, exclusive; the customer's country decides whether it is owed."""
    rate = Decimal("0.19") if customer.country == "DE" else Decimal(0)
    return taxing.TaxAnswer(
        tuple(taxing.LineTax("DE" if rate else "", base, rate, round_amount(base * rate, currency)) for base in bases),
        "19 % Umsatzsteuer" if rate else "Reverse charge",
    )


def wrong_base(customer: Customer, currency: str, bases: Sequence[Decimal]) -> taxing.TaxAnswer:
    return taxing.TaxAnswer(tuple(taxing.LineTax("DE", base + 1, Decimal(0), Decimal(0)) for base in bases), "")


def one_short(customer: Customer, currency: str, bases: Sequence[Decimal]) -> taxing.TaxAnswer:
    return taxing.TaxAnswer(german(customer, currency, bases).lines[1:], "")


def unpayable(customer: Customer, currency: str, bases: Sequence[Decimal]) -> taxing.TaxAnswer:
    return taxing.TaxAnswer(
        tuple(taxing.LineTax("DE", one, Decimal("0.19"), one * Decimal("0.1901")) for one in bases), ""
    )


def nowhere(customer: Customer, currency: str, bases: Sequence[Decimal]) -> taxing.TaxAnswer:
    return taxing.TaxAnswer(tuple(taxing.LineTax("", one, Decimal("0.19"), Decimal(1)) for one in bases), "")


def not_a_number(customer: Customer, currency: str, bases: Sequence[Decimal]) -> taxing.TaxAnswer:
    return taxing.TaxAnswer(tuple(taxing.LineTax("DE", one, Decimal("0.19"), Decimal("NaN")) for one in bases), "")


def test_credits_come_off_before_tax_and_tax_is_posted_by_jurisdiction(books: World, settings: Any) -> None:
    plan = publish("taxed", fee("10.03"), usage_price("tokens", "0.01"))
    settings.TAX_RESOLVER = f"{__name__}.german"
    acme = join(plan, country="DE", tax_id="DE123456789")
    first = acme.invoices.get()
    assert (first.subtotal.amount, first.tax_total.amount, first.total.amount) == (
        Decimal("10.03"),
        Decimal("1.91"),
        Decimal("11.94"),
    )
    used(1, time=NOON, generated=1000)
    give("3.00")

    second = billed(acme, MONTH_LATER)

    platform, tokens = second.lines.order_by("position")
    assert [(one.amount.amount, one.credits_applied.amount, one.tax_base.amount, one.tax_amount.amount) for one in
            (platform, tokens)] == [
        (Decimal("10.03"), Decimal(3), Decimal("7.03"), Decimal("1.34")),
        (Decimal(10), Decimal(0), Decimal(10), Decimal("1.90")),
    ]  # fmt: skip
    assert {(one.tax_jurisdiction, one.tax_rate) for one in (platform, tokens)} == {("DE", Decimal("0.19"))}
    assert second.total.amount == Decimal("20.03") - 3 + Decimal("3.24")
    assert [row for row in posted(second) if row[1] == "2200"] == [("Cr", "2200", "DE", Decimal("3.24"))]
    printed = printing.printed(second)
    assert ("Tax", "$3.24") in printed.sums
    assert (printed.tax_note, printed.amount_due) == ("19 % Umsatzsteuer", "$20.27")
    assert second.bill_to is not None
    assert second.bill_to["tax_id"] == "DE123456789"
    prove()


def test_no_tax_is_stored_and_said(books: World) -> None:
    invoice = join(publish("fee", fee("10.00"))).invoices.get()
    line = invoice.lines.get()
    assert (line.tax_base.amount, line.tax_rate, line.tax_amount.amount) == (Decimal(10), Decimal(0), Decimal(0))
    assert invoice.tax_note == "No tax was calculated: no tax resolver is configured."
    assert printing.printed(invoice).tax_note == invoice.tax_note


@pytest.mark.parametrize("resolver", ["wrong_base", "one_short", "unpayable", "nowhere", "not_a_number"])
def test_a_resolver_whose_answer_cannot_be_right_stops_the_invoice(books: World, settings: Any, resolver: str) -> None:
    acme = join(publish("fee", fee("10.03")), begin=False, country="DE")
    draft = drafted(acme, START)
    settings.TAX_RESOLVER = f"{__name__}.{resolver}"
    with pytest.raises(BillingError) as refused:
        finalized(draft, START)
    assert refused.value.code in ("tax.bad_answer", "amount.invalid")
    draft.refresh_from_db()
    assert (draft.status, draft.number) == ("draft", None)
    assert balances.trial_balance(unit="USD") == []

    settings.TAX_RESOLVER = "invoicing.taxing.zero"
    assert finalized(draft, START).number == "INV-000001"
    prove()


def test_credit_is_used_only_on_the_features_in_its_scope(books: World) -> None:
    plan = publish("two", fee("5.00"), usage_price("in", "0.01", meter=CONTEXT), usage_price("out", "0.01"))
    acme = join(plan)
    used(1, time=NOON, context=300, generated=200)
    give("100.00", key="scoped", scope=["out"])
    give("1.00", key="general")

    invoice = billed(acme, MONTH_LATER)

    used_on = {one.agreed_price.key: one.credits_applied.amount for one in invoice.lines.all()}
    assert used_on == {"platform": Decimal(1), "in": Decimal(0), "out": Decimal(2)}
    assert invoice.amount_due.amount == Decimal("7.00")
    assert ledger_of(acme).goodwill_credits == 98
    prove()


def test_kinds_of_credit_burn_in_their_order_and_book_as_their_kind(books: World) -> None:
    acme = join(publish("fee", fee("20.00")))
    give("6.00", "goodwill", "late", expires_at=MONTH_LATER + timedelta(days=60))
    give("5.00", "promotional", "soon", expires_at=MONTH_LATER + timedelta(days=30))
    give("2.00", "goodwill", "first", priority=10)
    give("9.00", "promotional", "never")
    give("50.00", "promotional", "gone", expires_at=MONTH_LATER)
    give("50.00", "promotional", "to come", effective_at=MONTH_LATER + timedelta(days=9))

    invoice = billed(acme, MONTH_LATER)

    assert (invoice.credits_applied.amount, invoice.amount_due.amount, invoice.status) == (
        Decimal(20),
        Decimal(0),
        "paid",
    )
    taken = sorted((code, amount) for side, code, _, amount in posted(invoice) if side == "Dr" and code != "4900")
    assert taken == [("2010", Decimal(2)), ("2010", Decimal(6)), ("9010", Decimal(5)), ("9010", Decimal(7))]
    assert total("4900") == 12  # promotional credit reduces revenue when it is used
    assert total("4910") == 8  # goodwill did when it was promised
    assert ledger_of(acme).promotional_credits == 102
    prove()


def test_credit_given_after_the_draft_is_used_and_credit_that_expired_is_not(books: World) -> None:
    acme = join(publish("fee", fee("20.00")))
    give("3.00", key="expires", expires_at=BILLED)
    draft = drafted(acme, MONTH_LATER)
    give("4.00", key="just in time", at=MONTH_LATER + timedelta(minutes=1))
    invoice = finalized(draft, BILLED)
    assert invoice.credits_applied.amount == 4
    prove()


def test_credit_never_exceeds_what_the_invoice_charges(books: World) -> None:
    acme = join(publish("fee", fee("20.00"), usage_price("tokens", "0.01")))
    used(1, time=NOON, generated=100)
    give("1000.00")
    invoice = billed(acme, MONTH_LATER)
    assert invoice.credits_applied.amount == invoice.subtotal.amount == 21
    assert (invoice.amount_due.amount, invoice.status) == (Decimal(0), "paid")
    assert ledger_of(acme).credits_total == 979
    prove()


def test_a_zero_invoice_is_numbered_posts_nothing_and_is_paid(books: World) -> None:
    acme = join(publish("free", fee("0.00"), usage_price("tokens", "0.01", included=1000)))
    used(1, time=NOON, generated=999)
    invoice = billed(acme, MONTH_LATER)
    assert (invoice.number, invoice.status, invoice.entry, invoice.paid_at) == ("INV-000002", "paid", None, BILLED)
    assert [one.amount.amount for one in invoice.lines.all()] == [0, 0]  # a customer can see the free part
    assert balances.trial_balance(unit="USD") == []
    prove()


def test_usage_too_small_to_bill_still_clears_what_was_accrued(books: World) -> None:
    acme = join(publish("dust", usage_price("tokens", "0.000001")))
    used(1, time=NOON, generated=499)
    accrue_to(BILLED, acme)
    assert ledger_of(acme).unbilled == Decimal("0.000499")
    invoice = billed(acme, MONTH_LATER)
    assert (invoice.amount_due.amount, invoice.status) == (Decimal(0), "paid")
    assert posted(invoice) == [("Dr", "6310", "", Decimal("0.000499")), ("Cr", "1110", "", Decimal("0.000499"))]
    told(2, time=NOON, at=BILLED + timedelta(days=1), generated=4501)
    assert billed(acme, FEBRUARY_LATER).amount_due.amount == Decimal("0.01")
    assert total("6310") == Decimal("-0.005")
    prove()


def test_finalising_twice_is_refused(books: World) -> None:
    invoice = join(publish("fee", fee("20.00"))).invoices.get()
    with pytest.raises(finalizing.InvoiceNotDraft) as refused:
        finalized(invoice, START)
    assert (refused.value.code, refused.value.http_status) == ("invoice.not_draft", 409)
    with pytest.raises(finalizing.InvoiceNotFound):
        finalizing.finalize(public_id="inv_of_nobody", at=START, actor=TESTER)
    prove()


def test_the_identities_on_a_final_invoice_stay_as_they_were(books: World, settings: Any) -> None:
    from plans import enrolling

    acme = join(publish("fee", fee("20.00")), line1="Old Street 1", city="Berlin")
    invoice = acme.invoices.get()
    enrolling.amend(customer=acme, changes={"line1": "New Street 2"}, at=NOON, actor=TESTER)
    settings.SELLER = {**settings.SELLER, "name": "Another Seller"}
    invoice.refresh_from_db()
    assert "Old Street 1" in printing.printed(invoice).bill_to
    assert printing.printed(invoice).seller[0] == "Example AI, Inc."
    draft = drafted(acme, MONTH_LATER)
    draft.customer.refresh_from_db()
    assert "New Street 2" in printing.printed(draft).bill_to
    assert printing.printed(draft).seller[0] == "Another Seller"


def test_the_preview_at_the_edge_is_what_the_bill_then_says(books: World, settings: Any) -> None:
    settings.TAX_RESOLVER = f"{__name__}.german"
    plan = publish("taxed", fee("10.03"), usage_price("tokens", "0.0123"), usage_price("in", "0.000007", meter=CONTEXT))
    acme = join(plan, country="DE")
    used(1, time=NOON, generated=777, context=1_234_567)
    billed(acme, MONTH_LATER)
    used(2, time=MONTH_LATER + timedelta(days=3), generated=55, context=1)
    told(3, time=NOON, at=MONTH_LATER + timedelta(days=4), generated=3)
    give("0.70", "promotional", scope=["tokens"])
    rows = Invoice.objects.count()

    (preview,) = previewing.preview(customer=acme, until=FEBRUARY_LATER, at=FEBRUARY_LATER)

    assert Invoice.objects.count() == rows
    invoice = billed(acme, FEBRUARY_LATER, at=FEBRUARY_LATER)
    said = [
        (
            one.charge.item.price.key,
            one.charge.kind,
            one.charge.period.start,
            one.charge.period.end,
            one.charge.amounts.revision,
            one.charge.amounts.quantity,
            one.charge.amounts.unrounded,
            one.charge.amounts.amount,
            one.credits_applied,
            one.tax_amount,
            one.charge.description,
            list(one.charge.amounts.working),
        )
        for one in preview.lines
    ]
    done = [
        (
            one.agreed_price.key,
            one.kind,
            one.service_start,
            one.service_end,
            one.revision,
            one.quantity,
            one.unrounded_amount,
            one.amount.amount,
            one.credits_applied.amount,
            one.tax_amount.amount,
            one.description,
            one.working,
        )
        for one in invoice.lines.select_related("price")
    ]
    assert said == done
    assert [(row[0], row[4], row[8]) for row in done] == [
        ("platform", 1, Decimal(0)),
        ("tokens", 1, Decimal("0.68")),
        ("in", 1, Decimal(0)),
        ("tokens", 2, Decimal("0.02")),
    ]
    sums = {name: getattr(invoice, name).amount for name in ("subtotal", "credits_applied", "tax_total", "total")}
    assert {name: getattr(preview.sums, name) for name in sums} == sums
    assert (preview.sums.amount_due, preview.tax_note) == (invoice.amount_due.amount, invoice.tax_note)
    assert previewing.preview(customer=acme, until=FEBRUARY_LATER, at=FEBRUARY_LATER)[0].lines == ()
    prove()
