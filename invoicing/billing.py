"""The billing run: what is due becomes drafts, drafts become invoices, invoices are collected.

Rows say what is due (``Subscription.due_at``, ``Invoice.auto_finalize_at``, attempts), so a run may stop anywhere and
the next one goes on. Each unit is one transaction; a unit that fails is noted as failed work, is left alone until its
time has come, and stops no other.

Lock order across the product: Stripe object, customer, subscription, invoice, then the ledger's (period, wallet,
balances by id), and the invoice series last.
"""

import logging
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

from django.db.models import Exists, F, OuterRef, Q

from billing_ops.kit import failing
from billing_ops.kit.actor import Actor
from invoicing import accruing, collecting, drafting, drawdowns, drawing_down, finalizing, settling
from invoicing.accruing import CustomerBusy
from invoicing.models import Invoice
from invoicing.rules import due
from ledger.models import Account
from metering import usage
from plans.models import Customer, Subscription

log = logging.getLogger(__name__)

DRAFT, LATE, FINALIZE = "invoicing.draft", "invoicing.draft_late", finalizing.TASK
COLLECT, ACCRUE, OVERAGE = settling.COLLECT, "invoicing.accrue", "invoicing.bill_overage"
DRAW = "invoicing.draw_down"
_BATCH = 200

_Unit = tuple[str, Callable[..., object]]
"""What the unit is about, and its work, which is told whether to wait for a customer that is busy."""


@dataclass(slots=True)
class Tally:
    """How many units a step did and how many failed."""

    done: int = 0
    failed: int = 0


def draw_due(*, at: datetime, actor: Actor, limit: int = _BATCH) -> Tally:
    """Draw usage that arrived, for at most ``limit`` items; call it again while ``done``.

    Whose customer is being billed just now is left: the bill draws as well, or the next call does.
    """
    resting = [int(one) for one in failing.resting(task=DRAW, at=at)]
    found = drawdowns.due(at=at, limit=limit, resting=resting)
    return _each(
        DRAW,
        (str(item) for item, _ in found),
        lambda one: drawing_down.draw_item(item_id=int(one), at=at, actor=actor, wait=False),
        at=at,
    )


def draft_due(*, until: datetime, at: datetime, actor: Actor) -> Tally:
    """Draft every edge that is due by ``until`` (and reached at ``at``), the oldest first, until none is left.

    A drafted edge makes the customer's next one due, which comes later in the order; a failed one is left behind.
    """
    return _go_round(DRAFT, _edges(min(until, at), at, actor), at=at)


def bill_late(*, at: datetime, actor: Actor) -> Tally:
    """Draft what arrived late for ended subscriptions, once their late-usage window has closed.

    A running subscription needs none of this: its next invoice takes the difference. One that ended is looked at for
    a month when its window closes, and for a month when usage of its customer was backfilled, however long ago it
    ended; the month forgives runs that did not happen. With nothing new there is no draft.
    """
    closed, month = at - due.LATE_USAGE_WINDOW, timedelta(days=30)
    backfilled = usage.backfilled_subjects(since=at - month)
    ended = Subscription.objects.filter(
        Q(ends_at__gt=closed - month) | Q(customer__key__in=backfilled),
        status=Subscription.Status.ENDED,
        ends_at__lte=closed,
    )
    keys = ended.order_by("pk").values_list("pk", flat=True).iterator()
    return _each(
        LATE,
        map(str, keys),
        lambda one: drafting.draft_late(subscription_id=int(one), at=at, actor=actor),
        at=at,
    )


def bill_overage(*, at: datetime, actor: Actor) -> Tally:
    """Draft the use beyond credits of customers whom no period's edge will bill in that currency.

    A customer with a running subscription in the currency needs none of this: its next invoice takes it up.
    """
    waiting = Account.objects.filter(code="1110", balance__debits__gt=F("balance__credits")).values_list(
        "customer_key", "unit_id"
    )
    running = set(
        Subscription.objects.filter(due_at__isnull=False).values_list("customer__key", "version__currency").distinct()
    )
    ids = dict(Customer.objects.filter(key__in=[key for key, _ in waiting]).values_list("key", "pk"))
    units = {f"{key} {unit}": (ids[key], unit) for key, unit in waiting if key in ids and (key, unit) not in running}

    def draft(subject: str) -> object:
        customer_id, currency = units[subject]
        return drafting.draft_overage(customer_id=customer_id, currency=currency, at=at, actor=actor)

    return _each(OVERAGE, sorted(units), draft, at=at)


def finalize_due(*, at: datetime, actor: Actor) -> Tally:
    """Finalise the drafts whose grace has passed."""
    ready = Invoice.objects.filter(status=Invoice.Status.DRAFT, auto_finalize_at__lte=at)
    ids = ready.order_by("auto_finalize_at", "pk").values_list("public_id", flat=True)
    return _go_round(FINALIZE, ((one, partial(_finalize, one, at, actor)) for one in ids.iterator()), at=at)


def collect_due(*, at: datetime, actor: Actor) -> Tally:
    """Collect open invoices that nobody tried yet, and ask again where the answer is unknown."""
    return _each(COLLECT, collecting.due(at=at), lambda one: _collect(one, at, actor), at=at)


def collect_one(public_id: str, *, at: datetime, actor: Actor) -> Tally:
    """Collect one invoice as the run does: a failure is noted and tried again."""
    return _each(COLLECT, [public_id], lambda one: _collect(one, at, actor), at=at)


def accrue_all(*, at: datetime, actor: Actor) -> Tally:
    """Bring accrued usage and recognised fees of every customer up to ``at``."""
    subscribed = Customer.objects.filter(Exists(Subscription.objects.filter(customer=OuterRef("pk"))))
    keys = subscribed.order_by("pk").values_list("pk", flat=True).iterator()
    return _each(ACCRUE, map(str, keys), lambda one: accruing.accrue(customer_id=int(one), at=at, actor=actor), at=at)


def run(*, until: datetime, at: datetime, actor: Actor) -> dict[str, Tally]:
    """One whole run: draft, finalise, collect. Running it twice does nothing twice."""
    return {
        "drafted": draft_due(until=until, at=at, actor=actor),
        "finalized": finalize_due(at=at, actor=actor),
        "collected": collect_due(at=at, actor=actor),
    }


def _due_edges(until: datetime, after: tuple[datetime, int] | None) -> list[tuple[datetime, int]]:
    """A batch of edges with their customers, in their order, after the last one of the batch before."""
    rows = Subscription.objects.filter(due_at__lte=until).order_by("due_at", "customer_id")
    if after is not None:
        edge, customer_id = after
        rows = rows.filter(Q(due_at__gt=edge) | Q(due_at=edge, customer_id__gt=customer_id))
    found = rows.values_list("due_at", "customer_id").distinct()[:_BATCH]
    return [(edge, customer_id) for edge, customer_id in found if edge is not None]


def _edges(until: datetime, at: datetime, actor: Actor) -> Iterator[_Unit]:
    after: tuple[datetime, int] | None = None
    while found := _due_edges(until, after):
        for edge, customer_id in found:
            draft = partial(drafting.draft, customer_id=customer_id, edge=edge, at=at, actor=actor)
            yield _edge_key(customer_id, edge), draft
        after = found[-1]


def _edge_key(customer_id: int, edge: datetime) -> str:
    return f"customer {customer_id} at {edge:%Y-%m-%dT%H:%M:%SZ}"


def _finalize(public_id: str, at: datetime, actor: Actor, *, wait: bool) -> None:
    try:
        finalizing.finalize(public_id=public_id, at=at, actor=actor, wait=wait)
    except finalizing.InvoiceNotDraft:
        log.info("invoice %s: another worker or a person finalised it meanwhile", public_id)


def _collect(public_id: str, at: datetime, actor: Actor) -> None:
    try:
        collecting.collect(public_id=public_id, at=at, actor=actor)
    except (collecting.TooSmallToCharge, collecting.AlreadyPaid):
        # Not failures: the first waits for the customer's next invoice, the second was settled meanwhile.
        log.info("invoice %s: nothing to collect now", public_id)


def _each(task: str, subjects: Iterable[str], work: Callable[[str], object], *, at: datetime) -> Tally:
    tally, resting = Tally(), failing.resting(task=task, at=at)
    for subject in subjects:
        if subject not in resting:
            _try(tally, task=task, subject=subject, at=at, work=lambda: work(subject))  # noqa: B023  # called at once
    return tally


def _go_round(task: str, units: Iterable[_Unit], *, at: datetime) -> Tally:
    """Do each unit, and last those whose customer another worker was busy with: so several runs share the work."""
    tally, resting = Tally(), failing.resting(task=task, at=at)
    left = [
        (subject, work)
        for subject, work in units
        if subject not in resting and not _try(tally, task=task, subject=subject, at=at, work=partial(work, wait=False))
    ]
    for subject, work in left:
        _try(tally, task=task, subject=subject, at=at, work=partial(work, wait=True))
    return tally


def _try(tally: Tally, *, task: str, subject: str, at: datetime, work: Callable[[], object]) -> bool:
    """Do a unit and count it; False when another worker has its customer."""
    try:
        work()
    except CustomerBusy:
        return False
    except Exception as error:  # one failing unit must not stop the others: it is kept, shown and tried again
        log.exception("%s failed for %s", task, subject)
        failing.note(task=task, subject=subject, error=error, at=at)
        tally.failed += 1
    else:
        failing.clear(task=task, subject=subject)
        tally.done += 1
    return True
