"""One box finds everything: a query is routed by its shape, so each search is a few indexed look-ups.

At most :data:`MAX_RESULTS` hits and six queries, whatever is typed.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice

from django.contrib.auth.models import AbstractBaseUser, AnonymousUser, PermissionsMixin
from django.db.models import Q
from django.db.models.functions import Lower
from django.urls import reverse

from billing_ops.console.usage_pages import story_url
from billing_ops.kit.money import plain
from invoicing.models import Invoice, Payment, StripeEvent
from ledger.models import CreditGrant, Entry
from metering import events
from plans.models import Customer, Subscription

MAX_RESULTS = 20

_UUID = re.compile(r"[0-9a-fA-F]{8}(-?)[0-9a-fA-F]{4}(\1[0-9a-fA-F]{4}){2}\1[0-9a-fA-F]{12}", re.ASCII)

User = AbstractBaseUser | AnonymousUser | PermissionsMixin


@dataclass(frozen=True)
class Hit:
    """Something found. ``exact``: an identifier matched as a whole."""

    kind: str
    title: str
    description: str
    url: str
    exact: bool = False


Search = tuple[str, Callable[[str], Iterator[Hit]]]
"""The permission that it needs, and how it looks."""


def find(query: str, user: User) -> list[Hit]:
    """What ``query`` names, for what this person may see; exact matches first."""
    text = query.replace("\x00", "").strip()
    if not text:
        return []
    hits: dict[str, Hit] = {}
    for hit in islice(_all(text, user), MAX_RESULTS * 3):
        hits.setdefault(hit.url, hit)
    return sorted(hits.values(), key=lambda hit: not hit.exact)[:MAX_RESULTS]


def _all(text: str, user: User) -> Iterator[Hit]:
    for permission, search in _route(text):
        if user.has_perm(permission):  # type: ignore[union-attr]  # AbstractBaseUser lacks it, every user here has it
            yield from search(text)


def _route(text: str) -> list[Search]:
    """The searches that fit the shape of the text, in order."""
    customers: Search = ("plans.view_customer", _customers)
    invoices: Search = ("invoicing.view_invoice", _invoices)
    webhooks: Search = ("invoicing.view_stripeevent", _webhooks)
    usage: Search = ("metering.investigate_usage", _events)
    by_prefix: dict[str, list[Search]] = {
        "evt": [webhooks, usage],
        "cus": [("plans.view_customer", _customers_by_stripe_id), webhooks, customers],
        "in": [invoices, webhooks],
        "ch": [("invoicing.view_invoice", _payments), webhooks],
    } | {prefix: [webhooks] for prefix in ("pi", "re", "dp", "pm", "seti", "il", "cn", "txn", "po")}
    if "@" in text:
        return [customers]
    if _UUID.fullmatch(text):
        books: list[Search] = [("ledger.view_journal", _entries), ("ledger.view_creditgrant", _grants)]
        return [*books, invoices, customers, usage]
    stripe_id = re.fullmatch(r"([a-z]+)_[A-Za-z0-9_]+", text)
    if stripe_id and stripe_id[1] in by_prefix:
        return by_prefix[stripe_id[1]]
    return [invoices, customers, ("plans.view_subscription", _subscriptions), usage]


def _customer_hit(customer: Customer, *, exact: bool) -> Hit:
    about = " · ".join(part for part in (customer.key, customer.email) if part)
    return Hit("Customer", customer.name, about, reverse("admin:console_customer", args=[customer.pk]), exact)


def _customers(text: str) -> Iterator[Hit]:
    lowered = text.lower()
    rows = (
        Customer.objects.annotate(email_lower=Lower("email"), name_lower=Lower("name"))
        .filter(
            Q(key=text)
            | Q(key__startswith=text)
            | Q(email_lower=lowered)
            | Q(email_lower__startswith=lowered)
            | Q(name_lower__contains=lowered)
        )
        .order_by("name", "id")[:MAX_RESULTS]
    )
    for customer in rows:
        yield _customer_hit(customer, exact=text == customer.key or lowered == customer.email.lower())


def _customers_by_stripe_id(text: str) -> Iterator[Hit]:
    for customer in Customer.objects.filter(stripe_id=text):
        yield _customer_hit(customer, exact=True)


def _invoice_hit(invoice: Invoice, *, exact: bool) -> Hit:
    about = f"{invoice.customer.name} · {invoice.get_status_display()}"
    return Hit("Invoice", str(invoice), about, reverse("admin:console_invoice", args=[invoice.pk]), exact)


def _invoices(text: str) -> Iterator[Hit]:
    number = text.upper()
    rows = Invoice.objects.select_related("customer").filter(
        Q(number=number) | Q(number__startswith=number) | Q(public_id=text) | Q(stripe_id=text)
    )
    for invoice in rows.order_by("number")[:MAX_RESULTS]:
        yield _invoice_hit(invoice, exact=number == invoice.number or text in (invoice.public_id, invoice.stripe_id))


def _payments(text: str) -> Iterator[Hit]:
    for payment in Payment.objects.select_related("invoice__customer").filter(stripe_charge_id=text)[:MAX_RESULTS]:
        yield _invoice_hit(payment.invoice, exact=True)


def _webhooks(text: str) -> Iterator[Hit]:
    rows = StripeEvent.objects.defer("body").filter(Q(event_id=text) | Q(object_id=text)).order_by("-id")
    for event in rows[:MAX_RESULTS]:
        state = "handled" if event.handled_at else "parked" if event.parked_at else "waiting"
        url = reverse("admin:invoicing_stripeevent_change", args=[event.pk])
        yield Hit("Webhook", event.type, f"{event.event_id} · {state}", url, text == event.event_id)


def _subscriptions(text: str) -> Iterator[Hit]:
    for subscription in Subscription.objects.select_related("customer").filter(key=text):
        url = reverse("admin:console_customer", args=[subscription.customer_id])
        yield Hit("Subscription", subscription.key, subscription.customer.name, url, True)


def _entries(text: str) -> Iterator[Hit]:
    for entry in Entry.objects.select_related("event_type").filter(public_id=text):
        about = " · ".join(part for part in (entry.customer_key, str(entry.effective_on)) if part)
        url = reverse("admin:console_entry", args=[entry.public_id])
        yield Hit("Entry", entry.event_type.label, about, url, True)


def _grants(text: str) -> Iterator[Hit]:
    for grant in CreditGrant.objects.filter(public_id=text):
        about = f"{grant.customer_key} · {plain(grant.amount)} {grant.unit_id}"
        yield Hit(
            "Credit", f"{grant.kind.capitalize()} credit", about, reverse("admin:console_grant", args=[grant.pk]), True
        )


def _events(text: str) -> Iterator[Hit]:
    for event in events.find_by_id(event_id=text)[:MAX_RESULTS]:
        yield Hit("Usage event", event.event_id, f"{event.subject} · {event.source}", story_url(event), True)
