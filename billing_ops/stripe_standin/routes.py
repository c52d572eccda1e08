"""Which request does what: the whole surface of the stand-in in one table."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field

from billing_ops.stripe_standin.account import Call
from billing_ops.stripe_standin.errors import Json
from billing_ops.stripe_standin.params import EXPAND, Spec
from billing_ops.stripe_standin.resources import (
    customers,
    invoice_items,
    invoices,
    notifications,
    payment_methods,
    payments,
)

Handler = Callable[[Call], Json]


@dataclass(frozen=True)
class Route:
    """One endpoint: what it accepts, what it cannot do without, and the function that works."""

    method: str
    path: str
    handler: Handler
    spec: Spec = field(default_factory=lambda: EXPAND)
    required: tuple[str, ...] = ()

    @property
    def pattern(self) -> re.Pattern[str]:
        """The path as an expression with a group for each name."""
        return re.compile(re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", self.path))


def _routes() -> list[Route]:
    c, m, i, ii, p, n = customers, payment_methods, invoices, invoice_items, payments, notifications
    return [
        Route("GET", "/v1/customers", c.listed, c.LIST),
        Route("POST", "/v1/customers", c.create, c.CREATE),
        Route("GET", "/v1/customers/{id}", c.retrieve),
        Route("POST", "/v1/customers/{id}", c.update, c.UPDATE),
        Route("GET", "/v1/customers/{id}/payment_methods", m.of_customer, m.LIST_OF_CUSTOMER),
        Route("GET", "/v1/customers/{id}/payment_methods/{payment_method}", m.of_customer_one),
        Route("GET", "/v1/payment_methods", m.listed, m.LIST, ("customer",)),
        Route("POST", "/v1/payment_methods", m.create, m.CREATE, ("type", "card")),
        Route("GET", "/v1/payment_methods/{id}", m.retrieve),
        Route("POST", "/v1/payment_methods/{id}", m.update, m.UPDATE),
        Route("POST", "/v1/payment_methods/{id}/attach", m.attach, m.ATTACH, ("customer",)),
        Route("POST", "/v1/payment_methods/{id}/detach", m.detach),
        Route("GET", "/v1/invoices", i.listed, i.LIST),
        Route("POST", "/v1/invoices", i.create, i.CREATE, ("customer",)),
        Route("GET", "/v1/invoices/{id}", i.retrieve),
        Route("POST", "/v1/invoices/{id}", i.update, i.UPDATE),
        Route("DELETE", "/v1/invoices/{id}", i.delete),
        Route("POST", "/v1/invoices/{id}/finalize", i.finalize, i.FINALIZE),
        Route("POST", "/v1/invoices/{id}/pay", i.pay, i.PAY),
        Route("POST", "/v1/invoices/{id}/void", i.void),
        Route("POST", "/v1/invoices/{id}/mark_uncollectible", i.mark_uncollectible),
        Route("GET", "/v1/invoices/{id}/lines", i.lines, i.LINES),
        Route("GET", "/v1/invoiceitems", ii.listed, ii.LIST),
        Route("POST", "/v1/invoiceitems", ii.create, ii.CREATE),
        Route("GET", "/v1/invoiceitems/{id}", ii.retrieve),
        Route("POST", "/v1/invoiceitems/{id}", ii.update, ii.UPDATE),
        Route("DELETE", "/v1/invoiceitems/{id}", ii.delete),
        Route("GET", "/v1/invoice_payments", p.invoice_payments, p.INVOICE_PAYMENTS),
        Route("GET", "/v1/invoice_payments/{id}", p.invoice_payment),
        Route("GET", "/v1/payment_intents", p.intents, p.INTENTS),
        Route("GET", "/v1/payment_intents/{id}", p.intent),
        Route("GET", "/v1/charges", p.charges, p.CHARGES),
        Route("GET", "/v1/charges/{id}", p.charge),
        Route("GET", "/v1/balance", p.balance),
        Route("GET", "/v1/balance_transactions", p.balance_transactions, p.BALANCE),
        Route("GET", "/v1/balance_transactions/{id}", p.balance_transaction),
        Route("GET", "/v1/refunds", p.refunds, p.REFUNDS),
        Route("POST", "/v1/refunds", p.refund, p.REFUND),
        Route("GET", "/v1/refunds/{id}", p.refunded),
        Route("POST", "/v1/refunds/{id}", p.refund_update, p.REFUND_UPDATE),
        Route("GET", "/v1/payouts", p.payouts, p.PAYOUTS),
        Route("GET", "/v1/payouts/{id}", p.payout),
        Route("GET", "/v1/events", n.events, n.EVENTS),
        Route("GET", "/v1/events/{id}", n.event),
        Route("GET", "/v1/webhook_endpoints", n.endpoints, n.ENDPOINTS),
        Route("POST", "/v1/webhook_endpoints", n.create_endpoint, n.ENDPOINT_CREATE, ("url", "enabled_events")),
        Route("GET", "/v1/webhook_endpoints/{id}", n.endpoint),
        Route("POST", "/v1/webhook_endpoints/{id}", n.update_endpoint, n.ENDPOINT_UPDATE),
        Route("DELETE", "/v1/webhook_endpoints/{id}", n.delete_endpoint),
    ]


ROUTES = _routes()
_COMPILED = [(route, route.pattern) for route in ROUTES]


def find(method: str, path: str) -> tuple[Route, dict[str, str]] | None:
    """The endpoint of a request and the names in its path; None when Stripe's stand-in has no such address."""
    for route, pattern in _COMPILED:
        if route.method == method:
            match = pattern.fullmatch(path)
            if match:
                return route, match.groupdict()
    return None
