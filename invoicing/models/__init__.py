"""The bill: invoices and their lines, what was accrued, attempts to collect, and what Stripe told us."""

from invoicing.models.accruals import Accrual, Recognition
from invoicing.models.drawdowns import Drawdown, DrawdownWork, UsageDraw
from invoicing.models.invoices import Invoice, InvoiceLine, NumberSeries
from invoicing.models.payments import Payment, PaymentAttempt
from invoicing.models.stripe_objects import StripeEvent, StripeObject, StripeSweep
from invoicing.models.topups import AutoTopUp, AutoTopUpWork, OverageBill, TopUp

__all__ = [
    "Accrual",
    "AutoTopUp",
    "AutoTopUpWork",
    "Drawdown",
    "DrawdownWork",
    "Invoice",
    "InvoiceLine",
    "NumberSeries",
    "OverageBill",
    "Payment",
    "PaymentAttempt",
    "Recognition",
    "StripeEvent",
    "StripeObject",
    "StripeSweep",
    "TopUp",
    "UsageDraw",
]
