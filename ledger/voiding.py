"""Take credit back, and let it expire: what remains of a grant leaves by an entry."""

from datetime import datetime, timedelta
from decimal import Decimal

from django.db import DatabaseError, connection, transaction
from django.db.models import F, Q

from billing_ops.kit import audit, failing
from billing_ops.kit.actor import Actor, system
from billing_ops.kit.errors import BillingError, Conflict
from billing_ops.kit.money import plain
from ledger import drawing, posting
from ledger.crediting import GrantDiffers, PaidCreditIsBought
from ledger.models import CreditGrant, Entry
from ledger.rules import movements

_TASK = "ledger.expire_credits"


class NothingLeft(Conflict):
    """A grant has nothing left to void."""

    code = "credit.nothing_left"


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
        left, _ = _left_and_version(grant)
        if left <= 0:
            raise NothingLeft("Nothing is left of this credit.", grant=str(grant.public_id))
        entry = posting.post(
            movement=movements.CREDIT_VOIDED,
            key=entry_key,
            lines=movements.credit_voided(
                kind=grant.kind,
                customer_key=grant.customer_key,
                unit=grant.unit_id,
                amount=left,
                grant=str(grant.public_id),
            ),
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
            summary=f"{plain(left)} {grant.unit_id} of {grant.kind} credit voided",
            reason=reason_code,
            ticket=ticket[:64],
            note=note,
        )
        return entry


def expire(*, grant: CreditGrant, at: datetime, actor: Actor) -> Entry | None:
    """Book what is left of a grant whose time is over, dated to its expiry; None when nothing is left.

    A later reversal can put credit back; expiring again books that too. Raises ``ValueError`` before ``expires_at``.
    """
    if grant.expires_at is None or at < grant.expires_at:
        raise ValueError(f"grant {grant.pk} has not expired")
    with transaction.atomic():
        _begin(grant, "", at)
        left, version = _left_and_version(grant)
        if left <= 0:
            return None
        return posting.post(
            movement=movements.CREDIT_EXPIRED,
            key=f"credit.expired:{grant.public_id}:{version}",
            lines=movements.credit_expired(
                kind=grant.kind,
                customer_key=grant.customer_key,
                unit=grant.unit_id,
                amount=left,
                grant=str(grant.public_id),
            ),
            effective_at=grant.expires_at,
            at=at,
            actor=actor,
            customer_key=grant.customer_key,
            refs={"grant": str(grant.public_id)},
            late="move",
        )


def expire_due(*, at: datetime, grace: timedelta, limit: int = 500) -> int:
    """Expire grants whose expiry passed at least ``grace`` ago and of which something is left; the number of entries.

    One transaction a grant. One that fails is noted as failed work, rests for a while, and holds up none of the others.
    """
    something_left = ~Q(account__balance__debits=F("account__balance__credits") - F("account__balance__held"))
    due = CreditGrant.objects.filter(something_left, expires_at__lte=at - grace)
    rows = due.exclude(public_id__in=failing.resting(task=_TASK, at=at)).order_by("expires_at")[:limit]
    return sum(_expire_or_note(row, at) for row in rows)


def _expire_or_note(grant: CreditGrant, at: datetime) -> bool:
    try:
        entry = expire(grant=grant, at=at, actor=system("expire-credits"))
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


def _left_and_version(grant: CreditGrant) -> tuple[Decimal, int]:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT normal_side * (debits - credits) - held, version FROM ledger_lock_balances(ARRAY[%s]::bigint[])",
            [grant.account_id],
        )
        left, version = cursor.fetchone()
    return left, version
