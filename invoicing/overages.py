"""Use beyond credits that is on no invoice yet: what stands in 1110 and no accrual of an item explains.

What is owed of usage that settles by drawdown is told by item and service period: quantity, rated, drawn, owed.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

from django.db import connection
from django.db.models import Q, Sum

from billing_ops.kit.money import grouped, plain, round_amount
from invoicing import drawdowns
from invoicing.drawdowns import Drawn
from invoicing.models import Drawdown, Invoice, OverageBill
from ledger.models import Account
from ledger.rules.routes import BY_TYPE

_ZERO = Decimal(0)
_UNBILLED = "1110"


@dataclass(frozen=True, slots=True)
class Part:
    """One kind of entry that makes up overage: how many, what they come to, from when to when they happened.

    ``drawdown``: of usage that settles by drawdown they are told by item and service period, with what the period comes
    to in all.
    """

    event_type: str
    count: int
    amount: Decimal
    first: datetime
    last: datetime
    drawdown_id: int | None = None
    drawdown: Drawn | None = None
    note: str = ""
    """What it is, when it is not booked yet."""

    def label(self, currency: str) -> str:
        """What it is, for a person."""
        if self.note:
            return f"{self.note}, {plain(self.amount)} {currency}"
        if self.drawdown is None:
            return (
                f"{BY_TYPE[self.event_type].label}: {grouped(Decimal(self.count))} "
                f"{'entry' if self.count == 1 else 'entries'} from {self.first:%Y-%m-%d} to {self.last:%Y-%m-%d}, "
                f"{plain(self.amount)} {currency}"
            )
        row, price = self.drawdown.drawdown, self.drawdown.drawdown.item.price
        used = f"{grouped(row.quantity)} {price.meter.unit if price.meter else ''}".strip()
        drawn, owed = plain(self.drawdown.drawn), plain(self.drawdown.owed)
        new = f", {plain(self.amount)} of it since the last bill" if self.amount != self.drawdown.owed else ""
        return (
            f"{price.name}, {row.service_start:%Y-%m-%d} to {row.service_end:%Y-%m-%d}: {used} rated "
            f"{plain(row.rated)} {currency}, {drawn} drawn from credits, {owed} owed{new}"
        )


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
                "label": part.label(currency),
                "drawdown": part.drawdown_id,
                "rule": "drawdown" if part.drawdown else part.event_type,
                "from": "0",
                "to": None,
                "quantity": plain(part.drawdown.drawdown.quantity) if part.drawdown else str(part.count),
                "unit_amount": "0",
                "flat_amount": plain(part.amount),
                "amount": plain(part.amount),
            }
            for part in self.parts
        ]


def to_bill(*, customer_key: str, currency: str, coming: Sequence[Part] = ()) -> Overage | None:
    """What a bill made now would take up; None when nothing is to be billed. Read it with the customer locked.

    ``coming`` is what a preview expects beside what is booked.
    """
    row = Account.objects.filter(code=_UNBILLED, customer_key=customer_key, unit=currency).select_related("balance")
    account = row.first()
    if account is None:
        amount = sum((part.amount for part in coming), _ZERO)
        return Overage(0, 0, 0, amount, amount, round_amount(amount, currency), tuple(coming)) if amount else None
    last = OverageBill.objects.filter(account=account).order_by("-through_version").first()
    after, before = (last.through_version, last.cumulative) if last else (0, _ZERO)
    through = account.balance.version
    parts = (*_parts(account.pk, after, through), *coming)
    cumulative = before + sum((part.amount for part in parts), _ZERO)
    billed = OverageBill.objects.filter(~Q(line__invoice__status=Invoice.Status.VOID), account=account).aggregate(
        exact=Sum("amount", default=_ZERO), rounded=Sum("line__amount", default=_ZERO)
    )
    exact = cumulative - billed["exact"]
    amount = round_amount(cumulative, currency) - Decimal(billed["rounded"])
    if not parts or not (exact or amount):
        return None
    return Overage(account.pk, after, through, cumulative, exact, amount, parts)


def _parts(account_id: int, after: int, through: int) -> tuple[Part, ...]:
    if through <= after:
        return ()
    with connection.cursor() as cursor:
        cursor.execute(_statement(), {"account": account_id, "after": after, "through": through})
        parts = [Part(*row) for row in cursor.fetchall()]
    rows = Drawdown.objects.select_related("item__price__meter").in_bulk([part.drawdown_id for part in parts])
    drawn = {one.drawdown.pk: one for one in drawdowns.drawn_of(list(rows.values()))} if rows else {}
    return tuple(replace(part, drawdown=drawn.get(part.drawdown_id or 0)) for part in parts)


@cache
def _statement() -> str:
    return (Path(__file__).parent / "sql" / "overage_since.sql").read_text()
