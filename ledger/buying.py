"""Turn a top-up that was paid into paid credit, and give unused paid credit back as money that is owed."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Literal
from uuid import uuid4

from django.db import transaction

from billing_ops.kit import audit
from billing_ops.kit.actor import Actor
from billing_ops.kit.errors import Conflict, InvalidInput
from billing_ops.kit.money import plain, round_amount
from ledger import drawing, issuing, opening, posting, voiding
from ledger.issuing import Issue, Origin
from ledger.models import CreditGrant, Entry
from ledger.rules import movements
from ledger.rules.terms import Terms, check
from ledger.rules.worth import NOTHING, Worth, account_of, is_own


class NotRefundable(Conflict):
    """Only paid credit that is left, and that no hold keeps, is given back as money."""

    code = "credit.not_refundable"


class NothingToPay(InvalidInput):
    """What is to be given back comes to less than the smallest amount that can be paid."""

    code = "credit.refund_too_small"


@dataclass(frozen=True, slots=True)
class Refund:
    """What a refund of unused credit comes to: its money exactly, the tax on it, and the whole amount that is owed."""

    leaving: voiding.Leaving
    currency: str
    money: Decimal
    tax: Mapping[str, Decimal]
    total: Decimal

    @property
    def rounding(self) -> Decimal:
        """What is paid less what it exactly is: a loss is positive."""
        return self.total - self.money - sum(self.tax.values(), Decimal(0))


def buy(
    *,
    terms: Terms,
    currency: str,
    price: Decimal,
    rate: Decimal | None,
    source_invoice: str,
    key: str,
    actor: Actor,
    at: datetime,
    effective_at: datetime | None = None,
    late: Literal["refuse", "move"] = "move",
) -> CreditGrant:
    """Issue the paid credit of a top-up, in the transaction that settles its invoice; the same key issues it once.

    ``price`` is what was paid for it without tax; ``rate`` what a unit of the company's own was sold at.
    """
    own = is_own(terms.unit)
    check(terms, at=terms.effective_at or at)
    worth = Worth(rate, currency, price, "2005") if own else NOTHING
    with transaction.atomic():
        posting.enter_period(effective_at=at)
        opening.register_units({terms.unit, currency})
        wallet = drawing.lock_wallet(terms.customer_key, terms.unit)
        if (earlier := issuing.earlier(terms, key)) is not None:
            return earlier
        code = account_of("paid", own=own)
        issue = Issue(terms, uuid4(), key, code, worth, Origin(source_invoice=source_invoice))
        lines = movements.credit_bought(
            customer_key=terms.customer_key,
            currency=currency,
            price=price,
            grant=str(issue.public_id),
            unit=terms.unit,
            amount=terms.amount if own else Decimal(0),
        )
        issuing.post(
            issue,
            movement=movements.CREDIT_BOUGHT,
            lines=lines,
            at=at,
            effective_at=effective_at,
            late=late,
            actor=actor,
        )
        made = issuing.record(issue, at=at, actor=actor, wallet=wallet)
        issuing.leave_trail(made, action="credit.bought", done="bought", at=at, actor=actor)
        return made


def quote_refund(
    *, grant: CreditGrant, amount: Decimal | None = None, tax: Mapping[str, Decimal] | None = None
) -> Refund:
    """What giving back ``amount`` of a paid grant (default: all that is left) comes to. Locks its balance.

    Raises :class:`NotRefundable` and :class:`NothingToPay`.
    """
    if grant.kind != "paid":
        raise NotRefundable("Only paid credit is given back as money.", remedy="Void it.")
    with transaction.atomic():
        free = voiding.taken_out(grant)
        if free.amount <= 0 or (amount is not None and not 0 < amount <= free.amount):
            raise NotRefundable(
                f"{plain(max(free.amount, Decimal(0)))} {grant.unit_id} can be given back.", field="amount"
            )
        leaving = voiding.taken_out(grant, free.amount if amount is None else amount)
    currency = grant.currency or grant.unit_id
    money = leaving.money if is_own(grant.unit_id) else leaving.amount
    total = round_amount(money, currency) + sum((tax or {}).values(), Decimal(0))
    if total <= 0:
        raise NothingToPay(f"{plain(money)} {currency} is less than can be paid.", field="amount")
    return Refund(leaving, currency, money, dict(tax or {}), total)


def refund(
    *,
    grant: CreditGrant,
    reason_code: str,
    key: str,
    actor: Actor,
    at: datetime,
    amount: Decimal | None = None,
    tax: Mapping[str, Decimal] | None = None,
    note: str = "",
    ticket: str = "",
    approval_id: int | None = None,
) -> Entry:
    """Owe a customer the money of unused paid credit, tax included (Cr 2300); the same key answers the same entry.

    The caller knows the tax that the credit was sold with. Paying it out is another act: ``refund.succeeded`` takes it
    from 2300. Raises as :func:`quote_refund`.
    """
    entry_key = f"credit.refunded:{key}"
    with transaction.atomic():
        posting.enter_period(effective_at=at)
        drawing.lock_wallet(grant.customer_key, grant.unit_id)
        earlier = Entry.objects.filter(source="billing", idempotency_key=entry_key).first()
        if earlier is not None:
            if earlier.grant_ref != str(grant.public_id):
                raise issuing.GrantDiffers(f"The key “{key}” refunded another grant.", differs=["grant"])
            return earlier
        found = quote_refund(grant=grant, amount=amount, tax=tax)
        entry = posting.post(
            movement=movements.CREDIT_REFUNDED,
            key=entry_key,
            lines=movements.credit_refunded(
                customer_key=grant.customer_key,
                unit=grant.unit_id,
                amount=found.leaving.amount,
                grant=str(grant.public_id),
                refund=found.total,
                currency=found.currency,
                money=found.money if is_own(grant.unit_id) else Decimal(0),
                tax=found.tax,
                rounding=found.rounding,
            ),
            at=at,
            actor=actor,
            customer_key=grant.customer_key,
            refs={"grant": str(grant.public_id)},
            reason_code=reason_code,
            reason_note=note,
            ticket=ticket,
            fx_rate=found.leaving.fx_rate,
            approval_id=approval_id,
        )
        audit.record(
            at=at, actor=actor, action="credit.refunded", subject_type="credit_grant",
            subject_key=str(grant.public_id), customer_key=grant.customer_key[:128],
            summary=f"{plain(found.leaving.amount)} {grant.unit_id} of paid credit refunded: "
            f"{plain(found.total)} {found.currency} owed", reason=reason_code, ticket=ticket[:64], note=note,
        )  # fmt: skip
        return entry
