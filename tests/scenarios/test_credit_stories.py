"""Credit from beginning to end, as finance reads it: invoices and journals to the letter in ``tests/golden/stories``.

After an intended change, look at the difference and then write the files anew: ``UPDATE_GOLDEN=1 pytest <this file>``.
"""

import os
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.invoicing.conftest import books, own_shop, world  # noqa: F401  # fixtures

if TYPE_CHECKING:
    from tests.invoicing.shop import Shop

FOLDER = Path(__file__).resolve().parents[1] / "golden" / "stories"
D = Decimal
WIDTH = 108


def compare(name: str, *parts: str) -> None:
    """The parts say what the file says."""
    path, text = FOLDER / f"{name}.txt", f"\n{'=' * WIDTH}\n\n".join(parts)
    if os.environ.get("UPDATE_GOLDEN"):
        path.write_text(text)
    assert text == path.read_text()


def journal_of(customers: Iterable[str]) -> str:
    """Every entry about those customers, in the order of posting; grants are called by kind and number."""
    from billing_ops.kit.money import plain
    from ledger.models import CreditGrant, Entry, Line

    grants = {
        str(grant.public_id): f"{grant.kind} credit {number}"
        for number, grant in enumerate(CreditGrant.objects.order_by("pk"), 1)
    }
    rows = []
    for entry in Entry.objects.filter(customer_key__in=customers).order_by("pk"):
        rate = f", at {plain(entry.fx_rate)}" if entry.fx_rate is not None else ""
        rows.append(f"{entry.effective_at:%Y-%m-%d %H:%M}  {entry.event_type_id}{rate}")
        for line in Line.objects.filter(entry=entry).select_related("account__code").order_by("line_no"):
            account = line.account
            of = ", ".join(
                part for part in (account.customer_key, grants.get(account.dimension, account.dimension)) if part
            )
            name = f"{account.code_id} {account.code.name}" + (f" ({of})" if of else "")
            amount = f"{plain(line.amount)} {line.unit}"
            debit, credit = (amount, "") if line.side == 1 else ("", amount)
            rows.append(f"    {name:<76}{debit:>14}{credit:>14}".rstrip())
    return "\n".join(rows) + "\n"


def credits_of(*customers: str, at: datetime) -> str:
    """Where every grant of those customers is, to the last unit."""
    from billing_ops.kit.money import plain
    from ledger import balances
    from ledger.models import CreditGrant

    rows = [f"{'':<30}{'granted':>10}{'used':>10}{'expired':>10}{'rolled':>10}{'moved':>10}{'left':>10}  from"]
    grants = list(CreditGrant.objects.filter(customer_key__in=customers).order_by("pk"))
    for found in balances.with_balances(grants, at=at):
        grant = found.grant
        amounts = (grant.amount, found.used, found.expired, found.rolled_over, found.transferred, found.remaining)
        assert found.remaining + found.used + found.expired + found.voided == grant.amount
        name = f"{grant.customer_key} {grant.kind} {grant.effective_at:%m-%d}–{grant.expires_at:%m-%d}" if (
            grant.expires_at
        ) else f"{grant.customer_key} {grant.kind} {grant.effective_at:%m-%d}"  # fmt: skip
        origin = grant.from_grant.effective_at if grant.from_grant else None
        rows.append(
            f"{name:<30}" + "".join(f"{plain(amount):>10}" for amount in amounts)
            + (f"  {origin:%m-%d}" if origin else "")
        )  # fmt: skip
    return "\n".join(rows) + "\n"


def test_a_top_up_is_used_up_and_what_goes_beyond_it_is_invoiced(own_shop: "Shop", settings: Any) -> None:  # noqa: F811
    """100 bought with tax; usage draws it as it happens, the last draw 7.50 beyond it; the next invoice bills that."""
    from invoicing import topping_up
    from ledger import drawing, proofs
    from tests.invoicing.rendering import render
    from tests.invoicing.shop import collect
    from tests.invoicing.stories import MONTH_LATER, NOON, START, TESTER, billed, fee, join, publish

    settings.TAX_RESOLVER = "tests.invoicing.test_golden.vat"
    acme = join(publish("prepaid", fee("10.00")), name="Acme GmbH", country="DE")
    order = topping_up.Order("USD", D("100.00"), valid_days=365)
    top_up = topping_up.order(customer_id=acme.pk, order=order, key="first", at=START, actor=TESTER)
    draw: dict[str, Any] = {"customer_key": "acme", "unit": "USD", "feature": "tokens", "actor": TESTER}
    early = drawing.draw(amount=D("1"), key="early", at=START, **draw)
    assert early.outcome == "refused", "not spendable before it is paid"
    collect(top_up.invoice)
    for day, amount in enumerate(("60.25", "30.00", "17.25")):
        at = NOON + timedelta(days=day)
        own_shop.clock.set(at)
        drawing.draw(amount=D(amount), key=f"use-{day}", at=at, policy="overage", **draw)
    own_shop.clock.set(MONTH_LATER + timedelta(hours=1))
    invoice = billed(acme, MONTH_LATER)
    collect(invoice, MONTH_LATER + timedelta(hours=1))
    assert proofs.violations() == []
    compare("top_up_and_overage", render(top_up.invoice), render(invoice), journal_of(["acme"]),
            credits_of("acme", at=MONTH_LATER))  # fmt: skip


@pytest.mark.usefixtures("books")
def test_three_months_of_credit_from_the_31st_with_rollover() -> None:
    """500 credits a month, at most 200 of what is left roll over; the money of goodwill travels along."""
    from ledger import drawing, proofs, registering, scheduling
    from ledger.rules.recurrence import Rollover
    from ledger.rules.schedules import ScheduleTerms
    from tests.invoicing.stories import TESTER, fee, join, publish

    begin = datetime(2025, 1, 31, tzinfo=UTC)
    join(publish("free", fee("1.00")), begin=False)
    registering.register(code="credits", actor=TESTER, at=begin)
    registering.set_rate(unit="credits", currency="USD", rate=D("0.03"), reason="list", actor=TESTER, at=begin)
    scheduling.schedule(
        terms=ScheduleTerms(
            "acme", "goodwill", D(500), "credits", "month", begin, "sla", rollover=Rollover(D(50), D(200))
        ),
        key="s", actor=TESTER, at=begin,
    )  # fmt: skip
    for month, day, amount in ((1, 31, "400"), (2, 28, "150"), (3, 31, "690")):
        at = datetime(2025, month, day, tzinfo=UTC)
        scheduling.run_due(at=at, grace=timedelta(0))
        drawing.draw(customer_key="acme", unit="credits", feature="tokens", amount=D(amount), key=f"use-{month}",
                     at=at + timedelta(hours=1), actor=TESTER)  # fmt: skip
    last = datetime(2025, 4, 30, tzinfo=UTC)
    scheduling.run_due(at=last, grace=timedelta(0))
    assert proofs.violations() == []
    compare("monthly_credits_with_rollover", credits_of("acme", at=last), journal_of(["acme"]))


@pytest.mark.usefixtures("books")
def test_credit_moves_to_the_company_that_took_the_customer_over() -> None:
    """Two grants, one in part, go to another customer once somebody else approved; their terms and money go along."""
    from moneyed import Money

    from billing_ops.kit import approving
    from billing_ops.kit.actor import Actor
    from ledger import crediting, proofs, transferring
    from tests.invoicing.stories import START, TESTER, fee, join, publish

    plan = publish("free", fee("1.00"))
    join(plan, begin=False)
    join(plan, "buyer", begin=False)
    terms: dict[str, Any] = {"customer_key": "acme", "reason_code": "x", "actor": TESTER, "at": START}
    crediting.grant(
        kind="promotional", amount=Money(30, "USD"), key="gift", expires_at=START + timedelta(days=90), **terms
    )
    crediting.carry_over(kind="paid", amount=Money(100, "USD"), key="paid", **terms)
    asked = transferring.ask(
        from_customer="acme", to_customer="buyer", unit="USD", amount=D(70), reason_code="merger", key="merger",
        actor=Actor("user", "ana", "Ana"), at=START,
    )  # fmt: skip
    seen = approving.preview(approval=asked, at=START).fingerprint()
    approving.approve(approval_id=asked.pk, seen=seen, actor=Actor("user", "finn", "Finn"), at=START)
    assert proofs.violations() == []
    compare("transfer", credits_of("acme", "buyer", at=START), journal_of(["acme", "buyer"]))
