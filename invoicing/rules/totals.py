"""From lines to the amount due, in the documented order: lines → credits → tax → customer balance → amount due."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal


@dataclass(frozen=True, slots=True)
class LineTotal:
    """One line's part: its amount, what credits paid of it, and the (exclusive) tax on the rest."""

    amount: Decimal
    credits: Decimal
    tax: Decimal


@dataclass(frozen=True, slots=True)
class Totals:
    """An invoice's sums. ``balance_applied`` is negative when a negative total moves to the customer balance."""

    subtotal: Decimal
    credits_applied: Decimal
    tax_total: Decimal
    total: Decimal
    balance_applied: Decimal
    amount_due: Decimal


def add_up(lines: Sequence[LineTotal], *, customer_balance: Decimal) -> Totals:
    """Add lines up and take what the customer balance (≥ 0: we owe the customer) can pay.

    An invoice never totals below zero: a negative total goes to the customer balance and nothing is due.
    """
    zero = Decimal(0)
    subtotal = sum((line.amount for line in lines), zero)
    credits_applied = sum((line.credits for line in lines), zero)
    tax_total = sum((line.tax for line in lines), zero)
    total = subtotal - credits_applied + tax_total
    balance_applied = total if total < 0 else min(total, max(customer_balance, zero))
    return Totals(
        subtotal=subtotal,
        credits_applied=credits_applied,
        tax_total=tax_total,
        total=total,
        balance_applied=balance_applied,
        amount_due=total - balance_applied,
    )


def remaining_need(amounts: Sequence[Decimal]) -> list[Decimal]:
    """How much credit each line may take, so that credits never exceed what the invoice charges in all.

    A negative line (usage taken back) lowers what later lines need, the first positive lines first.
    """
    owed = sum(amounts, Decimal(0))
    needs: list[Decimal] = []
    for amount in amounts:
        need = max(min(amount, owed), Decimal(0))
        needs.append(need)
        owed -= need
    return needs
