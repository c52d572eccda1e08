"""What a printed invoice says, ready for its template: nothing is computed there."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from django.conf import settings
from moneyed import Money

from billing_ops.kit.fields import display
from billing_ops.kit.money import round_money
from invoicing.finalizing import bill_to
from invoicing.models import Invoice, InvoiceLine
from invoicing.rules.lines import RULES


@dataclass(frozen=True, slots=True)
class PrintedLine:
    """One line as the customer reads it."""

    description: str
    period: str
    steps: tuple[str, ...]
    rule: str
    amount: str


@dataclass(frozen=True, slots=True)
class PrintedInvoice:
    """A whole printed invoice; ``sums`` are label and amount in order, the last one is what is due."""

    title: str
    status: str
    is_draft: bool
    issued_on: str
    due_on: str
    seller: list[str]
    bill_to: list[str]
    lines: list[PrintedLine]
    sums: list[tuple[str, str]]
    amount_due: str
    tax_note: str
    time_zone: str


def printed(invoice: Invoice) -> PrintedInvoice:
    """Read an invoice as it is printed: dates in the customer's billing time zone, identities as frozen on it."""
    is_draft = invoice.status == Invoice.Status.DRAFT
    buyer = bill_to(invoice.customer) if is_draft else invoice.bill_to or {}
    zone = ZoneInfo(buyer.get("time_zone") or "UTC")
    lines = invoice.lines.select_related("price")
    return PrintedInvoice(
        title=f"Invoice {invoice.number}" if invoice.number else "Draft invoice",
        status=invoice.get_status_display(),
        is_draft=is_draft,
        issued_on=_day(invoice.finalized_at, zone),
        due_on=_day(invoice.due_at, zone),
        seller=_address(dict(settings.SELLER) if is_draft else invoice.seller or {}),
        bill_to=_address(buyer),
        lines=[_line(line, zone) for line in lines],
        sums=_sums(invoice),
        amount_due=display(invoice.amount_due),
        tax_note=invoice.tax_note,
        time_zone=zone.key,
    )


def _line(line: InvoiceLine, zone: ZoneInfo) -> PrintedLine:
    return PrintedLine(
        description=line.description,
        period=f"{_day(line.service_start, zone)} – {_last_day(line, zone)}",
        steps=(*(f"{step['label']}" for step in line.working), *_billed_before(line)),
        rule=RULES.get(line.rule, ""),
        amount=display(line.amount),
    )


def _billed_before(line: InvoiceLine) -> list[str]:
    """What makes a difference out of the whole period's amount."""
    if line.revision == 1:
        return []
    whole = round_money(Money(line.cumulative_amount, line.currency))
    return [f"{display(whole)} in all, of which {display(whole - line.amount)} was billed before"]


def _sums(invoice: Invoice) -> list[tuple[str, str]]:
    rows = [("Subtotal", display(invoice.subtotal))]
    if invoice.credits_applied.amount:
        rows.append(("Credits applied", display(-invoice.credits_applied)))
    rows += [("Tax", display(invoice.tax_total)), ("Total", display(invoice.total))]
    if invoice.balance_applied.amount:
        moved = invoice.balance_applied.amount < 0
        label = "Moved to the customer balance" if moved else "Customer balance applied"
        rows.append((label, display(-invoice.balance_applied)))
    if invoice.amount_paid.amount:
        rows.append(("Paid", display(-invoice.amount_paid)))
    rows.append(("Amount due", display(invoice.amount_due - invoice.amount_paid)))
    return rows


def _address(identity: dict[str, str]) -> list[str]:
    parts = [identity.get(name) or "" for name in ("postal_code", "city", "region")]
    if identity.get("country") == "US":
        postal_code, city, region = parts
        town = ", ".join(part for part in (city, f"{region} {postal_code}".strip()) if part)
    else:
        town = " ".join(part for part in parts if part)
    tax_id = f"Tax ID {identity['tax_id']}" if identity.get("tax_id") else ""
    fields = (
        identity.get("name"), identity.get("line1"), identity.get("line2"), town, identity.get("country"), tax_id,
        identity.get("email"),
    )  # fmt: skip
    return [field for field in fields if field]


def _day(instant: datetime | None, zone: ZoneInfo) -> str:
    return f"{instant.astimezone(zone):%-d %B %Y}" if instant else "—"


def _last_day(line: InvoiceLine, zone: ZoneInfo) -> str:
    return _day(line.service_end - timedelta(microseconds=1), zone)
