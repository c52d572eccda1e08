"""Revenue as it is earned: usage accrued before it is invoiced, prepaid fees recognised as their period passes.

Both book the difference between what is earned by now and what was booked before, so running them twice, late or at any
instant gives the same books. They lock the customer first; see ``billing`` for the lock order.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta
from decimal import Decimal

from django.db import transaction
from django.db.models import F, OuterRef, Subquery
from django.db.models.functions import Coalesce

from billing_ops.kit.actor import Actor
from billing_ops.kit.errors import Conflict
from billing_ops.kit.periods import Period
from invoicing import accruals, charges
from invoicing.models import Accrual, Invoice, InvoiceLine, Recognition
from invoicing.rules import lines
from ledger import posting
from ledger.rules import movements
from ledger.rules.entries import EntryDraft
from plans.models import Customer

_TICK = timedelta(microseconds=1)


def accrue(*, customer_id: int, at: datetime, actor: Actor) -> int:
    """Bring a customer's accrued usage and recognised fees up to ``at``; return how many entries that took."""
    with transaction.atomic():
        customer = lock_customer(customer_id)
        posted = accrue_usage(accruals.open_usage(customer, at=at), customer=customer, at=at, actor=actor)
        for line in _unearned_lines(customer, at=at):
            posted += _recognize(line, customer=customer, at=at, actor=actor)
        return posted


def accrue_usage(found: Iterable[charges.Charge], *, customer: Customer, at: datetime, actor: Actor) -> int:
    """Book what each charge's cumulative amount adds to what was accrued for its item and period; count the entries.

    Call it with the customer locked; all go through the door at once. An entry is dated inside the service period, so
    revenue falls into the period in which the usage happened; when its books are closed, onto the first open day.
    """
    rows = [row for charge in found if (row := accruals.next_step(charge, at=at)).amount]
    drafts = [
        EntryDraft(
            movements.USAGE_ACCRUED,
            f"accrual:{row.item.pk}:{row.service_start:%Y%m%dT%H%M%S.%f}:{row.step}",
            movements.usage_accrued(customer_key=customer.key, unit=row.item.price.version.currency, amount=row.amount),
            min(at, row.service_end - _TICK),
            actor,
            customer_key=customer.key,
            reason_code="usage.accrued",
            late="move",
        )
        for row in rows
    ]
    if drafts:
        for row, posted in zip(rows, posting.post_many(drafts, at=at), strict=True):
            row.entry_id = posted.id
        Accrual.objects.bulk_create(rows)
    return len(rows)


class CustomerBusy(Conflict):
    """Another worker bills this customer just now."""

    code = "customer.busy"
    remedy = "Try again in a moment."


def lock_customer(customer_id: int, *, wait: bool = True) -> Customer:
    """Lock the customer's row against other billing work. New rows that refer to it are not held up.

    Without ``wait`` it raises :class:`CustomerBusy` when another transaction has the lock.
    """
    rows = Customer.objects.select_for_update(no_key=True, skip_locked=not wait)
    if wait:
        return rows.get(pk=customer_id)
    found = rows.filter(pk=customer_id).first()
    if found is None:
        raise CustomerBusy(f"Customer {customer_id} is being billed by another worker.")
    return found


def _unearned_lines(customer: Customer, *, at: datetime) -> list[InvoiceLine]:
    """Finalised fees in advance of which some part is not recognised yet."""
    latest = Recognition.objects.filter(line=OuterRef("pk")).order_by("-step").values("cumulative_amount")[:1]
    return list(
        InvoiceLine.objects.filter(invoice__customer=customer, kind=InvoiceLine.Kind.ADVANCE, service_start__lt=at)
        .exclude(invoice__status__in=[Invoice.Status.DRAFT, Invoice.Status.VOID])
        .annotate(earned_before=Coalesce(Subquery(latest), Decimal(0)))
        .filter(amount__gt=F("earned_before"))
        .select_related("invoice")
        .order_by("pk")
    )


def _recognize(line: InvoiceLine, *, customer: Customer, at: datetime, actor: Actor) -> int:
    period = Period(line.service_start, line.service_end)
    earned = lines.earned(line.amount.amount, period, at)
    last = line.recognitions.order_by("-step").first()
    step, before = (last.step + 1, last.cumulative_amount) if last else (1, Decimal(0))
    amount = earned - before
    if amount <= 0:
        return 0
    entry = posting.post(
        movement=movements.FEE_RECOGNISED,
        key=f"recognition:{line.pk}:{step}",
        lines=movements.fee_recognised(customer_key=customer.key, unit=line.currency, amount=amount),
        effective_at=min(at, period.end - _TICK),
        at=at,
        actor=actor,
        customer_key=customer.key,
        refs={"invoice": line.invoice.public_id},
        late="move",
    )
    Recognition.objects.create(
        line=line,
        step=step,
        cumulative_amount=earned,
        amount=amount,
        entry=entry,
        recognized_until=min(at, period.end),
    )
    return 1
