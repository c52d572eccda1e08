"""Use beyond credits that is on no invoice yet: what stands in 1110 and no accrual of an item explains."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

from django.db import connection
from django.db.models import Q, Sum

from billing_ops.kit.money import grouped, plain, round_amount
from invoicing.models import Invoice, OverageBill
from ledger.models import Account
from ledger.rules.routes import BY_TYPE

_ZERO = Decimal(0)
_UNBILLED = "1110"


@dataclass(frozen=True, slots=True)
class Part:
    """One kind of entry that makes up overage: how many, what they come to, from when to when they happened."""

    event_type: str
    count: int
    amount: Decimal
    first: datetime
    last: datetime


@dataclass(frozen=True, slots=True)
class Overage:
    """What the next bill takes up: ``exact`` and, rounded once over all bills, ``amount``.

    It is made of the lines of the account after one version and up to another, of which ``cumulative`` is the sum from
    the first line on; ``exact`` differs from their own sum where an invoice that billed earlier ones was voided.
    """

    account_id: int
    after_version: int
    through_version: int
    cumulative: Decimal
    exact: Decimal
    amount: Decimal
    parts: tuple[Part, ...]

    @property
    def description(self) -> str:
        """What the invoice calls it."""
        return "Use beyond credits" if self.amount >= 0 else "Credit for use that was billed before"

    def working(self, currency: str) -> list[dict[str, Any]]:
        """How it came about, as steps that an invoice line keeps."""
        return [
            {
                "label": f"{BY_TYPE[part.event_type].label}: {grouped(Decimal(part.count))} "
                f"{'entry' if part.count == 1 else 'entries'} from {part.first:%Y-%m-%d} to {part.last:%Y-%m-%d}, "
                f"{plain(part.amount)} {currency}",
                "rule": part.event_type,
                "from": "0",
                "to": None,
                "quantity": str(part.count),
                "unit_amount": "0",
                "flat_amount": plain(part.amount),
                "amount": plain(part.amount),
            }
            for part in self.parts
        ]


def to_bill(*, customer_key: str, currency: str) -> Overage | None:
    """What a bill made now would take up; None when nothing is to be billed. Read it with the customer locked."""
    row = Account.objects.filter(code=_UNBILLED, customer_key=customer_key, unit=currency).select_related("balance")
    account = row.first()
    if account is None:
        return None
    last = OverageBill.objects.filter(account=account).order_by("-through_version").first()
    after, before = (last.through_version, last.cumulative) if last else (0, _ZERO)
    through = account.balance.version
    parts = _parts(account.pk, after, through)
    cumulative = before + sum((part.amount for part in parts), _ZERO)
    billed = OverageBill.objects.filter(~Q(line__invoice__status=Invoice.Status.VOID), account=account).aggregate(
        exact=Sum("amount", default=_ZERO), rounded=Sum("line__amount", default=_ZERO)
    )
    exact = cumulative - billed["exact"]
    amount = round_amount(cumulative, currency) - Decimal(billed["rounded"])
    if through == after or not (exact or amount):
        return None
    return Overage(account.pk, after, through, cumulative, exact, amount, parts)


def _parts(account_id: int, after: int, through: int) -> tuple[Part, ...]:
    if through <= after:
        return ()
    with connection.cursor() as cursor:
        cursor.execute(_statement(), {"account": account_id, "after": after, "through": through})
        return tuple(Part(*row) for row in cursor.fetchall())


@cache
def _statement() -> str:
    return (Path(__file__).parent / "sql" / "overage_since.sql").read_text()
