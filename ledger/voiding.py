"""Take credit back, and let it expire: what remains of a grant leaves by an entry."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from django.db import DatabaseError, connection, transaction
from django.db.models import F, Q

from billing_ops.kit import audit, failing
from billing_ops.kit.actor import Actor, system
from billing_ops.kit.errors import BillingError, Conflict
from billing_ops.kit.money import plain
from ledger import drawing, posting
from ledger.crediting import PaidCreditIsBought
from ledger.issuing import GrantDiffers
from ledger.models import CreditGrant, Entry
from ledger.rules import movements
from ledger.rules.worth import BREAKAGE_ACCOUNT, Breakage, effective_rate, released

_TASK = "ledger.expire_credits"


class NothingLeft(Conflict):
    """A grant has nothing left to void."""

    code = "credit.nothing_left"


@dataclass(frozen=True, slots=True)
class Leaving:
    """What leaves a grant: a quantity, the money that leaves with it, and the version of the account it was read at."""

    grant: CreditGrant
    code: str
    amount: Decimal
    money: Decimal
    version: int

    @property
    def fx_rate(self) -> Decimal | None:
        """The rate of the entry, if money leaves beside a quantity."""
        return effective_rate(self.money, self.amount) if self.money else None

    def lines(self) -> dict[str, Any]:
        """The arguments that the movements of a leaving credit share."""
        grant = self.grant
        said: dict[str, Any] = {
            "kind": grant.kind,
            "customer_key": grant.customer_key,
            "unit": grant.unit_id,
            "amount": self.amount,
            "grant": str(grant.public_id),
            "code": self.code,
        }
        if self.money:
            said |= {"money": self.money, "currency": grant.currency, "money_code": grant.money_code}
        return said


def taken_out(grant: CreditGrant, amount: Decimal | None = None) -> Leaving:
    """What leaves a grant when ``amount`` of it does (default: all that is not held). The caller holds the wallet."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT b.normal_side * (b.debits - b.credits), b.held, b.version, a.code"
            "  FROM ledger_lock_balances(ARRAY[%s]::bigint[]) b JOIN ledger_account a ON a.id = b.account_id",
            [grant.account_id],
        )
        remaining, held, version, code = cursor.fetchone()
    leaving = remaining - held if amount is None else amount
    cost = grant.cost_basis if grant.money_code else None
    money = released(cost, grant.amount, before=remaining, after=remaining - leaving)
    return Leaving(grant, code, leaving, money, version)


def void(
    *, grant: CreditGrant, reason_code: str, actor: Actor, at: datetime, key: str, note: str = "", ticket: str = ""
) -> Entry:
    """Take back what is left of a given credit. The same key returns the entry that is there.

    Raises :class:`NothingLeft`; paid credit is refunded instead (:class:`PaidCreditIsBought`).
    """
    if grant.kind == "paid":
        raise PaidCreditIsBought("Paid credit is not voided.", remedy="Refund it.", field="grant")
    entry_key = f"credit.voided:{key}"
    with transaction.atomic():
        earlier = _begin(grant, entry_key, at)
        if earlier is not None:
            if earlier.grant_ref != str(grant.public_id):
                raise GrantDiffers(f"The key “{key}” voided another grant.", differs=["grant"])
            return earlier
        leaving = taken_out(grant)
        if leaving.amount <= 0:
            raise NothingLeft("Nothing is left of this credit.", grant=str(grant.public_id))
        entry = posting.post(
            movement=movements.CREDIT_VOIDED,
            key=entry_key,
            lines=movements.credit_voided(**leaving.lines()),
            fx_rate=leaving.fx_rate,
            at=at,
            actor=actor,
            customer_key=grant.customer_key,
            refs={"grant": str(grant.public_id)},
            reason_code=reason_code,
            reason_note=note,
            ticket=ticket,
        )
        audit.record(
            at=at,
            actor=actor,
            action="credit.voided",
            subject_type="credit_grant",
            subject_key=str(grant.public_id),
            customer_key=grant.customer_key[:128],
            summary=f"{plain(leaving.amount)} {grant.unit_id} of {grant.kind} credit voided",
            reason=reason_code,
            ticket=ticket[:64],
            note=note,
        )
        return entry


def expire(*, grant: CreditGrant, at: datetime, actor: Actor, breakage: Breakage = "income") -> Entry | None:
    """Book what is left of a grant whose time is over, dated to its expiry; None when nothing is left.

    ``breakage`` is the company's policy for paid credit (``policies.breakage()``). A later reversal can put credit
    back; expiring again books that too. Raises ``ValueError`` before ``expires_at``.
    """
    if grant.expires_at is None or at < grant.expires_at:
        raise ValueError(f"grant {grant.pk} has not expired")
    with transaction.atomic():
        _begin(grant, "", at)
        leaving = taken_out(grant)
        return book_expiry(leaving, at=at, actor=actor, breakage=breakage) if leaving.amount > 0 else None


def book_expiry(leaving: Leaving, *, at: datetime, actor: Actor, breakage: Breakage) -> Entry:
    """Post what leaves a grant at its expiry. The caller holds the wallet."""
    grant = leaving.grant
    return posting.post(
        movement=movements.CREDIT_EXPIRED,
        key=f"credit.expired:{grant.public_id}:{leaving.version}",
        lines=movements.credit_expired(**leaving.lines(), breakage=BREAKAGE_ACCOUNT[breakage]),
        fx_rate=leaving.fx_rate,
        effective_at=grant.expires_at,
        at=at,
        actor=actor,
        customer_key=grant.customer_key,
        refs={"grant": str(grant.public_id)},
        late="move",
    )


def expire_due(
    *,
    at: datetime,
    grace: timedelta,
    breakage: Breakage = "income",
    watermark: datetime | None = None,
    limit: int = 500,
) -> int:
    """Expire grants whose expiry passed at least ``grace`` ago and of which something is left; the number of entries.

    With a ``watermark`` it waits until usage is counted so far, too. What a schedule rolls over is left to it. One
    transaction a grant. One that fails is noted as failed work, rests for a while, and holds up none of the others.
    """
    until = (min(at, watermark) if watermark else at) - grace
    something_left = ~Q(account__balance__debits=F("account__balance__credits") - F("account__balance__held"))
    # What comes back to a grant after its schedule rolled it over expires as any other.
    not_for_schedule = Q(rolls_over=False) | Q(schedule__reset_number__gt=F("schedule_period"))
    due = CreditGrant.objects.filter(something_left, not_for_schedule, expires_at__lte=until)
    rows = due.exclude(public_id__in=failing.resting(task=_TASK, at=at)).order_by("expires_at")[:limit]
    return sum(_expire_or_note(row, at, breakage) for row in rows)


def _expire_or_note(grant: CreditGrant, at: datetime, breakage: Breakage) -> bool:
    try:
        entry = expire(grant=grant, at=at, actor=system("expire-credits"), breakage=breakage)
    except (BillingError, DatabaseError) as error:
        failing.note(
            task=_TASK, subject=str(grant.public_id), error=error, at=at, customer_key=grant.customer_key[:128]
        )
        return False
    failing.clear(task=_TASK, subject=str(grant.public_id))
    return entry is not None


def _begin(grant: CreditGrant, entry_key: str, at: datetime) -> Entry | None:
    """Take the locks of a change to a grant, and find the entry that already made it."""
    posting.enter_period(effective_at=at)
    drawing.lock_wallet(grant.customer_key, grant.unit_id)
    return Entry.objects.filter(source="billing", idempotency_key=entry_key).first()
