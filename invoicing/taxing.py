"""Tax comes from a resolver: a function named by the setting ``TAX_RESOLVER``.

It is called inside the finalising transaction, so it computes from what it is given and must not use the network; a
resolver that asks a tax service looks its answers up beforehand. What it answers is stored on each line.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal

from django.conf import settings
from django.utils.module_loading import import_string

from billing_ops.kit.errors import BillingError
from billing_ops.kit.money import round_amount
from plans.models import Customer


@dataclass(frozen=True, slots=True)
class LineTax:
    """The exclusive tax of one line: where, on what base, at what rate (0.19 is 19 %), how much."""

    jurisdiction: str
    base: Decimal
    rate: Decimal
    amount: Decimal


@dataclass(frozen=True, slots=True)
class TaxAnswer:
    """One :class:`LineTax` a base, in order, and a sentence for the invoice that says how tax was decided."""

    lines: tuple[LineTax, ...]
    note: str


Resolver = Callable[[Customer, str, Sequence[Decimal]], TaxAnswer]


class BadTaxAnswer(BillingError):
    """The resolver's answer does not fit the lines."""

    code = "tax.bad_answer"
    remedy = "Correct the function named by TAX_RESOLVER; the draft is tried again."


def zero(customer: Customer, currency: str, bases: Sequence[Decimal]) -> TaxAnswer:
    """The default: no tax, and the invoice says so."""
    return TaxAnswer(
        tuple(LineTax("", base, Decimal(0), Decimal(0)) for base in bases),
        "No tax was calculated: no tax resolver is configured.",
    )


def resolve(customer: Customer, currency: str, bases: Sequence[Decimal]) -> TaxAnswer:
    """Ask the configured resolver for the tax on each base and check its answer; raises :class:`BadTaxAnswer`."""
    resolver: Resolver = import_string(settings.TAX_RESOLVER)
    answer = resolver(customer, currency, bases)
    if [line.base for line in answer.lines] != list(bases):
        raise BadTaxAnswer("The tax resolver did not answer for every line.", answered=len(answer.lines))
    for line in answer.lines:
        if line.amount != round_amount(line.amount, currency):
            raise BadTaxAnswer(f"The tax resolver answered {line.amount} {currency}, which cannot be paid.")
        if line.amount and not line.jurisdiction:
            raise BadTaxAnswer("The tax resolver answered an amount without a jurisdiction.")
    return answer
