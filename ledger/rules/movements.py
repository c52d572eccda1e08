"""The journal lines of every business event of the books, as pure functions.

Each function returns the lines of one entry; the entry's kind and the accounts it may touch are in ``routes``. Row
numbers are those of the table of journal entries in this app's README. A zero amount makes no line; ``ValueError``
is a mistake of the calling program, never of a person.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from ledger.rules.chart import BY_CODE, GRANT_ACCOUNT
from ledger.rules.entries import LineSpec, credit, debit, imbalance
from ledger.rules.routes import (
    BALANCE_APPLIED,
    BY_TYPE,
    CREDIT_EXPIRED,
    CREDIT_GRANTED,
    CREDIT_VOIDED,
    ENTRY_REVERSED,
    FEE_RECOGNISED,
    INVOICE_FINALIZED,
    OPENING_BALANCE,
    PAYMENT_FEE,
    PAYMENT_RETURNED,
    PAYMENT_SUCCEEDED,
    ROUTES,
    USAGE_ACCRUED,
    Route,
)

__all__ = [
    "BALANCE_APPLIED",
    "BY_TYPE",
    "CREDIT_EXPIRED",
    "CREDIT_GRANTED",
    "CREDIT_VOIDED",
    "ENTRY_REVERSED",
    "FEE_RECOGNISED",
    "INVOICE_FINALIZED",
    "OPENING_BALANCE",
    "PAYMENT_FEE",
    "PAYMENT_RETURNED",
    "PAYMENT_SUCCEEDED",
    "ROUTES",
    "USAGE_ACCRUED",
    "CreditUse",
    "Route",
    "balance_applied",
    "credit_expired",
    "credit_granted",
    "credit_used",
    "credit_voided",
    "fee_recognised",
    "invoice_finalized",
    "opening_balance",
    "payment_fee",
    "payment_returned",
    "payment_succeeded",
    "usage_accrued",
]

Lines = tuple[LineSpec, ...]

_ZERO = Decimal(0)


@dataclass(frozen=True, slots=True)
class CreditUse:
    """What is taken from one grant: its kind, its account's dimension, and how much.

    ``entry_id`` is the reserved id of the entry under which the draws were written.
    """

    kind: str
    dimension: str
    amount: Decimal
    entry_id: int | None = None


def usage_accrued(*, customer_key: str, unit: str, amount: Decimal) -> Lines:
    """Row 1. Rated usage becomes revenue before it is invoiced; a negative amount takes accrued usage back."""
    return debit("1110", amount, unit, customer_key=customer_key) + credit("4000", amount, unit)


def fee_recognised(*, customer_key: str, unit: str, amount: Decimal, contract: str = "") -> Lines:
    """Row 24b. A prepaid fee is earned as its period passes."""
    _not_negative(amount=amount)
    return debit("2100", amount, unit, customer_key=customer_key, dimension=contract) + credit("4010", amount, unit)


def invoice_finalized(
    *,
    customer_key: str,
    currency: str,
    receivable: Decimal,
    accrued_cleared: Decimal = _ZERO,
    deferred: Decimal = _ZERO,
    tax: Mapping[str, Decimal] | None = None,
    rounding: Decimal = _ZERO,
    credits: Sequence[CreditUse] = (),
    balance_used: Decimal = _ZERO,
    balance_added: Decimal = _ZERO,
    contract: str = "",
) -> Lines:
    """Rows 12, 13 and 14c in one entry: what an invoice does to the books.

    ``receivable`` is the amount due; ``accrued_cleared`` the exact usage accrued for its lines; ``deferred`` its fees
    in advance; ``tax`` amounts by jurisdiction; ``credits`` what was drawn from grants; ``balance_used`` the customer's
    balance it took; ``balance_added`` what a negative invoice gives back to that balance. ``rounding`` is exact less
    rounded amounts of the usage lines: a loss is positive (debit 6310). It is passed and not derived, so that it cannot
    hide an error: the lines must balance.
    """
    _not_negative(receivable=receivable, balance_used=balance_used, balance_added=balance_added)
    paid_by_credit, memo = _used(customer_key, currency, credits)
    lines = (
        *debit("1100", receivable, currency, customer_key=customer_key),
        *paid_by_credit,
        *debit("2110", balance_used, currency, customer_key=customer_key),
        *debit("6310", rounding, currency),
        *credit("1110", accrued_cleared, currency, customer_key=customer_key),
        *credit("2100", deferred, currency, customer_key=customer_key, dimension=contract),
    )
    for jurisdiction, amount in sorted((tax or {}).items()):
        lines += credit("2200", amount, currency, dimension=jurisdiction)
    lines += credit("2110", balance_added, currency, customer_key=customer_key)
    return _balanced(lines + memo)


def credit_used(*, customer_key: str, unit: str, uses: Sequence[CreditUse]) -> Lines:
    """Rows 7 and 13, the debit side: credit pays for what the caller credits.

    Paid and goodwill credit is a liability that is released. Promotional and included credit was never one: its use
    reduces revenue (4900), and the memo accounts follow.
    """
    real, memo = _used(customer_key, unit, uses)
    return real + memo


def _used(customer_key: str, unit: str, uses: Sequence[CreditUse]) -> tuple[Lines, Lines]:
    real: Lines = ()
    memo: Lines = ()
    given = _ZERO
    for use in uses:
        _positive(amount=use.amount)
        code = GRANT_ACCOUNT[use.kind]
        line = LineSpec("debit", code, use.amount, unit, customer_key, use.dimension, use.entry_id)
        if BY_CODE[code].memo:
            memo += (line,)
            given += use.amount
        else:
            real += (line,)
    return real + debit("4900", given, unit), memo + credit("9000", given, unit)


def payment_succeeded(*, customer_key: str, currency: str, amount: Decimal, applied: Decimal | None = None) -> Lines:
    """Rows 14 and 14b. Money arrived: ``applied`` (default all) pays invoices, the rest is the customer's balance."""
    _positive(amount=amount)
    paid = amount if applied is None else applied
    _not_negative(applied=paid, excess=amount - paid)
    return (
        *debit("1010", amount, currency),
        *credit("1100", paid, currency, customer_key=customer_key),
        *credit("2110", amount - paid, currency, customer_key=customer_key),
    )


def balance_applied(*, customer_key: str, currency: str, amount: Decimal) -> Lines:
    """Row 14c on its own: the customer's balance pays an invoice that is already finalised."""
    _positive(amount=amount)
    return debit("2110", amount, currency, customer_key=customer_key) + credit(
        "1100", amount, currency, customer_key=customer_key
    )


def payment_fee(*, currency: str, amount: Decimal) -> Lines:
    """Row 15. What the processor kept, from its balance transaction."""
    _positive(amount=amount)
    return debit("6000", amount, currency) + credit("1010", amount, currency)


def payment_returned(*, customer_key: str, currency: str, amount: Decimal, fee: Decimal = _ZERO) -> Lines:
    """Row 27. A payment that had succeeded came back: the customer owes again, and the fee is ours."""
    _positive(amount=amount)
    _not_negative(fee=fee)
    return (
        *debit("1100", amount, currency, customer_key=customer_key),
        *debit("6000", fee, currency),
        *credit("1010", amount + fee, currency),
    )


def credit_granted(*, kind: str, customer_key: str, unit: str, amount: Decimal, grant: str) -> Lines:
    """Rows 5 and 6. Goodwill for past service reduces revenue when promised; promotional and included credit is memo.

    Paid credit is not granted but bought.
    """
    _positive(amount=amount)
    return debit(_given_from(kind), amount, unit) + credit(
        GRANT_ACCOUNT[kind], amount, unit, customer_key=customer_key, dimension=grant
    )


def credit_voided(*, kind: str, customer_key: str, unit: str, amount: Decimal, grant: str) -> Lines:
    """Row 10. What remains of a given credit is taken back."""
    _positive(amount=amount)
    return debit(GRANT_ACCOUNT[kind], amount, unit, customer_key=customer_key, dimension=grant) + credit(
        _given_from(kind), amount, unit
    )


def credit_expired(*, kind: str, customer_key: str, unit: str, amount: Decimal, grant: str) -> Lines:
    """Row 9. What remains at expiry: breakage if it was paid for, else as if it had not been given."""
    _positive(amount=amount)
    against = "4030" if kind == "paid" else _given_from(kind)
    return debit(GRANT_ACCOUNT[kind], amount, unit, customer_key=customer_key, dimension=grant) + credit(
        against, amount, unit
    )


def opening_balance(*, code: str, unit: str, amount: Decimal, customer_key: str = "", dimension: str = "") -> Lines:
    """Row 30. A balance brought over from another system, on its account's normal side, against 3000 (memo: 9000)."""
    _positive(amount=amount)
    row = BY_CODE[code]
    against = "9000" if row.memo else "3000"
    signed = amount * row.normal_side
    account = debit(code, signed, unit, customer_key=customer_key, dimension=dimension)
    other = credit(against, signed, unit)
    return account + other if row.normal_side > 0 else other + account


def _given_from(kind: str) -> str:
    if kind == "goodwill":
        return "4910"
    if kind in ("promotional", "included"):
        return "9000"
    raise ValueError(f"credit of kind {kind!r} is not given")


def _balanced(lines: Lines) -> Lines:
    off = imbalance(lines)
    if off:
        raise ValueError("the lines do not balance: " + ", ".join(f"{total} {key}" for key, total in off.items()))
    return lines


def _positive(**amounts: Decimal) -> None:
    for name, amount in amounts.items():
        if amount <= 0:
            raise ValueError(f"{name} is {amount}: it must be positive")


def _not_negative(**amounts: Decimal) -> None:
    for name, amount in amounts.items():
        if amount < 0:
            raise ValueError(f"{name} is {amount}: it must not be negative")
