"""What a journal is made of."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from ledger import journal
from ledger.rules import routes
from ledger.rules.entries import LineSpec
from ledger.rules.movements import CreditUse

C = "cus-1"
DAY = datetime(2025, 3, 4, 12, tzinfo=UTC)
USD: dict[str, Any] = {"customer_key": C, "currency": "USD"}


def D(text: str) -> Decimal:  # noqa: N802  # reads as in an account book
    return Decimal(text)


@dataclass(frozen=True)
class Case:
    """One journal: its kind of entry, its row in the table of journal entries, what happened, and the lines."""

    movement: str
    row: str
    words: str
    lines: Sequence[LineSpec]
    fx_rate: Decimal | None = None
    at: datetime = DAY

    def as_text(self) -> str:
        route = routes.BY_TYPE[self.movement]
        head = f"Row {self.row} · {route.label} ({route.code}) · {self.at.day} {self.at:%B %Y}\n{self.words}"
        if self.fx_rate is not None:
            head += f"\nRate: {self.fx_rate}."
        return f"{head}\n\n{journal.as_text(journal.lines_of(self.lines))}\n"


PROMO = CreditUse("promotional", "grant-p", D("20.00"))
PAID = CreditUse("paid", "grant-g", D("10.00"))
GOODWILL = CreditUse("goodwill", "grant-s", D("3.00"))
INCLUDED = CreditUse("included", "grant-i", D("2.00"))
EXPENSED = CreditUse("promotional", "grant-e", D("4.00"), code="2020")
"""What is drawn of credit in a currency."""

PAID_UNITS = CreditUse("paid", "grant-gu", D("250"), None, "9110", D("5.00"), "USD", "2005")
GOODWILL_UNITS = CreditUse("goodwill", "grant-su", D("50"), None, "9110", D("1.00"), "USD", "2015")
EXPENSED_UNITS = CreditUse("promotional", "grant-eu", D("75"), None, "9110", D("1.50"), "USD", "2025")
PROMO_UNITS = CreditUse("promotional", "grant-pu", D("100"), None, "9110", D("2.00"), "USD")
INCLUDED_UNITS = CreditUse("included", "grant-iu", D("500"), None, "9110")
"""What is drawn of credit in a company's own unit, which sells for 0.02 USD."""
