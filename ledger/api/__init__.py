"""The ledger over HTTP: balances, credits and the entries behind them."""

from billing_ops.kit.http import ApiRouter
from ledger.api import balances, credits, draws, holds, journal, schedules, statements, transfers, units

router = ApiRouter()
for _part in (balances, credits, draws, holds, schedules, transfers, units, journal, statements):
    router.add_router("", _part.router)

__all__ = ["router"]
