"""The bill in the console: invoices, payment attempts and the webhook inbox."""

from invoicing.admin.inbox import StripeEventAdmin
from invoicing.admin.invoices import InvoiceAdmin, PaymentAttemptAdmin

__all__ = ["InvoiceAdmin", "PaymentAttemptAdmin", "StripeEventAdmin"]
