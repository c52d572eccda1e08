"""Post the journals through the door: with real grants behind the names, and draws that account for what is used."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any
from uuid import uuid4

from ledger import drawing, posting
from ledger.models import (
    Account,
    CreditDraw,
    CreditDrawAllocation,
    CreditGrant,
    CreditReturn,
    CreditReturnAllocation,
    Entry,
    Unit,
)
from ledger.rules import movements, routes
from ledger.rules.chart import BY_CODE
from ledger.rules.entries import LineSpec
from tests.ledger.books import ROBOT
from tests.ledger.journals.case import Case, D

_KIND = {"2000": "paid", "2010": "goodwill", "2020": "promotional", "9010": "promotional"}
_KIND_OF_MONEY = {"2005": "paid", "2015": "goodwill", "2025": "promotional"}
_PLENTY = D("10000")
_RATE = D("0.02")


class Scene:
    """The books in which cases are posted. A name such as ``grant-g`` stands for one grant.

    Grants end when one of the ``cases`` to come lets them expire.
    """

    def __init__(self, cases: Iterable[Case] = ()) -> None:
        self.names: dict[str, str] = {}
        self.grants: dict[str, CreditGrant] = {}
        self.number = 0
        self.drawn: list[tuple[CreditDraw, dict[str, Decimal]]] = []
        Unit.objects.get_or_create(code="credits", defaults={"kind": "credit", "posting_scale": 12})
        self.ends = {
            self._named(line.dimension): case.at
            for case in cases
            if case.movement == routes.CREDIT_EXPIRED
            for line in case.lines
            if line.side == "debit"
        }

    def prepare(self, case: Case) -> None:
        """Fill what the case will take from: grants, deferred fees and customers' balances; draw what it gives back."""
        if routes.BY_TYPE[case.movement].returns_credit:
            self.prepare(_drawn_before(case))
            self.post(_drawn_before(case))
        wanted = dict.fromkeys(
            (line.code, line.customer_key, line.dimension, line.unit)
            for line in case.lines
            if line.side == "debit" and BY_CODE[line.code].floor is not None
        )
        openings: dict[str, tuple[LineSpec, ...]] = defaultdict(tuple)
        for code, customer, dimension, unit in wanted:
            amount = _PLENTY * _RATE if code in _KIND_OF_MONEY else _PLENTY  # money stands in proportion to its units
            openings[dimension or code] += movements.opening_balance(
                code=code, unit=unit, amount=amount, customer_key=customer, dimension=dimension
            )
        for name, lines in openings.items():
            rate = _RATE if len({line.unit for line in lines}) > 1 else None
            self.post(Case(routes.OPENING_BALANCE, "30", f"{name} is there.", lines, rate, case.at - timedelta(days=1)))

    def post(self, case: Case) -> Entry:
        lines = [replace(line, dimension=self._named(line.dimension)) for line in case.lines]
        if routes.BY_TYPE[case.movement].draws_credit:
            lines = self._draw(lines, case)
        elif routes.BY_TYPE[case.movement].returns_credit:
            lines = self._give_back(lines, case)
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
            worth = {"currency": money.unit, "rate": _RATE, "money_code": money.code, "cost_basis": money.amount}
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
            expires_at=self.ends.get(line.dimension),
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
        owed = [line for line in lines if line.side == "debit" and line.code == "1110"]
        owed = owed if case.movement == routes.CREDIT_DRAWN else []
        if not used and not owed:
            return list(lines)
        reserved = posting.reserve_entry_id()
        self.number += 1
        unit = (used or owed)[0].unit
        overage = sum((line.amount for line in owed), Decimal(0))
        short = overage if not owed or owed[0].unit == unit else overage / D("0.02")
        draw = CreditDraw.objects.create(
            wallet_id=drawing.lock_wallet((used or owed)[0].customer_key, unit),
            idempotency_key=f"draw {self.number}",
            ref="" if owed else "usage",
            policy="overage" if owed else "",
            amount=sum((line.amount for line in used), Decimal(0)) + short,
            shortfall=short,
            overage=overage if owed else None,
            overage_currency=owed[0].unit if owed else "",
            outcome="overage" if owed else "accepted",
            used_at=case.at,
            entry_id=reserved,
        )
        CreditDrawAllocation.objects.bulk_create(
            CreditDrawAllocation(draw=draw, grant=self.grants[line.dimension], amount=line.amount) for line in used
        )
        self.drawn.append((draw, {line.dimension: line.amount for line in used} | {"owed": overage}))
        return _under(lines, reserved)

    def _give_back(self, lines: Sequence[LineSpec], case: Case) -> list[LineSpec]:
        """The returns that the lines speak of: of the draws made here, the last ones first."""
        reserved = posting.reserve_entry_id()
        wanted = {
            line.dimension or "owed": line.amount
            for line in lines
            if line.side == "credit" and (BY_CODE[line.code].dimension == "grant" or line.code == "1110")
        }
        for draw, taken in reversed(self.drawn):
            back = {name: min(wanted[name], taken[name]) for name in wanted.keys() & taken.keys()}
            for name, amount in back.items():
                wanted[name] -= amount
                taken[name] -= amount
            money = back.pop("owed", Decimal(0))
            overage = money * draw.shortfall / draw.overage if draw.overage else Decimal(0)
            if not overage and not any(back.values()):
                continue
            self.number += 1
            made = CreditReturn.objects.create(
                wallet_id=draw.wallet_id,
                idempotency_key=f"return {self.number}",
                draw=draw,
                amount=sum(back.values(), overage),
                overage=overage,
                overage_money=money,
                entry_id=reserved,
                reason_code="test",
                actor_type="system",
                actor_id="test",
                returned_at=case.at,
            )
            CreditReturnAllocation.objects.bulk_create(
                CreditReturnAllocation(given=made, grant=self.grants[name], amount=amount)
                for name, amount in back.items()
                if amount
            )
        assert not any(wanted.values()), wanted
        return _under(lines, reserved)


def _under(lines: Sequence[LineSpec], reserved: int) -> list[LineSpec]:
    return [replace(lines[0], reserved_id=reserved), *lines[1:]]


def _drawn_before(case: Case) -> Case:
    """The draw that a case gives back: what it reduces had been earned as usage."""
    lines = tuple(
        replace(line.mirrored(), code="4000", customer_key="", dimension="")
        if line.code in ("4910", "2100")
        else line.mirrored()
        for line in case.lines
    )
    return Case(routes.CREDIT_DRAWN, "7", "It was drawn.", lines, case.fx_rate, case.at)
