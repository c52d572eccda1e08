"""The movements as finance knows them: one journal for each, and each notable variant, in words and lines."""

from ledger.rules import routes
from ledger.rules.entries import mirror
from tests.ledger.journals.case import Case
from tests.ledger.journals.credits import credits_
from tests.ledger.journals.given import given
from tests.ledger.journals.invoices import invoices
from tests.ledger.journals.openings import openings
from tests.ledger.journals.payments import payments
from tests.ledger.journals.usage import usage

__all__ = ["NAMES", "Case", "cases"]


def cases() -> dict[str, Case]:
    """All of them, made anew: a test makes what it looks at."""
    made: dict[str, Case] = {**usage(), **invoices(), **payments(), **given(), **credits_(), **openings()}
    made["entry-reversed"] = Case(
        routes.ENTRY_REVERSED,
        "12",
        "The invoice with every kind of credit is voided before anything was paid: its mirror image.",
        mirror(made["invoice-finalised-with-credits-and-balance"].lines),
    )
    return made


NAMES = tuple(cases())
