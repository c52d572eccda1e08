"""What every movement needs: its type, and the checks of a calling program's mistakes."""

from decimal import Decimal

from ledger.rules.entries import LineSpec, imbalance

Lines = tuple[LineSpec, ...]

ZERO = Decimal(0)


def balanced(lines: Lines) -> Lines:
    """The lines, or ``ValueError`` if their debits and credits differ in a unit."""
    off = imbalance(lines)
    if off:
        raise ValueError("the lines do not balance: " + ", ".join(f"{total} {key}" for key, total in off.items()))
    return lines


def positive(**amounts: Decimal) -> None:
    for name, amount in amounts.items():
        if amount <= 0:
            raise ValueError(f"{name} is {amount}: it must be positive")


def not_negative(**amounts: Decimal) -> None:
    for name, amount in amounts.items():
        if amount < 0:
            raise ValueError(f"{name} is {amount}: it must not be negative")
