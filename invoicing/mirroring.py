"""The mirror of an invoice in Stripe: our number, one item a line in minor units, exactly the amount due.

Each step has its own idempotency key and can be repeated; a mirror that exists is read first, so that a step which was
done before a crash is not done again, however long ago.
"""

from datetime import datetime
from hashlib import blake2b

from django.db import transaction
from moneyed import Money

from billing_ops.kit.actor import system
from billing_ops.kit.money import zero
from invoicing.accruing import lock_customer
from invoicing.models import Invoice
from invoicing.rules.settlement import to_processor, too_small_to_charge
from invoicing.settling import MirrorDiffers
from invoicing.stripe import gateway
from plans import enrolling
from plans.models import Customer

_COLLECTING = system("collecting")

MOST_ITEMS = 200
"""Stripe takes 250 items on an invoice; lines beyond this are summed into one item."""


def ensure(invoice: Invoice, customer_id: str, *, tried_before: bool) -> gateway.Mirror:
    """Return the finalised mirror of an open invoice, making what is missing of it.

    ``tried_before``: an earlier try may have made the mirror and died before its id was stored. Stripe forgets an
    idempotency key after a day, so its list is looked at first. Raises what the gateway raises, and ``MirrorDiffers``
    when Stripe's total is not ours: then nothing is charged.
    """
    if invoice.stripe_id is None:
        lost = gateway.find_invoice(customer=customer_id, reference=invoice.public_id) if tried_before else None
        _remember(invoice, lost or _create(invoice, customer_id))
    mirror = gateway.fetch(str(invoice.stripe_id))
    if mirror.status == "draft":
        for item in items_of(invoice):
            if item.key not in mirror.item_keys:
                gateway.add_item(
                    mirror=mirror.id,
                    customer=customer_id,
                    currency=invoice.currency,
                    item=item,
                    key=f"mirror:{invoice.public_id}:{item.key}",
                )
        mirror = gateway.finalize(mirror=mirror.id, key=f"mirror:{invoice.public_id}:finalize")
    expected = to_processor(amount_to_collect(invoice, whole=True))
    # A balance that somebody gave the customer in Stripe lowers what is due there and not the total.
    if (mirror.total_minor, mirror.due_minor, mirror.currency) != (expected, expected, invoice.currency):
        raise MirrorDiffers(
            f"The mirror of {invoice} says {mirror.total_minor} in all and {mirror.due_minor} due, in minor units of "
            f"{mirror.currency}; ours is {expected} {invoice.currency}.",
            kept="Nothing was charged.",
            invoice=invoice.public_id,
            stripe=mirror.id,
        )
    return mirror


def _create(invoice: Invoice, customer_id: str) -> str:
    return gateway.create_invoice(
        customer=customer_id,
        currency=invoice.currency,
        number=str(invoice.number),
        reference=invoice.public_id,
        key=f"mirror:{invoice.public_id}",
    ).id


def items_of(invoice: Invoice) -> list[gateway.MirrorItem]:
    """The mirror's items: each line, then credits, tax, customer balance and carried invoices as items of their own."""
    lines = list(invoice.lines.all())
    items = [
        gateway.MirrorItem(
            f"line-{line.position}", line.description, to_processor(line.amount), (line.service_start, line.service_end)
        )
        for line in lines[:MOST_ITEMS]
    ]
    rest = sum((to_processor(line.amount) for line in lines[MOST_ITEMS:]), 0)
    extras = [
        ("more-lines", f"{len(lines) - MOST_ITEMS} more lines, see the invoice", rest),
        ("credits", "Credits applied", -to_processor(invoice.credits_applied)),
        ("tax", "Tax", to_processor(invoice.tax_total)),
        ("balance", "Customer balance applied", -to_processor(invoice.balance_applied)),
    ]
    extras += [
        (f"carried-{one.public_id}", f"Invoice {one.number}, not collected before", to_processor(one.open_amount))
        for one in invoice.carried.order_by("pk")
    ]
    return items + [gateway.MirrorItem(key, text, amount) for key, text, amount in extras if amount]


def carry_small_ones(invoice: Invoice) -> None:
    """Collect the customer's open invoices that were too small to charge together with this one.

    Call it with the invoice locked and before its mirror exists: the mirror is made of what is decided here.
    """
    small = Invoice.objects.select_for_update().filter(
        customer=invoice.customer,
        currency=invoice.currency,
        status=Invoice.Status.OPEN,
        stripe_id__isnull=True,
        collected_with__isnull=True,
        pk__lt=invoice.pk,
    )
    for one in small.order_by("pk"):
        if too_small_to_charge(one.open_amount.amount, one.currency):
            Invoice.objects.filter(pk=one.pk).update(collected_with=invoice)


def amount_to_collect(invoice: Invoice, *, whole: bool = False) -> Money:
    """What the mirror charges: this invoice and those carried with it; less what was paid, unless ``whole``."""
    amount = zero(invoice.currency) + (invoice.amount_due if whole else invoice.open_amount)
    # What a carried one has open does not change while it is carried: a payment pays its carrier first, and then
    # whatever is left of the carried ones is let go.
    return sum((one.open_amount for one in invoice.carried.all()), amount)


def ensure_customer(customer: Customer, *, key: str, at: datetime) -> gateway.StripeCustomer:
    """Make sure that Stripe knows the customer and charges the payment method that we have for it.

    ``key`` is the attempt's: a card that was declined may be tried again by the next attempt.
    """
    wanted = customer.default_payment_method
    if customer.stripe_id:
        found = gateway.fetch_customer(customer.stripe_id)
    else:
        said = blake2b(f"{customer.name}\n{customer.email}".encode(), digest_size=8).hexdigest()
        found = gateway.create_customer(
            reference=customer.key, name=customer.name, email=customer.email, key=f"customer:{customer.key}:{said}"
        )
        enrolling.attach_payment(customer=customer, at=at, actor=_COLLECTING, stripe_id=found.id)
    if not wanted or wanted == found.default_payment_method:
        return found
    chosen = gateway.use_payment_method(customer=found.id, payment_method=wanted, key=f"{key}:{wanted}")
    _remember_method(customer, wanted, chosen, at)
    return gateway.StripeCustomer(found.id, chosen)


def _remember_method(customer: Customer, wanted: str, chosen: str, at: datetime) -> None:
    """Store what Stripe calls the payment method, unless another one was chosen while Stripe was asked."""
    with transaction.atomic():
        now = lock_customer(customer.pk)
        if now.default_payment_method == wanted:
            enrolling.attach_payment(customer=now, at=at, actor=_COLLECTING, default_payment_method=chosen)


def _remember(invoice: Invoice, stripe_id: str) -> None:
    with transaction.atomic():
        Invoice.objects.filter(pk=invoice.pk, stripe_id__isnull=True).update(stripe_id=stripe_id)
    invoice.refresh_from_db()
