"""What stands behind a reference in the books: the invoice, and the line of it that credit paid for."""

from collections import defaultdict
from collections.abc import Iterable

from invoicing.models import Invoice, InvoiceLine


def invoices_of(refs: Iterable[str]) -> dict[str, Invoice]:
    """The invoices that entries name, by their reference."""
    return {invoice.public_id: invoice for invoice in Invoice.objects.filter(public_id__in=set(refs) - {""})}


def lines_of(pairs: Iterable[tuple[str, str]]) -> dict[str, dict[str, InvoiceLine]]:
    """The invoice lines that draws name, by the invoice's reference and the draw's. Other draws are not in it."""
    wanted = {(invoice, int(ref)) for invoice, ref in pairs if invoice and _is_number(ref)}
    found: dict[str, dict[str, InvoiceLine]] = defaultdict(dict)
    rows = InvoiceLine.objects.select_related("invoice", "price").filter(
        pk__in={line for _, line in wanted}, invoice__public_id__in={invoice for invoice, _ in wanted}
    )
    for line in rows:
        if line.price is not None:  # only what a price made can be explained
            found[line.invoice.public_id][str(line.pk)] = line
    return found


def _is_number(ref: str) -> bool:
    return ref.isascii() and ref.isdigit() and len(ref) < 19
