"""An invoice and its journal as finance reads them, as plain text that can be compared and reviewed."""

from collections.abc import Iterable
from decimal import Decimal

from django.db.models import Max

from billing_ops.kit.money import plain
from invoicing import printing
from invoicing.models import Accrual, Invoice, InvoiceLine, Recognition, UsageDraw
from ledger.models import AccountCode, CreditGrant, Entry, Line

WIDTH = 100


def render(invoice: Invoice) -> str:
    """The printed invoice, how each line was rated, and every entry about it or its usage, in the order of posting."""
    invoice.refresh_from_db()
    return "\n".join([*_document(invoice), "", *_journal(invoice)]) + "\n"


def _document(invoice: Invoice) -> list[str]:
    printed = printing.printed(invoice)
    rows = [f"{printed.title} ({printed.status.lower()}), issued {printed.issued_on}, due {printed.due_on}"]
    rows += [f"  from  {', '.join(printed.seller)}", f"  to    {', '.join(printed.bill_to)}", ""]
    for line in printed.lines:
        rows += _columns(f"{line.description}", line.amount)
        rows += [f"    {line.period} ({printed.time_zone})", *(f"    {step}" for step in line.steps)]
    rows.append("-" * WIDTH)
    for label, amount in printed.sums:
        rows += _columns(label, amount)
    return [*rows, printed.tax_note]


def _journal(invoice: Invoice) -> Iterable[str]:
    names = dict(AccountCode.objects.values_list("code", "name"))
    grants = {str(one.public_id): f"{one.kind} credit" for one in CreditGrant.objects.all()}
    for entry in Entry.objects.filter(pk__in=_entries(invoice)).order_by("pk"):
        yield f"{entry.effective_at:%Y-%m-%d %H:%M:%S}  {entry.event_type_id}"
        for line in Line.objects.filter(entry=entry).select_related("account").order_by("line_no"):
            of = grants.get(line.account.dimension, line.account.dimension)
            detail = ", ".join(part for part in (line.account.customer_key, of) if part)
            name = f"{line.account.code_id} {names[str(line.account.code_id)]}" + (f" ({detail})" if detail else "")
            amount = _amount(line.amount)
            debit, credit = (amount, "") if line.side == 1 else ("", amount)
            yield f"    {name:<58}{debit:>19}{credit:>19}".rstrip()


def _entries(invoice: Invoice) -> set[int]:
    """The invoice's own entries, the accruals that its usage lines clear, and what was recognised of its fees."""
    found = set(Entry.objects.filter(invoice_ref=invoice.public_id).values_list("pk", flat=True))
    for line in invoice.lines.all():
        steps = Accrual.objects.filter(item=line.item, service_start=line.service_start, accrued_at__lte=line.rated_at)
        before = InvoiceLine.objects.filter(
            item=line.item, service_start=line.service_start, revision=line.revision - 1
        ).first()
        steps = steps.filter(accrued_at__gt=before.rated_at) if before else steps
        found |= set(steps.values_list("entry_id", flat=True)) if line.kind == "usage" else set()
        if line.kind == "overage":
            drawn = UsageDraw.objects.filter(drawdown__item__customer=invoice.customer_id, drawn_at__lte=line.rated_at)
            found |= set(drawn.values_list("entry_id", flat=True)) - _told_before(invoice)
        found |= set(Recognition.objects.filter(line=line).values_list("entry_id", flat=True))
    return found


def _told_before(invoice: Invoice) -> set[int]:
    """What stands under an earlier invoice of the customer already: all draws up to its last rating."""
    earlier = InvoiceLine.objects.filter(invoice__customer=invoice.customer_id, invoice__lt=invoice.pk)
    told = earlier.filter(kind="overage").aggregate(last=Max("rated_at"))["last"]
    rows = UsageDraw.objects.filter(drawdown__item__customer=invoice.customer_id, drawn_at__lte=told) if told else ()
    return {one.entry_id for one in rows}


def _columns(text: str, amount: str) -> list[str]:
    return [f"{text:<{WIDTH - 16}}{amount:>16}"]


def _amount(amount: Decimal) -> str:
    text = plain(amount)
    whole, _, decimals = text.partition(".")
    return f"{int(whole):,}.{decimals:<02}" if decimals else f"{int(whole):,}.00"
