"""Usage and prepaid fees as they become revenue."""

from decimal import Decimal

from ledger.rules.entries import credit, debit
from ledger.rules.movements.parts import Lines, not_negative


def usage_accrued(*, customer_key: str, unit: str, amount: Decimal) -> Lines:
    """Row 1. Rated usage becomes revenue before it is invoiced; a negative amount takes accrued usage back."""
    return debit("1110", amount, unit, customer_key=customer_key) + credit("4000", amount, unit)


def usage_overage(*, customer_key: str, unit: str, amount: Decimal) -> Lines:
    """Row 2. Usage beyond credit or allowance, still to be invoiced; a negative amount takes overage back."""
    return debit("1110", amount, unit, customer_key=customer_key) + credit("4020", amount, unit)


def fee_recognised(*, customer_key: str, unit: str, amount: Decimal, contract: str = "") -> Lines:
    """Row 24b. A prepaid fee is earned as its period passes."""
    not_negative(amount=amount)
    return debit("2100", amount, unit, customer_key=customer_key, dimension=contract) + credit("4010", amount, unit)
