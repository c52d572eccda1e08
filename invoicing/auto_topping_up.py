"""Top up by itself: when a customer's available credits fall below a threshold, order what the rule says.

Rows carry the work: each rule has one row that says what was looked at last. The sweep looks only at customers that
have a newer entry, or that nobody looked at for an hour; the ledger's tasks may nudge one of them before that.

Looking at one, under the customer's lock:

1. An order of this rule that is still open is never followed by another. If its card was declined, the same invoice is
   tried again after days, and given up after the last try; then the rule is switched off.
2. Available is settled less held. Enough: nothing to do.
3. Above the month's cap: noted, looked at again when the month is over or the rule changes.
4. Else one top-up is ordered, under a key that counts the rule's orders: two workers order one.
"""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Final

from django.db import connection, transaction
from django.db.models import Max, Sum
from moneyed import Money

from billing_ops.kit import failing
from billing_ops.kit.actor import Actor, system
from billing_ops.kit.audit import record
from billing_ops.kit.errors import BillingError, InvalidInput
from billing_ops.kit.money import grouped
from invoicing import collecting, topping_up
from invoicing.accruing import lock_customer
from invoicing.models import AutoTopUp, AutoTopUpWork, PaymentAttempt, TopUp
from invoicing.rules.auto_top_ups import RETRY_AFTER, decide, month_of
from ledger import balances
from ledger.models import Entry
from ledger.rules.worth import is_own
from plans.models import Customer

TASK: Final = "invoicing.auto_top_up"
ROBOT: Final = system("auto-top-up")


class BadRule(InvalidInput):
    """A rule that cannot be set; ``details["field"]`` names what is wrong."""

    code = "auto_top_up.invalid"


class CapReached(BillingError):
    """The next top-up would go beyond the month's cap."""

    code = "auto_top_up.cap_reached"
    kept = "Nothing was ordered."
    remedy = "Raise the cap, or wait for the next month."


class Declined(BillingError):
    """The card of an automatic top-up was declined."""

    code = "auto_top_up.declined"
    kept = "The invoice is open; no credit was given."
    remedy = "Set another payment method; the invoice is tried again by itself."


@dataclass(frozen=True, slots=True)
class Looked:
    """What looking at a rule led to."""

    outcome: str
    top_up: TopUp | None = None


def set_rule(
    *,
    customer_id: int,
    unit: str,
    enabled: bool,
    threshold: Decimal,
    quantity: Decimal,
    monthly_cap: Money,
    reason: str,
    at: datetime,
    actor: Actor,
) -> AutoTopUp:
    """Set or change a customer's rule for a unit; the rows before stay as history. The same again is the same row.

    Raises :class:`BadRule`, and as ``topping_up.price``.
    """
    with transaction.atomic():
        customer = lock_customer(customer_id)
        _check(customer, unit, threshold=threshold, quantity=quantity, monthly_cap=monthly_cap, reason=reason)
        topping_up.price(customer=customer, order=topping_up.Order(unit, quantity), at=at)
        before = current(customer_id=customer_id, unit=unit)
        wanted = (enabled, threshold, quantity, monthly_cap, reason)
        if before is not None and wanted == _said(before):
            return before
        made = AutoTopUp.objects.create(
            customer=customer, unit=unit, currency=customer.currency, enabled=enabled, threshold=threshold,
            quantity=quantity, monthly_cap=monthly_cap, reason=reason, set_by_type=actor.type, set_by_id=actor.id,
            set_at=at,
        )  # fmt: skip
        fresh = {"rule": made, "enabled": enabled, "seen_entry": 0, "tries": 0, "next_try_at": None, "looked_at": None}
        AutoTopUpWork.objects.update_or_create(customer=customer, unit=unit, defaults=fresh)
        failing.clear(task=TASK, subject=_subject(customer, unit))
        switched = "on" if enabled else "off"
        record(
            at=at, actor=actor, action="auto_top_up.set", subject_type="auto_top_up",
            subject_key=f"{customer.key} {unit}"[:128], customer_key=customer.key, note=reason,
            summary=f"Automatic top-up {switched}: {grouped(quantity)} {unit} below {grouped(threshold)}, at most "
            f"{monthly_cap} a month",
        )  # fmt: skip
        return made


def current(*, customer_id: int, unit: str) -> AutoTopUp | None:
    """A customer's rule for a unit as it is now."""
    return AutoTopUp.objects.filter(customer=customer_id, unit=unit).order_by("-id").first()


def due(*, at: datetime, limit: int = 500) -> list[int]:
    """The rules to look at now."""
    with connection.cursor() as cursor:
        cursor.execute(_statement(), {"at": at, "limit": limit})
        return [row[0] for row in cursor.fetchall()]


def run_due(*, at: datetime) -> int:
    """Look at every rule that is due; how many orders came of it. One that fails is noted and holds up no other."""
    return sum(_look_or_note(pk, at) for pk in due(at=at))


def look(*, work_id: int, at: datetime) -> Looked:
    """Look at one rule, and order if it says so. Raises :class:`CapReached`, :class:`Declined`, and as ``order``."""
    with transaction.atomic():
        owner = AutoTopUpWork.objects.values_list("customer_id", flat=True).get(pk=work_id)
        customer = lock_customer(owner)
        work = AutoTopUpWork.objects.select_for_update(of=("self",)).select_related("rule").get(pk=work_id)
        newest = Entry.objects.filter(customer_key=customer.key).aggregate(last=Max("id"))["last"] or 0
        if not work.enabled:
            return Looked("off")
        waiting = TopUp.objects.filter(customer=customer, unit=work.unit, rule__isnull=False, status="open").first()
        looked = _order_if_low(customer, work, at) if waiting is None else Looked("waits", waiting)
        AutoTopUpWork.objects.filter(pk=work.pk).update(looked_at=at, seen_entry=newest)
    return looked


def _order_if_low(customer: Customer, work: AutoTopUpWork, at: datetime) -> Looked:
    rule, order = work.rule, topping_up.Order(work.unit, work.rule.quantity, reason_code="auto_topup")
    priced = topping_up.price(customer=customer, order=order, at=at)
    found = balances.of(customer_key=customer.key, unit=work.unit)
    begin, end = month_of(at, customer.time_zone)
    of_rule = TopUp.objects.filter(customer=customer, unit=work.unit, rule__isnull=False)
    spent = (
        of_rule.filter(ordered_at__gte=begin, ordered_at__lt=end)
        .exclude(status=TopUp.Status.VOID)
        .aggregate(sum=Sum("price"))["sum"]
    )
    decision = decide(
        available=found.credits_total - found.held,
        threshold=rule.threshold,
        price=priced.price,
        spent_this_month=Decimal(spent or 0),
        monthly_cap=rule.monthly_cap.amount,
    )
    _rest(work, tries=0, until=end if decision == "above_cap" else None)
    if decision != "buy":
        return Looked(decision)
    key = f"auto:{customer.pk}:{work.unit}:{of_rule.count() + 1}"
    made = topping_up.order(customer_id=customer.pk, order=order, key=key, at=at, actor=ROBOT, rule=rule)
    return Looked("ordered", made)


def _look_or_note(work_id: int, at: datetime) -> bool:
    work = AutoTopUpWork.objects.select_related("customer").get(pk=work_id)
    subject = _subject(work.customer, work.unit)
    try:
        looked = look(work_id=work_id, at=at)
        if looked.outcome == "above_cap":
            raise CapReached(f"{work.customer.key} would go beyond the cap of the month.")
        if looked.outcome == "waits" and looked.top_up is not None:
            _follow_up(work, looked.top_up, at)
    except Exception as error:  # one failing rule must not stop the others: it is kept, shown and tried again
        failing.note(task=TASK, subject=subject, error=error, at=at, customer_key=work.customer.key)
        return False
    failing.clear(task=TASK, subject=subject)
    return looked.outcome == "ordered"


def _follow_up(work: AutoTopUpWork, top_up: TopUp, at: datetime) -> None:
    """See how collecting an open order went: try a declined one again when its time has come, give it up at last."""
    last = PaymentAttempt.objects.filter(invoice=top_up.invoice_id).order_by("-number").first()
    if last is None or last.status != PaymentAttempt.Status.FAILED:
        return  # nobody tried yet, or the answer is awaited: collecting goes on by itself
    if work.next_try_at is None:
        _rest(work, tries=1, until=(last.resolved_at or at) + RETRY_AFTER[0])
    elif work.next_try_at <= at and work.tries < len(RETRY_AFTER):
        collecting.collect(public_id=top_up.invoice.public_id, at=at, actor=ROBOT)
        top_up.refresh_from_db()
        if not top_up.is_open:
            _rest(work, tries=0, until=None)
            return
        _rest(work, tries=work.tries + 1, until=at + RETRY_AFTER[work.tries])
    elif work.next_try_at <= at:
        _give_up(work, top_up, at)
        return
    raise Declined(f"{work.customer.key}: {last.failure_message or last.failure_code}", tries=work.tries)


def _rest(work: AutoTopUpWork, *, tries: int, until: datetime | None) -> None:
    AutoTopUpWork.objects.filter(pk=work.pk).update(tries=tries, next_try_at=until)


def _give_up(work: AutoTopUpWork, top_up: TopUp, at: datetime) -> None:
    """The last try failed too: nothing is owed any more, and the rule waits until somebody switches it on again."""
    rule = AutoTopUp.objects.get(pk=work.rule_id)
    with transaction.atomic():
        topping_up.give_up(top_up=top_up, reason_code="card_declined", at=at, actor=ROBOT)
        set_rule(
            customer_id=work.customer_id, unit=work.unit, enabled=False, threshold=rule.threshold,
            quantity=rule.quantity, monthly_cap=rule.monthly_cap, at=at, actor=ROBOT,
            reason=f"The card was declined {len(RETRY_AFTER)} times.",
        )  # fmt: skip


def _check(
    customer: Customer, unit: str, *, threshold: Decimal, quantity: Decimal, monthly_cap: Money, reason: str
) -> None:
    if not is_own(unit) and unit != customer.currency:
        raise BadRule(f"{customer.key} is billed in {customer.currency}.", field="unit")
    if not threshold.is_finite() or threshold < 0:
        raise BadRule("A threshold is zero or more.", field="threshold")
    if not quantity.is_finite() or quantity <= 0:
        raise BadRule("A top-up buys something.", field="quantity")
    if monthly_cap.currency.code != customer.currency or monthly_cap.amount < 0:
        raise BadRule(f"The cap is money in {customer.currency}.", field="monthly_cap")
    if not reason.strip():
        raise BadRule("Say why.", field="reason")


def _said(rule: AutoTopUp) -> tuple[bool, Decimal, Decimal, Money, str]:
    return rule.enabled, rule.threshold, rule.quantity, rule.monthly_cap, rule.reason


def _subject(customer: Customer, unit: str) -> str:
    return f"{customer.key} {unit}"


@cache
def _statement() -> str:
    return (Path(__file__).parent / "sql" / "auto_top_ups_due.sql").read_text()
