"""Holds whose time is over give back what they kept."""

from collections.abc import Sequence
from datetime import datetime

from django.db import connection

from billing_ops.kit.actor import Actor, system
from ledger.queries import statement

_ROBOT = system("lapse-holds")


def lapse(*, wallets: Sequence[int], at: datetime, actor: Actor = _ROBOT) -> int:
    """End the open holds of these wallets, which the caller has locked, whose time is over; their number."""
    with connection.cursor() as cursor:
        cursor.execute(
            statement("lapse_holds"),
            {"wallets": list(wallets), "at": at, "actor_type": actor.type, "actor_id": actor.id},
        )
        return int(cursor.rowcount)


def wallets_due(*, at: datetime, limit: int = 200) -> list[tuple[str, str]]:
    """Whose holds are over: customer and unit, those that wait longest first."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT w.customer_key, w.unit FROM ("
            "  SELECT wallet_id, min(expires_at) AS since FROM ("
            "    SELECT wallet_id, expires_at FROM ledger_hold_open WHERE expires_at <= %s ORDER BY expires_at LIMIT %s"
            "  ) first GROUP BY wallet_id) due"
            "  JOIN ledger_credit_wallet w ON w.id = due.wallet_id ORDER BY due.since",
            [at, limit * 10],
        )
        return [(row[0], row[1]) for row in cursor.fetchall()][:limit]
