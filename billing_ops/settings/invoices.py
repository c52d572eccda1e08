"""Settings of the bill: who sells, how invoices are numbered, when they are final and due, and who knows the tax."""

import environ

env = environ.Env()

SELLER: dict[str, str] = {
    "name": env.str("SELLER_NAME", default="Example AI, Inc."),
    "line1": env.str("SELLER_LINE1", default="1 Example Way"),
    "line2": env.str("SELLER_LINE2", default=""),
    "city": env.str("SELLER_CITY", default="Wilmington"),
    "region": env.str("SELLER_REGION", default="DE"),
    "postal_code": env.str("SELLER_POSTAL_CODE", default="19801"),
    "country": env.str("SELLER_COUNTRY", default="US"),
    "tax_id": env.str("SELLER_TAX_ID", default=""),
    "email": env.str("SELLER_EMAIL", default="billing@example.com"),
}
"""As printed on invoices; frozen on each at finalisation."""

INVOICE_NUMBER_PREFIX: str = env.str("INVOICE_NUMBER_PREFIX", default="INV")
INVOICE_DUE_DAYS: int = env.int("INVOICE_DUE_DAYS", default=14)

# How long after a period's end a draft with usage waits for late events before it may be finalised.
INVOICE_GRACE_SECONDS: int = env.int("INVOICE_GRACE_SECONDS", default=3600)

# The function that decides tax, see invoicing/taxing.py. The default answers zero, and the invoice says so.
TAX_RESOLVER: str = env.str("TAX_RESOLVER", default="invoicing.taxing.zero")
