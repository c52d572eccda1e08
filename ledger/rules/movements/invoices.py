"""What invoices, top-ups, credit notes, taxes and bad debts do to the books."""

from collections.abc import Mapping, Sequence
from decimal import Decimal

from ledger.rules.chart import BY_CODE
from ledger.rules.entries import credit, debit
from ledger.rules.movements.draws import CreditUse, used
from ledger.rules.movements.parts import ZERO, Lines, balanced, not_negative, positive, tax_lines, total_of
from ledger.rules.routes import BY_TYPE, OPENING_BALANCE

_OPENED_AGAINST = ("3000", "9000", "9100")


def invoice_finalized(
    *,
    customer_key: str,
    currency: str,
    receivable: Decimal,
    accrued_cleared: Decimal = ZERO,
    deferred: Decimal = ZERO,
    tax: Mapping[str, Decimal] | None = None,
    rounding: Decimal = ZERO,
    credits: Sequence[CreditUse] = (),
    balance_used: Decimal = ZERO,
    balance_added: Decimal = ZERO,
    contract: str = "",
) -> Lines:
    """Rows 12, 13, 14c, 24a and 25b in one entry: what an invoice does to the books.

    ``receivable`` is the amount due; ``accrued_cleared`` the exact usage accrued for its lines; ``deferred`` its fees
    in advance; ``tax`` amounts by jurisdiction; ``credits`` what was drawn from grants; ``balance_used`` the customer's
    balance it took; ``balance_added`` what a negative invoice gives back to that balance. ``rounding`` is exact less
    rounded amounts of the usage lines: a loss is positive (debit 6310). It is passed and not derived, so that it cannot
    hide an error: the lines must balance.
    """
    not_negative(receivable=receivable, balance_used=balance_used, balance_added=balance_added)
    paid_by_credit, memo = used(customer_key, currency, credits)
    lines = (
        *debit("1100", receivable, currency, customer_key=customer_key),
        *paid_by_credit,
        *debit("2110", balance_used, currency, customer_key=customer_key),
        *debit("6310", rounding, currency),
        *credit("1110", accrued_cleared, currency, customer_key=customer_key),
        *credit("2100", deferred, currency, customer_key=customer_key, dimension=contract),
        *tax_lines(tax, currency, owed=True),
        *credit("2110", balance_added, currency, customer_key=customer_key),
    )
    return balanced(lines + memo)


def topup_invoiced(
    *, customer_key: str, currency: str, price: Decimal, tax: Mapping[str, Decimal] | None = None
) -> Lines:
    """Row 3. A top-up is invoiced: owed, and not spendable until it is paid."""
    positive(price=price)
    due = price + total_of(tax, name="tax")
    return balanced(
        (
            *debit("1100", due, currency, customer_key=customer_key),
            *credit("2050", price, currency, customer_key=customer_key),
            *tax_lines(tax, currency, owed=True),
        )
    )


def topup_voided(
    *, customer_key: str, currency: str, price: Decimal, tax: Mapping[str, Decimal] | None = None
) -> Lines:
    """Row 3, undone. A top-up that was never paid is given up: nothing is owed, and no credit comes of it."""
    positive(price=price)
    due = price + total_of(tax, name="tax")
    return balanced(
        (
            *debit("2050", price, currency, customer_key=customer_key),
            *tax_lines(tax, currency, owed=False),
            *credit("1100", due, currency, customer_key=customer_key),
        )
    )


def credit_note_issued(
    *,
    customer_key: str,
    currency: str,
    earned: Decimal = ZERO,
    unearned: Decimal = ZERO,
    tax: Mapping[str, Decimal] | None = None,
    open_invoices: Decimal = ZERO,
    balance: Decimal = ZERO,
    refund: Decimal = ZERO,
    rounding: Decimal = ZERO,
    contract: str = "",
) -> Lines:
    """Rows 19 and 19b. What is credited is first taken off what is open, then kept as balance, or refunded.

    ``earned`` reduces revenue (4910), ``unearned`` what is deferred, ``tax`` what is payable; ``open_invoices`` +
    ``balance`` + ``refund`` is their sum and ``rounding``: what the note says less what is exactly deferred, a gain
    negative.
    """
    not_negative(earned=earned, unearned=unearned, open_invoices=open_invoices, balance=balance, refund=refund)
    total_of(tax, name="tax")
    return balanced(
        (
            *debit("4910", earned, currency),
            *debit("2100", unearned, currency, customer_key=customer_key, dimension=contract),
            *tax_lines(tax, currency, owed=False),
            *debit("6310", rounding, currency),
            *credit("1100", open_invoices, currency, customer_key=customer_key),
            *credit("2110", balance, currency, customer_key=customer_key),
            *credit("2300", refund, currency),
        )
    )


def plan_prorated(
    *,
    customer_key: str,
    currency: str,
    unearned: Decimal,
    tax: Mapping[str, Decimal] | None = None,
    open_invoices: Decimal = ZERO,
    balance: Decimal = ZERO,
    rounding: Decimal = ZERO,
    contract: str = "",
) -> Lines:
    """Row 25. Time that was billed in advance and is not used goes back: off what is open, or to the balance.

    ``unearned`` is exact; ``rounding`` is what is credited less that, a gain negative.
    """
    positive(unearned=unearned)
    not_negative(open_invoices=open_invoices, balance=balance)
    total_of(tax, name="tax")
    return balanced(
        (
            *debit("2100", unearned, currency, customer_key=customer_key, dimension=contract),
            *tax_lines(tax, currency, owed=False),
            *debit("6310", rounding, currency),
            *credit("1100", open_invoices, currency, customer_key=customer_key),
            *credit("2110", balance, currency, customer_key=customer_key),
        )
    )


def debt_written_off(
    *,
    customer_key: str,
    currency: str,
    receivable: Decimal,
    unearned: Decimal = ZERO,
    tax_relief: Mapping[str, Decimal] | None = None,
    from_allowance: Decimal = ZERO,
    contract: str = "",
) -> Lines:
    """Row 23. A receivable that will not be paid: what was never earned and tax relief come off, the rest is lost.

    ``from_allowance`` is the part for which an allowance stands (1190); the remainder is bad debt (6200).
    """
    positive(receivable=receivable)
    relief = total_of(tax_relief, name="tax_relief")
    lost = receivable - unearned - relief - from_allowance
    not_negative(unearned=unearned, from_allowance=from_allowance, lost=lost)
    return balanced(
        (
            *debit("6200", lost, currency),
            *debit("1190", from_allowance, currency),
            *debit("2100", unearned, currency, customer_key=customer_key, dimension=contract),
            *tax_lines(tax_relief, currency, owed=False),
            *credit("1100", receivable, currency, customer_key=customer_key),
        )
    )


def allowance_booked(*, currency: str, amount: Decimal) -> Lines:
    """Row 23b. What is expected not to be paid; a negative amount releases allowance that is not needed."""
    return debit("6200", amount, currency) + credit("1190", amount, currency)


def debt_recovered(
    *,
    customer_key: str,
    currency: str,
    amount: Decimal,
    tax: Mapping[str, Decimal] | None = None,
    to_allowance: Decimal = ZERO,
) -> Lines:
    """Row 23b. What was written off is paid after all: it is owed again, and its payment follows as any other.

    It mirrors the write-off: ``tax`` for which relief was taken is payable again, ``to_allowance`` is the part that had
    used the allowance (1190), the rest had been bad debt (6200).
    """
    positive(amount=amount)
    lost = amount - total_of(tax, name="tax") - to_allowance
    not_negative(to_allowance=to_allowance, lost=lost)
    return balanced(
        (
            *debit("1100", amount, currency, customer_key=customer_key),
            *credit("6200", lost, currency),
            *credit("1190", to_allowance, currency),
            *tax_lines(tax, currency, owed=True),
        )
    )


def tax_remitted(*, currency: str, tax: Mapping[str, Decimal]) -> Lines:
    """Row 28. Tax is paid to its authorities, by jurisdiction."""
    total = total_of(tax, name="tax")
    positive(tax=total)
    return balanced(tax_lines(tax, currency, owed=False) + credit("1000", total, currency))


def opening_balance(*, code: str, unit: str, amount: Decimal, customer_key: str = "", dimension: str = "") -> Lines:
    """Row 30. A balance brought over from another system, on its account's normal side, against 3000.

    Memo accounts are opened against theirs, 9000 or 9100.
    """
    positive(amount=amount)
    if code not in BY_TYPE[OPENING_BALANCE].debits + BY_TYPE[OPENING_BALANCE].credits or code in _OPENED_AGAINST:
        raise ValueError(f"code is {code}: it must be an account that is opened by a balance")
    row = BY_CODE[code]
    against = ("9100" if code == "9110" else "9000") if row.memo else "3000"
    signed = amount * row.normal_side
    account = debit(code, signed, unit, customer_key=customer_key, dimension=dimension)
    other = credit(against, signed, unit)
    return account + other if row.normal_side > 0 else other + account
