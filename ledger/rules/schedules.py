"""The terms of credit that comes again: what may be asked for."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from billing_ops.kit.money import plain
from ledger.rules.recurrence import EVERY, Every, Rollover
from ledger.rules.terms import GIVEN, InvalidTerms, Kind, Terms, check


@dataclass(frozen=True, slots=True)
class ScheduleTerms:
    """What is asked for. Period 0 starts at ``anchor_at``; periods that would start at ``ends_at`` or later are not
    given. ``rollover`` None: a period's remainder expires with it.
    """

    customer_key: str
    kind: Kind
    amount: Decimal
    unit: str
    every: Every
    anchor_at: datetime
    reason_code: str
    time_zone: str = "UTC"
    ends_at: datetime | None = None
    rollover: Rollover | None = None
    priority: int = 50
    scope: tuple[str, ...] = ()
    currency: str = ""
    ticket: str = ""
    note: str = ""

    def request(self) -> dict[str, Any]:
        """The terms as JSON, for comparing a replay field by field."""
        most = self.rollover.most if self.rollover else None
        return {
            "customer_key": self.customer_key,
            "kind": self.kind,
            "amount": plain(self.amount),
            "unit": self.unit,
            "currency": self.currency,
            "every": self.every,
            "anchor_at": self.anchor_at.isoformat(),
            "ends_at": self.ends_at.isoformat() if self.ends_at else None,
            "time_zone": self.time_zone,
            "rollover": None if self.rollover is None else [plain(self.rollover.least), most and plain(most)],
            "priority": self.priority,
            "scope": list(self.scope),
            "reason_code": self.reason_code,
            "ticket": self.ticket,
            "note": self.note,
        }

    def of_period(self, *, starts_at: datetime, ends_at: datetime, amount: Decimal | None = None) -> Terms:
        """The terms of the grant of one period."""
        return Terms(
            customer_key=self.customer_key,
            kind=self.kind,
            amount=self.amount if amount is None else amount,
            unit=self.unit,
            reason_code=self.reason_code,
            priority=self.priority,
            effective_at=starts_at,
            expires_at=ends_at,
            scope=self.scope,
            ticket=self.ticket,
            note=self.note,
            currency=self.currency,
        )


def check_schedule(terms: ScheduleTerms) -> None:
    """Raise ``InvalidTerms`` for a schedule that cannot be; ``details["field"]`` names what is wrong."""
    if terms.kind not in GIVEN:
        raise _invalid("kind", "paid credit is bought, not given.")
    if terms.every not in EVERY:
        raise _invalid("every", f"it is {', '.join(EVERY[:-1])} or {EVERY[-1]}.")
    if terms.anchor_at.tzinfo is None:
        raise _invalid("anchor_at", "it needs a time zone.")
    try:
        ZoneInfo(terms.time_zone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise _invalid("time_zone", f"“{terms.time_zone[:40]}” is no time zone.") from None
    if terms.ends_at is not None and terms.ends_at <= terms.anchor_at:
        raise _invalid("ends_at", "it would end before it starts.")
    if terms.rollover is not None:
        _check_rollover(terms.rollover)
    check(
        terms.of_period(starts_at=terms.anchor_at, ends_at=terms.anchor_at.max.replace(tzinfo=terms.anchor_at.tzinfo)),
        at=terms.anchor_at,
    )


def _check_rollover(rollover: Rollover) -> None:
    for name, amount in (("rollover_min", rollover.least), ("rollover_max", rollover.most)):
        if amount is not None and (not amount.is_finite() or amount < 0):
            raise _invalid(name, "it is zero or more.")
    if rollover.most is not None and rollover.most < max(rollover.least, Decimal("1e-12")):
        raise _invalid("rollover_max", "it is positive and not below the minimum.")


def _invalid(name: str, why: str) -> InvalidTerms:
    return InvalidTerms(f"{name}: {why}", field=name)
