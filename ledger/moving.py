"""Move credit from one grant into a new one: what it is stays what it was, and its money travels along."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from ledger.issuing import Issue, Origin
from ledger.models import CreditGrant
from ledger.rules import movements
from ledger.rules.entries import LineSpec
from ledger.rules.terms import Terms
from ledger.rules.worth import Worth
from ledger.voiding import Leaving


@dataclass(frozen=True, slots=True)
class Move:
    """What leaves a grant, and the grant that it becomes."""

    leaving: Leaving
    issue: Issue

    def lines(self) -> tuple[LineSpec, ...]:
        """The lines that move it."""
        leaving, grant = self.leaving, self.leaving.grant
        return movements.credit_moved(
            unit=grant.unit_id,
            amount=leaving.amount,
            code=leaving.code,
            from_customer=grant.customer_key,
            from_grant=str(grant.public_id),
            to_customer=self.issue.terms.customer_key,
            to_grant=str(self.issue.public_id),
            money=leaving.money,
            currency=grant.currency if leaving.money else "",
            money_code=grant.money_code if leaving.money else "",
        )


def plan(
    leaving: Leaving,
    *,
    to_customer: str,
    public_id: UUID,
    key: str,
    reason_code: str,
    effective_at: datetime,
    expires_at: datetime | None,
    origin: Origin,
    note: str = "",
    ticket: str = "",
) -> Move:
    """The move of what leaves a grant to a new grant of the same kind, priority, scope, rate and policy."""
    grant = leaving.grant
    terms = Terms(
        customer_key=to_customer,
        kind=grant.kind,  # type: ignore[arg-type]  # the database holds the kinds
        amount=leaving.amount,
        unit=grant.unit_id,
        reason_code=reason_code,
        priority=grant.priority,
        effective_at=effective_at,
        expires_at=expires_at,
        scope=tuple(grant.scope),
        ticket=ticket,
        note=note,
    )
    return Move(leaving, Issue(terms, public_id, key, leaving.code, _worth(grant, leaving.money), origin))


def _worth(grant: CreditGrant, money: Decimal) -> Worth:
    return Worth(grant.rate, grant.currency, money if grant.money_code else None, grant.money_code)
