"""Post the journals through the door: with real grants behind the names, and draws that account for what is used."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any
from uuid import uuid4

from ledger import drawing, posting
from ledger.models import Account, CreditDraw, CreditDrawAllocation, CreditGrant, Entry, Unit
from ledger.rules import movements, routes
from ledger.rules.chart import BY_CODE
from ledger.rules.entries import LineSpec
from tests.ledger.books import ROBOT
from tests.ledger.journals.case import Case, D

_KIND = {"2000": "paid", "2010": "goodwill", "2020": "promotional", "9010": "promotional"}
_KIND_OF_MONEY = {"2005": "paid", "2015": "goodwill", "2025": "promotional"}
_PLENTY = D("10000")


class Scene:
    """The books in which cases are posted. A name such as ``grant-g`` stands for one grant."""

    def __init__(self) -> None:
        self.names: dict[str, str] = {}
        self.grants: dict[str, CreditGrant] = {}
        self.number = 0
        Unit.objects.get_or_create(code="credits", defaults={"kind": "credit", "posting_scale": 12})

    def prepare(self, case: Case) -> None:
        """Fill what the case will take from: grants, deferred fees and customers' balances."""
        wanted = dict.fromkeys(
            (line.code, line.customer_key, line.dimension, line.unit)
            for line in case.lines
            if line.side == "debit" and BY_CODE[line.code].floor is not None
        )
        openings: dict[str, tuple[LineSpec, ...]] = defaultdict(tuple)
        for code, customer, dimension, unit in wanted:
            openings[dimension or code] += movements.opening_balance(
                code=code, unit=unit, amount=_PLENTY, customer_key=customer, dimension=dimension
            )
        for name, lines in openings.items():
            rate = D("0.02") if len({line.unit for line in lines}) > 1 else None
            self.post(Case(routes.OPENING_BALANCE, "30", f"{name} is there.", lines, rate, case.at - timedelta(days=1)))

    def post(self, case: Case) -> Entry:
        lines = [replace(line, dimension=self._named(line.dimension)) for line in case.lines]
        if routes.BY_TYPE[case.movement].draws_credit:
            lines = self._draw(lines, case)
        self.number += 1
        entry = posting.post(
            movement=case.movement,
            key=f"journal {self.number}",
            lines=lines,
            at=case.at,
            actor=ROBOT,
            fx_rate=case.fx_rate,
        )
        for line in lines:
            if line.side == "credit" and BY_CODE[line.code].dimension == "grant" and line.dimension not in self.grants:
                self._issue(line, lines, case)
        return entry

    def _named(self, dimension: str) -> str:
        if not dimension.startswith("grant-"):
            return dimension
        return self.names.setdefault(dimension, str(uuid4()))

    def _issue(self, line: LineSpec, lines: Iterable[LineSpec], case: Case) -> None:
        money = next((one for one in lines if one.code in _KIND_OF_MONEY and one.dimension == line.dimension), None)
        kind = _KIND.get(line.code) or (_KIND_OF_MONEY[money.code] if money else "included")
        worth: dict[str, Any] = {}
        if money:
            worth = {"currency": money.unit, "rate": D("0.02"), "money_code": money.code, "cost_basis": money.amount}
        self.grants[line.dimension] = CreditGrant.objects.create(
            public_id=line.dimension,
            wallet_id=drawing.lock_wallet(line.customer_key, line.unit),
            account=Account.objects.get(code=line.code, dimension=line.dimension, unit=line.unit),
            customer_key=line.customer_key,
            unit_id=line.unit,
            kind=kind,
            kind_rank=int(kind == "paid"),
            amount=line.amount,
            effective_at=case.at,
            scope_rank=1,
            reason_code="test",
            requested_by_type="system",
            requested_by_id="test",
            idempotency_key=line.dimension,
            request={},
            created_at=case.at,
            **worth,
        )

    def _draw(self, lines: Sequence[LineSpec], case: Case) -> list[LineSpec]:
        """The draws that the lines speak of, written before their entry."""
        used = [line for line in lines if line.side == "debit" and BY_CODE[line.code].dimension == "grant"]
        if not used:
            return list(lines)
        reserved = posting.reserve_entry_id()
        self.number += 1
        draw = CreditDraw.objects.create(
            wallet_id=drawing.lock_wallet(used[0].customer_key, used[0].unit),
            idempotency_key=f"draw {self.number}",
            ref="usage",
            amount=sum((line.amount for line in used), Decimal(0)),
            shortfall=0,
            outcome="accepted",
            used_at=case.at,
            entry_id=reserved,
        )
        CreditDrawAllocation.objects.bulk_create(
            CreditDrawAllocation(draw=draw, grant=self.grants[line.dimension], amount=line.amount) for line in used
        )
        return [replace(line, reserved_id=reserved if line in used else None) for line in lines]
