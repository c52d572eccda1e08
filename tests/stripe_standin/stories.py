"""Short stories that several tests begin with."""

from typing import Any


def new_customer(client: Any, card: str | None = None) -> str:
    """A customer whose default payment method is a copy of a test card; returns its id."""
    customer = client.v1.customers.create({"name": "Ada", "email": "ada@example.com"})
    if card is not None:
        method = client.v1.payment_methods.attach(card, {"customer": customer.id})
        client.v1.customers.update(customer.id, {"invoice_settings": {"default_payment_method": method.id}})
    return str(customer.id)


def draft_invoice(client: Any, customer: str, *amounts: int, **fields: Any) -> Any:
    """A draft with one line an amount, in cents."""
    sent = {"customer": customer, "currency": "usd", "auto_advance": False, **fields}
    invoice = client.v1.invoices.create(sent)
    for amount in amounts:
        client.v1.invoice_items.create(
            {
                "invoice": invoice.id,
                "customer": customer,
                "amount": amount,
                "currency": sent["currency"],
                "description": f"Line of {amount}",
                "metadata": {"amount": str(amount)},
                "period": {"start": 1_700_000_000, "end": 1_702_592_000},
            }
        )
    return invoice


def open_invoice(client: Any, customer: str, *amounts: int, **fields: Any) -> Any:
    """A finalised invoice with one line an amount."""
    return client.v1.invoices.finalize_invoice(draft_invoice(client, customer, *amounts, **fields).id)
