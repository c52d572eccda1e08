"""Money that moves: payments, fees, payouts, refunds, disputes, and currencies."""

from collections.abc import Mapping, Sequence
from decimal import Decimal

from ledger.rules.entries import credit, debit
from ledger.rules.movements.draws import CreditUse, used
from ledger.rules.movements.parts import ZERO, Lines, balanced, not_negative, positive, tax_lines, total_of


def payment_succeeded(*, customer_key: str, currency: str, amount: Decimal, applied: Decimal | None = None) -> Lines:
    """Rows 14 and 14b. Money arrived: ``applied`` (default all) pays invoices, the rest is the customer's balance."""
    positive(amount=amount)
    paid = amount if applied is None else applied
    not_negative(applied=paid, excess=amount - paid)
    return (
        *debit("1010", amount, currency),
        *credit("1100", paid, currency, customer_key=customer_key),
        *credit("2110", amount - paid, currency, customer_key=customer_key),
    )


def balance_applied(*, customer_key: str, currency: str, amount: Decimal) -> Lines:
    """Row 14c on its own: the customer's balance pays an invoice that is already finalised."""
    positive(amount=amount)
    return debit("2110", amount, currency, customer_key=customer_key) + credit(
        "1100", amount, currency, customer_key=customer_key
    )


def payment_fee(*, currency: str, amount: Decimal) -> Lines:
    """Row 15. What the processor kept, from its balance transaction; a negative amount is a fee it gave back."""
    return debit("6000", amount, currency) + credit("1010", amount, currency)


def payment_returned(
    *, customer_key: str, currency: str, amount: Decimal, fee: Decimal = ZERO, from_balance: Decimal = ZERO
) -> Lines:
    """Row 27. A payment that had succeeded came back: the customer owes again, and the fee is ours.

    ``from_balance``: the part that had become the customer's balance (row 14b) and still is. It paid no invoice, so it
    is not owed again.
    """
    positive(amount=amount)
    not_negative(fee=fee, from_balance=from_balance, owed_again=amount - from_balance)
    return (
        *debit("1100", amount - from_balance, currency, customer_key=customer_key),
        *debit("2110", from_balance, currency, customer_key=customer_key),
        *debit("6000", fee, currency),
        *credit("1010", amount + fee, currency),
    )


def payout_created(*, currency: str, amount: Decimal) -> Lines:
    """Row 16. The processor sends its balance to the bank."""
    positive(amount=amount)
    return debit("1020", amount, currency) + credit("1010", amount, currency)


def payout_paid(*, currency: str, amount: Decimal) -> Lines:
    """Row 16. The payout is at the bank."""
    positive(amount=amount)
    return debit("1000", amount, currency) + credit("1020", amount, currency)


def payout_failed(*, currency: str, amount: Decimal) -> Lines:
    """Row 16. The bank refused the payout: it is the processor's balance again."""
    positive(amount=amount)
    return debit("1010", amount, currency) + credit("1020", amount, currency)


def refund_requested(
    *,
    customer_key: str,
    currency: str,
    earned: Decimal = ZERO,
    unearned: Decimal = ZERO,
    tax: Mapping[str, Decimal] | None = None,
    from_balance: Decimal = ZERO,
    contract: str = "",
) -> Lines:
    """Row 17. Money is promised back: out of the customer's balance, or out of what it had become.

    Our own refunds consume a credit note (which promises it itself), the balance, or a grant. One that somebody made at
    the processor has no credit note: it comes out of revenue (``earned``), of what is deferred, and of tax.
    """
    parts = _refund(
        customer_key=customer_key,
        currency=currency,
        earned=earned,
        unearned=unearned,
        tax=tax,
        from_balance=from_balance,
        contract=contract,
    )
    total = sum((line.amount for line in parts), ZERO)
    positive(refund=total)
    return balanced(parts + credit("2300", total, currency))


def refund_failed(
    *,
    customer_key: str,
    currency: str,
    earned: Decimal = ZERO,
    unearned: Decimal = ZERO,
    tax: Mapping[str, Decimal] | None = None,
    from_balance: Decimal = ZERO,
    contract: str = "",
) -> Lines:
    """Row 17. A promised refund did not go out: its parts stand again where they were.

    What a credit note or a grant had set aside becomes the customer's balance (``from_balance``): we still owe it.
    """
    parts = _refund(
        customer_key=customer_key,
        currency=currency,
        earned=earned,
        unearned=unearned,
        tax=tax,
        from_balance=from_balance,
        contract=contract,
    )
    total = sum((line.amount for line in parts), ZERO)
    positive(refund=total)
    return balanced(debit("2300", total, currency) + tuple(line.mirrored() for line in parts))


def refund_succeeded(*, currency: str, amount: Decimal) -> Lines:
    """Row 17. The promised money left."""
    positive(amount=amount)
    return debit("2300", amount, currency) + credit("1010", amount, currency)


def refund_returned(*, currency: str, amount: Decimal) -> Lines:
    """Row 17. A refund that had left came back from the bank: it is promised again."""
    positive(amount=amount)
    return debit("1010", amount, currency) + credit("2300", amount, currency)


def dispute_opened(*, dispute: str, currency: str, amount: Decimal, fee: Decimal = ZERO) -> Lines:
    """Row 20. The processor takes the disputed money, and a fee, until the dispute is decided."""
    positive(amount=amount)
    not_negative(fee=fee)
    return (
        *debit("1120", amount, currency, dimension=dispute),
        *debit("6010", fee, currency),
        *credit("1010", amount + fee, currency),
    )


def dispute_won(*, dispute: str, currency: str, amount: Decimal, fee_returned: Decimal = ZERO) -> Lines:
    """Row 21. The money comes back; the fee only if the processor returns it."""
    positive(amount=amount)
    not_negative(fee_returned=fee_returned)
    return (
        *debit("1010", amount + fee_returned, currency),
        *credit("1120", amount, currency, dimension=dispute),
        *credit("6010", fee_returned, currency),
    )


def dispute_lost(
    *,
    dispute: str,
    customer_key: str,
    currency: str,
    earned: Decimal = ZERO,
    unearned: Decimal = ZERO,
    unused_credit: Mapping[str, Decimal] | None = None,
    unit: str = "",
    unused_units: Sequence[CreditUse] = (),
    tax: Mapping[str, Decimal] | None = None,
    contract: str = "",
) -> Lines:
    """Row 22. The money is gone: out of revenue (4930), of what was not earned yet, of unused paid credit bought with
    it, and of tax that can be reclaimed; tax that cannot is part of ``earned``.

    ``unused_credit`` is amounts by grant; ``unused_units`` what is taken from paid grants in ``unit``, with its money.
    """
    not_negative(earned=earned, unearned=unearned)
    total_of(tax, name="tax")
    total_of(unused_credit, name="unused_credit")
    if any((use.kind, use.money_code, use.currency) != ("paid", "2005", currency) for use in unused_units):
        raise ValueError(f"unused units must be paid credit, with its money in {currency}")
    real, memo = used(customer_key, unit, unused_units)
    lines = debit("4930", earned, currency)
    lines += debit("2100", unearned, currency, customer_key=customer_key, dimension=contract)
    for grant, amount in sorted((unused_credit or {}).items()):
        lines += debit("2000", amount, currency, customer_key=customer_key, dimension=grant)
    lines += real + tax_lines(tax, currency, owed=False)
    total = sum((line.amount for line in lines), ZERO)
    positive(disputed=total)
    return balanced(lines + credit("1120", total, currency, dimension=dispute) + memo)


def fx_settled(
    *, customer_key: str, currency: str, applied: Decimal, paid_currency: str, paid: Decimal, excess: Decimal = ZERO
) -> Lines:
    """Row 29. An invoice in one currency is paid in another: each currency balances by its position (3900).

    The entry carries the rate (``applied`` + ``excess`` a unit of ``paid``). Gain and loss come of the position, when
    it is revalued.
    """
    if currency == paid_currency:
        raise ValueError(f"{currency} paid in {paid_currency} must be an ordinary payment")
    positive(applied=applied, paid=paid)
    not_negative(excess=excess)
    return balanced(
        (
            *debit("1010", paid, paid_currency),
            *credit("3900", paid, paid_currency),
            *debit("3900", applied + excess, currency),
            *credit("1100", applied, currency, customer_key=customer_key),
            *credit("2110", excess, currency, customer_key=customer_key),
        )
    )


def fx_revalued(*, currency: str, gain: Decimal) -> Lines:
    """Row 29b. What the position (3900) gained, told in the functional ``currency``; a loss is negative."""
    return debit("3900", gain, currency) + credit("6300", gain, currency)


def _refund(
    *,
    customer_key: str,
    currency: str,
    earned: Decimal,
    unearned: Decimal,
    tax: Mapping[str, Decimal] | None,
    from_balance: Decimal,
    contract: str,
) -> Lines:
    not_negative(earned=earned, unearned=unearned, from_balance=from_balance)
    total_of(tax, name="tax")
    lines = debit("4920", earned, currency)
    lines += debit("2100", unearned, currency, customer_key=customer_key, dimension=contract)
    lines += tax_lines(tax, currency, owed=False)
    return lines + debit("2110", from_balance, currency, customer_key=customer_key)
