"""The chart of accounts as data. The table in the database equals this one (a test compares them)."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

Category = Literal["asset", "liability", "equity", "revenue", "contra_revenue", "expense", "memo"]
Dimension = Literal["", "grant", "units", "dispute", "jurisdiction", "contract"]
"""What an account of a code is told apart by; ``units`` is a grant in a company's own unit, whose money it keeps."""

DEBIT, CREDIT = 1, -1

_DEBIT_NORMAL = {"asset", "contra_revenue", "expense"}


@dataclass(frozen=True, slots=True)
class Code:
    """One row of the chart.

    ``materialised``: its accounts keep a stored balance and version. ``exact``: twelve decimals, else whole minor
    units. ``floor``: the lowest balance it may have, holds counted; None is none.
    """

    code: str
    name: str
    category: Category
    takes_customer: bool = False
    dimension: Dimension = ""
    dimension_required: bool = False
    materialised: bool = False
    exact: bool = False
    floor: Decimal | None = None
    credit_normal: bool | None = None

    @property
    def normal_side(self) -> int:
        """+1 when a debit raises it, -1 when a credit does."""
        credit = self.category not in _DEBIT_NORMAL if self.credit_normal is None else self.credit_normal
        return CREDIT if credit else DEBIT

    @property
    def memo(self) -> bool:
        """Off balance sheet; memo lines balance on their own."""
        return self.category == "memo"


def _customer(code: str, name: str, category: Category, *, exact: bool, floor: Decimal | None = None) -> Code:
    return Code(code, name, category, takes_customer=True, materialised=True, exact=exact, floor=floor)


def _grant(code: str, name: str, category: Category, *, dimension: Dimension = "grant") -> Code:
    return Code(
        code,
        name,
        category,
        takes_customer=True,
        dimension=dimension,
        dimension_required=True,
        materialised=True,
        exact=True,
        floor=Decimal(0),
    )


CHART: tuple[Code, ...] = (
    Code("1000", "Bank", "asset"),
    Code("1010", "Stripe balance (clearing)", "asset"),
    Code("1020", "Payouts in transit", "asset"),
    _customer("1100", "Receivable, invoiced", "asset", exact=False),
    _customer("1110", "Unbilled usage", "asset", exact=True),
    Code("1120", "Disputed funds", "asset", dimension="dispute", dimension_required=True),
    Code("1190", "Allowance for doubtful accounts", "asset", credit_normal=True),
    _grant("2000", "Paid credits", "liability"),
    _grant("2005", "Paid credit units, their money", "liability", dimension="units"),
    _grant("2010", "Goodwill and SLA credits", "liability"),
    _grant("2015", "Goodwill credit units, their money", "liability", dimension="units"),
    _grant("2020", "Promotional credits, expensed", "liability"),
    _grant("2025", "Promotional credit units, expensed", "liability", dimension="units"),
    Code("2050", "Top-ups invoiced, unpaid", "liability", takes_customer=True, exact=True),
    Code(
        "2100",
        "Deferred revenue",
        "liability",
        takes_customer=True,
        dimension="contract",
        materialised=True,
        exact=True,
        floor=Decimal(0),
    ),
    _customer("2110", "Customer balance", "liability", exact=False, floor=Decimal(0)),
    Code("2200", "Tax payable", "liability", dimension="jurisdiction", dimension_required=True),
    Code("2300", "Refunds payable", "liability"),
    Code("2500", "Unclaimed property", "liability", exact=True),
    Code("3000", "Opening balances", "equity", exact=True),
    Code("3900", "FX and credit-unit position", "equity", exact=True),
    Code("4000", "Usage revenue", "revenue", exact=True),
    Code("4010", "Subscription revenue", "revenue", exact=True),
    Code("4020", "Overage revenue", "revenue", exact=True),
    Code("4030", "Breakage", "revenue", exact=True),
    Code("4900", "Promotional credits used", "contra_revenue", exact=True),
    Code("4910", "Credit notes and concessions", "contra_revenue", exact=True),
    Code("4920", "Refunds (earned part)", "contra_revenue", exact=True),
    Code("4930", "Chargebacks lost (earned part)", "contra_revenue", exact=True),
    Code("6000", "Processing fees", "expense"),
    Code("6010", "Dispute fees", "expense"),
    Code("6100", "Promotion expense", "expense", exact=True),
    Code("6200", "Bad debt", "expense", exact=True),
    Code("6300", "FX gain and loss", "expense", exact=True),
    Code("6310", "Rounding", "expense", exact=True),
    Code("9000", "Promotional credit issued (memo)", "memo", exact=True, credit_normal=False),
    _grant("9010", "Promotional credit outstanding (memo)", "memo"),
    Code("9100", "Credit units issued (memo)", "memo", exact=True, credit_normal=False),
    _grant("9110", "Credit units outstanding (memo)", "memo"),
)

BY_CODE: dict[str, Code] = {row.code: row for row in CHART}

GRANT_ACCOUNT: dict[str, str] = {"paid": "2000", "goodwill": "2010", "promotional": "9010", "included": "9010"}
"""Where a grant of each kind in a currency is kept, one account a grant."""

EXPENSED = "2020"
"""Where promotional credit in a currency is kept if it was an expense when it was given."""

UNITS_QUANTITY = "9110"
"""Where a grant in a company's own unit is kept, whatever its kind."""

UNITS_MONEY: dict[str, str] = {"paid": "2005", "goodwill": "2015", "expensed": "2025"}
"""Where its money is kept, if money was received or promised for it."""
