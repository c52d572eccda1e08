"""What must be true of the books after every story, from sums that are made here in plain Python."""

from collections.abc import Iterable
from decimal import Decimal

from django.db import connection

from invoicing.models import Accrual, Invoice, InvoiceLine, Payment, Recognition
from invoicing.rules.settlement import from_processor
from ledger import balances
from tests.stripe_standin.process import Standin

ZERO = Decimal(0)


def prove(standin: Standin | None = None, *, currency: str = "USD", all_final: bool = True) -> None:
    """The trial balance is zero, and each account holds what the documents say.

    With ``all_final`` nothing is a draft and nothing was used since the last bill, so no usage is unbilled.
    """
    assert sum((line.net for line in balances.trial_balance(unit=currency)), ZERO) == 0
    final = Invoice.objects.filter(currency=currency).exclude(status__in=["draft", "void"])
    lines = InvoiceLine.objects.filter(invoice__in=final)
    usage = list(lines.filter(kind="usage"))
    fees = list(lines.filter(kind="advance"))
    accrued = add(row.amount for row in Accrual.objects.filter(item__price__version__currency=currency))
    earned = add(row.amount for row in Recognition.objects.filter(line__currency=currency))
    held = {code: balances.account_total(code=code, unit=currency) for code in _CODES}

    assert held["1100"] == add(open_amount(one) for one in final)
    assert held["4000"] == accrued
    assert held["1110"] == accrued - add(line.unrounded_amount for line in usage)
    assert held["2100"] == add(line.amount.amount for line in fees) - earned
    assert held["4010"] == earned
    assert held["6310"] == add(line.unrounded_amount - line.amount.amount for line in usage)
    assert held["2200"] == add(one.tax_total.amount for one in final)
    assert held["1010"] == add(one.amount.amount for one in Payment.objects.filter(currency=currency))
    over = add(one.amount.amount - one.applied.amount for one in Payment.objects.filter(currency=currency))
    assert held["2110"] == over - add(one.balance_applied.amount for one in final)
    if standin is not None:
        paid = standin.state()["paid_minor"].get(currency.lower(), 0)
        assert held["1010"] == from_processor(paid, currency).amount
    if all_final:
        assert held["1110"] == 0
        assert not Invoice.objects.filter(currency=currency, status="draft").exists()
    prove_numbers()
    for customer in final.values_list("customer__key", flat=True).distinct():
        of_customer = balances.of(customer_key=customer, unit=currency)
        assert of_customer.receivable == add(open_amount(one) for one in final.filter(customer__key=customer))


_CODES = ("1010", "1100", "1110", "2100", "2110", "2200", "4000", "4010", "6310")


def prove_numbers(prefix: str = "INV") -> None:
    """The series has every number from one on, once."""
    found = Invoice.objects.filter(number__startswith=f"{prefix}-").values_list("number", flat=True)
    numbers = sorted(int(str(number).rpartition("-")[2]) for number in found)
    assert numbers == list(range(1, len(numbers) + 1))
    with connection.cursor() as cursor:
        cursor.execute("SELECT next_number FROM invoicing_numberseries WHERE prefix = %s", [prefix])
        row = cursor.fetchone()
    assert (row[0] if row else 1) == len(numbers) + 1


def open_amount(invoice: Invoice) -> Decimal:
    """What is still to be paid of a final invoice."""
    return Decimal(invoice.amount_due.amount - invoice.amount_paid.amount)


def add(amounts: Iterable[Decimal]) -> Decimal:
    """Their sum."""
    return sum(amounts, ZERO)
